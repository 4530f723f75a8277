//! A sorted list of names of which each version is cheap to keep: it is in pieces, and a change copies one of them and
//! the list of pieces.

use std::sync::Arc;

use crate::decision::entity::{Uid, UidRef};

/// The most names in a piece. Of a million names there are as many pieces as a piece is long, about.
const LONGEST: usize = 1024;

/// The list. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::decision::entity) struct Sorted {
    /// None of them is empty.
    pieces: Arc<Vec<Arc<Vec<Uid>>>>,
    len: usize,
}

impl Sorted {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Uid> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    /// Those from the first on that is not before; whoever is before must stand before all who are not.
    pub(super) fn since(&self, is_before: impl Fn(UidRef<'_>) -> bool) -> impl Iterator<Item = &Uid> {
        let place = self.place(&is_before);
        let first = self.pieces.get(place);
        let within = first.map_or(0, |piece| piece.partition_point(|uid| is_before(uid.as_ref())));
        let first = first.and_then(|piece| piece.get(within..)).unwrap_or_default();
        first.iter().chain(self.pieces.iter().skip(place + 1).flat_map(|piece| piece.iter()))
    }

    /// The same for a list that is one's own.
    pub(super) fn into_since(self, is_before: impl Fn(UidRef<'_>) -> bool) -> impl Iterator<Item = Uid> {
        let mut place = self.place(&is_before);
        let first = self.pieces.get(place);
        let mut within = first.map_or(0, |piece| piece.partition_point(|uid| is_before(uid.as_ref())));
        std::iter::from_fn(move || {
            loop {
                if let Some(uid) = self.pieces.get(place)?.get(within) {
                    within += 1;
                    return Some(uid.clone());
                }
                (place, within) = (place + 1, 0);
            }
        })
    }

    /// Puts a name in, unless it is there.
    pub(super) fn insert(&mut self, uid: &Uid) {
        let place = self.place(&|known| known < uid.as_ref());
        let pieces = Arc::make_mut(&mut self.pieces);
        // What comes after all others goes into the last piece.
        let place = place.min(pieces.len().saturating_sub(1));
        let Some(piece) = pieces.get_mut(place) else {
            pieces.push(Arc::new(vec![uid.clone()]));
            self.len = 1;
            return;
        };
        let piece = Arc::make_mut(piece);
        let Err(within) = piece.binary_search(uid) else { return };
        piece.insert(within, uid.clone());
        self.len += 1;
        if piece.len() > LONGEST {
            let rest = piece.split_off(LONGEST / 2);
            pieces.insert(place + 1, Arc::new(rest));
        }
    }

    /// Takes a name out, if it is there.
    pub(super) fn remove(&mut self, uid: &Uid) {
        let place = self.place(&|known| known < uid.as_ref());
        let Some(within) = self.pieces.get(place).and_then(|piece| piece.binary_search(uid).ok()) else { return };
        let pieces = Arc::make_mut(&mut self.pieces);
        let Some(piece) = pieces.get_mut(place) else { return };
        Arc::make_mut(piece).remove(within);
        self.len -= 1;
        if piece.is_empty() {
            pieces.remove(place);
        }
    }

    /// The first piece of which not all are before.
    fn place(&self, is_before: &impl Fn(UidRef<'_>) -> bool) -> usize {
        self.pieces.partition_point(|piece| piece.last().is_none_or(|uid| is_before(uid.as_ref())))
    }
}

/// Of names that are sorted already.
impl FromIterator<Uid> for Sorted {
    fn from_iter<I: IntoIterator<Item = Uid>>(names: I) -> Self {
        let names: Vec<Uid> = names.into_iter().collect();
        let pieces = names.chunks(LONGEST / 2).map(|piece| Arc::new(piece.to_vec())).collect();
        Self { pieces: Arc::new(pieces), len: names.len() }
    }
}
