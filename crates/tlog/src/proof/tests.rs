mod argon2020;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;

use super::*;
use crate::hash::{Hash, leaf_hash};
use crate::testing::{LOG, MANY, UniformLog, entry, flip_hash, naive_path, naive_proof, naive_root};
use crate::tree::{MAX_SIZE, ReadError, TreeHead, TreeReader};

fn tree(size: u64) -> TreeReader<'static, crate::testing::MemoryLog> {
    TreeReader::new(size, &*LOG).unwrap()
}

fn leaves(size: u64) -> &'static [Hash] {
    &LOG.leaves[..usize::try_from(size).unwrap()]
}

fn head(size: u64) -> TreeHead {
    TreeHead { size, root: naive_root(leaves(size)) }
}

fn concatenated(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

#[test]
fn every_proof_of_small_trees_is_the_naive_one_and_holds() {
    for size in 1..=70 {
        let head = head(size);
        for index in 0..size {
            let proof = inclusion(&mut tree(size), index).unwrap();
            assert_eq!(proof, naive_path(usize::try_from(index).unwrap(), leaves(size)), "{index} of {size}");
            let leaf = leaves(size)[usize::try_from(index).unwrap()];
            assert_eq!(verify_inclusion(&head, index, &leaf, &proof), Ok(()), "{index} of {size}");
            for other in (0..size + 3).filter(|other| *other != index) {
                assert!(verify_inclusion(&head, other, &leaf, &proof).is_err(), "{index} of {size} as {other}");
            }
        }
        for old in 1..=size {
            let proof = consistency(&mut tree(size), old).unwrap();
            assert_eq!(proof, naive_proof(usize::try_from(old).unwrap(), leaves(size)), "{old} to {size}");
            assert_eq!(verify_consistency(&self::head(old), &head, &proof), Ok(()), "{old} to {size}");
        }
    }
}

#[test]
fn proofs_are_those_of_ct_merkle() {
    let mut other: MemoryBackedTree<Sha256, Vec<u8>> = MemoryBackedTree::new();
    for size in 1..=300 {
        other.push(entry(size - 1));
        for index in [0, 1, size / 3, size / 2, size - 1].into_iter().filter(|index| *index < size) {
            let ours = inclusion(&mut tree(size), index).unwrap();
            let theirs = other.prove_inclusion(usize::try_from(index).unwrap());
            assert_eq!(concatenated(&ours), theirs.as_bytes(), "{index} of {size}");
            assert!(other.root().verify_inclusion(&entry(index), index, &theirs).is_ok());
        }
        for old in [1, 2, size / 3, size / 2, size - 1, size].into_iter().filter(|old| (1..=size).contains(old)) {
            let ours = consistency(&mut tree(size), old).unwrap();
            let theirs = other.prove_consistency(usize::try_from(size - old).unwrap());
            assert_eq!(concatenated(&ours), theirs.as_bytes(), "{old} to {size}");
        }
    }
}

#[test]
fn the_empty_tree_is_the_beginning_of_all_and_needs_no_proof() {
    assert_eq!(consistency(&mut tree(5), 0), Ok(Vec::new()));
    assert_eq!(consistency(&mut tree(0), 0), Ok(Vec::new()));
    assert_eq!(verify_consistency(&TreeHead::empty(), &head(5), &[]), Ok(()));
    assert_eq!(verify_consistency(&TreeHead::empty(), &TreeHead::empty(), &[]), Ok(()));
    assert_eq!(verify_consistency(&TreeHead::empty(), &head(5), &[LOG.leaves[0]]), Err(ProofError::Length(1)));
    let another = TreeHead { size: 0, root: LOG.leaves[0] };
    assert_eq!(verify_consistency(&another, &head(5), &[]), Err(ProofError::Root { size: 0 }));
    assert_eq!(verify_consistency(&another, &another, &[]), Err(ProofError::Root { size: 0 }));
    assert_eq!(verify_consistency(&TreeHead::empty(), &another, &[]), Err(ProofError::Root { size: 0 }));
}

#[test]
fn equal_trees_need_no_proof_and_equal_sizes_are_not_enough() {
    let fork = TreeHead { root: LOG.leaves[0], ..head(5) };
    assert_eq!(verify_consistency(&head(5), &head(5), &[]), Ok(()));
    assert_eq!(verify_consistency(&head(5), &fork, &[]), Err(ProofError::Root { size: 5 }));
    assert_eq!(verify_consistency(&head(5), &head(5), &[head(5).root]), Err(ProofError::Length(1)));
}

#[test]
fn a_tree_that_shrinks_is_refused() {
    assert_eq!(verify_consistency(&head(6), &head(5), &[]), Err(ProofError::Shrunk { old: 6, new: 5 }));
    assert_eq!(verify_consistency(&head(6), &TreeHead::empty(), &[]), Err(ProofError::Shrunk { old: 6, new: 0 }));
}

#[test]
fn what_is_not_in_the_tree_has_no_proof() {
    assert_eq!(inclusion(&mut tree(5), 5), Err(ReadError::OutOfRange { asked: 5, size: 5 }));
    assert_eq!(inclusion(&mut tree(0), 0), Err(ReadError::OutOfRange { asked: 0, size: 0 }));
    assert_eq!(consistency(&mut tree(5), 6), Err(ReadError::OutOfRange { asked: 6, size: 5 }));
    let out_of_range = ProofError::OutOfRange { index: 5, size: 5 };
    assert_eq!(verify_inclusion(&head(5), 5, &LOG.leaves[5], &[]), Err(out_of_range));
    assert!(verify_inclusion(&TreeHead::empty(), 0, &LOG.leaves[0], &[]).is_err());
}

/// An inner node with its two children in one "entry" must not pass as an entry one level up.
#[test]
fn an_inner_node_is_not_an_entry() {
    let children = [LOG.leaves[0].as_ref(), LOG.leaves[1].as_ref()].concat();
    let proof = inclusion(&mut tree(4), 0).unwrap();
    let shortened = &proof[1..];
    assert!(verify_inclusion(&head(4), 0, &leaf_hash(&children), shortened).is_err());
    assert!(verify_inclusion(&head(4), 0, &leaf_hash(&[&[1], children.as_slice()].concat()), shortened).is_err());
}

/// Sizes that come from a stranger: no arithmetic may overflow, and no loop may run long.
#[test]
fn sizes_up_to_the_largest_number_end_in_an_error() {
    let root = LOG.leaves[0];
    for proof in [vec![], vec![root; 63], vec![root; 64], vec![root; 70]] {
        for size in [1, 2, 3, 1 << 63, (1 << 63) - 1, u64::MAX - 1, u64::MAX] {
            let large = TreeHead { size: u64::MAX, root };
            let _any = verify_inclusion(&large, size - 1, &root, &proof);
            if size < u64::MAX {
                assert!(verify_consistency(&TreeHead { size, root }, &large, &proof).is_err());
            }
        }
    }
}

/// Each hash of a proof, with the first bit that differs from `bit` on flipped; and the proof too short and too long.
fn tampered(proof: &[Hash], bit: usize) -> Vec<Vec<Hash>> {
    let flipped = (0..proof.len()).map(|at| {
        let mut changed = proof.to_vec();
        changed[at] = flip_hash(&changed[at], bit);
        changed
    });
    let cut = (0..proof.len()).map(|end| proof[..end].to_vec());
    let behead = proof.split_first().map(|(_, rest)| rest.to_vec());
    let longer = [[proof, &[LOG.leaves[0]]].concat(), [&[LOG.leaves[0]], proof].concat()];
    flipped.chain(cut).chain(behead).chain(longer).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_entry_of_a_large_tree_has_a_proof_and_nothing_else_has(
        size in 1..MANY, at in any::<prop::sample::Index>(), bit in 0..256_usize,
    ) {
        let index = at.index(usize::try_from(size).unwrap());
        let (leaf, head, number) = (LOG.leaves[index], head(size), u64::try_from(index).unwrap());
        let proof = inclusion(&mut tree(size), number).unwrap();
        prop_assert_eq!(&proof, &naive_path(index, leaves(size)));
        prop_assert_eq!(verify_inclusion(&head, number, &leaf, &proof), Ok(()));
        for wrong in tampered(&proof, bit) {
            prop_assert!(verify_inclusion(&head, number, &leaf, &wrong).is_err());
        }
        for bit_of_index in 0..64 {
            prop_assert!(verify_inclusion(&head, number ^ 1 << bit_of_index, &leaf, &proof).is_err());
        }
        prop_assert!(verify_inclusion(&head, number, &flip_hash(&leaf, bit), &proof).is_err());
        let other_root = TreeHead { root: flip_hash(&head.root, bit), ..head };
        prop_assert!(verify_inclusion(&other_root, number, &leaf, &proof).is_err());
    }

    #[test]
    fn a_large_tree_continues_its_beginnings_and_nothing_else(
        size in 2..MANY, at in any::<prop::sample::Index>(), bit in 0..256_usize,
    ) {
        let old = 1 + at.index(usize::try_from(size).unwrap() - 1);
        let (before, now) = (head(u64::try_from(old).unwrap()), head(size));
        let proof = consistency(&mut tree(size), before.size).unwrap();
        prop_assert_eq!(&proof, &naive_proof(old, leaves(size)));
        prop_assert_eq!(verify_consistency(&before, &now, &proof), Ok(()));
        for wrong in tampered(&proof, bit) {
            prop_assert!(verify_consistency(&before, &now, &wrong).is_err());
        }
        let other_before = TreeHead { root: flip_hash(&before.root, bit), ..before };
        prop_assert!(verify_consistency(&other_before, &now, &proof).is_err());
        let other_now = TreeHead { root: flip_hash(&now.root, bit), ..now };
        prop_assert!(verify_consistency(&before, &other_now, &proof).is_err());
    }

    #[test]
    fn proofs_of_trees_of_any_size_hold(sizes in (1..=MAX_SIZE, 0..63_u32), at in any::<u64>(), bit in 0..256_usize) {
        let size = (sizes.0 >> sizes.1).max(1);
        let mut tree = TreeReader::new(size, &UniformLog).unwrap();
        let (now, leaf) = (tree.head().unwrap(), leaf_hash(b"same"));
        let included = inclusion(&mut tree, at % size).unwrap();
        prop_assert!(included.len() <= MAX_HASHES);
        prop_assert_eq!(verify_inclusion(&now, at % size, &leaf, &included), Ok(()));
        let old = TreeReader::new(1 + at % size, &UniformLog).unwrap().head().unwrap();
        let continued = consistency(&mut tree, old.size).unwrap();
        prop_assert!(continued.len() <= MAX_HASHES || size > 1 << 62);
        prop_assert_eq!(verify_consistency(&old, &now, &continued), Ok(()));
        for wrong in tampered(&continued, bit) {
            prop_assert!(verify_consistency(&old, &now, &wrong).is_err());
        }
    }

    #[test]
    fn hashes_that_a_stranger_gives_prove_nothing(
        sizes in any::<(u64, u64)>(), index in any::<u64>(), hashes in prop::collection::vec(any::<[u8; 32]>(), 0..66),
    ) {
        let hashes: Vec<Hash> = hashes.into_iter().map(Hash::from).collect();
        let (old, new) = (TreeHead { size: sizes.0, root: LOG.leaves[1] }, TreeHead { size: sizes.1, root: LOG.leaves[2] });
        prop_assert!(verify_inclusion(&new, index, &LOG.leaves[0], &hashes).is_err());
        prop_assert!(verify_consistency(&old, &new, &hashes).is_err());
    }
}
