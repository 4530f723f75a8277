//! Names out of lists that are in order themselves, in order and each once. No list is read further than it has to be.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::decision::entity::UidRef;
use crate::decision::entity::order::Names;

pub(super) struct Merged<'a> {
    heads: BinaryHeap<Reverse<Head<'a>>>,
    last: Option<UidRef<'a>>,
}

/// The first name of a list, and the others.
struct Head<'a> {
    first: UidRef<'a>,
    rest: Names<'a>,
}

impl<'a> FromIterator<Names<'a>> for Merged<'a> {
    fn from_iter<I: IntoIterator<Item = Names<'a>>>(lists: I) -> Self {
        let head = |mut list: Names<'a>| Some(Reverse(Head { first: list.next()?, rest: list }));
        Self { heads: lists.into_iter().filter_map(head).collect(), last: None }
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = UidRef<'a>;

    fn next(&mut self) -> Option<UidRef<'a>> {
        loop {
            let mut head = self.heads.peek_mut()?;
            let Reverse(Head { first, rest }) = &mut *head;
            let name = *first;
            match rest.next() {
                Some(next) => *first = next,
                None => drop(PeekMut::pop(head)),
            }
            if self.last != Some(name) {
                self.last = Some(name);
                return Some(name);
            }
        }
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first.cmp(&other.first)
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Head<'_> {}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.first == other.first
    }
}
