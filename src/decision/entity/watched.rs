//! The entities that are in force, from all sources together: readers take a snapshot and never wait, whatever is being
//! written; each change of any entity is a new epoch. Policies decide with the entities that are in their own set, so
//! that the two are always of one state; here is who puts them there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::candidate::{Awaited, Candidate};
use super::catalog::{Applied, Catalog, POLICY_DIRECTORY, SourceIndex};
use super::intake::Intake;
use super::reading::{Readers, Reading};
use super::record::RecordReader;
use super::source::Extent;
use super::store::Entities;
use crate::decision::policy::{PolicyGate, PolicySet, PolicyTarget};
use crate::decision::schema::SchemaTypes;
use crate::foundation::watched::{Epoch, Snapshot, Watched};

/// All entities, and how to change them.
#[derive(Debug)]
pub struct EntityStore {
    state: Mutex<State>,
    current: Watched<Entities>,
    /// What decides, with these entities in it.
    policies: Option<Arc<Watched<PolicySet>>>,
    /// What a new policy set has to pass.
    gate: Option<Arc<dyn PolicyGate>>,
    /// How records are read. A change means that there is something to read again.
    readers: watch::Sender<Readers>,
    /// What the candidate waits for, if there is one.
    awaited: watch::Sender<Option<Vec<Awaited>>>,
}

/// What there is beside what decides.
#[derive(Debug)]
struct State {
    reader: Arc<RecordReader>,
    catalog: Catalog,
    candidate: Option<Box<Candidate>>,
    /// The sources of which something stands only until the candidate decides.
    held: BTreeSet<SourceIndex>,
    /// Those of which something stood until a candidate decided, which is gone.
    stale: BTreeSet<SourceIndex>,
}

/// The schema has changed since this was read, so it counts for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the schema changed meanwhile")]
pub struct Outdated;

impl EntityStore {
    /// A store with the entities of the policy directory, which is the first of the sources. They have these names, and
    /// where two have the same entity, that of the first counts.
    pub fn new(policies: Arc<Watched<PolicySet>>, sources: impl IntoIterator<Item = Arc<str>>) -> Self {
        let current = policies.load();
        let mut store = Self::of_types(current.types(), sources);
        let mut state = store.state();
        let own = own(&state.reader, &current);
        // They are in the set already, so nothing changes for those who decide.
        if state.catalog.apply(POLICY_DIRECTORY, own, Extent::Whole).changed {
            store.current.replace(state.catalog.snapshot());
        }
        drop(state);
        store.policies = Some(policies);
        store
    }

    /// The same, with what new policies have to pass before they decide.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn PolicyGate>) -> Self {
        self.gate = Some(gate);
        self
    }

    pub(in crate::decision) fn of_types(types: &Arc<SchemaTypes>, sources: impl IntoIterator<Item = Arc<str>>) -> Self {
        let reader = Arc::new(RecordReader::new(Arc::clone(types)));
        let readers = Readers::only(Arc::clone(&reader));
        let (catalog, held, stale) = (Catalog::new(sources), BTreeSet::new(), BTreeSet::new());
        Self {
            state: Mutex::new(State { reader, catalog, candidate: None, held, stale }),
            current: Watched::new(Entities::default()),
            policies: None,
            gate: None,
            readers: watch::Sender::new(readers),
            awaited: watch::Sender::new(None),
        }
    }

    /// The entities as they are now, with their epoch.
    pub fn load(&self) -> Arc<Snapshot<Entities>> {
        self.current.load()
    }

    /// Wakes after each change.
    pub fn subscribe(&self) -> watch::Receiver<Epoch> {
        self.current.subscribe()
    }

    /// How records are read, and when that changes.
    pub fn readers(&self) -> watch::Receiver<Readers> {
        self.readers.subscribe()
    }

    /// Puts what a reading brought in force. Blocks while another does, and on the CPU: microseconds for a change,
    /// seconds for a million entities.
    ///
    /// # Errors
    /// [`Outdated`]: all of the source has to be read again.
    pub fn apply(&self, source: SourceIndex, intake: Intake, extent: Extent) -> Result<Applied, Outdated> {
        let mut guard = self.state();
        let state = &mut *guard;
        let next = state.candidate.as_ref().map(|candidate| &candidate.reader);
        let (now, then) = intake.by(&state.reader, next);
        // Without a candidate nothing is held for it.
        let now = now.filter(|now| now.disputed.is_empty() || state.candidate.is_some()).ok_or(Outdated)?;
        let mended = extent == Extent::Whole && state.stale.remove(&source);
        if let Some(mut candidate) = state.candidate.take() {
            let applied = candidate.take(source, then, extent);
            let ready = applied.filter(|_| candidate.is_ready());
            self.promote(state, candidate);
            if let Some(applied) = ready.filter(|_| state.candidate.is_none()) {
                return Ok(applied);
            }
        }
        if !now.disputed.is_empty() {
            state.held.insert(source);
        }
        if mended || state.candidate.is_some() {
            self.tell(state, false);
        }
        let applied = state.catalog.apply(source, now, extent);
        if applied.changed {
            self.current.replace(state.catalog.snapshot());
            if let Some(policies) = &self.policies {
                policies.update(|set| Some(set.with_entities(state.catalog.snapshot())));
            }
        }
        Ok(applied)
    }

    /// Takes it that `source` could not be read. Blocks as [`Self::apply`] does.
    pub fn failed(&self, source: SourceIndex, error: &str) {
        let mut state = self.state();
        if let Some(candidate) = &mut state.candidate {
            candidate.failed(source, error);
            self.tell(&state, false);
        }
    }

    /// Has these policies decide, over the entities of all sources as their schema reads them: at once, if what is there
    /// fits the schema, or as soon as it does.
    fn put(&self, policies: PolicySet) {
        let mut state = self.state();
        self.withdraw(&mut state);
        let mut unread = BTreeSet::new();
        let mut reader = Arc::clone(&state.reader);
        if !reader.reads_by(policies.types()) {
            reader = Arc::new(RecordReader::new(Arc::clone(policies.types())));
            unread = state.catalog.to_be_read_by(&reader);
            unread.extend(&state.stale);
        }
        let own = own(&reader, &policies);
        let mut candidate = Candidate::new(policies, reader, state.catalog.clone(), unread);
        candidate.take(POLICY_DIRECTORY, Some(own), Extent::Whole);
        self.promote(&mut state, Box::new(candidate));
        if state.candidate.is_some() {
            self.tell(&state, true);
        }
    }

    /// Has the candidate decide over its entities, both from the same moment on, if nothing is missing and the gate lets it
    /// pass; else it stays the candidate.
    fn promote(&self, state: &mut State, mut candidate: Box<Candidate>) {
        candidate.held_back = if candidate.is_ready() { self.enter(&candidate).err() } else { None };
        if !candidate.is_ready() || candidate.held_back.is_some() {
            state.candidate = Some(candidate);
            return;
        }
        let Candidate { reader, catalog, changed, .. } = *candidate;
        let renewed = !Arc::ptr_eq(&reader, &state.reader);
        if renewed {
            // Each was read by the new schema.
            (state.held, state.stale) = (BTreeSet::new(), BTreeSet::new());
        }
        (state.reader, state.catalog) = (reader, catalog);
        if changed {
            self.current.replace(state.catalog.snapshot());
        }
        self.tell(state, renewed);
    }

    /// Puts the candidate's policies in force, unless the gate objects.
    fn enter(&self, candidate: &Candidate) -> Result<(), String> {
        let Some(deciding) = &self.policies else { return Ok(()) };
        let next = candidate.policies.with_entities(candidate.catalog.snapshot());
        let pass = |next: &Snapshot<PolicySet>| self.gate.as_ref().map_or(Ok(()), |gate| gate.enter(next));
        deciding.replace_after(next, pass).map(drop)
    }

    /// Tries again what only the gate kept out.
    fn retry(&self) {
        let mut state = self.state();
        if let Some(candidate) = state.candidate.take() {
            self.promote(&mut state, candidate);
            if state.candidate.is_some() {
                self.tell(&state, false);
            }
        }
    }

    /// Gives the candidate up.
    fn withdraw(&self, state: &mut State) {
        if state.candidate.take().is_some() {
            let held = std::mem::take(&mut state.held);
            state.stale.extend(held);
            self.tell(state, true);
        }
    }

    /// Tells how records are to be read, and what the candidate waits for.
    fn tell(&self, state: &State, wake: bool) {
        let candidate = state.candidate.as_ref();
        let next = candidate.map(|candidate| Arc::clone(&candidate.reader));
        let owed = candidate.into_iter().flat_map(|candidate| candidate.unread()).chain(state.stale.iter().copied());
        let told = Readers { current: Arc::clone(&state.reader), next, owed: owed.collect() };
        self.readers.send_if_modified(|readers| {
            *readers = told;
            wake
        });
        let awaited = candidate.map(|candidate| candidate.awaited());
        self.awaited.send_if_modified(|told| {
            let news = *told != awaited;
            *told = awaited;
            news
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the policy directory has.
fn own(reader: &Arc<RecordReader>, policies: &PolicySet) -> Reading {
    let mut reading = Reading::new(Arc::clone(reader));
    reading.nodes(&"the policy directory".into(), policies.own_entities().iter().cloned());
    reading
}

/// Policies and entities, where they are put in force together.
#[derive(Debug)]
pub struct InForce {
    /// What decides.
    pub policies: Arc<Watched<PolicySet>>,
    /// Who puts the entities in it.
    pub entities: Arc<EntityStore>,
}

impl PolicyTarget for InForce {
    fn current(&self) -> Arc<Snapshot<PolicySet>> {
        self.policies.load()
    }

    /// The entities of the directory are in force from the same moment on as its policies.
    fn put(&self, policies: PolicySet) {
        self.entities.put(policies);
    }

    fn awaited(&self) -> watch::Receiver<Option<Vec<Awaited>>> {
        self.entities.awaited.subscribe()
    }

    fn retry(&self) {
        self.entities.retry();
    }

    fn withdraw(&self) {
        self.entities.withdraw(&mut self.entities.state());
    }
}

#[cfg(test)]
mod tests;
