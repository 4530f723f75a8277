//! An entity with all its ancestors, on the stack.

use super::uid::UidRef;
use super::view::Known;

/// How many names there is room for without asking for memory: a path of half a dozen segments, or a user with as many
/// groups. More room would have to be filled and moved for each question.
const ROOM: usize = 8;

/// An entity with all its ancestors, each once, itself first.
#[derive(Clone, Debug)]
pub struct Lineage<'a> {
    first: [UidRef<'a>; ROOM],
    count: usize,
    more: Vec<UidRef<'a>>,
    /// Which of the first came with all that is stored above them, a bit for each.
    closed: u16,
    known: Option<Known<'a>>,
}

impl<'a> Lineage<'a> {
    /// An entity of which no ancestor is known yet.
    pub(in crate::decision) const fn of(uid: UidRef<'a>, known: Option<Known<'a>>) -> Self {
        Self { first: [uid; ROOM], count: 1, more: Vec::new(), closed: 0, known }
    }

    /// The entity itself.
    pub const fn entity(&self) -> UidRef<'a> {
        let [entity, ..] = self.first;
        entity
    }

    /// What is known of the entity itself; `None` if there is no such entity.
    pub const fn known(&self) -> Option<Known<'a>> {
        self.known
    }

    /// How many they are, itself included.
    pub(in crate::decision) const fn len(&self) -> usize {
        self.count + self.more.len()
    }

    /// Whether the entity is `uid` or has it as an ancestor.
    pub fn has(&self, uid: UidRef<'_>) -> bool {
        self.iter().any(|known| known == uid)
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = UidRef<'a>> {
        self.first.iter().take(self.count).chain(&self.more).copied()
    }

    /// The name at `place`.
    pub(super) fn nth(&self, place: usize) -> Option<UidRef<'a>> {
        match place.checked_sub(ROOM) {
            None => self.first.get(place).filter(|_| place < self.count).copied(),
            Some(further) => self.more.get(further).copied(),
        }
    }

    /// Whether what stands at `place` came with all that is stored above it.
    pub(super) const fn is_closed(&self, place: usize) -> bool {
        place < ROOM && self.closed & (1 << place) != 0
    }

    pub(super) fn add(&mut self, uid: UidRef<'a>) {
        if !self.has(uid) {
            self.push(uid);
        }
    }

    /// Adds one that comes with all that is stored above it.
    pub(super) fn add_closed(&mut self, uid: UidRef<'a>) {
        if self.has(uid) {
            return;
        }
        if self.count < ROOM {
            self.closed |= 1 << self.count;
        }
        self.push(uid);
    }

    fn push(&mut self, uid: UidRef<'a>) {
        match self.first.get_mut(self.count) {
            Some(free) => {
                *free = uid;
                self.count += 1;
            }
            None => self.more.push(uid),
        }
    }
}
