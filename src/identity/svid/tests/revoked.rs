//! Leaves that are in a revocation list, and lists that are not what they should be.

use std::sync::Arc;

use rcgen::{CertificateRevocationListParams, DnType, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd};
use rustls_pki_types::CertificateRevocationListDer;

use super::mint::*;
use super::verifier::verifier;
use crate::foundation::watched::Watched;
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::svid::{LeafError, LeafFault, LeafVerifier};

const BAD: &[u8] = &[0x4f, 1];
/// Its highest bit is set, so a zero comes before it in DER.
const NEGATIVE: &[u8] = &[0x80, 1];

fn numbered(authority: &Authority, serial: &[u8]) -> String {
    authority.leaf(|params| params.serial_number = Some(SerialNumber::from_slice(serial)))
}

fn list(authority: &Authority, serials: &[&[u8]]) -> CertificateRevocationListDer<'static> {
    list_but(authority, serials, |_| {})
}

fn list_but(
    authority: &Authority,
    serials: &[&[u8]],
    edit: impl FnOnce(&mut CertificateRevocationListParams),
) -> CertificateRevocationListDer<'static> {
    let entry = |serial: &&[u8]| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let mut params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2026, 2, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    edit(&mut params);
    authority.sign_list(&params)
}

/// One of another name.
fn another(domain: &'static str) -> Authority {
    Authority::with(domain, |params| params.distinguished_name.push(DnType::CommonName, "another authority"))
}

fn with_lists(authority: &Authority, revocations: Vec<CertificateRevocationListDer<'static>>) -> Bundle {
    Bundle { revocations, ..authority.bundle(8) }
}

fn refusal(bundles: Bundles, presented: &str) -> LeafError {
    verifier(bundles).verify(presented, noon()).unwrap_err()
}

#[test]
fn a_remembered_leaf_is_refused_as_soon_as_it_is_revoked_and_no_other() {
    let authority = Authority::new("prod.example");
    let bundles = Arc::new(Watched::new(Bundles::new([authority.bundle(7)])));
    let verifier = LeafVerifier::new(bundles.clone(), 100);
    let (bad, negative, good) =
        (numbered(&authority, BAD), numbered(&authority, NEGATIVE), numbered(&authority, &[0x4f, 2]));
    for leaf in [&bad, &negative, &good] {
        verifier.verify(leaf, noon()).unwrap();
    }
    bundles.replace(Bundles::new([with_lists(&authority, vec![list(&authority, &[BAD, NEGATIVE])])]));
    for leaf in [&bad, &negative] {
        let error = verifier.verify(leaf, noon()).unwrap_err();
        assert_eq!((error.fault(), error), (LeafFault::Revoked, LeafError::Revoked(ID.parse().unwrap())));
    }
    verifier.verify(&good, noon()).unwrap();
}

#[test]
fn a_list_revokes_nothing_of_another_domains() {
    let (ours, theirs) = (Authority::new("prod.example"), Authority::new("partner.example"));
    let lists = vec![list(&theirs, &[BAD])];
    let verifier = verifier(Bundles::new([ours.bundle(1), with_lists(&theirs, lists)]));
    verifier.verify(&numbered(&ours, BAD), noon()).unwrap();
}

#[test]
fn a_list_that_another_signed_vouches_for_nobody() {
    let (authority, stranger) = (Authority::new("prod.example"), Authority::new("prod.example"));
    let error =
        refusal(Bundles::new([with_lists(&authority, vec![list(&stranger, &[])])]), &numbered(&authority, &[0x4f, 2]));
    let reason = webpki::Error::InvalidCrlSignatureForPublicKey;
    assert_eq!(error, LeafError::Untrusted { id: ID.parse().unwrap(), reason });
}

#[test]
fn an_authority_without_a_list_beside_one_with_a_list_vouches_for_nobody() {
    let (authority, other) = (Authority::new("prod.example"), another("prod.example"));
    let bundle = bundle("prod.example", vec![authority.der(), other.der()], 1);
    let bundles = Bundles::new([Bundle { revocations: vec![list(&other, &[])], ..bundle }]);
    let error = refusal(bundles, &numbered(&authority, BAD));
    assert_eq!(error.fault(), LeafFault::Untrusted, "{error:?}");
}

#[test]
fn a_list_that_has_run_out_vouches_for_nobody() {
    let authority = Authority::new("prod.example");
    let old = list_but(&authority, &[], |params| {
        params.this_update = date_time_ymd(2025, 12, 1);
        params.next_update = date_time_ymd(2025, 12, 31);
    });
    let error = refusal(Bundles::new([with_lists(&authority, vec![old])]), &numbered(&authority, BAD));
    assert_eq!(error.fault(), LeafFault::Untrusted, "{error:?}");
}

#[test]
fn a_bundle_whose_lists_cannot_be_read_vouches_for_nobody_and_others_go_on() {
    let (ours, theirs) = (Authority::new("prod.example"), Authority::new("partner.example"));
    let good = list(&theirs, &[]);
    let cut = CertificateRevocationListDer::from(good[..good.len() - 1].to_vec());
    let long = CertificateRevocationListDer::from(vec![0x30; (4 << 20) + 1]);
    for broken in
        [vec![CertificateRevocationListDer::from(Vec::new())], vec![cut], vec![long], vec![good, b"x"[..].into()]]
    {
        let bundles = Bundles::new([ours.bundle(1), with_lists(&theirs, broken)]);
        let partner = &"partner.example".parse().unwrap();
        let shown = bundles.get(partner).unwrap();
        assert_eq!((shown.x509_authorities.len(), shown.revocations.len()), (0, 0));
        let verifier = verifier(bundles);
        verifier.verify(&numbered(&ours, BAD), noon()).unwrap();
        let leaf = theirs.leaf(|params| params.subject_alt_names = vec![uri("spiffe://partner.example/x")]);
        assert!(matches!(verifier.verify(&leaf, noon()).unwrap_err(), LeafError::NoAuthority(_)));
    }
}

proptest::proptest! {
    #[test]
    fn random_lists_never_panic(der in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let authority = Authority::new("prod.example");
        let leaf = numbered(&authority, BAD);
        proptest::prop_assert!(verifier(Bundles::new([with_lists(&authority, vec![der.into()])])).verify(&leaf, noon()).is_err());
    }
}
