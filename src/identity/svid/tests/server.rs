//! Servers that show an SVID: bundle endpoints of profile `https_spiffe`.

use std::time::Duration;

use portcullis_spiffe::SpiffeId;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa};
use rustls_pki_types::CertificateDer;

use super::mint::*;
use crate::foundation::clock::Timestamp;
use crate::identity::bundle::Bundles;
use crate::identity::svid::LeafError;
use crate::identity::svid::server::{ServerLeafError, verify_server};

/// A trust domain whose server is [`ID`], and one beside it.
struct World {
    peer: Authority,
    other: Authority,
    bundles: Bundles,
}

impl World {
    fn new() -> Self {
        let (peer, other) = (Authority::new("prod.example"), Authority::new("other.example"));
        let bundles = Bundles::new([peer.bundle(1), other.bundle(1)]);
        Self { peer, other, bundles }
    }

    fn verify(&self, leaf: &CertificateDer<'_>, now: Timestamp) -> Result<(), ServerLeafError> {
        self.verify_with(leaf, &[], now)
    }

    fn verify_with(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), ServerLeafError> {
        verify_server(leaf, intermediates, &id(ID), &self.bundles, now)
    }

    fn refusal(&self, leaf: &CertificateDer<'_>) -> LeafError {
        match self.verify(leaf, noon()).unwrap_err() {
            ServerLeafError::Leaf(error) => error,
            other => panic!("{other}"),
        }
    }
}

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

#[test]
fn a_server_is_believed_while_its_leaf_is_valid_and_not_a_second_longer() {
    let world = World::new();
    let leaf = world.peer.leaf_der(|_| {});
    let second = Duration::from_secs(1);
    for (now, believed) in [
        (not_before().before(second), false),
        (not_before(), true),
        (noon(), true),
        (not_after(), true),
        (not_after().after(second), false),
    ] {
        assert_eq!(world.verify(&leaf, now).is_ok(), believed, "{now}");
    }
    let early = world.verify(&leaf, not_before().before(second)).unwrap_err();
    assert!(matches!(early, ServerLeafError::Leaf(LeafError::NotYetValid { .. })), "{early}");
    let late = world.verify(&leaf, not_after().after(second)).unwrap_err();
    assert!(matches!(late, ServerLeafError::Leaf(LeafError::Expired { .. })), "{late}");
}

#[test]
fn an_authority_that_has_expired_vouches_for_no_server() {
    let world = World::new();
    let leaf = world.peer.leaf_der(|params| params.not_after = rcgen::date_time_ymd(2027, 1, 1));
    // The authority's own end is 2026-06-01.
    let after = Timestamp::from_unix_seconds(1_780_444_800);
    let refused = world.verify(&leaf, after).unwrap_err();
    assert_eq!(refused, ServerLeafError::Leaf(LeafError::NoAuthority("prod.example".parse().unwrap())));
}

#[test]
fn somebody_else_of_the_domain_is_not_the_server() {
    let world = World::new();
    let leaf = |id: &'static str| world.peer.leaf_der(|params| params.subject_alt_names = vec![uri(id)]);
    for other in ["spiffe://prod.example/agent/a2", "spiffe://prod.example/agent", "spiffe://prod.example/agent/a1/x"] {
        let refused = world.verify(&leaf(other), noon()).unwrap_err();
        assert_eq!(refused, ServerLeafError::SomebodyElse { found: id(other), expected: id(ID) });
    }
}

#[test]
fn only_the_bundle_of_its_own_domain_vouches_for_a_server() {
    let world = World::new();
    let forged = world.refusal(&world.other.leaf_der(|_| {}));
    assert!(matches!(forged, LeafError::Untrusted { .. }), "{forged}");
    // Whose bundle it is that we hold says nothing of who is asked for.
    let theirs = world.other.leaf_der(|params| params.subject_alt_names = vec![uri("spiffe://other.example/bundle")]);
    let refused = world.verify(&theirs, noon()).unwrap_err();
    assert!(matches!(refused, ServerLeafError::SomebodyElse { .. }), "{refused}");
    let nobody = verify_server(&world.peer.leaf_der(|_| {}), &[], &id(ID), &Bundles::default(), noon()).unwrap_err();
    assert_eq!(nobody, ServerLeafError::Leaf(LeafError::NoAuthority("prod.example".parse().unwrap())));
}

#[test]
fn what_is_no_leaf_is_no_servers() {
    let world = World::new();
    for edit in [
        (|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)) as fn(&mut CertificateParams),
        |params| params.subject_alt_names.push(uri("spiffe://prod.example/agent/a2")),
        |params| params.subject_alt_names.clear(),
        |params| params.subject_alt_names = vec![uri("spiffe://prod.example")],
    ] {
        let refused = world.refusal(&world.peer.leaf_der(edit));
        assert!(matches!(refused, LeafError::Profile(_)), "{refused}");
    }
    let noise = world.refusal(&CertificateDer::from(b"noise".to_vec()));
    assert!(matches!(noise, LeafError::Profile(_)), "{noise}");
    let client = world.peer.leaf_der(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let refused = world.refusal(&client);
    assert!(matches!(refused, LeafError::Untrusted { .. }), "made for clients alone: {refused}");
}

#[test]
fn intermediates_lead_to_the_authority_and_to_no_other() {
    let world = World::new();
    let between = world.peer.intermediate();
    let leaf = between.leaf_der(|_| {});
    assert!(world.verify_with(&leaf, &[between.der()], noon()).is_ok());
    assert!(matches!(world.refusal(&leaf), LeafError::Untrusted { .. }), "it has to come along");
    let foreign = world.other.intermediate();
    let leaf = foreign.leaf_der(|_| {});
    let refused = world.verify_with(&leaf, &[foreign.der()], noon()).unwrap_err();
    assert!(matches!(refused, ServerLeafError::Leaf(LeafError::Untrusted { .. })), "{refused}");
}
