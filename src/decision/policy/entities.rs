//! The entities of the policy directory.

use cedar_policy::Schema;
use serde_json::Value as Json;

use super::problem::Problem;
use super::source::Sources;
use crate::decision::entity::{Entities, Node, Uid, Writer};
use crate::decision::schema::SchemaTypes;
use crate::decision::value::read::{Place, closed, names, read};
use crate::decision::value::{Record, Text};

mod parse;

/// Reads the entity files. Cedar itself checks each entity first, for its words on what is wrong.
pub(super) fn load(sources: &Sources, schema: &Schema, types: &SchemaTypes, problems: &mut Vec<Problem>) -> Entities {
    let mut writer = Writer::default();
    for found in parse::entities(sources, schema, problems) {
        let kept = node(found.text, types).and_then(|node| match node {
            Some(node) => writer.upsert(&node).map_err(|error| error.to_string()),
            None => Ok(()),
        });
        if let Err(what) = kept {
            problems.push(Problem::at(found.file, found.offset, what));
        }
    }
    writer.snapshot()
}

/// An entity from its JSON; `None` for an action, which the schema says all of.
fn node(text: &str, types: &SchemaTypes) -> Result<Option<Node>, String> {
    let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let uid = json.get("uid").and_then(name).ok_or("an entity without a name")?;
    let Some(kind) = types.entities.get(uid.kind()) else { return Ok(None) };
    let nothing = serde_json::Map::new();
    let fields = |key: &str| json.get(key).and_then(Json::as_object).unwrap_or(&nothing);
    let place = Place::new(uid.kind());
    let attributes = closed(&kind.attributes, fields("attrs"), &place).map_err(|error| error.to_string())?;
    let mut tags = Vec::new();
    if let Some(kind) = &kind.tags {
        for (name, json) in fields("tags") {
            let value = read(kind, json, &place.field(name)).map_err(|error| error.to_string())?;
            tags.push((Text::Borrowed(name), value));
        }
    }
    let parents = json.get("parents").and_then(Json::as_array).into_iter().flatten().filter_map(name);
    let tags = tags.into_iter().collect::<Record<'_>>().into_owned();
    Ok(Some(Node::new(uid.clone(), attributes.into_owned(), tags, parents.collect())))
}

fn name(json: &Json) -> Option<Uid> {
    names(json).map(|(kind, id)| Uid::new(kind.into(), id))
}

/// An error with its causes: Cedar often says only in a cause what is really wrong.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    text
}
