//! Entity files: JSON arrays in Cedar's entity format, read one by one, so that a bad entity is found where it stands.

use std::collections::HashMap;

use cedar_policy::{Entity, EntityUid, Schema};
use serde::de::IgnoredAny;

use super::chain;
use crate::decision::policy::problem::{Position, Problem};
use crate::decision::policy::source::{File, Kind, Sources};

/// An entity that Cedar has no objection to.
pub(super) struct Found<'a> {
    pub(super) file: &'a File,
    pub(super) offset: usize,
    pub(super) text: &'a str,
}

/// All entities of all files.
pub(super) fn entities<'a>(sources: &'a Sources, schema: &Schema, problems: &mut Vec<Problem>) -> Vec<Found<'a>> {
    let mut entities = Vec::new();
    let mut homes: HashMap<EntityUid, (&File, usize)> = HashMap::new();
    for file in sources.of_kind(Kind::Entities) {
        let elements = elements(file).unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        for (offset, text) in elements {
            let uid = match Entity::from_json_str(text, Some(schema)) {
                Ok(entity) => entity.uid(),
                Err(error) => {
                    problems.push(bad_entity(file, offset, &chain(&error)));
                    continue;
                }
            };
            if let Some((other, place)) = homes.get(&uid) {
                let first = format!("{}:{}", other.path.display(), other.position(*place));
                problems.push(Problem::at(file, offset, format!("the entity `{uid}` is there twice: {first} has it")));
            } else {
                homes.insert(uid, (file, offset));
                entities.push(Found { file, offset, text });
            }
        }
    }
    entities
}

/// The elements of a file's array, each with its offset.
fn elements(file: &File) -> Result<Vec<(usize, &str)>, Problem> {
    let text = file.text.as_str();
    let expected =
        |offset, what: &str| Problem::at(file, offset, format!("expected {what}: entities are a JSON array"));
    let mut offset = skip_space(text, 0);
    let mut elements = Vec::new();
    if next(text, offset) != Some(b'[') {
        return Err(expected(offset, "`[`"));
    }
    offset = skip_space(text, offset + 1);
    while next(text, offset) != Some(b']') {
        let rest = text.get(offset..).unwrap_or_default();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match stream.next() {
            Some(Ok(IgnoredAny)) => {}
            Some(Err(error)) => {
                let position = within(file.position(offset), error.line(), error.column());
                return Err(Problem::positioned(&file.path, position, error));
            }
            None => return Err(expected(offset, "an entity")),
        }
        let length = stream.byte_offset();
        elements.push((offset, rest.get(..length).unwrap_or_default()));
        offset = skip_space(text, offset + length);
        match next(text, offset) {
            Some(b',') if next(text, skip_space(text, offset + 1)) != Some(b']') => {
                offset = skip_space(text, offset + 1);
            }
            Some(b']') => {}
            _ => return Err(expected(offset, "`,` and an entity, or `]`")),
        }
    }
    match skip_space(text, offset + 1) {
        end if end == text.len() => Ok(elements),
        end => Err(expected(end, "nothing more")),
    }
}

fn next(text: &str, offset: usize) -> Option<u8> {
    text.as_bytes().get(offset).copied()
}

fn skip_space(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    offset + (rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len())
}

/// A line and column counted from `start`, counted from the start of the file.
fn within(start: Position, line: usize, column: usize) -> Position {
    match line {
        0 | 1 => Position { line: start.line, column: start.column + column.saturating_sub(1) },
        line => Position { line: start.line + line - 1, column },
    }
}

/// A JSON error says where within the text it was given; anything else is put where the entity begins.
fn bad_entity(file: &File, offset: usize, message: &str) -> Problem {
    let start = file.position(offset);
    let told = message.rsplit_once(" at line ").and_then(|(what, place)| {
        let (line, column) = place.split_once(" column ")?;
        Some((what, within(start, line.parse().ok()?, column.parse().ok()?)))
    });
    let (what, position) = told.unwrap_or((message, start));
    Problem::positioned(&file.path, position, what)
}
