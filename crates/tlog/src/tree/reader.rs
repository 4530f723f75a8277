//! Reads a tree's nodes out of its tiles.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use super::{Frontier, MAX_HEIGHT, MAX_SIZE, TreeHead, join_peaks, root_of};
use crate::hash::Hash;
use crate::tile::{HEIGHT, Tile, TileError, TileSource, hashes_at, place, width_at};

/// A tree of a given size, read from tiles. Keeps the tiles that it has read, so make a new one for each task.
///
/// What it gives is as true as the tiles are: compare a root with a verified checkpoint before trusting any of it.
#[derive(Debug)]
pub struct TreeReader<'a, S> {
    size: u64,
    source: &'a S,
    tiles: BTreeMap<Tile, Vec<Hash>>,
}

/// Why a node could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError<E> {
    /// The source failed.
    #[error("reading `{tile}`: {error}")]
    Source {
        /// What was asked for.
        tile: Tile,
        /// What it said.
        error: E,
    },
    /// The source gave something else.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The tree has no such entry, or had no such size.
    #[error("{asked} is not within a tree of {size} entries")]
    OutOfRange {
        /// The index or size.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
}

impl<'a, S: TileSource> TreeReader<'a, S> {
    /// The tree of `size` entries, fewer than 2^63, whose tiles `source` has.
    pub fn new(size: u64, source: &'a S) -> Result<Self, ReadError<S::Error>> {
        if size > MAX_SIZE {
            return Err(ReadError::OutOfRange { asked: size, size: MAX_SIZE });
        }
        Ok(Self { size, source, tiles: BTreeMap::new() })
    }

    /// The entries in the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hash of the entry `index`.
    pub fn leaf(&mut self, index: u64) -> Result<Hash, ReadError<S::Error>> {
        if index >= self.size {
            return Err(ReadError::OutOfRange { asked: index, size: self.size });
        }
        self.perfect(0, index)
    }

    /// Size and root.
    pub fn head(&mut self) -> Result<TreeHead, ReadError<S::Error>> {
        Ok(TreeHead { size: self.size, root: self.range(0..self.size)? })
    }

    /// The right edge, to go on appending to the tree. Compare its root with that of a checkpoint first.
    pub fn frontier(&mut self) -> Result<Frontier, ReadError<S::Error>> {
        let mut frontier = Frontier::new();
        frontier.size = self.size;
        for (height, peak) in (0..=MAX_HEIGHT).zip(&mut frontier.peaks) {
            let subtrees = self.size >> height;
            if subtrees & 1 == 1 {
                *peak = self.perfect(height, subtrees - 1)?;
            }
        }
        Ok(frontier)
    }

    /// MTH(D[range]). Its start is a multiple of a power of two that is no smaller than its length.
    pub(crate) fn range(&mut self, range: Range<u64>) -> Result<Hash, ReadError<S::Error>> {
        let length = range.end.saturating_sub(range.start);
        let mut from = range.start;
        let mut peaks = Vec::new();
        for height in (0..=MAX_HEIGHT).rev().filter(|height| length >> height & 1 == 1) {
            peaks.push(self.perfect(height, from >> height)?);
            from += 1 << height;
        }
        Ok(join_peaks(peaks.into_iter().rev()))
    }

    /// The root of the perfect subtree number `index` of those with 2^`height` leaves, all of them in the tree.
    fn perfect(&mut self, height: u8, index: u64) -> Result<Hash, ReadError<S::Error>> {
        let (level, above) = (height / HEIGHT, height % HEIGHT);
        let (place, offset) = place(index << above);
        let (start, count) = (usize::from(offset), 1 << above);
        let (_, hashes) = self.tile(level, place)?;
        let hashes = hashes.get(start..start + count).map(root_of);
        hashes.ok_or(ReadError::OutOfRange { asked: index, size: self.size })
    }

    /// The tile of that level and index as this tree has it, and its hashes.
    pub(crate) fn tile(&mut self, level: u8, index: u64) -> Result<(Tile, &[Hash]), ReadError<S::Error>> {
        let tile = Tile::new(level, index, width_at(index, hashes_at(level, self.size)));
        let tile = tile.ok_or(ReadError::OutOfRange { asked: index, size: self.size })?;
        match self.tiles.entry(tile) {
            Entry::Occupied(known) => Ok((tile, known.into_mut())),
            Entry::Vacant(place) => {
                let bytes = self.source.tile(tile).map_err(|error| ReadError::Source { tile, error })?;
                Ok((tile, place.insert(tile.parse(bytes.as_ref())?)))
            }
        }
    }
}
