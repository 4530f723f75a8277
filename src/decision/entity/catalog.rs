//! Which of several sources has the say about which entity, so that what stands follows from what the sources say now, in
//! whatever order they said it.
//!
//! The rule: an entity belongs to the first source, in the order of the configuration, that has it, and within a source to
//! the first record; any other is refused. Of entities that form a circle the last one is refused, by that order of sources
//! and then by name. A refused record waits: it counts from when what it was refused for is gone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::circle::circle;
use super::intake::{Located, Location, MOST_KEPT, Refused};
use super::reading::Reading;
use super::record::{RecordError, RecordReader};
use super::source::Extent;
use super::store::{Entities, Node};
use super::uid::Uid;
use super::writer::{HierarchyError, Writer};

/// The place of a source in the configuration.
pub type SourceIndex = u16;

/// That of the policy directory: what it has counts before all others, and is read together with the schema.
pub(super) const POLICY_DIRECTORY: SourceIndex = 0;

/// What all sources say.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    sources: Vec<Source>,
    writer: Writer,
    /// Records that don't count now.
    waiting: BTreeMap<Uid, BTreeMap<SourceIndex, Located>>,
    /// The names of those among them that the hierarchy has no room for.
    misfits: BTreeSet<Uid>,
    /// What was taken out by the present change.
    freed: Vec<Uid>,
}

/// What is known of one source.
#[derive(Clone, Debug)]
struct Source {
    name: Arc<str>,
    /// How many of its entities are in force.
    entities: usize,
    /// Its records that are wrong in themselves.
    bad: Vec<Refused>,
    /// How many more there were when all of it was read.
    omitted: usize,
    /// Whose records of it don't count now.
    waiting: BTreeSet<Uid>,
}

/// What became of a reading.
#[derive(Debug)]
pub struct Applied {
    /// Whether any entity is another than before.
    pub changed: bool,
    /// How many entities of the source are in force.
    pub entities: usize,
    /// Those of its records that are refused, as many as are kept.
    pub refused: Vec<Refused>,
    /// How many more there are.
    pub omitted: usize,
}

impl Catalog {
    pub(super) fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        let source = |name| Source { name, entities: 0, bad: Vec::new(), omitted: 0, waiting: BTreeSet::new() };
        Self {
            sources: names.into_iter().map(source).collect(),
            writer: Writer::default(),
            waiting: BTreeMap::new(),
            misfits: BTreeSet::new(),
            freed: Vec::new(),
        }
    }

    pub(super) fn snapshot(&self) -> Entities {
        self.writer.snapshot()
    }

    /// Takes what `source` says now.
    pub(super) fn apply(&mut self, source: SourceIndex, mut reading: Reading, extent: Extent) -> Applied {
        let seen = distinct(source, &mut reading);
        // The list of a million is worked on in place: a copy would be a tenth of what they take.
        let mut news = std::mem::take(&mut reading.located);
        let deleted = match extent {
            Extent::Whole => {
                let held: HashSet<Uid> = reading.disputed.drain(..).collect();
                self.missing(source, |uid| seen.contains(uid) || held.contains(uid))
            }
            Extent::Changes => std::mem::take(&mut reading.deleted),
            Extent::Nothing => Vec::new(),
        };
        self.note(source, reading, extent, &seen, &deleted);
        let mut changed = false;
        for uid in deleted.iter().filter(|uid| !seen.contains(*uid)) {
            changed |= self.delete(source, uid);
        }
        drop(seen);
        news.retain(|record| !self.is_known(source, record));
        changed |= !news.is_empty();
        if news.len() > 1 {
            self.detach(&news);
        }
        let order = self.parents_first(&news);
        let mut news: Vec<_> = news.into_iter().map(Some).collect();
        for place in order {
            if let Some(record) = news.get_mut(place).and_then(Option::take) {
                self.upsert(source, record);
            }
        }
        while changed && self.promote() {}
        self.freed.clear();
        self.report(source, changed)
    }

    /// The sources that a schema has to read again: each that has an entity which does not fit, and each that has a record
    /// which is refused now and may not be then. Of all others it would read what is there already.
    pub(super) fn to_be_read_by(&self, reader: &RecordReader) -> BTreeSet<SourceIndex> {
        let refused = (0..).zip(&self.sources).filter(|(_, source)| !source.bad.is_empty() || source.omitted > 0);
        let mut found: BTreeSet<_> = refused.map(|(index, _)| index).collect();
        let entities = self.writer.snapshot();
        let waiting = self.waiting.values().flat_map(BTreeMap::iter).map(|(source, record)| (*source, &record.node));
        for (source, node) in entities.iter().map(|node| (node.source(), node)).chain(waiting) {
            if !found.contains(&source) && !reader.fits(node) {
                found.insert(source);
            }
        }
        found.remove(&POLICY_DIRECTORY);
        found
    }

    /// The name of a source.
    pub(super) fn name(&self, source: SourceIndex) -> Arc<str> {
        self.sources.get(usize::from(source)).map(|source| Arc::clone(&source.name)).unwrap_or_default()
    }

    /// Why `source` has no entity of this name, if what it says of it is wrong in itself.
    pub(super) fn refusal(&self, source: SourceIndex, uid: &Uid) -> Option<String> {
        let bad = &self.sources.get(usize::from(source))?.bad;
        bad.iter().find(|refused| refused.error.uid() == Some(uid)).map(ToString::to_string)
    }

    /// What the source has said and says no more.
    fn missing(&self, source: SourceIndex, is_there: impl Fn(&Uid) -> bool) -> Vec<Uid> {
        let entities = self.writer.snapshot();
        let stored = entities.iter().filter(|node| node.source() == source).map(Node::uid);
        let waiting = self.sources.get(usize::from(source)).into_iter().flat_map(|source| &source.waiting);
        stored.chain(waiting).filter(|uid| !is_there(uid)).cloned().collect()
    }

    /// Remembers which records are wrong in themselves.
    fn note(&mut self, source: SourceIndex, reading: Reading, extent: Extent, seen: &HashSet<Uid>, deleted: &[Uid]) {
        let Some(source) = self.sources.get_mut(usize::from(source)) else { return };
        match extent {
            Extent::Nothing => {}
            Extent::Whole => (source.bad, source.omitted) = (reading.refused, reading.omitted),
            Extent::Changes => {
                let deleted: HashSet<&Uid> = deleted.iter().collect();
                let mended = |uid: &Uid| seen.contains(uid) || deleted.contains(uid);
                source.bad.retain(|refused| refused.error.uid().is_none_or(|uid| !mended(uid)));
                source.bad.extend(reading.refused);
                source.omitted += reading.omitted;
            }
        }
    }

    /// Whether the source has said the same before.
    fn is_known(&mut self, source: SourceIndex, record: &Located) -> bool {
        let uid = record.node.uid();
        if let Some(waiting) = self.waiting.get_mut(uid).and_then(|records| records.get_mut(&source)) {
            waiting.location.clone_from(&record.location);
            return waiting.node.says_the_same(&record.node);
        }
        self.writer.get(uid).is_some_and(|stored| stored.says_the_same(&record.node))
    }

    fn owner(&self, uid: &Uid) -> Option<SourceIndex> {
        self.writer.get(uid).map(Node::source)
    }

    fn delete(&mut self, source: SourceIndex, uid: &Uid) -> bool {
        self.forget(source, uid);
        self.owner(uid) == Some(source) && self.erase(uid)
    }

    fn forget(&mut self, source: SourceIndex, uid: &Uid) {
        if let Some(records) = self.waiting.get_mut(uid) {
            records.remove(&source);
            if records.is_empty() {
                self.waiting.remove(uid);
                self.misfits.remove(uid);
            }
        }
        if let Some(source) = self.sources.get_mut(usize::from(source)) {
            source.waiting.remove(uid);
        }
    }

    /// The places of records in an order in which each comes after its parents: then nothing that is written has to be
    /// written again.
    fn parents_first(&self, records: &[Located]) -> Vec<usize> {
        let named: HashSet<&Uid> = records.iter().flat_map(|record| record.node.parents()).collect();
        let is_group = |uid: &Uid| named.contains(uid) || self.writer.is_group(uid);
        let all = || records.iter().map(|record| record.node.uid()).enumerate();
        let groups: BTreeMap<&Uid, usize> =
            all().filter(|(_, uid)| is_group(uid)).map(|(place, uid)| (uid, place)).collect();
        let above = |place: usize| {
            let parents = records.get(place).map(|record| record.node.parents()).unwrap_or_default();
            parents.iter().filter_map(|parent| groups.get(parent).copied())
        };
        let (mut order, mut seen) = (Vec::with_capacity(records.len()), HashSet::new());
        for place in groups.values().copied() {
            let mut path = Vec::new();
            if seen.insert(place) {
                path.push((place, above(place)));
            }
            while let Some((place, rest)) = path.last_mut() {
                if let Some(parent) = rest.next() {
                    if seen.insert(parent) {
                        path.push((parent, above(parent)));
                    }
                } else {
                    order.push(*place);
                    path.pop();
                }
            }
        }
        order.extend(all().map(|(place, _)| place).filter(|place| !seen.contains(place)));
        order
    }

    /// Takes the parents away from all groups that are about to get others, lest a circle is seen where one record is new
    /// and the next still old.
    fn detach(&mut self, news: &[Located]) {
        for Located { node, .. } in news {
            // What waits must have its parents when it counts again.
            self.displace(node.source(), node.uid());
            if let Some(stored) = self.writer.get(node.uid())
                && self.writer.is_group(node.uid())
                && stored.parents() != node.parents()
                && stored.source() >= node.source()
            {
                let bare = stored.without_parents();
                let _without_parents_is_no_circle = self.writer.upsert(bare);
            }
        }
    }

    fn upsert(&mut self, source: SourceIndex, record: Located) {
        self.forget(source, record.node.uid());
        if self.owner(record.node.uid()).is_some_and(|owner| owner < source) {
            return self.wait(source, record);
        }
        self.displace(source, record.node.uid());
        let mut written = self.write(record.node.clone());
        if written.is_err() && self.admits(&record.node) {
            self.make_way(&record.node);
            written = self.write(record.node.clone());
        }
        if written.is_err() {
            self.erase(record.node.uid());
            self.misfits.insert(record.node.uid().clone());
            self.wait(source, record);
        }
    }

    /// Has the entity of a later source wait.
    fn displace(&mut self, source: SourceIndex, uid: &Uid) {
        if let Some(stored) = self.writer.get(uid).filter(|stored| stored.source() > source).cloned() {
            self.suspend(stored);
        }
    }

    /// Has what is in force wait, if it does not already.
    fn suspend(&mut self, stored: Node) {
        if self.waiting.get(stored.uid()).is_some_and(|records| records.contains_key(&stored.source())) {
            return;
        }
        let Some(owner) = self.sources.get(usize::from(stored.source())) else { return };
        let location = Location { document: Arc::clone(&owner.name), position: None };
        self.wait(stored.source(), Located { node: stored, location });
    }

    /// Whether there is room for an entity: it would make no circle with those that come before it.
    fn admits(&self, node: &Node) -> bool {
        match self.writer.check(node) {
            Ok(()) => true,
            Err(HierarchyError::Cycle(_)) => {
                circle(&self.writer.snapshot(), node, |other| rank(other) < rank(node)).is_none()
            }
            Err(HierarchyError::TooManyAncestors(_)) => false,
        }
    }

    /// Takes out of each circle that an entity would make the last one.
    fn make_way(&mut self, node: &Node) {
        let last = |entities: &Entities| {
            let way = circle(entities, node, |_| true)?;
            way.into_iter().max_by_key(|node| rank(node)).cloned()
        };
        while let Some(last) = last(&self.writer.snapshot()) {
            let uid = last.uid().clone();
            self.suspend(last);
            self.erase(&uid);
            self.misfits.insert(uid);
        }
    }

    fn wait(&mut self, index: SourceIndex, record: Located) {
        if let Some(source) = self.sources.get_mut(usize::from(index)) {
            source.waiting.insert(record.node.uid().clone());
        }
        self.waiting.entry(record.node.uid().clone()).or_default().insert(index, record);
    }

    /// Puts in force what can be by now; says whether there was anything.
    fn promote(&mut self) -> bool {
        let mut any = false;
        let uids: BTreeSet<Uid> = self.freed.iter().chain(&self.misfits).cloned().collect();
        for uid in uids {
            let owner = self.owner(&uid).unwrap_or(SourceIndex::MAX);
            let records = self.waiting.get(&uid).into_iter().flatten();
            let mut first = records.take_while(|(source, _)| **source < owner).peekable();
            let is_wanted = first.peek().is_some();
            let fit = first.find(|(_, record)| self.admits(&record.node));
            if let Some((source, record)) = fit.map(|(source, record)| (*source, record.clone())) {
                self.upsert(source, record);
                any = true;
            } else if is_wanted {
                // Nobody has it before any more, but the hierarchy has no room for it yet.
                self.misfits.insert(uid);
            }
        }
        any
    }

    fn write(&mut self, node: Node) -> Result<(), HierarchyError> {
        let (before, after) = (self.owner(node.uid()), node.source());
        self.writer.upsert(node)?;
        self.count(before, Some(after));
        Ok(())
    }

    fn erase(&mut self, uid: &Uid) -> bool {
        self.count(self.owner(uid), None);
        self.freed.push(uid.clone());
        self.writer.remove(uid)
    }

    fn count(&mut self, before: Option<SourceIndex>, after: Option<SourceIndex>) {
        if let Some(source) = before.and_then(|source| self.sources.get_mut(usize::from(source))) {
            source.entities -= 1;
        }
        if let Some(source) = after.and_then(|source| self.sources.get_mut(usize::from(source))) {
            source.entities += 1;
        }
    }

    fn report(&self, index: SourceIndex, changed: bool) -> Applied {
        let Some(source) = self.sources.get(usize::from(index)) else {
            return Applied { changed, entities: 0, refused: Vec::new(), omitted: 0 };
        };
        let mut refused = source.bad.clone();
        let all = refused.len() + source.waiting.len() + source.omitted;
        for uid in source.waiting.iter().take(MOST_KEPT.saturating_sub(refused.len())) {
            let Some(record) = self.waiting.get(uid).and_then(|records| records.get(&index)) else { continue };
            refused.push(Refused { location: record.location.clone(), error: self.why_not(record) });
        }
        Applied { changed, entities: source.entities, omitted: all - refused.len(), refused }
    }

    fn why_not(&self, record: &Located) -> RecordError {
        let uid = record.node.uid();
        let owner = self.owner(uid).and_then(|owner| self.sources.get(usize::from(owner)));
        match (owner, self.writer.check(&record.node)) {
            (Some(owner), _) => RecordError::of(uid, format!("the source `{}` has it already", owner.name)),
            (None, Err(error)) => RecordError::of(uid, error),
            (None, Ok(())) => RecordError::of(uid, "it waits for another"),
        }
    }
}

/// Who comes before whom.
fn rank(node: &Node) -> (SourceIndex, &Uid) {
    (node.source(), node.uid())
}

/// Leaves each entity once, of two records of one entity the first, and gives their names.
fn distinct(source: SourceIndex, reading: &mut Reading) -> HashSet<Uid> {
    let (mut seen, mut twice) = (HashSet::with_capacity(reading.located.len()), Vec::new());
    reading.located.retain_mut(|Located { node, location }| {
        node.say_by(source);
        let is_first = seen.insert(node.uid().clone());
        if !is_first {
            let error = RecordError::of(node.uid(), "it is there twice, and the first counts");
            twice.push(Refused { location: location.clone(), error });
        }
        is_first
    });
    for refused in twice {
        reading.refuse(refused);
    }
    seen
}

#[cfg(test)]
mod tests;
