//! A policy set that does not decide yet: its schema is another than before, and not every entity that the sources have
//! given fits it. It is given all that they say beside the entities in force, as its own schema reads it, until there is
//! nothing left that would be missing; then it takes the place of the set that decides, with its entities, in one step.
//! One that only the gate keeps out is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::catalog::{Applied, Catalog, SourceIndex};
use super::reading::Reading;
use super::record::RecordReader;
use super::source::Extent;
use super::uid::Uid;
use crate::decision::policy::PolicySet;

/// The set, and the entities as they would be.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) policies: PolicySet,
    pub(super) reader: Arc<RecordReader>,
    pub(super) catalog: Catalog,
    /// The sources that have to be read by its schema, each with why that failed last.
    unread: BTreeMap<SourceIndex, Option<String>>,
    /// What they say that its schema refuses and the one in force takes.
    unfit: BTreeMap<SourceIndex, BTreeSet<Uid>>,
    /// Whether any entity will be another than those in force.
    pub(super) changed: bool,
    /// Why the gate did not let it pass.
    pub(super) held_back: Option<String>,
}

/// What a policy set waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Awaited {
    /// A source of entities.
    Source {
        /// Its name.
        name: Arc<str>,
        /// What is wrong with it; `None` if it has only not been read yet.
        why: Option<String>,
    },
    /// The gate, which says why.
    Gate(String),
}

impl Candidate {
    /// A set beside the entities in force, which waits for these sources.
    pub(super) fn new(
        policies: PolicySet,
        reader: Arc<RecordReader>,
        in_force: Catalog,
        unread: BTreeSet<SourceIndex>,
    ) -> Self {
        let changed = !unread.is_empty();
        let unread = unread.into_iter().map(|source| (source, None)).collect();
        Self { policies, reader, catalog: in_force, unread, unfit: BTreeMap::new(), changed, held_back: None }
    }

    /// Takes what `source` says; nothing if that was not read by its schema.
    pub(super) fn take(&mut self, source: SourceIndex, reading: Option<Reading>, extent: Extent) -> Option<Applied> {
        let Some(mut reading) = reading else {
            if extent != Extent::Nothing {
                self.unread.insert(source, None);
            }
            return None;
        };
        let disputed = std::mem::take(&mut reading.disputed);
        let unfit = self.unfit.entry(source).or_default();
        match extent {
            Extent::Nothing => {}
            Extent::Whole => {
                unfit.clear();
                self.unread.remove(&source);
            }
            Extent::Changes => {
                let named = reading.named();
                unfit.retain(|uid| !named.contains(uid));
            }
        }
        unfit.extend(disputed);
        let applied = self.catalog.apply(source, reading, extent);
        self.changed |= applied.changed;
        Some(applied)
    }

    /// Takes it that `source` could not be read.
    pub(super) fn failed(&mut self, source: SourceIndex, error: &str) {
        if let Some(why) = self.unread.get_mut(&source) {
            *why = Some(format!("can't be read: {error}"));
        }
    }

    /// The sources that have to be read as a whole.
    pub(super) fn unread(&self) -> impl Iterator<Item = SourceIndex> {
        self.unread.keys().copied()
    }

    /// Whether nothing is missing.
    pub(super) fn is_ready(&self) -> bool {
        self.unread.is_empty() && self.unfit.values().all(BTreeSet::is_empty)
    }

    /// What it waits for.
    pub(super) fn awaited(&self) -> Vec<Awaited> {
        let unread = self.unread.iter().map(|(source, why)| (*source, why.clone()));
        let unfit = self.unfit.iter().filter(|(source, _)| !self.unread.contains_key(source));
        let unfit = unfit.filter_map(|(source, uids)| Some((*source, Some(self.objection(*source, uids)?))));
        let sources = unread.chain(unfit);
        let sources = sources.map(|(source, why)| Awaited::Source { name: self.catalog.name(source), why });
        sources.chain(self.held_back.clone().map(Awaited::Gate)).collect()
    }

    fn objection(&self, source: SourceIndex, uids: &BTreeSet<Uid>) -> Option<String> {
        let first = uids.first()?;
        let told = self.catalog.refusal(source, first).unwrap_or_else(|| format!("the entity `{first}`"));
        Some(format!("has {} records that the new schema refuses, e.g. {told}", uids.len()))
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { name, why } => {
                let why = why.as_deref().unwrap_or("has not been read by it yet");
                write!(f, "the new schema waits for the source `{name}`, which {why}")
            }
            Self::Gate(why) => write!(f, "the new policies wait: {why}"),
        }
    }
}
