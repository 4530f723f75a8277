//! The entities of the policy directory.

use std::sync::Arc;

use cedar_policy::Schema;

use super::problem::Problem;
use super::source::Sources;
use crate::decision::entity::record::RecordReader;
use crate::decision::entity::sharing::Sharing;
use crate::decision::entity::{Entities, Writer};
use crate::decision::schema::SchemaTypes;

mod parse;

/// Reads the entity files. Cedar itself checks each entity first, for its words on what is wrong. Here one bad entity
/// refuses the directory as one bad policy does: they are changed together.
pub(super) fn load(
    sources: &Sources,
    schema: &Schema,
    types: &Arc<SchemaTypes>,
    problems: &mut Vec<Problem>,
) -> Entities {
    let reader = RecordReader::new(Arc::clone(types));
    let (mut writer, mut sharing) = (Writer::default(), Sharing::default());
    for found in parse::entities(sources, schema, problems) {
        let json = serde_json::from_str(found.text).map_err(|error| error.to_string());
        let kept = json
            .and_then(|json| reader.read(&json, &mut sharing).map_err(|error| error.to_string()))
            .and_then(|node| node.map_or(Ok(()), |node| writer.upsert(node).map_err(|error| error.to_string())));
        if let Err(what) = kept {
            problems.push(Problem::at(found.file, found.offset, what));
        }
    }
    writer.snapshot()
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
