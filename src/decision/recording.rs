//! What of a question its record keeps beside names and digests: the parts that the operator chose, in plain or redacted,
//! or all of it. Nothing is done for a question of which nothing more is to be kept.

use serde_json::{Map, Value};

use super::check::Check;
use super::policy::PolicySet;
use super::query::{Properties, Property, Query};
use crate::evidence::record::{Actor, TokenClaims};
use crate::evidence::{DecisionId, DisclosureKey, Field};
use crate::foundation::digest::Digest;
use crate::foundation::telemetry::printable;
use crate::identity::token::VerifiedToken;

/// The name of the field that is the whole question.
pub const REQUEST: &str = "request";

/// The name of the field that is the digest of the whole question, where it can't be there in plain.
pub const CONTEXT_DIGEST: &str = "context_digest";

/// What the names of fields begin with that are headers.
pub(super) const HEADER: &str = "header.";

/// How many of a token's actors are looked at. Each costs whoever sends them, and every reader of the record.
const MOST_ACTORS: usize = 16;

/// How much of an actor's names goes into a record, in bytes.
const SHOWN: usize = 1024;

/// A part of a question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// What stands in the context under this path: names of attributes, each within the one before.
    Context(Vec<String>),
    /// The lines of this header, in lower case.
    Header(String),
}

/// A part that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chosen {
    /// Which.
    pub part: Part,
    /// Whether there is only a commitment to it, and the value sealed.
    pub redact: bool,
}

/// What is kept of each question.
#[derive(Debug)]
pub struct Recording {
    chosen: Vec<(String, Chosen)>,
    whole: bool,
    /// What redacts, if anything is redacted.
    key: Option<DisclosureKey>,
}

impl Recording {
    /// Keeps the chosen parts, and the whole question if `whole`. With a key, what can tell a redacted part is redacted too: the
    /// digest of the question, by which values could be guessed, and the question itself. Without one nothing is.
    pub fn new(chosen: Vec<Chosen>, whole: bool, key: Option<DisclosureKey>) -> Self {
        let named = chosen.into_iter().map(|chosen| (chosen.part.name(), chosen));
        Self { chosen: named.collect(), whole, key }
    }

    /// Whether anything is redacted.
    pub(super) const fn redacts(&self) -> bool {
        self.key.is_some()
    }

    /// The headers that are kept of a proxy's question.
    pub(super) fn headers(&self, id: DecisionId, check: &Check<'_>) -> Vec<Field> {
        let lines = check.http.as_ref().and_then(|http| http.headers.as_deref()).unwrap_or_default();
        let mut fields = Vec::new();
        for (name, chosen) in &self.chosen {
            let Part::Header(header) = &chosen.part else { continue };
            let values = lines.iter().filter(|(line, _)| line.eq_ignore_ascii_case(header));
            let mut values: Vec<Value> = values.map(|(_, value)| String::from_utf8_lossy(value).into()).collect();
            let value = match values.len() {
                0 => continue,
                1 => values.swap_remove(0),
                _ => Value::Array(values),
            };
            fields.push(self.field(id, name, &value.to_string(), chosen.redact));
        }
        fields
    }

    /// Adds what is kept of the question itself, and says which digest of it may stand in the record.
    pub(super) fn add(
        &self,
        fields: &mut Vec<Field>,
        (id, digest): (DecisionId, Digest),
        query: &Query<'_>,
        policies: &PolicySet,
    ) -> Option<Digest> {
        for (name, chosen) in &self.chosen {
            if let Part::Context(path) = &chosen.part
                && let Some(value) = at(&query.context, path)
            {
                fields.push(self.field(id, name, &value.to_string(), chosen.redact));
            }
        }
        if self.whole {
            fields.push(self.field(id, REQUEST, &policies.canonical(query).to_string(), true));
        }
        let Some(key) = &self.key else { return Some(digest) };
        fields.push(key.redact(id, CONTEXT_DIGEST, &Value::from(digest.to_string()).to_string()));
        None
    }

    /// What stands for the digest of a search where it can't be there in plain.
    pub(super) fn blinded(&self, id: DecisionId, digest: Digest) -> Digest {
        let redacted = self.key.as_ref().map(|key| key.redact(id, CONTEXT_DIGEST, &digest.to_string()));
        redacted.and_then(|field| field.commitment).unwrap_or(digest)
    }

    fn field(&self, id: DecisionId, name: &str, value: &str, redact: bool) -> Field {
        match &self.key {
            Some(key) if redact => key.redact(id, name, value),
            _ => Field { name: name.to_owned(), value: Some(value.to_owned()), commitment: None, sealed: None },
        }
    }
}

impl Part {
    /// Its name in records.
    pub fn name(&self) -> String {
        match self {
            Self::Context(path) => format!("context.{}", path.join(".")),
            Self::Header(name) => format!("{HEADER}{name}"),
        }
    }
}

/// What stands under `path`, if anything does.
fn at(properties: &Properties<'_>, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    match (properties.get(first)?, rest) {
        (property, []) => Some(property.clone().into()),
        (Property::Record(record), rest) => at(record, rest),
        (Property::Json(json), rest) => rest.iter().try_fold(json, |json, name| json.get(name)).cloned(),
        (Property::Text(_), _) => None,
    }
}

/// Who acts for the subject of a token: its `act`, and the `act` within that.
pub(super) fn actors(token: &VerifiedToken) -> Option<Vec<Actor>> {
    let mut next = token.claims.get("act").and_then(Value::as_object);
    let mut actors = Vec::new();
    while let Some(act) = next.filter(|_| actors.len() < MOST_ACTORS) {
        let text = |name: &str| act.get(name).and_then(Value::as_str).map(|text| printable(text, SHOWN));
        actors.push(Actor { subject: text("sub").unwrap_or_default(), issuer: text("iss") });
        next = inner(act);
    }
    (!actors.is_empty()).then_some(actors)
}

/// What a token says of itself, for its record.
pub(super) fn token_claims(token: &VerifiedToken) -> TokenClaims {
    let text = |name: &str| token.claims.get(name).and_then(Value::as_str).map(|text| printable(text, SHOWN));
    TokenClaims { subject: printable(&token.subject, SHOWN), id: text("jti"), transaction: text("txn") }
}

fn inner(act: &Map<String, Value>) -> Option<&Map<String, Value>> {
    act.get("act").and_then(Value::as_object)
}
