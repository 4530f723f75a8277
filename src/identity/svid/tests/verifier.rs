//! Time, bundles and what is remembered.

use std::sync::Arc;
use std::time::Duration;

use rcgen::date_time_ymd;

use super::mint::*;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::Watched;
use crate::identity::bundle::Bundles;
use crate::identity::foreign::{ForeignDomain, ForeignIdentities};
use crate::identity::svid::{LeafError, LeafFault, LeafVerifier};

const NANO: Duration = Duration::from_nanos(1);

pub(super) fn verifier(bundles: Bundles) -> LeafVerifier {
    LeafVerifier::new(Arc::new(Watched::new(bundles)), 100)
}

fn watched(authority: &Authority) -> (Arc<Watched<Bundles>>, LeafVerifier) {
    let bundles = Arc::new(Watched::new(Bundles::new([authority.bundle(7)])));
    (Arc::clone(&bundles), LeafVerifier::new(bundles, 100))
}

fn untrusted(error: LeafError) -> LeafError {
    assert_eq!(error.fault(), LeafFault::Untrusted, "{error:?}");
    error
}

#[test]
fn a_verified_leaf_says_what_it_rests_on() {
    let authority = Authority::new("prod.example");
    let der = authority.leaf_der(|_| {});
    let (bundles, verifier) = watched(&authority);
    let leaf = verifier.verify(&present(&der), noon()).unwrap();
    assert_eq!(leaf.id.as_str(), ID);
    assert_eq!((leaf.not_before, leaf.not_after), (not_before(), not_after()));
    assert_eq!(leaf.digest, Digest::of(&der));
    assert_eq!((leaf.bundle_epoch, leaf.bundle_sequence), (bundles.load().epoch(), 7));
}

#[test]
fn a_hit_returns_the_same_leaf() {
    let authority = Authority::new("prod.example");
    let (_bundles, verifier) = watched(&authority);
    let (one, other) = (authority.leaf(|_| {}), authority.leaf(|_| {}));
    let first = verifier.verify(&one, noon()).unwrap();
    assert!(Arc::ptr_eq(&first, &verifier.verify(&one, noon()).unwrap()));
    assert!(!Arc::ptr_eq(&first, &verifier.verify(&other, noon()).unwrap()));
    assert!(Arc::ptr_eq(&first, &verifier.verify(&one, not_after()).unwrap()));
}

#[test]
fn a_replaced_bundle_refuses_a_remembered_leaf_at_once() {
    let authority = Authority::new("prod.example");
    let leaf = authority.leaf(|_| {});
    let (bundles, verifier) = watched(&authority);
    let before = verifier.verify(&leaf, noon()).unwrap();

    bundles.replace(Bundles::new([Authority::new("prod.example").bundle(8)]));
    assert!(matches!(untrusted(verifier.verify(&leaf, noon()).unwrap_err()), LeafError::Untrusted { .. }));

    let emptied = Bundles::new([bundle("prod.example", Vec::new(), 9)]);
    bundles.replace(emptied);
    assert!(matches!(untrusted(verifier.verify(&leaf, noon()).unwrap_err()), LeafError::NoAuthority(_)));

    bundles.replace(Bundles::default());
    assert!(matches!(untrusted(verifier.verify(&leaf, noon()).unwrap_err()), LeafError::NoAuthority(_)));

    let back = bundles.replace(Bundles::new([authority.bundle(10)]));
    let again = verifier.verify(&leaf, noon()).unwrap();
    assert!(!Arc::ptr_eq(&before, &again));
    assert_eq!((again.bundle_epoch, again.bundle_sequence), (back, 10));
}

#[test]
fn a_refusal_is_not_remembered() {
    let authority = Authority::new("prod.example");
    let leaf = authority.leaf(|_| {});
    let (_bundles, verifier) = watched(&authority);
    assert!(verifier.verify(&leaf, not_before().before(NANO)).is_err());
    assert!(verifier.verify(&leaf, noon()).is_ok());
}

#[test]
fn a_leaf_expires_while_it_is_remembered() {
    let authority = Authority::new("prod.example");
    let leaf = authority.leaf(|_| {});
    let (_bundles, verifier) = watched(&authority);
    verifier.verify(&leaf, noon()).unwrap();
    assert!(verifier.verify(&leaf, not_after()).is_ok());
    let error = verifier.verify(&leaf, not_after().after(NANO)).unwrap_err();
    assert_eq!(error, LeafError::Expired { id: ID.parse().unwrap(), not_after: not_after() });
    assert_eq!(error.fault(), LeafFault::OutOfTime);
}

#[test]
fn a_leaf_is_not_valid_before_its_time_also_if_the_clock_steps_back() {
    let authority = Authority::new("prod.example");
    let leaf = authority.leaf(|_| {});
    let (_bundles, verifier) = watched(&authority);
    let early = not_before().before(NANO);
    let expected = LeafError::NotYetValid { id: ID.parse().unwrap(), not_before: not_before() };
    assert_eq!(verifier.verify(&leaf, early), Err(expected.clone()));
    assert!(verifier.verify(&leaf, not_before()).is_ok());
    assert_eq!(verifier.verify(&leaf, early), Err(expected.clone()));
    assert_eq!(expected.fault(), LeafFault::OutOfTime);
}

#[test]
fn an_authority_takes_its_leaves_with_it_when_it_expires() {
    // 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z, inside the life of the leaf.
    let authority = Authority::with("prod.example", |params| {
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 2);
    });
    let leaf = authority.leaf(|params| {
        params.not_before = date_time_ymd(2025, 12, 1);
        params.not_after = date_time_ymd(2026, 3, 1);
    });
    let (_bundles, verifier) = watched(&authority);
    let chain = verifier.verify(&leaf, noon()).unwrap();
    assert_eq!((chain.not_before, chain.not_after), (not_before(), not_after()));
    for outside in [not_before().before(NANO), not_after().after(NANO)] {
        let error = untrusted(verifier.verify(&leaf, outside).unwrap_err());
        assert!(matches!(error, LeafError::NoAuthority(_)), "{error:?}");
    }
}

#[test]
fn two_authorities_of_one_name_both_vouch_while_one_follows_the_other() {
    let (old, new) = (Authority::new("prod.example"), Authority::new("prod.example"));
    let both = bundle("prod.example", vec![old.der(), new.der()], 2);
    let verifier = verifier(Bundles::new([both]));
    for authority in [&old, &new] {
        assert_eq!(verifier.verify(&authority.leaf(|_| {}), noon()).unwrap().id.as_str(), ID);
    }
}

#[test]
fn no_more_leaves_are_remembered_than_there_is_room_for() {
    let authority = Authority::new("prod.example");
    let bundles = Arc::new(Watched::new(Bundles::new([authority.bundle(1)])));
    let verifier = LeafVerifier::new(bundles, 3);
    let leaves: Vec<_> = (0..10).map(|_| authority.leaf(|_| {})).collect();
    for leaf in &leaves {
        verifier.verify(leaf, noon()).unwrap();
    }
    verifier.verified.run_pending_tasks();
    assert_eq!(verifier.verified.entry_count(), 3);
}

#[test]
fn a_leaf_from_before_1970_is_long_expired() {
    let authority = Authority::new("prod.example");
    let leaf = authority.leaf(|params| {
        params.not_before = date_time_ymd(1960, 1, 1);
        params.not_after = date_time_ymd(1961, 1, 1);
    });
    let (_bundles, verifier) = watched(&authority);
    assert!(verifier.verify(&leaf, noon()).is_err());
    assert!(verifier.verify(&leaf, Timestamp::default()).is_err());
}

#[test]
fn a_foreign_identity_counts_if_it_is_let_in_and_a_change_of_that_is_obeyed_at_once() {
    let partner = Authority::new("partner.example");
    let leaf = partner.leaf(|params| params.subject_alt_names = vec![uri("spiffe://partner.example/prod/web")]);
    let (bundles, verifier) = watched(&partner);
    assert!(verifier.verify(&leaf, noon()).is_ok());
    let listing = |paths: &[&str]| {
        let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
        let domain = ForeignDomain { paths, ..ForeignDomain::default() };
        let listed = [("partner.example".parse().unwrap(), domain)].into();
        let foreign = Arc::new(ForeignIdentities::new(&"prod.example".parse().unwrap(), listed, true));
        bundles.update(|known| Some(known.clone().with_foreign(foreign)));
    };
    listing(&["/prod"]);
    assert!(verifier.verify(&leaf, noon()).is_ok());
    listing(&["/pro", "/prod/web/1", "/dev"]);
    let refused = verifier.verify(&leaf, noon()).unwrap_err();
    assert_eq!(refused, LeafError::NotAdmitted("spiffe://partner.example/prod/web".parse().unwrap()));
    assert_eq!(refused.fault(), LeafFault::Foreign);
    // It has to be good before it is said whether it is let in.
    let forged = Authority::new("partner.example");
    let forged = forged.leaf(|params| params.subject_alt_names = vec![uri("spiffe://partner.example/prod/web")]);
    untrusted(verifier.verify(&forged, noon()).unwrap_err());
    // A bundle that is replaced changes nothing of it.
    bundles.update(|known| known.with(partner.bundle(8)));
    assert_eq!(verifier.verify(&leaf, noon()).unwrap_err().fault(), LeafFault::Foreign);
}

/// The one that signed is found, and the budget of signatures is that of one verification: a bundle of hundreds of
/// authorities of one name costs no more, and then nobody is believed by it.
#[test]
fn authorities_of_one_name_are_told_apart_within_one_budget() {
    let authorities: Vec<Authority> = (0..5).map(|_| Authority::new("prod.example")).collect();
    let all = authorities.iter().map(Authority::der).collect::<Vec<_>>();
    let verifier = verifier(Bundles::new([bundle("prod.example", all.clone(), 1)]));
    for (authority, certificate) in authorities.iter().zip(&all) {
        let leaf = verifier.verify(&authority.leaf(|_| {}), noon()).unwrap();
        assert_eq!(leaf.authority, Digest::of(certificate));
    }
    let many: Vec<_> = std::iter::repeat_with(|| Authority::new("prod.example").der()).take(150).collect();
    let verifier = self::verifier(Bundles::new([bundle("prod.example", many, 1)]));
    let refused = untrusted(verifier.verify(&authorities[0].leaf(|_| {}), noon()).unwrap_err());
    let reason = webpki::Error::MaximumSignatureChecksExceeded;
    assert_eq!(refused, LeafError::Untrusted { id: ID.parse().unwrap(), reason });
}
