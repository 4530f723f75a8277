//! `GET /.well-known/authzen-configuration` (Authorization API 1.0, section 9): where the endpoints are. Members without
//! a value are left out; there are no capabilities to tell of, so `capabilities` is one of them.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ACTION_SEARCH_PATH, EVALUATION_PATH, EVALUATIONS_PATH, RESOURCE_SEARCH_PATH, SUBJECT_SEARCH_PATH};
use crate::edge::http::identifier::Identifier;
use crate::identity::authority::Statement;

/// The path of the metadata, before the identifier's own path.
pub(super) const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

/// How long a client may believe it without asking: much less than what is signed is good for.
const MAX_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The members that have a path behind them.
pub(super) const ENDPOINTS: [(&str, &str); 5] = [
    ("access_evaluation_endpoint", EVALUATION_PATH),
    ("access_evaluations_endpoint", EVALUATIONS_PATH),
    ("search_subject_endpoint", SUBJECT_SEARCH_PATH),
    ("search_resource_endpoint", RESOURCE_SEARCH_PATH),
    ("search_action_endpoint", ACTION_SEARCH_PATH),
];

/// What the PDP says of itself.
#[derive(Clone, Debug)]
pub struct Metadata {
    identifier: Identifier,
    members: Map<String, Value>,
    statement: Option<Arc<Statement>>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    members: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_metadata: Option<String>,
}

impl Metadata {
    /// That of the PDP that clients know as `identifier`.
    pub fn new(identifier: Identifier) -> Self {
        let endpoint = |(name, path): (&str, &str)| (name.to_owned(), Value::String(format!("{identifier}{path}")));
        let mut members = Map::from_iter([("policy_decision_point".to_owned(), identifier.as_str().into())]);
        members.extend(ENDPOINTS.map(endpoint));
        Self { identifier, members, statement: None }
    }

    /// What is to be signed, to stand beside the members: all of them, under the name of who says so.
    pub fn claims(&self) -> Map<String, Value> {
        let mut claims = self.members.clone();
        claims.insert("iss".to_owned(), self.identifier.as_str().into());
        claims
    }

    /// The same, with its [`claims`](Self::claims) signed.
    #[must_use]
    pub fn with_statement(self, statement: Arc<Statement>) -> Self {
        Self { statement: Some(statement), ..self }
    }

    pub(super) const fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// Whose it is: what stands after the host, if anything does.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.identifier.path().strip_prefix('/')
    }

    /// Where it is to be had: the well-known part stands between host and path.
    pub(super) fn path(&self) -> String {
        format!("{WELL_KNOWN}{}", self.identifier.path())
    }

    /// The document. Without a signature, if there is nobody to sign: that is better than none.
    pub(super) fn response(&self) -> Response {
        let signed_metadata = self.statement.as_ref().and_then(|statement| {
            let failed = |error| tracing::error!(%error, "the AuthZEN metadata can't be signed");
            statement.signed().map_err(failed).ok()
        });
        ([(CACHE_CONTROL, MAX_AGE)], Json(Document { members: &self.members, signed_metadata })).into_response()
    }
}
