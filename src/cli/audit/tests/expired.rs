//! Receipts whose certificates have long expired: a leaf and an authority of 2020, in the log of a decision of their time.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use super::*;
use crate::evidence::log::{Archive, Shelf};

const WEB: &str = "spiffe://example.org/web";

/// 2020-03-01T12:00:00Z, and a day before, when the leaf was not valid yet.
const NOON: i64 = 1_583_064_000;
const THE_DAY_BEFORE: i64 = NOON - 86_400;

fn named(uri: &str, years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "of 2020");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params
}

fn authority(domain: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = named(domain, (2019, 2021));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(by: &CertifiedIssuer<'static, KeyPair>) -> Vec<u8> {
    let mut params = named(WEB, (2020, 2021));
    params.not_before = date_time_ymd(2020, 3, 1);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().to_vec()
}

/// What `audit receipt` writes and `audit verify-receipt` says of it, of a decision about `principal` at that time.
fn verified(chain: [&[u8]; 2], principal: &str, seconds: i64) -> Result<serde_json::Value, String> {
    let home = tempfile::tempdir().unwrap();
    let time = Timestamp::from_unix_seconds(seconds);
    let [leaf, authority] = chain.map(|certificate| Some(Digest::of(certificate)));
    let record = DecisionRecord {
        decision_id: DecisionId::new(time, &SystemEntropy::new()).unwrap(),
        time,
        edge: Edge::ExtAuthz,
        principal: format!("Workload::{principal:?}").into(),
        leaf,
        authority,
        bundle_sequence: Some(7),
        ..decision(&mut Dice(1))
    };
    let (opened, keeper) = open(home.path());
    drop(opened.append(Record::Decision(&record)).unwrap());
    keeper.finish(Duration::from_mins(1)).unwrap();
    let archive = Archive::new(&home.path().join("log"));
    for certificate in chain {
        archive.keep(Shelf::Certificates, certificate).unwrap();
    }
    let receipt = home.path().join("receipt");
    said(AuditCommand::Receipt {
        decision_id: record.decision_id.to_string(),
        log: log(home.path()),
        output: Some(receipt.clone()),
    })
    .unwrap();
    // From here on there is the receipt and the key, and no log.
    let key = std::fs::read_to_string(home.path().join("log").join(VERIFIER_FILE)).unwrap();
    std::fs::remove_dir_all(home.path().join("log")).unwrap();
    let trust = TrustArgs { key: Some(key), trust_policy: None };
    said(AuditCommand::VerifyReceipt { receipt, trust }).map(|told| serde_json::from_str(&told).unwrap())
}

#[test]
fn a_receipt_holds_when_leaf_and_authority_have_long_expired() {
    let authority = authority("spiffe://example.org");
    let told = verified([&leaf(&authority), authority.der()], WEB, NOON).unwrap();
    assert_eq!(
        (&told["certificates"]["spiffe_id"], &told["certificates"]["bundle_sequence"]),
        (&WEB.into(), &7.into())
    );
    assert_eq!(told["record"]["time"], "2020-03-01T12:00:00.000000Z");
}

/// The record is proved, and what it names does not prove the caller: then nothing is said to be proved.
#[test]
fn certificates_that_did_not_prove_the_caller_then_are_refused_and_it_is_said_why() {
    let (ours, other) = (authority("spiffe://example.org"), authority("spiffe://other.example"));
    let namesake = authority("spiffe://example.org");
    let leaf = leaf(&ours);
    for (authority, principal, time, why) in [
        (&ours, WEB, THE_DAY_BEFORE, "the certificate of the leaf was not valid at 2020-02-29"),
        (&other, WEB, NOON, "the authority is not of the trust domain"),
        (&namesake, WEB, NOON, "the authority does not vouch for the certificate"),
        (&ours, "spiffe://example.org/orders", NOON, "whom the record does not name"),
    ] {
        let refused = verified([&leaf, authority.der()], principal, time).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let refused = verified([b"no certificate", ours.der()], WEB, NOON).unwrap_err();
    assert!(refused.contains("not an X509-SVID's"), "{refused}");
}
