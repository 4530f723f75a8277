//! A policy set: what a directory of Cedar policies, schema and entities says, compiled, checked and replaced as one.
//! This is the only module that knows Cedar.
//!
//! [`source`] reads the directory, [`load`] compiles what was read, [`shape`] says what of a request the schema has
//! room for, [`evaluate`] answers a question and [mod@watch] follows the files. `docs/policies.md` is the user's side.

mod entities;
pub mod evaluate;
#[cfg(test)]
pub(in crate::decision) mod fixture;
pub mod load;
mod nesting;
pub mod problem;
pub mod shape;
pub mod source;
mod value;
pub mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cedar_policy::{Authorizer, EntityId, EntityTypeName, EntityUid, Schema};

use self::entities::EntityStore;
pub use self::evaluate::{Effect, EvaluateError, Evaluation};
pub use self::problem::{LoadError, Problem};
pub use self::shape::SchemaShape;
use self::source::Sources;
use self::value::Kinds;
pub use self::watch::{PolicyEvents, watch};
use crate::decision::schema::SchemaTypes;
use crate::foundation::digest::Digest;

/// Policies, schema and entities that belong together, strictly validated. Immutable: a change is a new one.
#[derive(Debug)]
pub struct PolicySet {
    policies: cedar_policy::PolicySet,
    /// By Cedar's own id, the id as it is reported, and which side it is on.
    effects: BTreeMap<String, (Arc<str>, cedar_policy::Effect)>,
    authorizer: Authorizer,
    schema: Schema,
    types: SchemaTypes,
    shape: SchemaShape,
    entities: EntityStore,
    /// Actions by the name that a question uses.
    actions: BTreeMap<String, EntityUid>,
    /// Entity types by the name that a question uses; parsed once, for parsing one costs as much as a decision.
    kinds: Kinds,
    warnings: Vec<Problem>,
    policy_digest: Digest,
    entity_digest: Digest,
}

impl PolicySet {
    /// Reads and compiles a directory. Blocks on the disk and on the CPU: not for an async thread.
    ///
    /// # Errors
    /// [`LoadError`] with every problem that was found.
    pub fn load(directory: &Path) -> Result<Self, LoadError> {
        Self::compile(&Sources::read(directory)?)
    }

    /// What of a request the schema has room for.
    pub const fn shape(&self) -> &SchemaShape {
        &self.shape
    }

    /// What is odd but not wrong, such as a permit that can never apply.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The ids of all policies, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.effects.keys().map(String::as_str)
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.effects.len()
    }

    /// Whether there is no policy, which [`Self::load`] refuses.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// SHA-256 over the names and bytes of the policy and schema files.
    pub const fn policy_digest(&self) -> Digest {
        self.policy_digest
    }

    /// SHA-256 over the names and bytes of the entity files.
    pub const fn entity_digest(&self) -> Digest {
        self.entity_digest
    }
}

/// The name of an entity. The id is only an id: it is never parsed, whatever quotes or line breaks it has.
fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
