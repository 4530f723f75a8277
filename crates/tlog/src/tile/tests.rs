use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn theirs(tile: &tlog_tiles::Tile) -> Tile {
    Tile::new(tile.level(), tile.level_index(), u16::try_from(tile.width()).unwrap()).unwrap()
}

#[test]
fn a_tree_has_the_tiles_of_the_specification() {
    let mut by_level: BTreeMap<u8, Vec<u16>> = BTreeMap::new();
    for tile in tiles(70_000) {
        by_level.entry(tile.level()).or_default().push(tile.width());
    }
    let mut first = vec![256; 273];
    first.push(112);
    assert_eq!(by_level, BTreeMap::from([(0, first), (1, vec![256, 17]), (2, vec![1])]));
    let of_256: Vec<Tile> = tiles(256).collect();
    assert_eq!(of_256, [Tile::new(0, 0, 256).unwrap(), Tile::new(1, 0, 1).unwrap()]);
    assert_eq!(tiles(0).count(), 0);
}

#[test]
fn a_tile_that_no_tree_can_have_is_none() {
    for (level, index, width) in [
        (0, 0, 0),
        (0, 0, 257),
        (8, 0, 1),
        (255, 0, 1),
        (0, u64::MAX, 256),
        (7, u64::MAX, 256),
        (7, u64::MAX, 1),
        (7, 1 << 56, 1),
        (0, 1 << 55, 1),
        (7, 0, 128),
        (7, 1, 1),
        (6, 127, 256),
    ] {
        assert_eq!(Tile::new(level, index, width), None, "{level} {index} {width}");
    }
    assert!(Tile::new(7, 0, 127).is_some());
    assert!(Tile::new(0, (1 << 55) - 1, 255).is_some());
    assert_eq!(tiles_between(MAX_SIZE - 1, MAX_SIZE).count(), 1);
    assert_eq!(tiles_between(MAX_SIZE, u64::MAX).count(), 0);
}

/// tlog-tiles, "Pruning": what ends at or below the minimum index may go.
#[test]
fn a_tile_ends_where_the_entries_below_it_end() {
    let end = |level, index, width| Tile::new(level, index, width).unwrap().end();
    assert_eq!(end(0, 0, 256), 256);
    assert_eq!(end(0, 3, 1), 1024);
    assert_eq!(end(1, 0, 7), 65536);
    assert_eq!(end(2, 1, 7), 2 << 24);
    assert_eq!(end(7, 0, 1), u64::MAX);
}

#[test]
fn only_as_many_hashes_as_there_are_is_a_tile() {
    let tile = Tile::new(0, 0, 3).unwrap();
    let three: Vec<u8> = (0..96).collect();
    let parsed = tile.parse(&three).unwrap();
    assert_eq!(parsed.iter().map(|hash| hash.as_bytes()[0]).collect::<Vec<_>>(), [0, 32, 64]);
    for found in [0, 64, 95, 97, 128, 8191, 8192, 8193, 8224] {
        assert_eq!(tile.parse(&vec![0; found]), Err(TileError { tile, found }));
    }
    let error = tile.parse(&[]).unwrap_err().to_string();
    assert_eq!(error, "`tile/0/000.p/3` has 0 bytes instead of 96");
}

proptest! {
    #[test]
    fn what_changes_is_what_tlog_tiles_says(old in 0_u64..200_000, more in 0_u64..2000) {
        let expected: Vec<Tile> = tlog_tiles::Tile::new_tiles(8, old, old + more).iter().map(theirs).collect();
        prop_assert_eq!(tiles_between(old, old + more).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn tiles_of_two_steps_make_those_of_one(sizes in [0_u64..80_000, 0_u64..80_000, 0_u64..80_000]) {
        let mut sizes = sizes;
        sizes.sort_unstable();
        let widest = |tiles: &mut dyn Iterator<Item = Tile>| -> BTreeMap<(u8, u64), u16> {
            tiles.map(|tile| ((tile.level(), tile.index()), tile.width())).collect()
        };
        let [first, second, third] = sizes;
        let mut steps = tiles_between(first, second).chain(tiles_between(second, third));
        prop_assert_eq!(widest(&mut steps), widest(&mut tiles_between(first, third)));
    }

    #[test]
    fn nothing_changes_without_growth(old in any::<u64>(), less in any::<u64>()) {
        prop_assert_eq!(tiles_between(old, old.saturating_sub(less)).count(), 0);
    }
}
