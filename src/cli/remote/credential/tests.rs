use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::Duration;

use super::Environment;
use super::cache::Cache;
use crate::foundation::clock::Timestamp;

const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn load(cache: &Cache, now: Timestamp) -> Option<String> {
    cache.load(now).map(|text| text.to_string())
}

#[test]
fn what_is_kept_is_private_and_used_until_shortly_before_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("credentials");
    let cache = Cache::within(&at, &["id", "role"]).unwrap();
    assert_eq!(load(&cache, NOW), None);
    cache.keep("secret", NOW, NOW.after(HOUR)).unwrap();
    assert_eq!(load(&cache, NOW).as_deref(), Some("secret"));
    assert_eq!(load(&cache, NOW.after(Duration::from_mins(49))).as_deref(), Some("secret"));
    assert_eq!(load(&cache, NOW.after(Duration::from_mins(50))), None);
    assert_eq!(load(&cache, NOW.before(Duration::from_secs(1))), None, "the clock was set back");
    assert_eq!(std::fs::metadata(&at).unwrap().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&at).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_is_asked_otherwise_or_by_another_identity_is_kept_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("credentials");
    Cache::within(&at, &["spiffe://a/b", "c"]).unwrap().keep("secret", NOW, NOW.after(HOUR)).unwrap();
    for parts in [&["spiffe://a/c", "c"][..], &["spiffe://a/b", "d"], &["spiffe://a/bc"], &["spiffe://a/b", "c", ""]] {
        assert_eq!(load(&Cache::within(&at, parts).unwrap(), NOW), None, "{parts:?}");
    }
}

#[test]
fn a_directory_or_a_file_that_others_could_have_touched_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("credentials");
    let cache = Cache::within(&at, &["id"]).unwrap();
    cache.keep("secret", NOW, NOW.after(HOUR)).unwrap();
    let file = std::fs::read_dir(&at).unwrap().next().unwrap().unwrap().path();
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(load(&cache, NOW), None);
    std::fs::set_permissions(&at, Permissions::from_mode(0o755)).unwrap();
    assert!(Cache::within(&at, &["id"]).is_err());
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_its_target_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let (at, target) = (directory.path().join("credentials"), directory.path().join("target"));
    let cache = Cache::within(&at, &["id"]).unwrap();
    cache.keep("first", NOW, NOW.after(HOUR)).unwrap();
    let file = std::fs::read_dir(&at).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&target, "mine").unwrap();
    symlink(&target, &file).unwrap();
    cache.keep("second", NOW, NOW.after(HOUR)).unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
    assert_eq!(load(&cache, NOW).as_deref(), Some("second"));
}

#[test]
fn nothing_is_kept_where_the_user_has_no_directory() {
    let open = |pairs: &[(&str, &str)]| {
        let environment: Environment =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Cache::open(&environment, &["id"])
    };
    assert!(open(&[]).unwrap().is_none());
    assert!(open(&[("HOME", ""), ("XDG_RUNTIME_DIR", "relative")]).unwrap().is_none());
    assert!(open(&[("HOME", "/proc/nowhere")]).unwrap().is_none());
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().to_str().unwrap();
    assert!(open(&[("HOME", home)]).unwrap().is_some());
    let at = directory.path().join(".cache/portcullis/credentials");
    std::fs::set_permissions(&at, Permissions::from_mode(0o755)).unwrap();
    assert!(open(&[("HOME", home)]).is_err(), "others could have put something there");
}
