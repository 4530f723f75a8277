//! All entries at one moment, indexed by what is asked of them. Every map shares its structure with those before it, so a
//! copy costs nothing, a change costs the logarithm of their number, and readers of an older state wait for nobody.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use portcullis_spiffe::SpiffeId;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use super::{Entry, EntryTerms, Parents};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::identity::selector::Selector;

type ById = RedBlackTreeMapSync<Arc<str>, Arc<Entry>>;

/// All entries at one moment.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    by_id: RedBlackTreeMapSync<Arc<str>, Indexed>,
    by_rank: RedBlackTreeMapSync<(u64, Arc<str>), Arc<Entry>>,
    /// Each under one of its selectors: who lacks that one is not entitled.
    by_anchor: HashTrieMapSync<Selector, ById>,
    by_grant: HashTrieMapSync<Digest, Arc<Entry>>,
    by_spiffe_id: HashTrieMapSync<SpiffeId, ById>,
    by_expiry: RedBlackTreeMapSync<(Timestamp, Arc<str>), Arc<Entry>>,
    /// How many name the digest of an executable.
    with_sha256: usize,
    /// Whose entries this process hands out.
    pub(super) parents: Arc<Parents>,
}

/// An entry with where it stands in the other maps.
#[derive(Clone, Debug)]
struct Indexed {
    entry: Arc<Entry>,
    anchor: Option<Selector>,
    grant: Digest,
}

impl Entries {
    /// These and no others.
    pub(super) fn new(entries: impl IntoIterator<Item = Entry>, parents: Arc<Parents>) -> Self {
        let mut all = Self { parents, ..Self::default() };
        for entry in entries {
            all.put(Arc::new(entry));
        }
        all
    }

    /// All, in the order of their rank.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_rank.values()
    }

    /// Those whose ids come after `id`, in the order of their ids; all, after the empty one.
    pub fn after<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.by_id.range::<str, _>((Bound::Excluded(id), Bound::Unbounded)).map(|(_, indexed)| &indexed.entry)
    }

    /// The entry with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Entry>> {
        self.by_id.get(id).map(|indexed| &indexed.entry)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.size()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Those that grant an identity at `now` to a workload of this process with `selectors`, in the order of their rank.
    pub fn entitled(&self, selectors: &BTreeSet<Selector>, now: Timestamp) -> Vec<Arc<Entry>> {
        let grants = |entry: &&Arc<Entry>| {
            entry.is_for_workloads()
                && entry.is_alive(now)
                && entry.terms.selectors.is_subset(selectors)
                && self.is_under_our_parents(entry, now)
        };
        let anchored = selectors.iter().filter_map(|selector| self.by_anchor.get(selector)).flat_map(ById::values);
        let mut entitled: Vec<_> = anchored.filter(grants).cloned().collect();
        entitled.sort_unstable_by(|a, b| (a.rank, &a.id).cmp(&(b.rank, &b.id)));
        entitled
    }

    /// The first that grants this identity at `now` to a workload of this process, whichever.
    pub fn granting(&self, spiffe_id: &SpiffeId, now: Timestamp) -> Option<Arc<Entry>> {
        let grants = |entry: &&Arc<Entry>| {
            entry.is_for_workloads() && entry.is_alive(now) && self.is_under_our_parents(entry, now)
        };
        let granting = self.by_spiffe_id.get(spiffe_id)?.values().filter(grants);
        granting.min_by(|a, b| (a.rank, &a.id).cmp(&(b.rank, &b.id))).cloned()
    }

    /// Whether any entry asks for the digest of the executable.
    pub fn want_sha256(&self) -> bool {
        self.with_sha256 > 0
    }

    /// The entry that grants the same to the same.
    pub fn similar(&self, terms: &EntryTerms) -> Option<&Arc<Entry>> {
        self.by_grant.get(&terms.grant())
    }

    /// When the first of them expires.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.by_expiry.first().map(|((expires_at, _), _)| *expires_at)
    }

    /// Those that grant nothing any more at `now`, the first to expire first.
    pub(super) fn expired(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_expiry.values().take_while(move |entry| !entry.is_alive(now))
    }

    /// Adds an entry, in place of the one with its id. It must grant what no other does.
    pub(super) fn put(&mut self, entry: Arc<Entry>) {
        self.remove(&entry.id);
        let indexed = Indexed { anchor: self.anchor(&entry.terms), grant: entry.terms.grant(), entry };
        let entry = &indexed.entry;
        if let Some(anchor) = &indexed.anchor {
            add(&mut self.by_anchor, anchor, entry);
        }
        add(&mut self.by_spiffe_id, &entry.terms.spiffe_id, entry);
        self.by_rank.insert_mut((entry.rank, Arc::clone(&entry.id)), Arc::clone(entry));
        self.by_grant.insert_mut(indexed.grant, Arc::clone(entry));
        if let Some(expires_at) = entry.terms.expires_at {
            self.by_expiry.insert_mut((expires_at, Arc::clone(&entry.id)), Arc::clone(entry));
        }
        self.with_sha256 += usize::from(wants_sha256(&entry.terms));
        self.by_id.insert_mut(Arc::clone(&entry.id), indexed);
    }

    /// Takes an entry out, if it is there.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(Indexed { entry, anchor, grant }) = self.by_id.get(id).cloned() else { return };
        self.by_id.remove_mut(id);
        if let Some(anchor) = &anchor {
            take(&mut self.by_anchor, anchor, id);
        }
        take(&mut self.by_spiffe_id, &entry.terms.spiffe_id, id);
        self.by_rank.remove_mut(&(entry.rank, Arc::clone(&entry.id)));
        self.by_grant.remove_mut(&grant);
        if let Some(expires_at) = entry.terms.expires_at {
            self.by_expiry.remove_mut(&(expires_at, Arc::clone(&entry.id)));
        }
        self.with_sha256 -= usize::from(wants_sha256(&entry.terms));
    }

    /// The selector under which the fewest others stand, the last of these: the type and value that come last are more often
    /// one workload's own (`k8s:ns:…` before `k8s:sa:…`).
    fn anchor(&self, terms: &EntryTerms) -> Option<Selector> {
        let others = |selector: &&Selector| self.by_anchor.get(*selector).map_or(0, ById::size);
        terms.selectors.iter().rev().min_by_key(others).cloned()
    }

    /// Whether `entry` is one of those that this process stands in for: its parent is one of ours, or an entry leads from
    /// its parent to ours. An entry whose parent is `/spire/server` leads to the agents that have its selectors.
    fn is_under_our_parents(&self, entry: &Entry, now: Timestamp) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![&entry.terms.parent_id];
        while let Some(parent) = waiting.pop() {
            if self.parents.include(parent) {
                return true;
            }
            if !seen.insert(parent) {
                continue;
            }
            for step in self.by_spiffe_id.get(parent).into_iter().flat_map(ById::values).filter(|e| e.is_alive(now)) {
                if step.is_alias() && self.parents.have(&step.terms.selectors) {
                    return true;
                }
                waiting.push(&step.terms.parent_id);
            }
        }
        false
    }
}

fn wants_sha256(terms: &EntryTerms) -> bool {
    terms.selectors.iter().any(|selector| selector.kind() == "unix" && selector.value().starts_with("sha256:"))
}

fn add<K: Clone + Eq + std::hash::Hash>(map: &mut HashTrieMapSync<K, ById>, key: &K, entry: &Arc<Entry>) {
    let mut same = map.get(key).cloned().unwrap_or_default();
    same.insert_mut(Arc::clone(&entry.id), Arc::clone(entry));
    map.insert_mut(key.clone(), same);
}

fn take<K: Clone + Eq + std::hash::Hash>(map: &mut HashTrieMapSync<K, ById>, key: &K, id: &str) {
    let Some(same) = map.get(key) else { return };
    let rest = same.remove(id);
    if rest.is_empty() {
        map.remove_mut(key);
    } else {
        map.insert_mut(key.clone(), rest);
    }
}
