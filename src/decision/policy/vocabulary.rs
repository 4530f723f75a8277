//! What policies can speak of: the schema, in Cedar's form and in ours.

use std::path::PathBuf;
use std::sync::Arc;

use cedar_policy::{Schema, SchemaFragment};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::actions::Actions;
use super::entities::chain;
use super::problem::{LoadError, Position, Problem, refuse_if_any};
use super::shape::{SchemaShape, unanswerable};
use super::source::{File, Kind, Sources};
use crate::decision::entity::stock::Kinds;
use crate::decision::schema::SchemaTypes;
use crate::foundation::digest::Digest;

/// A schema.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    pub(super) types: Arc<SchemaTypes>,
    pub(super) actions: Actions,
    pub(super) kinds: Kinds,
    pub(super) shape: SchemaShape,
    /// Of the files that it is made of.
    pub(super) digest: Digest,
}

impl Vocabulary {
    /// Reads the schema files as far as their syntax goes.
    pub(super) fn fragments(sources: &Sources, problems: &mut Vec<Problem>) -> Vec<SchemaFragment> {
        let mut fragments = Vec::new();
        for file in sources.files() {
            match file.kind {
                Kind::CedarSchema => match SchemaFragment::from_cedarschema_str(&file.text) {
                    Ok((fragment, _warnings)) => fragments.push(fragment),
                    Err(error) => problems.push(Problem::of(&error, sources, &file.path)),
                },
                Kind::JsonSchema => match SchemaFragment::from_json_str(&file.text) {
                    Ok(fragment) => fragments.push(fragment),
                    Err(error) => problems.push(json_problem(file, &error)),
                },
                Kind::Policies | Kind::Links | Kind::Entities => {}
            }
        }
        if fragments.is_empty() && problems.is_empty() {
            let what = "no schema: there is no `*.cedarschema` or `*.cedarschema.json`";
            problems.push(Problem::new(sources.directory(), what));
        }
        fragments
    }

    /// Puts the fragments together.
    pub(super) fn of(sources: &Sources, fragments: Vec<SchemaFragment>) -> Result<Self, LoadError> {
        let home = schema_file(sources);
        let refused = |what: &dyn std::fmt::Display| LoadError::single(Problem::new(&home, what));
        let json: Result<Vec<Value>, _> = fragments.iter().cloned().map(SchemaFragment::to_json_value).collect();
        let schema = Schema::from_schema_fragments(fragments)
            .map_err(|error| LoadError::single(Problem::of(&error, sources, &home)))?;
        let json = json.map_err(|error| LoadError::single(Problem::of(&error, sources, &home)))?;
        let types = SchemaTypes::of(&json).map_err(|error| refused(&error))?;
        let actions = Actions::of(&schema).map_err(|error| refused(&error))?;
        let kinds = Kinds::of(&schema);
        let shape = SchemaShape::of(&types);
        Ok(Self { schema, types: Arc::new(types), actions, kinds, shape, digest: sources.schema_digest() })
    }

    /// What is wrong with the schema for us, though not for Cedar.
    pub(super) fn refuse_unanswerable(&self, sources: &Sources) -> Result<(), LoadError> {
        let home = schema_file(sources);
        refuse_if_any(unanswerable(&self.types).iter().map(|what| Problem::new(&home, what)).collect())
    }
}

/// A schema in JSON that is not JSON at all has a position; one that is merely wrong has only Cedar's words.
fn json_problem(file: &File, error: &cedar_policy::SchemaError) -> Problem {
    match serde_json::from_str::<IgnoredAny>(&file.text) {
        Err(syntax) => {
            let position = Position { line: syntax.line(), column: syntax.column() };
            Problem::positioned(&file.path, position, syntax)
        }
        Ok(IgnoredAny) => Problem::new(&file.path, chain(error)),
    }
}

/// Whom a problem of the schema as a whole is reported for: its file if there is just one, else the directory.
fn schema_file(sources: &Sources) -> PathBuf {
    let mut files = sources.files().filter(|file| matches!(file.kind, Kind::CedarSchema | Kind::JsonSchema));
    match (files.next(), files.next()) {
        (Some(only), None) => only.path.clone(),
        _ => sources.directory().to_owned(),
    }
}
