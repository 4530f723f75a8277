//! YAML as a tree in which every key and value knows where it was written.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{MessageFormatter as _, Options, Spanned, UserMessageFormatter};

use super::fault::Fault;
use super::origin::Origin;

/// How deep the YAML may nest. The deepest legal value is at level 5.
const MAX_DEPTH: usize = 16;

/// How many values the YAML may hold, each use of an alias counted: some ten thousand entries.
const MAX_NODES: usize = 250_000;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// What YAML can say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nothing,
    Flag(bool),
    Number(u64),
    /// A negative number or a fraction. No key takes one.
    Odd(f64),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<Member>),
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) key: String,
    /// Where the key is written.
    pub(super) origin: Origin,
    pub(super) node: Node,
}

impl Value {
    /// What it is, for an error message.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Flag(_) => "a boolean",
            Self::Number(_) | Self::Odd(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }

    /// Whether it is a list or mapping with something in it.
    pub(super) const fn has_items(&self) -> bool {
        match self {
            Self::List(items) => !items.is_empty(),
            Self::Mapping(members) => !members.is_empty(),
            _ => false,
        }
    }
}

impl Node {
    /// Parses YAML in which a value at a line and column has the origin that `place` says.
    ///
    /// # Errors
    /// The first syntax error, with its place.
    pub(super) fn parse(yaml: &str, place: &dyn Fn(u64, u64) -> Origin) -> Result<Self, Fault> {
        if yaml.trim().is_empty() {
            return Ok(Self { origin: place(1, 1), value: Value::Nothing });
        }
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(yaml, options()) {
            Ok(raw) => Ok(raw.locate(place)),
            Err(error) => {
                let origin = error.location().map_or_else(|| place(1, 1), |at| place(at.line(), at.column()));
                Err(Fault::new(origin, "", UserMessageFormatter.format_message(error.without_snippet())))
            }
        }
    }

    /// Lays `over` upon this: mappings are merged key by key, anything else is replaced. Nothing adds nothing to a mapping.
    pub(super) fn overlay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Mapping(members), Value::Mapping(newer)) => {
                for member in newer {
                    match members.iter_mut().find(|known| known.key == member.key) {
                        Some(known) => known.node.overlay(member.node),
                        None => members.push(member),
                    }
                }
            }
            (Value::Mapping(_), Value::Nothing) => {}
            (_, value) => *self = Self { origin: over.origin, value },
        }
    }
}

/// The strictest reading that the parser offers, and bounds on what a hostile file can make it do.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        strict_indentation: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// [`Value`] before its places are translated into origins.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Self>>),
    Mapping(Vec<(Spanned<String>, Spanned<Self>)>),
}

trait Locate {
    fn locate(self, place: &dyn Fn(u64, u64) -> Origin) -> Node;
}

impl Locate for Spanned<Raw> {
    fn locate(self, place: &dyn Fn(u64, u64) -> Origin) -> Node {
        let origin = place(self.referenced.line(), self.referenced.column());
        let value = match self.value {
            Raw::Scalar(value) => value,
            Raw::List(items) => Value::List(items.into_iter().map(|item| item.locate(place)).collect()),
            Raw::Mapping(members) => Value::Mapping(
                members
                    .into_iter()
                    .map(|(key, node)| Member {
                        origin: place(key.referenced.line(), key.referenced.column()),
                        key: key.value,
                        node: node.locate(place),
                    })
                    .collect(),
            ),
        };
        Node { origin, value }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Nothing))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Flag(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(value)))
    }

    #[expect(clippy::cast_precision_loss, reason = "only its being odd matters: no key takes such a number")]
    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(u64::try_from(value).map_or(Value::Odd(value as f64), Value::Number)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Odd(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Raw::Mapping(members))
    }
}

#[cfg(test)]
mod tests;
