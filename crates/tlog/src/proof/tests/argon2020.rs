//! Proofs that another implementation has made: the log "argon2020" of Certificate Transparency at 961 984 011 entries,
//! as Go's and Cloudflare's tests have them too.

use super::*;

const INCLUSION: &str = include_str!("argon2020-inclusion.txt");
const CONSISTENCY: &str = include_str!("argon2020-consistency.txt");

fn hash(text: &str) -> Hash {
    text.parse().unwrap()
}

fn hashes(lines: &str) -> Vec<Hash> {
    lines.lines().map(hash).collect()
}

fn now() -> TreeHead {
    TreeHead { size: 961_984_011, root: hash("AWxD3p811N3m4WTinWRXPvBZHfT9IR9g/R4C7SKLPiU=") }
}

#[test]
fn an_entry_of_a_public_log_is_in_it() {
    let leaf = hash("nCs3mfIydh9x4CKyQ+u2xtmpxmFggA5MLymHwNQSlLg=");
    assert_eq!(verify_inclusion(&now(), 10_000, &leaf, &hashes(INCLUSION)), Ok(()));
    assert!(verify_inclusion(&now(), 10_001, &leaf, &hashes(INCLUSION)).is_err());
}

#[test]
fn a_public_log_has_grown_and_not_changed() {
    let before = TreeHead { size: 3_654_490, root: hash("AuIZ5V6sDUj1vn3Y1K85oOaQ7y+FJJKtyRTl1edIKBQ=") };
    assert_eq!(verify_consistency(&before, &now(), &hashes(CONSISTENCY)), Ok(()));
    let shorter = TreeHead { size: 3_654_489, ..before };
    assert!(verify_consistency(&shorter, &now(), &hashes(CONSISTENCY)).is_err());
}
