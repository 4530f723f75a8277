//! Registration entries: which workload, told by its selectors, gets which identity. The model is SPIRE's.

mod check;
mod entries;
mod entry;
mod follow;
#[cfg(test)]
pub(crate) mod memory;
mod parents;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::TrustDomain;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

pub use self::check::{
    EntryProblem, check_dns_name, check_dns_names, check_federates_with, check_hint, check_id, check_parent_id,
    check_selectors, check_spiffe_id,
};
pub use self::entries::Entries;
pub use self::entry::{AdditionalAttributes, ConfiguredEntry, Entry, EntrySource, EntryTerms};
pub use self::parents::Parents;
pub use self::store::{Changed, Registered, RegistryStore, StoreError, StoreFuture, Write};

use self::check::{MAX_SHOWN, check};
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, EntropyError, random};
use crate::foundation::telemetry::printable;
use crate::foundation::watched::{Epoch, Snapshot, Watched};

/// The rank of the first entry that is not of the configuration.
const API_RANKS: u64 = 1 << 32;

/// How often a batch is tried again that lost a race against another process.
const TRIES: usize = 50;

/// How long to wait at most after a race that was lost, in milliseconds.
const LONGEST_PAUSE: u64 = 20;

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
        let entries = Watched::new(Entries::new(registered.entries, Arc::default()));
        Ok(Self { trust_domain, store, entropy, entries, sequence: Mutex::new(registered.sequence) })
    }

    /// The registry that hands out only what these parents may.
    #[must_use]
    pub fn handing_out_for(self, parents: Parents) -> Self {
        let parents = Arc::new(parents);
        self.entries.update(|entries| {
            let mut entries = entries.clone();
            entries.parents = Arc::clone(&parents);
            Some(entries)
        });
        self
    }

    /// The entries now.
    pub fn load(&self) -> Arc<Snapshot<Entries>> {
        self.entries.load()
    }

    /// Wakes after each change, and when an entry expires.
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
        self.write(|draft| {
            let mut made = Vec::with_capacity(changes.len());
            for change in &changes {
                made.push(self.change(draft, change, source, now)?);
            }
            Ok(made)
        })
        .await
    }

    /// Makes the entries of the configuration be exactly `wanted`, in this order: makes, changes and deletes as few as that
    /// takes. What has expired is not wanted. The configuration is what the operator wrote last, so an entry of the API
    /// that has the id of a wanted one, or grants the same to the same, makes way for it.
    ///
    /// # Errors
    /// [`ReconcileError`]: then nothing was changed.
    pub async fn reconcile(&self, wanted: Vec<ConfiguredEntry>, now: Timestamp) -> Result<(), ReconcileError> {
        let is_alive = |wanted: &ConfiguredEntry| wanted.terms.expires_at.is_none_or(|expires_at| now < expires_at);
        let (wanted, expired): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_alive);
        let displaced = self.write(|draft| self.configure(draft, &wanted, now)).await?;
        for ConfiguredEntry { id, terms } in expired {
            tracing::warn!(entry = %id, spiffe_id = %terms.spiffe_id, "an entry of the configuration has expired; take it out");
        }
        for entry in displaced {
            let spiffe_id = &entry.terms.spiffe_id;
            tracing::warn!(entry = %entry.id, %spiffe_id, "an entry made over the API made way for one of the configuration");
        }
        Ok(())
    }

    /// Deletes what has expired at `now`, whoever made it.
    async fn delete_expired(&self, now: Timestamp) -> Result<(), RegistryError> {
        let deleted = self
            .write(|draft| {
                let expired: Vec<_> = draft.entries.expired(now).cloned().collect();
                for entry in &expired {
                    draft.delete(&entry.id);
                }
                Ok::<_, RegistryError>(expired)
            })
            .await?;
        for entry in deleted {
            tracing::info!(entry = %entry.id, spiffe_id = %entry.terms.spiffe_id, "an expired entry was deleted");
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

    /// Reads everything again, since a store that failed over may have forgotten changes, and then numbered others like them.
    async fn reload(&self) -> Result<(), RegistryError> {
        self.load_all(&mut *self.sequence.lock().await).await
    }

    async fn load_all(&self, sequence: &mut u64) -> Result<(), RegistryError> {
        let registered = self.store.load().await?;
        let parents = Arc::clone(&self.entries.load().parents);
        self.entries.replace(Entries::new(registered.entries, parents));
        *sequence = registered.sequence;
        Ok(())
    }

    async fn catch_up(&self, sequence: &mut u64) -> Result<(), RegistryError> {
        let Some(changed) = self.store.changes_since(*sequence).await? else {
            return self.load_all(sequence).await;
        };
        if changed.sequence != *sequence {
            let mut entries = Entries::clone(&self.entries.load());
            // All of the old ones go first: entries may have exchanged what they grant.
            for id in changed.deleted.iter().chain(changed.put.iter().map(|entry| &entry.id)) {
                entries.remove(id);
            }
            for entry in changed.put {
                entries.put(Arc::new(entry));
            }
            self.entries.replace(entries);
            *sequence = changed.sequence;
        }
        Ok(())
    }

    /// Does durably what `plan` drafts; plans again if another process was faster.
    async fn write<T, E: From<RegistryError>>(&self, plan: impl Fn(&mut Draft) -> Result<T, E> + Send) -> Result<T, E> {
        let mut sequence = self.sequence.lock().await;
        let mut tries = TRIES;
        loop {
            let mut draft = Draft::new(&self.entries.load(), *sequence);
            let outcome = plan(&mut draft)?;
            if draft.writes.is_empty() {
                return Ok(outcome);
            }
            tries -= 1;
            match self.store.apply(*sequence, draft.writes).await {
                Ok(last) => {
                    *sequence = last;
                    self.entries.replace(draft.entries);
                    return Ok(outcome);
                }
                Err(StoreError::Raced) if tries > 0 => {
                    // A process that is nearer to the database wins every race, unless the others are left some room.
                    let [jitter] = random::<1>(&*self.entropy).map_err(RegistryError::from)?;
                    sleep(Duration::from_millis(u64::from(jitter) % LONGEST_PAUSE)).await;
                    self.catch_up(&mut sequence).await?;
                }
                Err(error) => return Err(RegistryError::from(error).into()),
            }
        }
    }

    fn change(
        &self,
        draft: &mut Draft,
        change: &Change,
        source: EntrySource,
        now: Timestamp,
    ) -> Result<Result<Arc<Entry>, EntryProblem>, EntropyError> {
        let made = match change {
            Change::Create { id, terms } => self.create(draft, id.as_deref(), terms, source, now)?,
            Change::Update { id, change } => self.update(&draft.entries, id, change, source),
            Change::Delete { id } => existing(&draft.entries, id, source),
        };
        if let Ok(entry) = &made {
            match change {
                Change::Delete { .. } => draft.delete(&entry.id),
                Change::Create { .. } | Change::Update { .. } => draft.put(entry),
            }
        }
        Ok(made)
    }

    fn create(
        &self,
        draft: &Draft,
        id: Option<&str>,
        terms: &EntryTerms,
        source: EntrySource,
        now: Timestamp,
    ) -> Result<Result<Arc<Entry>, EntryProblem>, EntropyError> {
        let id = match id {
            Some(id) => id.into(),
            None => uuid::Builder::from_random_bytes(random(&*self.entropy)?).into_uuid().to_string().into(),
        };
        let entry = Entry { id, terms: terms.clone(), revision: 0, created_at: now, source, rank: draft.rank() };
        Ok(self.check_new(&draft.entries, &entry).map(|()| Arc::new(entry)))
    }

    fn check_new(&self, entries: &Entries, entry: &Entry) -> Result<(), EntryProblem> {
        check_id(&entry.id)?;
        check(&entry.terms, &self.trust_domain)?;
        // In this order, so that who makes the same entry again learns that it is there.
        if let Some(similar) = entries.similar(&entry.terms) {
            return Err(EntryProblem::Similar(Arc::clone(similar)));
        }
        if entries.get(&entry.id).is_some() { Err(EntryProblem::DuplicateId) } else { Ok(()) }
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

    /// Drafts what [`Self::reconcile`] does; says which entries of the API make way.
    fn configure(
        &self,
        draft: &mut Draft,
        wanted: &[ConfiguredEntry],
        now: Timestamp,
    ) -> Result<Vec<Arc<Entry>>, ReconcileError> {
        let of_config = |entry: &&Arc<Entry>| entry.source == EntrySource::Config;
        let mut known: HashMap<_, _> =
            draft.entries.iter().filter(of_config).map(|entry| (Arc::clone(&entry.id), Arc::clone(entry))).collect();
        for id in known.keys() {
            draft.entries.remove(id);
        }
        let mut displaced = Vec::new();
        for (rank, ConfiguredEntry { id, terms }) in (0..).zip(wanted) {
            let of_api = |entry: &&Arc<Entry>| entry.source == EntrySource::Api;
            let (taken, similar) = (draft.entries.get(id), draft.entries.similar(terms));
            for entry in [taken, similar].into_iter().flatten().filter(of_api).cloned().collect::<Vec<_>>() {
                if draft.entries.get(&entry.id).is_some() {
                    draft.delete(&entry.id);
                    displaced.push(entry);
                }
            }
            let known = known.remove(id);
            let entry = Arc::new(configured(known.as_deref(), id, terms, rank, now));
            self.check_new(&draft.entries, &entry)
                .map_err(|problem| ReconcileError::Entry { entry: printable(id, MAX_SHOWN), problem })?;
            if known.is_some_and(|known| known == entry) {
                draft.entries.put(entry);
            } else {
                draft.put(&entry);
            }
        }
        for id in known.keys() {
            draft.delete(id);
        }
        Ok(displaced)
    }
}

/// Changes that are thought out and not yet made.
struct Draft {
    /// As they will be.
    entries: Entries,
    writes: Vec<Write>,
    sequence: u64,
}

impl Draft {
    fn new(entries: &Entries, sequence: u64) -> Self {
        Self { entries: entries.clone(), writes: Vec::new(), sequence }
    }

    /// The rank of an entry that is made next: after all that there are.
    fn rank(&self) -> u64 {
        let writes = u64::try_from(self.writes.len()).unwrap_or(u64::MAX >> 2);
        API_RANKS.saturating_add(self.sequence).saturating_add(writes)
    }

    fn put(&mut self, entry: &Arc<Entry>) {
        self.entries.put(Arc::clone(entry));
        self.writes.push(Write::Put(Arc::clone(entry)));
    }

    fn delete(&mut self, id: &Arc<str>) {
        self.entries.remove(id);
        self.writes.push(Write::Delete(Arc::clone(id)));
    }
}

/// What the entry `id`, which may be `known` already, becomes when the configuration says `terms`.
fn configured(known: Option<&Entry>, id: &Arc<str>, terms: &EntryTerms, rank: u64, now: Timestamp) -> Entry {
    let (revision, created_at) = match known {
        Some(known) => (known.revision.saturating_add(u64::from(known.terms != *terms)), known.created_at),
        None => (0, now),
    };
    Entry { id: Arc::clone(id), terms: terms.clone(), revision, created_at, source: EntrySource::Config, rank }
}

/// The entry `id`, if `source` may change it.
fn existing(entries: &Entries, id: &str, source: EntrySource) -> Result<Arc<Entry>, EntryProblem> {
    let entry = entries.get(id).ok_or(EntryProblem::Unknown)?;
    if entry.source == source { Ok(Arc::clone(entry)) } else { Err(EntryProblem::KeptByConfig) }
}

#[cfg(test)]
mod tests;
