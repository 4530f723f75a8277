//! Tiles: the tree cut into pieces of height 8, each a file that never changes once it is full (tlog-tiles, "Merkle
//! Tree").

use crate::hash::Hash;
use crate::tree::MAX_SIZE;

/// The levels of the tree that a tile spans.
pub const HEIGHT: u8 = 8;
/// The hashes in a full tile.
pub const FULL_WIDTH: u16 = 1 << HEIGHT;
/// The highest level at which a tree of fewer than 2^63 entries has a tile.
pub const MAX_LEVEL: u8 = 7;

/// The name of a tile, and of how much of it a tree has. A full tile has one name in every tree that has it; a partial
/// one has a name for each width. Text form: its path, as `tile/0/x001/067.p/9`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

/// Reads tiles.
pub trait TileSource {
    /// Why a tile could not be read.
    type Error;

    /// The bytes of a tile: its hashes one after the other, 32 bytes each. A source that has only a wider tile of the
    /// same level and index gives the first [`Tile::bytes`] of it, which are those of the narrower one.
    fn tile(&self, tile: Tile) -> Result<impl AsRef<[u8]>, Self::Error>;
}

/// What was read is not the tile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{tile}` has {found} bytes instead of {}", .tile.bytes())]
pub struct TileError {
    /// What was to be read.
    pub tile: Tile,
    /// How many bytes there were.
    pub found: usize,
}

/// A hash in a tile, where it comes to be as the tree grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TileHash {
    /// The level of the tile.
    pub level: u8,
    /// Its place among all hashes of that level, from 0.
    pub position: u64,
    /// The root of the 256^`level` entries that it stands for.
    pub hash: Hash,
}

impl Tile {
    /// The tile with this name; none if no tree of fewer than 2^63 entries has it. `width` is from 1 to 256.
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        if level > MAX_LEVEL || !(1..=FULL_WIDTH).contains(&width) {
            return None;
        }
        let end = index.checked_mul(u64::from(FULL_WIDTH))?.checked_add(u64::from(width))?;
        (end <= hashes_at(level, MAX_SIZE)).then_some(Self { level, index, width })
    }

    pub(crate) const fn of_leaves(index: u64, width: u16) -> Self {
        Self { level: 0, index, width }
    }

    /// How far it is above the leaves, in tiles.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Its place in its level.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// The hashes in it, from 1 to 256.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it will never grow again.
    pub const fn is_full(self) -> bool {
        self.width == FULL_WIDTH
    }

    /// How many bytes it has.
    pub const fn bytes(self) -> usize {
        self.width as usize * Hash::LENGTH
    }

    /// The hashes in its bytes.
    pub fn parse(self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        let (hashes, rest) = bytes.as_chunks();
        if rest.is_empty() && hashes.len() == usize::from(self.width) {
            Ok(hashes.iter().map(|hash| Hash::from(*hash)).collect())
        } else {
            Err(TileError { tile: self, found: bytes.len() })
        }
    }

    /// The end of the entries below it once it is full. A log that has pruned its entries up to here or beyond may drop
    /// it (tlog-tiles, "Pruning").
    pub fn end(self) -> u64 {
        let entries = u128::from(self.index + 1) << (u32::from(HEIGHT) * (u32::from(self.level) + 1));
        u64::try_from(entries).unwrap_or(u64::MAX)
    }
}

impl TileHash {
    /// The index of the tile that it is in.
    pub const fn index(&self) -> u64 {
        place(self.position).0
    }

    /// Its place in the tile, from 0 to 255.
    pub const fn offset(&self) -> u8 {
        place(self.position).1
    }
}

/// The tiles of a tree of `size` entries, level by level from the leaves, the partial one of each level last.
pub fn tiles(size: u64) -> impl Iterator<Item = Tile> {
    tiles_between(0, size)
}

/// The tiles that a tree of `new` entries has and the same tree at `old` entries did not have, or not as wide. There
/// are none beyond [`MAX_SIZE`].
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    (0..=MAX_LEVEL).flat_map(move |level| {
        let (had, has) = (hashes_at(level, old), hashes_at(level, new.min(MAX_SIZE)));
        places_between(had, has).map(move |(index, width)| Tile { level, index, width })
    })
}

/// How many hashes a tree of `size` entries has in its tiles of a level.
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or_default()
}

/// The pieces (index and width) that a row of `has` elements has and a row of `had` elements did not have, or not as
/// wide.
pub(crate) fn places_between(had: u64, has: u64) -> impl Iterator<Item = (u64, u16)> {
    let full = u64::from(FULL_WIDTH);
    let pieces = if had < has { had / full..has.div_ceil(full) } else { 0..0 };
    pieces.map(move |index| (index, width_at(index, has)))
}

/// In which piece an element of a row is, and where in it.
pub(crate) const fn place(position: u64) -> (u64, u8) {
    let [offset, ..] = position.to_le_bytes();
    (position >> HEIGHT, offset)
}

/// The width of the piece `index` of a row of `elements`: 0 if it is beyond the end.
pub(crate) fn width_at(index: u64, elements: u64) -> u16 {
    let from_there = elements.saturating_sub(index.saturating_mul(u64::from(FULL_WIDTH)));
    u16::try_from(from_there).unwrap_or(FULL_WIDTH).min(FULL_WIDTH)
}

#[cfg(test)]
mod tests;
