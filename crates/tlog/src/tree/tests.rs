use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;

use super::*;
use crate::hash::leaf_hash;
use crate::testing::{LOG, MANY, MemoryLog, UniformLog, entry, naive_root};
use crate::tile::hashes_at;

fn frontier(entries: impl IntoIterator<Item = Vec<u8>>) -> Frontier {
    MemoryLog::of(entries).frontier
}

/// The test tree that Certificate Transparency's implementations share: its leaves and the root after each.
#[test]
fn a_growing_tree_has_the_published_roots() {
    let published = [
        ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
        ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
        ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
        ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ];
    let mut frontier = Frontier::new();
    assert_eq!(frontier.head(), TreeHead::empty());
    for (leaf, root) in published {
        frontier.append(leaf_hash(&hex::decode(leaf).unwrap()), |_| {});
        assert_eq!(hex::encode(frontier.root()), root, "{} leaves", frontier.size());
    }
}

#[test]
fn the_root_is_the_naive_one_at_every_size() {
    let leaves = &LOG.leaves[..600];
    let mut frontier = Frontier::new();
    for size in 0..=leaves.len() {
        assert_eq!(frontier.root(), naive_root(&leaves[..size]), "{size} leaves");
        assert_eq!(frontier.root(), root_of(&leaves[..size]), "{size} leaves");
        assert_eq!(TreeReader::new(size as u64, &*LOG).unwrap().head(), Ok(frontier.head()));
        frontier.append(LOG.leaves[size], |_| {});
    }
}

#[test]
fn the_root_is_that_of_ct_merkle() {
    let mut other: MemoryBackedTree<Sha256, Vec<u8>> = MemoryBackedTree::new();
    let mut ours = Frontier::new();
    for index in 0..700 {
        assert_eq!(ours.root().as_ref(), other.root().as_bytes().as_slice(), "{index} leaves");
        ours.append(leaf_hash(&entry(index)), |_| {});
        other.push(entry(index));
    }
}

#[test]
fn an_order_or_a_number_of_entries_makes_another_root() {
    let of = |entries: &[&str]| frontier(entries.iter().map(|entry| entry.as_bytes().to_vec())).root();
    assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
    assert_ne!(of(&["a", "b"]), of(&["a", "b", ""]));
    assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
}

/// The example in tlog-tiles, "Partial Tiles".
#[test]
fn seventy_thousand_entries_fill_the_tiles_of_the_specification() {
    let widths = |level: u8| -> Vec<usize> {
        let tiles = LOG.tiles.iter().filter(|((of, _), _)| *of == level);
        tiles.map(|(_, bytes)| bytes.len() / Hash::LENGTH).collect()
    };
    let (first, second, third) = (widths(0), widths(1), widths(2));
    assert_eq!(first.len(), 274);
    assert!(first[..273].iter().all(|width| *width == 256));
    assert_eq!((first[273], second, third), (112, vec![256, 17], vec![1]));
    assert!(widths(3).is_empty());
}

#[test]
fn a_tile_above_has_the_roots_of_the_full_tiles_below() {
    for ((level, index), bytes) in &LOG.tiles {
        for (at, hash) in (0..).zip(bytes.as_chunks::<32>().0) {
            let span = 256_usize.pow(u32::from(*level));
            let start = (usize::try_from(*index).unwrap() * 256 + at) * span;
            assert_eq!(Hash::from(*hash), root_of(&LOG.leaves[start..start + span]), "{level}/{index} at {at}");
        }
    }
}

#[test]
fn a_reader_goes_no_further_than_its_tree() {
    let mut tree = TreeReader::new(300, &*LOG).unwrap();
    assert_eq!(tree.leaf(299), Ok(LOG.leaves[299]));
    assert_eq!(tree.leaf(300), Err(ReadError::OutOfRange { asked: 300, size: 300 }));
    assert!(TreeReader::new(MAX_SIZE, &*LOG).is_ok());
    assert!(TreeReader::new(MAX_SIZE + 1, &*LOG).is_err());
}

#[test]
fn a_reader_says_which_tile_it_could_not_read() {
    let mut log = MemoryLog::of((0..300).map(entry));
    log.tiles.insert((1, 0), vec![0; 31]);
    let wrong = TreeReader::new(300, &log).unwrap().head().unwrap_err();
    assert_eq!(wrong.to_string(), "reading `tile/1/000.p/1`: tile/1/000.p/1 is not that wide");
    let beyond = TreeReader::new(600, &log).unwrap().leaf(520).unwrap_err();
    assert_eq!(beyond.to_string(), "reading `tile/0/002.p/88`: no tile/0/002.p/88");
}

/// A log that lies about its size, up to the largest, must get an error and not a panic or endless work.
#[test]
fn any_claimed_size_ends_in_an_error() {
    let log = MemoryLog::of((0..3).map(entry));
    for bit in 2..63 {
        for size in [1 << bit, (1 << bit) + 3, (1_u64 << bit) * 2 - 1] {
            let mut tree = TreeReader::new(size, &log).unwrap();
            assert!(tree.head().is_err(), "{size}");
            assert!(tree.frontier().is_err(), "{size}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_of_any_size_grows(size in 0..MAX_SIZE, shift in 0..63_u32, ones in any::<bool>()) {
        // Sizes of all magnitudes, and those at which an append changes most.
        let size = if ones { MAX_SIZE >> shift >> 1 } else { size >> shift };
        let mut frontier = TreeReader::new(size, &UniformLog).unwrap().frontier().unwrap();
        let mut positions = Vec::new();
        frontier.append(leaf_hash(b"same"), |grown| positions.push((grown.level, grown.position + 1)));
        prop_assert_eq!(frontier.head(), TreeReader::new(size + 1, &UniformLog).unwrap().head().unwrap());
        let grown = (0..=7).map(|level| (level, hashes_at(level, size + 1)));
        let expected: Vec<_> = grown.filter(|(level, hashes)| *hashes > hashes_at(*level, size)).collect();
        prop_assert_eq!(positions, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_frontier_read_from_tiles_goes_on_as_the_one_that_wrote_them(size in 0..MANY, more in 0_u64..600) {
        let mut read = TreeReader::new(size, &*LOG).unwrap().frontier().unwrap();
        let to = (size + more).min(MANY);
        for leaf in &LOG.leaves[usize::try_from(size).unwrap()..usize::try_from(to).unwrap()] {
            read.append(*leaf, |grown| {
                let tile = &LOG.tiles[&(grown.level, grown.index())];
                assert_eq!(tile.as_chunks::<32>().0[usize::from(grown.offset())], *grown.hash.as_bytes());
            });
        }
        prop_assert_eq!(read.head(), TreeReader::new(to, &*LOG).unwrap().head().unwrap());
        prop_assert_eq!(read.root(), naive_root(&LOG.leaves[..usize::try_from(to).unwrap()]));
    }
}
