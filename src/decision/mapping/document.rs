//! The YAML of a mapping file, read strictly: no unknown key, no key twice, and every value knows where it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{MessageFormatter as _, Options, Spanned, UserMessageFormatter};

use crate::decision::policy::problem::Position;

/// How deep the YAML may nest.
const MAX_DEPTH: usize = 32;

/// How many values a file may hold, each use of an alias counted.
const MAX_NODES: usize = 1_000_000;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) version: Spanned<u64>,
    pub(super) routes: Vec<Spanned<RouteText>>,
}

/// One route.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteText {
    pub(super) name: Option<Spanned<String>>,
    #[serde(rename = "match")]
    pub(super) matches: Spanned<MatchText>,
    pub(super) resource: Option<ResourceText>,
    pub(super) action: Option<ActionText>,
    pub(super) mcp: Option<Spanned<McpText>>,
    #[serde(default)]
    pub(super) context: Members,
    pub(super) principal: Option<Spanned<String>>,
    pub(super) on_error: Option<OnErrorText>,
}

/// What is answered if no decision can be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnErrorText {
    pub(super) fail: Option<Spanned<String>>,
    pub(super) status: Option<Spanned<u64>>,
}

/// Which requests it is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchText {
    pub(super) host: Option<Spanned<String>>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) method: Option<Spanned<Value>>,
    pub(super) grpc: Option<Spanned<GrpcText>>,
    pub(super) upgrade: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) headers: Members,
    #[serde(default)]
    pub(super) query: Members,
    #[serde(default)]
    pub(super) extensions: Members,
}

/// A gRPC service, or one method of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrpcText {
    pub(super) service: Spanned<String>,
    pub(super) method: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceText {
    #[serde(rename = "type")]
    pub(super) kind: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<String>>,
    pub(super) properties: Option<Members>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActionText {
    pub(super) name: Spanned<String>,
}

/// An endpoint that speaks the Model Context Protocol.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct McpText {
    pub(super) server: Spanned<String>,
    pub(super) prefix: Option<Spanned<String>>,
    pub(super) namespace: Option<Spanned<String>>,
    pub(super) source: Option<Spanned<String>>,
    pub(super) max_bytes: Option<Spanned<u64>>,
    pub(super) denied_status: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) tools: BTreeMap<String, Spanned<ToolText>>,
}

/// What calls of one tool become, in place of what calls of any tool do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolText {
    pub(super) action: ActionText,
    pub(super) resource: ResourceText,
    #[serde(default)]
    pub(super) context: Members,
}

/// Values by name, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Members(pub(super) Vec<(Spanned<String>, Spanned<Value>)>);

/// A value of which it is not said beforehand what it is.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Number(i64),
    List(Vec<Spanned<Self>>),
    Members(Members),
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it, and where.
    pub(super) fn read(yaml: &str) -> Result<Self, (Position, String)> {
        serde_saphyr::from_str_with_options(yaml, options()).map_err(|error| {
            let position = error.location().map_or(Position { line: 1, column: 1 }, position);
            (position, UserMessageFormatter.format_message(error.without_snippet()).into_owned())
        })
    }
}

/// Where something is written.
pub(super) fn place<T>(spanned: &Spanned<T>) -> Position {
    position(spanned.referenced)
}

fn position(location: serde_saphyr::Location) -> Position {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    Position { line: number(location.line()), column: number(location.column()) }
}

/// The strictest reading that the parser offers, and bounds on what a file can make it do.
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

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Members(members) => Ok(members),
            _ => Err(D::Error::custom("expected a mapping of names to values")),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a boolean, an integer, a list or a mapping")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Number).map_err(|_too_large| E::custom("the number has more than 64 bits"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Value::Members(Members(members)))
    }
}
