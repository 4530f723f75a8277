//! A policy set: what a directory of Cedar policies, schema and entities says, compiled, checked and replaced as one.
//! This is the only module that knows Cedar.
//!
//! [`source`] reads the directory and [mod@watch] follows it. [`load`] compiles what was read: `statement` and `links` say
//! which policies there are, `compile` makes a `rule` of each, `program` is a rule's condition, and `index` finds the
//! rules of a request. [`evaluate`] answers a question that `question` has typed; what no program can tell is put to
//! Cedar itself in `stock`, and some questions once more, as a whole, in `reference`. `docs/policies.md` is the user's
//! side.

mod actions;
pub mod canonical;
mod compile;
mod draft;
mod entities;
pub mod evaluate;
pub mod explain;
#[cfg(test)]
pub(in crate::decision) mod fixture;
mod index;
mod key;
mod links;
pub mod load;
mod nesting;
pub mod problem;
mod program;
mod question;
mod reference;
mod rule;
mod rules;
mod search;
pub mod shape;
pub mod source;
mod statement;
mod stock;
mod vocabulary;
pub mod watch;

use std::path::Path;
use std::sync::Arc;

pub use self::evaluate::{Asked, Effect, EvaluateError, Evaluation};
pub use self::key::Epochs;
use self::problem::refuse_if_any;
pub use self::problem::{LoadError, Problem};
pub use self::question::Question;
pub use self::reference::{Opinion, Reference};
use self::rules::Rules;
pub use self::shape::SchemaShape;
use self::source::Sources;
use self::vocabulary::Vocabulary;
pub use self::watch::{PolicyEvents, PolicyGate, PolicyTarget, watch};
use crate::decision::caller::admission;
use crate::decision::entity::Entities;
use crate::decision::schema::SchemaTypes;
use crate::foundation::aside::Aside;
use crate::foundation::digest::Digest;

/// Policies, schema and entities that belong together, strictly validated. Immutable: a change is a new one, which shares
/// with the old what did not change.
#[derive(Clone, Debug)]
pub struct PolicySet {
    rules: Arc<Aside<Rules>>,
    vocabulary: Arc<Vocabulary>,
    /// All entities.
    entities: Entities,
    /// Those of them that the directory itself has.
    own: Entities,
    warnings: Arc<[Problem]>,
    /// The headers that permits give to backends, if there are any.
    backend_headers: Option<Arc<[Box<str>]>>,
    policy_digest: Digest,
    entity_digest: Digest,
    /// Whether they say what callers may ask.
    callers: bool,
}

impl PolicySet {
    /// Reads and compiles a directory. Blocks on the disk and on the CPU: not for an async thread.
    ///
    /// # Errors
    /// [`LoadError`] with every problem that was found.
    pub fn load(directory: &Path) -> Result<Self, LoadError> {
        Self::compile(&Sources::read(directory)?)
    }

    /// The same, but what callers may ask is decided by these policies, too.
    ///
    /// # Errors
    /// [`LoadError`] if the schema can't say so: then nobody could ever ask anything.
    pub fn with_callers(self, directory: &Path) -> Result<Self, LoadError> {
        let problems = admission::problems(self.types());
        refuse_if_any(problems.into_iter().map(|what| Problem::new(directory, &what)).collect())?;
        Ok(Self { callers: true, ..self })
    }

    /// Whether these policies say what callers may ask.
    pub(in crate::decision) const fn decides_on_callers(&self) -> bool {
        self.callers
    }

    /// What of a request the schema has room for.
    pub fn shape(&self) -> &SchemaShape {
        &self.vocabulary.shape
    }

    /// The entities that the directory itself has.
    pub const fn own_entities(&self) -> &Entities {
        &self.own
    }

    /// The same policies over these entities.
    #[must_use]
    pub fn with_entities(&self, entities: Entities) -> Self {
        Self { entities, ..self.clone() }
    }

    /// The entities that are stored.
    pub(in crate::decision) const fn stored(&self) -> &Entities {
        &self.entities
    }

    /// The types of the schema.
    pub(in crate::decision) fn types(&self) -> &Arc<SchemaTypes> {
        &self.vocabulary.types
    }

    /// What is odd but not wrong, such as a permit that can never apply.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The names of all headers that permits give to backends, sorted; `None` if there are none. A client's own must never
    /// reach a backend, whoever it is that a permit lets through.
    pub const fn backend_headers(&self) -> Option<&Arc<[Box<str>]>> {
        self.backend_headers.as_ref()
    }

    /// The ids of all policies, sorted.
    pub fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<_> = self.rules.iter().map(|(_, rule)| &*rule.id).collect();
        ids.sort_unstable();
        ids
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no policy, which [`Self::load`] refuses.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 over the names and bytes of the policy, link and schema files.
    pub const fn policy_digest(&self) -> Digest {
        self.policy_digest
    }

    /// SHA-256 over the names and bytes of the schema files.
    pub fn schema_digest(&self) -> Digest {
        self.vocabulary.digest
    }

    /// SHA-256 over the names and bytes of the entity files.
    pub const fn entity_digest(&self) -> Digest {
        self.entity_digest
    }
}

#[cfg(test)]
mod tests;
