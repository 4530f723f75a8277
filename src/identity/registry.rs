//! Registration entries: which workload, told by its selectors, gets which identity. The model is SPIRE's.

mod check;
mod entry;
pub(crate) mod memory;
mod store;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;
use tokio::sync::{Mutex, watch};

pub use self::check::EntryProblem;
pub(in crate::identity) use self::check::check_dns_names;
pub use self::entry::{AdditionalAttributes, ConfiguredEntry, Entry, EntrySource, EntryTerms};
pub use self::store::{Changed, Registered, RegistryStore, StoreError, StoreFuture, Write};

use self::check::{MAX_SHOWN, check, is_entry_id};
use super::selector::Selector;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, EntropyError, random};
use crate::foundation::telemetry::printable;
use crate::foundation::watched::{Epoch, Snapshot, Watched};

/// The rank of the first entry that is not of the configuration.
const API_RANKS: u64 = 1 << 32;

/// How often a batch is tried again that lost a race against another process.
const TRIES: usize = 5;

/// The entries of one trust domain: kept in the store, read from memory.
#[derive(Debug)]
pub struct Registry {
    trust_domain: TrustDomain,
    store: Arc<dyn RegistryStore>,
    entropy: Arc<dyn Entropy>,
    entries: Watched<Entries>,
    /// The number of the last change in `entries`; held while there is a write.
    sequence: Mutex<u64>,
}

/// All entries at one moment.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// By rank, then id.
    ordered: Vec<Arc<Entry>>,
    by_id: HashMap<Arc<str>, Arc<Entry>>,
}

/// Makes new terms of old ones; done again if another process changed the entry meanwhile.
pub type Revision = Box<dyn Fn(&mut EntryTerms) + Send + Sync>;

/// A change that someone wants.
pub enum Change {
    /// A new entry, under this id or one of our making.
    Create {
        /// The id, if its author chose one.
        id: Option<String>,
        /// What it says.
        terms: EntryTerms,
    },
    /// Other terms for an entry.
    Update {
        /// Which entry.
        id: String,
        /// Makes the new terms of the old.
        change: Revision,
    },
    /// An end of an entry.
    Delete {
        /// Which entry.
        id: String,
    },
}

/// Why no change of a batch was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Why the entries of the configuration can't be the registry's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// One of them can't stand.
    #[error("entry `{entry}`: {problem}")]
    Entry {
        /// Its id, fit for a log.
        entry: String,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// They could not be kept.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl From<EntropyError> for ReconcileError {
    fn from(error: EntropyError) -> Self {
        Self::Registry(error.into())
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { id, terms } => f.debug_struct("Create").field("id", id).field("terms", terms).finish(),
            Self::Update { id, .. } => f.debug_struct("Update").field("id", id).finish_non_exhaustive(),
            Self::Delete { id } => f.debug_struct("Delete").field("id", id).finish(),
        }
    }
}

impl Entries {
    fn new(entries: impl IntoIterator<Item = Arc<Entry>>) -> Self {
        let by_id: HashMap<_, _> = entries.into_iter().map(|entry| (Arc::clone(&entry.id), entry)).collect();
        let mut ordered: Vec<_> = by_id.values().cloned().collect();
        ordered.sort_by(|a, b| (a.rank, &a.id).cmp(&(b.rank, &b.id)));
        Self { ordered, by_id }
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.ordered.iter()
    }

    /// The entry with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Entry>> {
        self.by_id.get(id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ordered.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    /// Those that grant an identity at `now` to a workload with `selectors`, in order.
    pub fn entitled(&self, selectors: &BTreeSet<Selector>, now: Timestamp) -> Vec<Arc<Entry>> {
        let grants = |entry: &&Arc<Entry>| {
            !entry.terms.selectors.is_empty()
                && entry.is_for_workloads()
                && entry.is_alive(now)
                && entry.terms.selectors.is_subset(selectors)
        };
        self.ordered.iter().filter(grants).cloned().collect()
    }

    /// The entry that grants the same to the same.
    fn similar(&self, terms: &EntryTerms) -> Option<&Arc<Entry>> {
        self.by_id.values().find(|entry| {
            let known = &entry.terms;
            (&known.spiffe_id, &known.parent_id, &known.selectors)
                == (&terms.spiffe_id, &terms.parent_id, &terms.selectors)
        })
    }
}

impl Registry {
    /// The registry of `trust_domain` with all that the store holds.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn open(
        trust_domain: TrustDomain,
        store: Arc<dyn RegistryStore>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RegistryError> {
        let registered = store.load().await?;
        let entries = Watched::new(Entries::new(registered.entries.into_iter().map(Arc::new)));
        Ok(Self { trust_domain, store, entropy, entries, sequence: Mutex::new(registered.sequence) })
    }

    /// The entries now.
    pub fn load(&self) -> Arc<Snapshot<Entries>> {
        self.entries.load()
    }

    /// Wakes after each change.
    pub fn subscribe(&self) -> watch::Receiver<Epoch> {
        self.entries.subscribe()
    }

    /// Makes those of `changes` that can be made, in their order, durably and all at once; says for each what the entry is
    /// now (of a deleted one: what it was), or why it was not made. Only entries of `source` can be changed.
    ///
    /// # Errors
    /// [`RegistryError`]: then none was made.
    pub async fn apply(
        &self,
        source: EntrySource,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<Vec<Result<Arc<Entry>, EntryProblem>>, RegistryError> {
        let mut sequence = self.sequence.lock().await;
        for _try in 1..TRIES {
            match self.try_apply(&mut sequence, source, &changes, now).await {
                Err(RegistryError::Store(StoreError::Raced)) => self.catch_up(&mut sequence).await?,
                done => return done,
            }
        }
        self.try_apply(&mut sequence, source, &changes, now).await
    }

    /// Makes the entries of the configuration be exactly `wanted`, in this order: makes, changes and deletes as few as that
    /// takes.
    ///
    /// # Errors
    /// [`ReconcileError`]: then nothing was changed.
    pub async fn reconcile(&self, wanted: Vec<ConfiguredEntry>, now: Timestamp) -> Result<(), ReconcileError> {
        let mut sequence = self.sequence.lock().await;
        let mut entries = Entries::clone(&self.entries.load());
        let of_config = |entry: &&Arc<Entry>| entry.source == EntrySource::Config;
        let known: HashMap<_, _> =
            entries.iter().filter(of_config).map(|entry| (Arc::clone(&entry.id), Arc::clone(entry))).collect();
        entries.by_id.retain(|id, _entry| !known.contains_key(id));
        let mut writes = Vec::new();
        for (rank, ConfiguredEntry { id, terms }) in (0..).zip(wanted) {
            let made = self.create(&entries, Some(&id), &terms, (EntrySource::Config, rank), now)?;
            let made = made.map_err(|problem| ReconcileError::Entry { entry: printable(&id, MAX_SHOWN), problem })?;
            let entry = known.get(&id).map_or(made, |known| succeed(known, terms, rank));
            if known.get(&id) != Some(&entry) {
                writes.push(Write::Put(Arc::clone(&entry)));
            }
            entries.by_id.insert(id, entry);
        }
        let gone = known.into_keys().filter(|id| !entries.by_id.contains_key(id));
        writes.extend(gone.map(Write::Delete));
        if !writes.is_empty() {
            *sequence = self.store.apply(*sequence, writes).await.map_err(RegistryError::from)?;
            self.entries.replace(Entries::new(entries.by_id.into_values()));
        }
        Ok(())
    }

    /// Takes over what other processes did.
    ///
    /// # Errors
    /// [`RegistryError`]; what is known stays.
    pub async fn refresh(&self) -> Result<(), RegistryError> {
        self.catch_up(&mut *self.sequence.lock().await).await
    }

    async fn catch_up(&self, sequence: &mut u64) -> Result<(), RegistryError> {
        let changed = self.store.changes_since(*sequence).await?;
        if changed.sequence != *sequence {
            let mut entries = self.entries.load().by_id.clone();
            entries.retain(|id, _entry| !changed.deleted.contains(id));
            entries.extend(changed.put.into_iter().map(|entry| (Arc::clone(&entry.id), Arc::new(entry))));
            self.entries.replace(Entries::new(entries.into_values()));
            *sequence = changed.sequence;
        }
        Ok(())
    }

    async fn try_apply(
        &self,
        sequence: &mut u64,
        source: EntrySource,
        changes: &[Change],
        now: Timestamp,
    ) -> Result<Vec<Result<Arc<Entry>, EntryProblem>>, RegistryError> {
        let mut entries = Entries::clone(&self.entries.load());
        let (mut results, mut writes) = (Vec::with_capacity(changes.len()), Vec::new());
        for change in changes {
            let rank = API_RANKS + *sequence + u64::try_from(writes.len()).unwrap_or(u64::MAX >> 1);
            let made = match change {
                Change::Create { id, terms } => self.create(&entries, id.as_deref(), terms, (source, rank), now)?,
                Change::Update { id, change } => self.update(&entries, id, change, source),
                Change::Delete { id } => existing(&entries, id, source),
            };
            if let Ok(entry) = &made {
                entries.by_id.remove(&entry.id);
                if let Change::Delete { .. } = change {
                    writes.push(Write::Delete(Arc::clone(&entry.id)));
                } else {
                    entries.by_id.insert(Arc::clone(&entry.id), Arc::clone(entry));
                    writes.push(Write::Put(Arc::clone(entry)));
                }
            }
            results.push(made);
        }
        if !writes.is_empty() {
            *sequence = self.store.apply(*sequence, writes).await?;
            self.entries.replace(Entries::new(entries.by_id.into_values()));
        }
        Ok(results)
    }

    fn create(
        &self,
        entries: &Entries,
        id: Option<&str>,
        terms: &EntryTerms,
        (source, rank): (EntrySource, u64),
        now: Timestamp,
    ) -> Result<Result<Arc<Entry>, EntryProblem>, EntropyError> {
        let id: Arc<str> = match id {
            Some(id) if !is_entry_id(id) => return Ok(Err(EntryProblem::Id(printable(id, MAX_SHOWN)))),
            Some(id) => id.into(),
            None => uuid::Builder::from_random_bytes(random(&*self.entropy)?).into_uuid().to_string().into(),
        };
        if let Err(problem) = check(terms, &self.trust_domain) {
            return Ok(Err(problem));
        }
        if entries.by_id.contains_key(&id) {
            return Ok(Err(EntryProblem::DuplicateId));
        }
        if let Some(similar) = entries.similar(terms) {
            return Ok(Err(EntryProblem::Similar(Arc::clone(similar))));
        }
        Ok(Ok(Arc::new(Entry { id, terms: terms.clone(), revision: 0, created_at: now, source, rank })))
    }

    fn update(
        &self,
        entries: &Entries,
        id: &str,
        change: &(dyn Fn(&mut EntryTerms) + Send + Sync),
        source: EntrySource,
    ) -> Result<Arc<Entry>, EntryProblem> {
        let known = existing(entries, id, source)?;
        let mut changed = Entry::clone(&known);
        change(&mut changed.terms);
        check(&changed.terms, &self.trust_domain)?;
        if let Some(similar) = entries.similar(&changed.terms).filter(|similar| similar.id != known.id) {
            return Err(EntryProblem::Similar(Arc::clone(similar)));
        }
        changed.revision = known.revision.saturating_add(1);
        Ok(Arc::new(changed))
    }
}

/// What becomes of `known` when the configuration says `terms`.
fn succeed(known: &Arc<Entry>, terms: EntryTerms, rank: u64) -> Arc<Entry> {
    let revision = known.revision + u64::from(known.terms != terms);
    Arc::new(Entry { terms, revision, rank, ..Entry::clone(known) })
}

/// The entry `id`, if `source` may change it.
fn existing(entries: &Entries, id: &str, source: EntrySource) -> Result<Arc<Entry>, EntryProblem> {
    let entry = entries.get(id).ok_or(EntryProblem::Unknown)?;
    if entry.source == source { Ok(Arc::clone(entry)) } else { Err(EntryProblem::KeptByConfig) }
}

#[cfg(test)]
mod tests;
