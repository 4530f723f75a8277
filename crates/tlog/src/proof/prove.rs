//! Makes proofs from tiles.

use crate::hash::Hash;
use crate::tile::TileSource;
use crate::tree::{ReadError, TreeReader};

/// The audit path of the entry `index` (RFC 6962 section 2.1.1): the sibling of the leaf first.
pub fn inclusion<S: TileSource>(tree: &mut TreeReader<'_, S>, index: u64) -> Result<Vec<Hash>, ReadError<S::Error>> {
    if index >= tree.size() {
        return Err(ReadError::OutOfRange { asked: index, size: tree.size() });
    }
    let (mut start, mut end) = (0, tree.size());
    let mut siblings = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push(middle..end);
            end = middle;
        } else {
            siblings.push(start..middle);
            start = middle;
        }
    }
    siblings.into_iter().rev().map(|range| tree.range(range)).collect()
}

/// The proof that the tree begins with the one that it was at `old` entries (RFC 6962 section 2.1.2). It is empty if
/// that is the empty tree or this one.
pub fn consistency<S: TileSource>(tree: &mut TreeReader<'_, S>, old: u64) -> Result<Vec<Hash>, ReadError<S::Error>> {
    if old > tree.size() {
        return Err(ReadError::OutOfRange { asked: old, size: tree.size() });
    }
    let (mut start, mut end) = (0, tree.size());
    let mut ranges = Vec::new();
    while old != 0 && old != end {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    // The verifier knows the old root already, which is what is left if nothing was cut off to the left of it.
    if start > 0 {
        ranges.push(start..end);
    }
    ranges.into_iter().rev().map(|range| tree.range(range)).collect()
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
