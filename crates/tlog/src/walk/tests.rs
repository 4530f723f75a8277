use super::*;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::note::NoteSigner;
use crate::policy::Policy;
use crate::testing::{LOG, MANY, MemoryLog};

/// Tiles of two levels, a full and a partial one below, with entries of a few bytes.
const SMALL: u64 = 260;
const ORIGIN: &str = "log.example/small";

fn verify(log: &MemoryLog, head: &TreeHead) -> Result<(), WalkError<String>> {
    pieces(head.size).try_for_each(|piece| verify_piece(log, head.size, piece))?;
    verify_root(log, head)
}

fn small() -> MemoryLog {
    MemoryLog::of((0..SMALL).map(|index| index.to_be_bytes()[6..].to_vec()))
}

fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[7; 32]).unwrap()
}

#[test]
fn a_log_is_what_its_root_says_at_every_size() {
    for size in [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, MANY] {
        let head = TreeReader::new(size, &*LOG).unwrap().head().unwrap();
        assert_eq!(verify(&LOG, &head), Ok(()), "{size} entries");
    }
}

#[test]
fn a_missing_piece_is_named() {
    let (whole, head) = (small(), small().frontier.head());
    let without = |remove: &dyn Fn(&mut MemoryLog)| {
        let mut log = whole.clone();
        remove(&mut log);
        verify(&log, &head).unwrap_err().to_string()
    };
    let bundle = without(&|log| drop(log.bundles.remove(&1)));
    assert_eq!(bundle, "reading `tile/entries/001.p/4`: no tile/entries/001.p/4");
    let tile = without(&|log| drop(log.tiles.remove(&(0, 0))));
    assert_eq!(tile, "reading `tile/0/000`: no tile/0/000");
    let above = without(&|log| drop(log.tiles.remove(&(1, 0))));
    assert_eq!(above, "reading `tile/1/000.p/1`: no tile/1/000.p/1");
    let torn = without(&|log| log.bundles.get_mut(&1).unwrap().truncate(15));
    assert_eq!(torn, "`tile/entries/001.p/4`: the bundle ends within its entry 3, which begins at byte 12");
}

#[test]
fn a_piece_of_another_width_than_the_tree_has_is_refused() {
    let narrower = Bundle::new(1, 3).unwrap();
    assert_eq!(verify_piece(&small(), SMALL, narrower), Err(WalkError::Entry(259)));
    let beyond = Bundle::new(2, 1).unwrap();
    assert!(verify_piece(&small(), SMALL, beyond).is_err());
}

#[test]
fn the_last_piece_below_a_tile_answers_for_it() {
    let mut log = LOG.clone();
    log.tiles.get_mut(&(2, 0)).unwrap()[0] ^= 1;
    let piece = |index| Bundle::new(index, 256).unwrap();
    assert_eq!(verify_piece(&log, MANY, piece(254)), Ok(()));
    assert_eq!(verify_piece(&log, MANY, piece(255)), Err(WalkError::Parent(Tile::new(1, 0, 256).unwrap())));
}

/// Readers of the file would take for part of the log what the tree does not have.
#[test]
fn an_entry_too_many_is_found() {
    let (whole, head) = (small(), small().frontier.head());
    for index in [0, 1] {
        let mut log = whole.clone();
        bundle::push(log.bundles.get_mut(&index).unwrap(), b"").unwrap();
        assert!(matches!(verify(&log, &head), Err(WalkError::Bundle { .. })), "bundle {index}");
    }
}

#[test]
fn an_entry_that_was_changed_is_named() {
    let (mut log, head) = (small(), small().frontier.head());
    log.bundles.get_mut(&1).unwrap()[3] ^= 1;
    assert_eq!(verify(&log, &head), Err(WalkError::Entry(256)));
}

#[test]
fn a_tile_that_fits_its_entries_but_not_the_tile_above_is_named() {
    let (mut log, head) = (small(), small().frontier.head());
    log.tiles.get_mut(&(1, 0)).unwrap()[0] ^= 1;
    assert_eq!(verify(&log, &head), Err(WalkError::Parent(Tile::new(0, 0, 256).unwrap())));
}

/// Someone who can write files but has no key: a log that is right in itself, under the checkpoint of another.
#[test]
fn a_log_that_was_rewritten_as_a_whole_is_found_out() {
    let entries = (0..SMALL).map(|index| if index == 100 { vec![] } else { index.to_be_bytes()[6..].to_vec() });
    let rewritten = MemoryLog::of(entries);
    assert_eq!(verify(&rewritten, &rewritten.frontier.head()), Ok(()));
    assert_eq!(verify(&rewritten, &small().frontier.head()), Err(WalkError::Root(SMALL)));
}

/// As the one below, of the checkpoint.
#[test]
fn every_byte_of_a_checkpoint_matters() {
    let (log, key) = (small(), signer());
    let policy = Policy::log_only(ORIGIN, key.verifier().clone());
    let signed = SignedCheckpoint::sign(Checkpoint::new(ORIGIN, log.frontier.head()).unwrap(), &key).unwrap();
    let written = signed.to_string().into_bytes();
    let holds = |bytes: &[u8]| {
        let signed = SignedCheckpoint::parse(bytes);
        signed
            .is_ok_and(|signed| policy.verify(&signed).is_ok_and(|found| verify(&log, found.checkpoint.head()).is_ok()))
    };
    assert!(holds(&written));
    for at in 0..written.len() {
        for mask in [1, 0x20, 0x80, 0xff] {
            let mut changed = written.clone();
            changed[at] ^= mask;
            assert!(!holds(&changed), "byte {at} ^ {mask}");
        }
        assert!(!holds(&written[..at]), "cut at {at}");
    }
}

/// Every byte of every file of a small log, changed: the walk must find it.
#[test]
fn every_byte_of_the_tiles_and_bundles_matters() {
    let (mut log, head) = (small(), small().frontier.head());
    assert_eq!(verify(&log, &head), Ok(()));
    let tiles: Vec<_> = log.tiles.iter().map(|(name, bytes)| (*name, bytes.len())).collect();
    assert_eq!(tiles.iter().map(|(_, length)| length).sum::<usize>(), usize::try_from(SMALL + 1).unwrap() * 32);
    for (name, length) in tiles {
        for at in 0..length {
            log.tiles.get_mut(&name).unwrap()[at] ^= 1 << (at % 8);
            assert!(verify(&log, &head).is_err(), "tile {name:?}, byte {at}");
            log.tiles.get_mut(&name).unwrap()[at] ^= 1 << (at % 8);
        }
    }
    let bundles: Vec<_> = log.bundles.iter().map(|(index, bytes)| (*index, bytes.len())).collect();
    for (index, length) in bundles {
        for at in 0..length {
            log.bundles.get_mut(&index).unwrap()[at] ^= 1 << (at % 8);
            assert!(verify(&log, &head).is_err(), "bundle {index}, byte {at}");
            log.bundles.get_mut(&index).unwrap()[at] ^= 1 << (at % 8);
        }
    }
    assert_eq!(verify(&log, &head), Ok(()), "all was put back");
}
