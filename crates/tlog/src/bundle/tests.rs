use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn bundle(entries: &[&[u8]]) -> Vec<u8> {
    let mut bundle = Vec::new();
    for entry in entries {
        push(&mut bundle, entry).unwrap();
    }
    bundle
}

#[test]
fn an_entry_has_its_length_before_it() {
    assert_eq!(bundle(&[b"ab", b"", b"c"]), [0, 2, b'a', b'b', 0, 0, 0, 1, b'c']);
    assert_eq!(bundle(&[&[7; 256]])[..3], [1, 0, 7]);
}

#[test]
fn an_entry_that_is_too_long_is_refused_and_leaves_the_bundle_as_it_was() {
    let mut bundle = bundle(&[b"first"]);
    let before = bundle.clone();
    assert_eq!(push(&mut bundle, &vec![0; MAX_ENTRY + 1]), Err(BundleError::TooLong(65536)));
    assert_eq!(bundle, before);
    assert_eq!(push(&mut bundle, &vec![0; MAX_ENTRY]), Ok(()));
    assert_eq!(parse(&bundle, 2).unwrap()[1].len(), MAX_ENTRY);
}

#[test]
fn only_the_right_number_of_entries_is_a_bundle() {
    let three = bundle(&[b"a", b"b", b"c"]);
    assert_eq!(parse(&three, 3), Ok(vec![b"a".as_slice(), b"b", b"c"]));
    assert_eq!(parse(&three, 2), Err(BundleError::Count { found: 3, expected: 2 }));
    assert_eq!(parse(narrow(&three, 2).unwrap(), 2), Ok(vec![b"a".as_slice(), b"b"]));
    assert_eq!(narrow(&three, 3), Ok(three.as_slice()));
    assert_eq!(narrow(&three, 4), Err(BundleError::Count { found: 3, expected: 4 }));
    assert_eq!(narrow(&three[..4], 2), Err(BundleError::Torn { entry: 1, offset: 3 }));
    assert_eq!(parse(&three, 4), Err(BundleError::Count { found: 3, expected: 4 }));
    assert_eq!(parse(&[], 1), Err(BundleError::Count { found: 0, expected: 1 }));
    let full = bundle(&[b"x".as_slice(); 256]);
    assert_eq!(parse(&full, 256).map(|entries| entries.len()), Ok(256));
    let overfull = bundle(&[b"x".as_slice(); 257]);
    assert_eq!(parse(&overfull, 256), Err(BundleError::Count { found: 257, expected: 256 }));
}

#[test]
fn a_torn_bundle_shows_how_much_of_it_is_whole() {
    let whole = bundle(&[b"first", b"second"]);
    for end in 0..=whole.len() {
        let mut entries = Entries::new(&whole[..end]);
        let found: Vec<_> = entries.by_ref().map_while(Result::ok).collect();
        let expected = if end < 7 { 0 } else { 1 + usize::from(end == whole.len()) };
        assert_eq!((found.len(), entries.offset()), (expected, [0, 7, 15][expected]), "cut at {end}");
        let torn = ![0, 7, 15].contains(&end);
        let error = BundleError::Torn { entry: expected, offset: [0, 7, 15][expected] };
        assert_eq!(Entries::new(&whole[..end]).find_map(Result::err), torn.then_some(error), "cut at {end}");
    }
}

#[test]
fn a_bundle_that_no_log_can_have_is_none() {
    for (index, width) in [(0, 0), (0, 257), (u64::MAX, 1), (1 << 55, 1), ((1 << 55) - 1, 256)] {
        assert_eq!(Bundle::new(index, width), None);
    }
    let last = Bundle::new((1 << 55) - 1, 255).unwrap();
    assert_eq!(last.entries(), MAX_SIZE - 255..MAX_SIZE);
}

#[test]
fn growth_changes_the_last_bundle_and_adds_new_ones() {
    let between = |old, new| -> Vec<(u64, u16)> {
        bundles_between(old, new).map(|bundle| (bundle.index(), bundle.width())).collect()
    };
    assert_eq!(between(0, 0), []);
    assert_eq!(between(0, 3), [(0, 3)]);
    assert_eq!(between(3, 256), [(0, 256)]);
    assert_eq!(between(256, 257), [(1, 1)]);
    assert_eq!(between(255, 600), [(0, 256), (1, 256), (2, 88)]);
    assert_eq!(between(600, 600), []);
    assert_eq!(between(600, 3), []);
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in vec(vec(any::<u8>(), 0..20), 0..=64)) {
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let bytes = bundle(&entries);
        let width = u16::try_from(entries.len()).unwrap();
        prop_assert_eq!(parse(&bytes, width).unwrap(), entries);
    }

    #[test]
    fn any_bytes_are_what_would_be_written_or_refused(bytes in vec(prop_oneof![Just(0), 0..4_u8, any::<u8>()], 0..100)) {
        let mut entries = Entries::new(&bytes);
        let whole: Vec<&[u8]> = entries.by_ref().map_while(Result::ok).collect();
        let end = entries.offset();
        prop_assert_eq!(&bundle(&whole), &bytes[..end]);
        let width = u16::try_from(whole.len()).unwrap();
        prop_assert_eq!(parse(&bytes, width).is_ok(), end == bytes.len());
    }
}
