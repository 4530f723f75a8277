//! What of others' identities is let in: `federation.identities` and `federation.unlisted`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use portcullis_spiffe::TrustDomain;
use serde_json::{Map, Value as Json};

use super::super::node::{Member, Node, Value};
use super::super::reader::{Section, Setting};
use super::super::values::text;
use crate::identity::foreign::{ForeignDomain, ForeignIdentities, LOCAL_NAME, PathPrefix};

/// The longest local name, in bytes.
const MAX_NAME: usize = 64;

/// How many attributes a domain may have.
const MAX_ATTRIBUTES: usize = 64;

pub(super) fn read(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<ForeignIdentities> {
    let listed = section.mappings("identities", |section| read_domain(section, ours));
    // Who writes down whom to let in means nobody else; who writes nothing down leaves it to the policies.
    let unlisted = match &listed {
        Some(listed) if listed.is_empty() => "admit",
        _ => "refuse",
    };
    let unlisted = section.value::<Unlisted>("unlisted", unlisted);
    let listed = listed?;
    let (mut domains, mut names) = (BTreeMap::new(), BTreeSet::new());
    for (trust_domain, domain) in listed {
        if let Some(name) = domain.local_name.clone().filter(|name| !names.insert(name.clone())) {
            section.fault("identities", format!("two trust domains are called `{name}`"));
        }
        if domains.insert(trust_domain.clone(), domain).is_some() {
            section.fault("identities", format!("`{trust_domain}` is there twice"));
        }
    }
    // Without a name of our own, which is a fault of its own, nothing comes of this anyhow.
    Some(ForeignIdentities::new(ours?, domains, unlisted?.is_refused))
}

fn read_domain(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<(TrustDomain, ForeignDomain)> {
    let trust_domain = section.required::<TrustDomain>("trust_domain");
    let paths = section.list::<PathPrefix>("paths", "[/]");
    let local_name = section.optional::<LocalName>("local_name").valid();
    let attributes = section.value::<Attributes>("attributes", "{}");
    if let Some(name) = trust_domain.as_ref().filter(|name| Some(*name) == ours) {
        section.fault("trust_domain", format!("`{name}` is this trust domain itself"));
    }
    let local_name = local_name?.map(|name| name.0);
    Some((trust_domain?, ForeignDomain { paths: paths?, local_name, attributes: attributes?.0 }))
}

/// What becomes of the identities of domains that are not listed.
struct Unlisted {
    is_refused: bool,
}

/// What a domain is called here.
struct LocalName(String);

/// What is known of a domain's identities.
struct Attributes(Map<String, Json>);

impl Setting for Unlisted {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`admit` or `refuse`")? {
            "admit" => Ok(Self { is_refused: false }),
            "refuse" => Ok(Self { is_refused: true }),
            other => Err(format!("`{other}` is neither `admit` nor `refuse`")),
        }
    }
}

impl Setting for PathPrefix {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let path = text(node, "a path such as `/prod`")?;
        path.parse().map_err(|error| format!("`{path}`: {error}"))
    }
}

impl Setting for LocalName {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "a name")?;
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_fit) {
            return Ok(Self(name.to_owned()));
        }
        Err(format!("`{name}` is not a name of 1 to {MAX_NAME} letters, digits, `.`, `-` and `_`"))
    }
}

impl Setting for Attributes {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let members = match &node.value {
            Value::Nothing => &[],
            Value::Mapping(members) => members.as_slice(),
            other => return Err(format!("expected a mapping of attributes to values, found {}", other.kind())),
        };
        if members.len() > MAX_ATTRIBUTES {
            return Err(format!("there are {} attributes, more than {MAX_ATTRIBUTES}", members.len()));
        }
        let attribute = |member: &Member| match member.key.as_str() {
            LOCAL_NAME => Err(format!("`{LOCAL_NAME}` has a key of its own")),
            name => value(&member.node).map(|value| (name.to_owned(), value)).map_err(|why| format!("`{name}`: {why}")),
        };
        members.iter().map(attribute).collect::<Result<_, _>>().map(Self)
    }
}

/// A value that policies can hold.
fn value(node: &Node) -> Result<Json, String> {
    match &node.value {
        Value::Flag(flag) => Ok(Json::from(*flag)),
        Value::Number(number) if i64::try_from(*number).is_ok() => Ok(Json::from(*number)),
        Value::Text(text) => Ok(Json::from(text.as_str())),
        Value::List(items) => items.iter().map(value).collect(),
        Value::Nothing | Value::Number(_) | Value::Odd(_) | Value::Mapping(_) => {
            Err(format!("expected a text, a boolean, a whole number or a list of these, found {}", node.value.kind()))
        }
    }
}
