//! Single leaves that are revoked, and the lists that say so.

use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::*;
use crate::identity::authority::revocation::{MAX_REVOKED, RevocationError};
use crate::identity::revocation::{RevokedLeaf, SerialNumber};

fn leaf(authority: &Authority, now: Timestamp) -> CertifiedLeaf {
    sign(authority, Duration::from_mins(2), now).unwrap().leaf
}

async fn revoke(authority: &Authority, leaf: &CertifiedLeaf, now: Timestamp) -> RevokedLeaf {
    authority.revoke_leaf(&leaf.authority, &leaf.serial, now).await.unwrap()
}

/// What a verifier that wants the lists says of `leaf`.
fn verdict(bundle: &Bundle, leaf: &CertifiedLeaf, now: Timestamp) -> Result<(), webpki::Error> {
    let anchors: Vec<_> = bundle.certificates().map(|der| webpki::anchor_from_trusted_cert(der).unwrap()).collect();
    let lists: Vec<_> =
        bundle.revocations.iter().map(|der| OwnedCertRevocationList::from_der(der).unwrap().into()).collect();
    let lists: Vec<_> = lists.iter().collect();
    let options = RevocationOptionsBuilder::new(&lists).unwrap().build();
    let (usage, leaf) = (KeyUsage::client_auth(), EndEntityCert::try_from(&leaf.certificate).unwrap());
    leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], now.into(), usage, Some(options), None).map(drop)
}

#[tokio::test]
async fn a_revoked_leaf_is_in_the_list_of_its_authority_and_every_authority_has_one() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.advance_to(10);
    authority.prepare(AuthorityKind::X509, now).await.unwrap();
    let (bad, good) = (leaf(&authority, now), leaf(&authority, now));
    let before = bundle(&authority);
    assert_eq!((before.x509_authorities.len(), before.revocations.len()), (2, 0), "no lists without need");

    let epoch = authority.bundles().load().epoch();
    let later = estate.advance_to(30);
    let revoked = revoke(&authority, &bad, later).await;
    assert_eq!((&*revoked.authority, revoked.revoked_at), (&*bad.authority, later));
    let after = bundle(&authority);
    assert_eq!(after.sequence, before.sequence + 1);
    assert!(authority.bundles().load().epoch() > epoch);
    assert_eq!(verdict(&after, &bad, later), Err(webpki::Error::CertRevoked));
    assert_eq!(verdict(&after, &good, later), Ok(()));
    let expiry = authority.slots(AuthorityKind::X509).active.unwrap().not_after;
    assert_eq!(authority.revoked_leaves(), [(revoked, expiry)]);

    assert_eq!(after.revocations.len(), 2);
    for (certificate, list) in after.certificates().zip(&after.revocations) {
        let (_, authority) = x509_parser::parse_x509_certificate(certificate).unwrap();
        let (_, list) = CertificateRevocationList::from_der(list).unwrap();
        assert_eq!(list.issuer(), authority.subject());
        assert_eq!(list.next_update(), Some(authority.validity().not_after));
        let is_signer = list.iter_revoked_certificates().count() == 1;
        let numbered = list.crl_number().unwrap().to_string();
        assert_eq!(numbered, if is_signer { "2" } else { "1" });
        if is_signer {
            let entry = list.iter_revoked_certificates().next().unwrap();
            assert_eq!(entry.raw_serial(), bad.serial.as_bytes());
            assert_eq!(list.last_update().timestamp().cast_unsigned(), later.unix_seconds() - 10);
        }
    }
}

#[tokio::test]
async fn openssl_finds_nothing_wrong_with_the_lists() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    revoke(&authority, &leaf(&authority, now), now).await;
    let files = tempfile::tempdir().unwrap();
    let (list, ca) = (files.path().join("list.der"), files.path().join("ca.pem"));
    let bundle = bundle(&authority);
    fs::write(&list, &bundle.revocations[0]).unwrap();
    let certificate = bundle.certificates().next().unwrap();
    fs::write(&ca, pem_of(certificate)).unwrap();
    let said = std::process::Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-verify", "-in"])
        .args([&list, Path::new("-CAfile"), &ca])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("verify OK"), "{said}");
}

fn pem_of(der: &[u8]) -> String {
    crate::identity::svid::tests::mint::pem(der)
}

#[tokio::test]
async fn revoking_twice_and_maintenance_change_nothing() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    let bad = leaf(&authority, now);
    let first = revoke(&authority, &bad, now).await;
    let (epoch, shown) = (authority.bundles().load().epoch(), bundle(&authority));
    let later = estate.advance_to(60);
    assert_eq!(revoke(&authority, &bad, later).await, first);
    authority.maintain(later).await.unwrap();
    assert_eq!((authority.bundles().load().epoch(), bundle(&authority)), (epoch, shown));
}

#[tokio::test]
async fn a_crash_leaves_a_leaf_either_untouched_or_revoked_for_good() {
    for (fault, is_revoked) in [(Fault::BeforeCommit, false), (Fault::AfterCommit, true)] {
        let estate = Estate::new();
        let authority = estate.open().await.unwrap();
        let now = estate.clock.now();
        let bad = leaf(&authority, now);
        estate.journal.fail_next(fault);
        authority.revoke_leaf(&bad.authority, &bad.serial, now).await.unwrap_err();
        assert_eq!(bundle(&authority).revocations, [], "nothing is shown that may not be kept");
        drop(authority);
        let reopened = estate.open().await.unwrap();
        assert_eq!(reopened.revoked_leaves().len(), usize::from(is_revoked), "{fault:?}");
        assert_eq!(bundle(&reopened).revocations.len(), usize::from(is_revoked), "{fault:?}");
        revoke(&reopened, &bad, now).await;
        assert_eq!(verdict(&bundle(&reopened), &bad, now), Err(webpki::Error::CertRevoked));
    }
}

#[tokio::test]
async fn another_process_takes_it_over_when_it_looks() {
    let estate = Estate::new();
    let (one, other) = (estate.open().await.unwrap(), estate.open().await.unwrap());
    let now = estate.clock.now();
    let bad = leaf(&one, now);
    revoke(&one, &bad, now).await;
    other.maintain(now).await.unwrap();
    assert_eq!(verdict(&bundle(&other), &bad, now), Err(webpki::Error::CertRevoked));
    assert_eq!((one.revoked_leaves(), bundle(&one).sequence), (other.revoked_leaves(), bundle(&other).sequence));
}

#[tokio::test]
async fn a_new_authority_has_a_list_from_its_first_moment() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    revoke(&authority, &leaf(&authority, now), now).await;
    let first = bundle(&authority).revocations;
    let now = estate.advance_to(10);
    let next = authority.prepare(AuthorityKind::X509, now).await.unwrap();
    let two = bundle(&authority).revocations;
    assert_eq!((two.len(), &two[..1]), (2, &first[..]), "the first list says the same, so it is the same");
    authority.activate(AuthorityKind::X509, &next.id, now).await.unwrap();
    assert_eq!(verdict(&bundle(&authority), &leaf(&authority, now), now), Ok(()));
}

#[tokio::test]
async fn what_an_authority_revoked_is_forgotten_when_it_leaves() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    let bad = leaf(&authority, now);
    revoke(&authority, &bad, now).await;
    let next = authority.prepare(AuthorityKind::X509, now).await.unwrap();
    authority.activate(AuthorityKind::X509, &next.id, now).await.unwrap();
    authority.taint(AuthorityKind::X509, &bad.authority, now).await.unwrap();
    authority.revoke(AuthorityKind::X509, &bad.authority, now).await.unwrap();
    assert_eq!((authority.revoked_leaves(), bundle(&authority).revocations), (vec![], vec![]));
    let error = authority.revoke_leaf(&bad.authority, &bad.serial, now).await.unwrap_err();
    assert!(matches!(error, AuthorityError::Lifecycle(LifecycleError::Unknown)), "{error}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_list_of_the_future() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let later = estate.advance_to(300);
    revoke(&authority, &leaf(&authority, later), later).await;
    let back = estate.advance_to(100);
    authority.maintain(back).await.unwrap();
    let shown = bundle(&authority);
    let (_, list) = CertificateRevocationList::from_der(&shown.revocations[0]).unwrap();
    assert!(list.last_update().timestamp().cast_unsigned() < back.unix_seconds());
}

#[tokio::test]
async fn so_many_are_kept_and_no_more() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    let id = authority.slots(AuthorityKind::X509).active.unwrap().id;
    let serial = |number: usize| SerialNumber::from_bytes(&((0x4f << 120) + number as u128).to_be_bytes()).unwrap();
    let revoked = |number| RevokedLeaf { serial: serial(number), authority: id.clone(), revoked_at: now };
    let all: Vec<_> = (0..MAX_REVOKED - 1).map(revoked).collect();
    let steps: Vec<_> = all.iter().map(JournalStep::Revoke).collect();
    estate.journal.apply(&ours(), &steps, now).await.unwrap();

    authority.revoke_leaf(&id, &serial(MAX_REVOKED), now).await.unwrap();
    let bytes = bundle(&authority).revocations[0].len();
    assert!((300_000..370_000).contains(&bytes), "{bytes}");
    let error = authority.revoke_leaf(&id, &serial(MAX_REVOKED + 1), now).await.unwrap_err();
    assert!(matches!(error, AuthorityError::Revocation(RevocationError::TooMany)), "{error}");
    authority.revoke_leaf(&id, &serial(0), now).await.unwrap();
    assert_eq!(authority.revoked_leaves().len(), MAX_REVOKED);
}
