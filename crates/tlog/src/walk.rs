//! Checks a whole log against its checkpoint, in pieces of 256 entries that can be checked side by side.

use crate::bundle::{self, Bundle, BundleError, bundles_between};
use crate::hash::leaf_hash;
use crate::tile::{FULL_WIDTH, MAX_LEVEL, Tile, TileSource, place};
use crate::tree::{ReadError, TreeHead, TreeReader, root_of};

/// Reads tiles and entry bundles.
pub trait LogSource: TileSource {
    /// The bytes of a bundle, with exactly its entries: see [`bundle::narrow`].
    fn bundle(&self, bundle: Bundle) -> Result<impl AsRef<[u8]>, Self::Error>;
}

/// What is wrong with a log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError<E> {
    /// A tile can't be read or is not one.
    #[error(transparent)]
    Tile(#[from] ReadError<E>),
    /// A bundle can't be read.
    #[error("reading `{bundle}`: {error}")]
    Source {
        /// Which.
        bundle: Bundle,
        /// Why.
        error: E,
    },
    /// A bundle is not one.
    #[error("`{bundle}`: {error}")]
    Bundle {
        /// Which.
        bundle: Bundle,
        /// Why.
        error: BundleError,
    },
    /// An entry is not the one whose hash is in the tree.
    #[error("entry {0} is not the one that is in the tree")]
    Entry(u64),
    /// A tile is not the one whose root is in the tile above it.
    #[error("`{0}` does not lead to the hash that is above it")]
    Parent(Tile),
    /// The tiles lead to another root.
    #[error("the tiles lead to another root than that of the checkpoint for {0} entries")]
    Root(u64),
}

/// The pieces of a log of `size` entries, each to be given to [`verify_piece`].
pub fn pieces(size: u64) -> impl Iterator<Item = Bundle> {
    bundles_between(0, size)
}

/// Checks that the entries of a bundle are those in the tree, and that each tile that ends with them leads to the hash
/// that stands for it in the tile above.
///
/// If this holds for all pieces of a log, and [`verify_root`] as well, every entry is what the checkpoint says.
pub fn verify_piece<S: LogSource>(source: &S, size: u64, piece: Bundle) -> Result<(), WalkError<S::Error>> {
    let mut tree = TreeReader::new(size, source)?;
    let bytes = source.bundle(piece).map_err(|error| WalkError::Source { bundle: piece, error })?;
    let entries = bundle::parse(bytes.as_ref(), piece.width());
    let entries = entries.map_err(|error| WalkError::Bundle { bundle: piece, error })?;
    let (_, leaves) = tree.tile(0, piece.index())?;
    let mut pairs = piece.entries().zip(entries.iter().zip(leaves));
    if let Some((index, _)) = pairs.find(|(_, (entry, leaf))| leaf_hash(entry) != **leaf) {
        return Err(WalkError::Entry(index));
    }
    if leaves.len() != entries.len() {
        return Err(WalkError::Entry(piece.entries().end));
    }
    verify_tiles_above(&mut tree, piece.index())
}

/// Checks of the piece `index` what can be checked without its entries, which need not be there any more: its hashes, as
/// [`verify_piece`] does.
pub fn verify_hashes<S: TileSource>(source: &S, size: u64, index: u64) -> Result<(), WalkError<S::Error>> {
    verify_tiles_above(&mut TreeReader::new(size, source)?, index)
}

/// Checks the tile `index` of level 0, and every tile above whose last hash stands for the one below it.
fn verify_tiles_above<S: TileSource>(tree: &mut TreeReader<'_, S>, index: u64) -> Result<(), WalkError<S::Error>> {
    let mut index = index;
    for level in 0..MAX_LEVEL {
        let (tile, hashes) = tree.tile(level, index)?;
        if !tile.is_full() {
            return Ok(());
        }
        let root = root_of(hashes);
        let (above, offset) = place(index);
        let (_, parents) = tree.tile(level + 1, above)?;
        if parents.get(usize::from(offset)) != Some(&root) {
            return Err(WalkError::Parent(tile));
        }
        if u16::from(offset) + 1 < FULL_WIDTH {
            return Ok(());
        }
        index = above;
    }
    Ok(())
}

/// Checks that the tiles on the right edge lead to the root of a checkpoint, which has been verified before.
pub fn verify_root<S: TileSource>(source: &S, head: &TreeHead) -> Result<(), WalkError<S::Error>> {
    let found = TreeReader::new(head.size, source)?.head()?;
    if found == *head { Ok(()) } else { Err(WalkError::Root(head.size)) }
}

#[cfg(test)]
mod tests;
