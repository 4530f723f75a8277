use proptest::prelude::*;

use super::*;
use crate::tree::MAX_SIZE;

fn tile(level: u8, index: u64, width: u16) -> Resource {
    Resource::Tile(Tile::new(level, index, width).unwrap())
}

fn entries(index: u64, width: u16) -> Resource {
    Resource::Entries(Bundle::new(index, width).unwrap())
}

#[test]
fn resources_have_the_paths_of_the_specification() {
    let cases = [
        ("checkpoint", Resource::Checkpoint),
        ("tile/0/000", tile(0, 0, 256)),
        ("tile/0/x001/x234/067", tile(0, 1_234_067, 256)),
        ("tile/3/x001/000.p/1", tile(3, 1000, 1)),
        ("tile/7/000.p/127", tile(7, 0, 127)),
        ("tile/entries/999.p/255", entries(999, 255)),
        ("tile/0/x036/x028/x797/x018/x963/967.p/255", tile(0, (1 << 55) - 1, 255)),
    ];
    for (path, resource) in cases {
        assert_eq!(path.parse(), Ok(resource));
        assert_eq!(resource.to_string(), path);
    }
}

#[test]
fn everything_else_is_refused_for_a_reason() {
    let cases = [
        ("", PathError::Unknown),
        ("checkpoint/", PathError::Unknown),
        ("/checkpoint", PathError::Unknown),
        ("tile", PathError::Unknown),
        ("Tile/0/000", PathError::Unknown),
        ("tile/", PathError::Level),
        ("tile/000", PathError::Level),
        ("tile/00/000", PathError::Level),
        ("tile/+1/000", PathError::Level),
        ("tile/-1/000", PathError::Level),
        ("tile/8/000", PathError::Level),
        ("tile/64/000", PathError::Level),
        ("tile/256/000", PathError::Level),
        ("tile//000", PathError::Level),
        ("tile/data/000", PathError::Level),
        ("tile/entries", PathError::Level),
        ("tile/8/0/000", PathError::Level),
        ("tile/0/", PathError::Index),
        ("tile/0/0", PathError::Index),
        ("tile/0/0000", PathError::Index),
        ("tile/0/x000", PathError::Index),
        ("tile/0/x000/001", PathError::Index),
        ("tile/0/001/002", PathError::Index),
        ("tile/0/x001/x002", PathError::Index),
        ("tile/0/xx01/002", PathError::Index),
        ("tile/0/x1/002", PathError::Index),
        ("tile/0/x001//002", PathError::Index),
        ("tile/0/x001/002/", PathError::Index),
        ("tile/0/../000", PathError::Index),
        ("tile/0/+00", PathError::Index),
        ("tile/0/ 00", PathError::Index),
        ("tile/0/٠٠٠", PathError::Index),
        ("tile/0/000.p", PathError::Index),
        ("tile/0/x099/x999/x999/x999/x999/x999/999", PathError::Index),
        ("tile/0/000.p/", PathError::Width),
        ("tile/0/000.p/0", PathError::Width),
        ("tile/0/000.p/01", PathError::Width),
        ("tile/0/000.p/256", PathError::Width),
        ("tile/0/000.p/65537", PathError::Width),
        ("tile/0/000.p/1/", PathError::Width),
        ("tile/0/000.p/1.p/1", PathError::Width),
        ("tile/entries/000.p/+1", PathError::Width),
        ("tile/7/000", PathError::OutOfRange),
        ("tile/7/001.p/1", PathError::OutOfRange),
        ("tile/0/x018/x446/x744/x073/x709/x551/615", PathError::OutOfRange),
        ("tile/entries/x036/x028/x797/x018/x963/967", PathError::OutOfRange),
    ];
    for (path, reason) in cases {
        assert_eq!(path.parse::<Resource>(), Err(reason), "{path}");
    }
    assert_eq!("tile/entries/000".parse::<Tile>(), Err(PathError::Level));
    assert_eq!("tile/0/000".parse::<Bundle>(), Err(PathError::Level));
}

/// A level, an index and a width of a tile that a tree can have.
fn any_tile() -> impl Strategy<Value = Tile> {
    let place = (0..=tile::MAX_LEVEL, any::<u64>(), 0..64_u32, 1..=tile::FULL_WIDTH);
    let tile = place.prop_map(|(level, index, shift, width)| Tile::new(level, index >> shift, width));
    tile.prop_filter_map("no tree has it", |tile| tile)
}

proptest! {
    #[test]
    fn a_path_leads_back_to_its_tile(tile in any_tile()) {
        let path = tile.to_string();
        prop_assert_eq!(path.parse(), Ok(tile));
        let theirs = tlog_tiles::Tile::new(8, tile.level(), tile.index(), u32::from(tile.width()), false).path();
        prop_assert_eq!(Some(path.strip_prefix("tile/").unwrap()), theirs.strip_prefix("tile/8/"));
    }

    #[test]
    fn a_path_leads_back_to_its_bundle(index in 0..MAX_SIZE / 256, width in 1..=tile::FULL_WIDTH) {
        let bundle = Bundle::new(index, width).unwrap();
        prop_assert_eq!(bundle.to_string().parse(), Ok(bundle));
        prop_assert_eq!(bundle.to_string().replace("entries", "0"), bundle.tile().to_string());
    }

    #[test]
    fn any_path_is_canonical_or_refused(path in "(tile/)?([0-9]{1,2}/|entries/)?(x?[0-9]{0,4}/){0,3}[0-9]{3}([.]p/[0-9]{1,3})?") {
        if let Ok(resource) = path.parse::<Resource>() {
            prop_assert_eq!(resource.to_string(), path);
        }
    }
}
