use aws_lc_rs::digest::{SHA256, digest};

use super::*;

fn hex(hash: &Hash) -> String {
    hex::encode(hash)
}

#[test]
fn the_empty_tree_and_the_empty_entry_have_the_hashes_of_rfc_6962() {
    assert_eq!(hex(&empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(hex(&leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

/// The leaves and nodes of the test tree that Certificate Transparency's implementations share.
#[test]
fn leaves_and_nodes_have_the_published_hashes() {
    let leaf = leaf_hash(&[0x00]);
    assert_eq!(hex(&leaf), "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7");
    let node = node_hash(&leaf_hash(b""), &leaf);
    assert_eq!(hex(&node), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
}

#[test]
fn an_entry_of_any_length_is_hashed_whole() {
    for length in [0, 1, 54, 55, 56, 63, 64, 65, 127, 128, 1000, 1022, 1023, 1024, 65535] {
        let entry = vec![0xa5; length];
        let whole = digest(&SHA256, &[&[0], entry.as_slice()].concat());
        assert_eq!(leaf_hash(&entry).as_bytes(), whole.as_ref(), "{length} bytes");
    }
}

/// Second preimage: what is hashed into a node must not be an entry with the same hash.
#[test]
fn no_entry_has_the_hash_of_a_node() {
    let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
    let entry = [left.as_ref(), right.as_ref()].concat();
    assert_ne!(leaf_hash(&entry), node_hash(&left, &right));
    assert_ne!(leaf_hash(&[&[1], entry.as_slice()].concat()), node_hash(&left, &right));
    assert_ne!(node_hash(&left, &right), node_hash(&right, &left));
}

#[test]
fn a_hash_has_one_spelling() {
    let hash = leaf_hash(b"x");
    let text = hash.to_string();
    assert_eq!(text.len(), 44);
    assert_eq!(text.parse(), Ok(hash));
    let unpadded = text.trim_end_matches('=');
    let trailing_bits = format!("{}B=", text.split_at(42).0);
    let in_url_alphabet = "_".repeat(42) + "8=";
    for other in ["", unpadded, &trailing_bits, &in_url_alphabet, &format!("{text}\n"), &format!("{text}AAAA"), "AAAA"]
    {
        assert_eq!(other.parse::<Hash>(), Err(HashError), "{other:?}");
    }
}
