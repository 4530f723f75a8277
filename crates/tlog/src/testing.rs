//! What tests of several modules need: a log in memory, and RFC 6962 written down as naively as it stands there.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::bundle::{self, Bundle};
use crate::hash::{Hash, leaf_hash, node_hash};
use crate::tile::{Tile, TileHash, TileSource};
use crate::tree::Frontier;
use crate::walk::LogSource;

/// Enough entries for tiles of three levels: 256^2 and some.
pub(crate) const MANY: u64 = 70_000;

/// A log of [`MANY`] entries, which is the beginning of itself at every smaller size.
pub(crate) static LOG: LazyLock<MemoryLog> = LazyLock::new(|| MemoryLog::of((0..MANY).map(entry)));

/// A log whose tiles are as [`Frontier::append`] gives them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    pub(crate) leaves: Vec<Hash>,
    pub(crate) frontier: Frontier,
    pub(crate) tiles: BTreeMap<(u8, u64), Vec<u8>>,
    pub(crate) bundles: BTreeMap<u64, Vec<u8>>,
}

impl MemoryLog {
    pub(crate) fn of(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut log = Self::default();
        for entry in entries {
            let leaf = leaf_hash(&entry);
            log.leaves.push(leaf);
            bundle::push(log.bundles.entry(log.frontier.size() / 256).or_default(), &entry).unwrap();
            log.frontier.append(leaf, |grown: TileHash| {
                let tile = log.tiles.entry((grown.level, grown.index())).or_default();
                assert_eq!(tile.len(), usize::from(grown.offset()) * Hash::LENGTH, "every tile grows without gaps");
                tile.extend_from_slice(grown.hash.as_bytes());
            });
        }
        log
    }
}

impl TileSource for MemoryLog {
    type Error = String;

    fn tile(&self, tile: Tile) -> Result<impl AsRef<[u8]>, String> {
        let bytes = self.tiles.get(&(tile.level(), tile.index())).ok_or_else(|| format!("no {tile}"))?;
        bytes.get(..tile.bytes()).ok_or_else(|| format!("{tile} is not that wide"))
    }
}

impl LogSource for MemoryLog {
    fn bundle(&self, bundle: Bundle) -> Result<impl AsRef<[u8]>, String> {
        let bytes = self.bundles.get(&bundle.index()).ok_or_else(|| format!("no {bundle}"))?;
        let grown = !bundle.is_full() && self.frontier.size() > bundle.entries().end;
        // What has not grown is given as it is, so that a test can break it.
        if grown { bundle::narrow(bytes, bundle.width()).map_err(|error| error.to_string()) } else { Ok(bytes) }
    }
}

/// A log of any size, all of whose entries are the same: what is in a tile then depends on its level alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UniformLog;

impl TileSource for UniformLog {
    type Error = String;

    fn tile(&self, tile: Tile) -> Result<impl AsRef<[u8]>, String> {
        let height = u32::from(tile.level()) * 8;
        let hash = (0..height).fold(leaf_hash(b"same"), |below, _| node_hash(&below, &below));
        Ok(hash.as_bytes().repeat(usize::from(tile.width())))
    }
}

/// The entry `index` of test logs.
pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// MTH(D\[n\]) (RFC 6962 section 2.1), from leaf hashes.
pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => crate::hash::empty_root(),
        [leaf] => *leaf,
        _ => {
            let k = split(leaves.len());
            node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

/// PATH(m, D\[n\]) (section 2.1.1).
pub(crate) fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (mut path, sibling) = if m < k {
        (naive_path(m, &leaves[..k]), naive_root(&leaves[k..]))
    } else {
        (naive_path(m - k, &leaves[k..]), naive_root(&leaves[..k]))
    };
    path.push(sibling);
    path
}

/// PROOF(m, D\[n\]) (section 2.1.2).
pub(crate) fn naive_proof(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    naive_subproof(m, leaves, true)
}

fn naive_subproof(m: usize, leaves: &[Hash], complete: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if complete { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = split(leaves.len());
    let (mut proof, other) = if m <= k {
        (naive_subproof(m, &leaves[..k], complete), naive_root(&leaves[k..]))
    } else {
        (naive_subproof(m - k, &leaves[k..], false), naive_root(&leaves[..k]))
    };
    proof.push(other);
    proof
}

/// The largest power of two smaller than `n`.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// The same bytes with one bit flipped.
pub(crate) fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

/// The same hash with one bit flipped.
pub(crate) fn flip_hash(hash: &Hash, bit: usize) -> Hash {
    let bytes: [u8; 32] = flip(hash.as_bytes(), bit).try_into().unwrap();
    bytes.into()
}
