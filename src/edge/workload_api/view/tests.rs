use portcullis_spiffe::bundle::public_key_of;
use rustls_pki_types::CertificateDer;
use serde_json::json;

use super::*;
use crate::edge::workload_api::service::fixture::{bundle, identities, svid};
use crate::foundation::clock::Timestamp;
use crate::identity::bundle::JwtAuthority;

const SOON: Timestamp = Timestamp::from_unix_nanos(1);

fn jwt_authority(key_id: &str) -> JwtAuthority {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let public_key = public_key_of(&serde_json::from_value(jwk).unwrap()).unwrap();
    JwtAuthority { key_id: key_id.to_owned(), public_key, expires_at: None, tainted: false }
}

#[test]
fn an_x509_response_has_the_whole_state() {
    let mut foreign = bundle("other.org", &[3, 4]);
    foreign.revocations = vec![vec![9; 5].into()];
    let mut own = bundle("example.org", &[1, 2]);
    own.revocations = vec![vec![8; 5].into()];
    let standing = identities(vec![svid("web", "internal", 1, SOON), svid("api", "", 2, SOON)], vec![own, foreign]);
    let response = X509Svids::message(&standing).unwrap();
    let ids: Vec<_> = response.svids.iter().map(|svid| (svid.spiffe_id.as_str(), svid.hint.as_str())).collect();
    assert_eq!(ids, [("spiffe://example.org/web", "internal"), ("spiffe://example.org/api", "")]);
    for (sent, svid) in response.svids.iter().zip(&standing.svids) {
        assert_eq!(sent.x509_svid, svid.chain[0].to_vec());
        assert_eq!(sent.x509_svid_key, svid.key.expose().as_slice());
        assert_eq!(sent.bundle, [[1; 90], [2; 90]].concat(), "DER after DER, nothing between");
    }
    let federated: Vec<_> = response.federated_bundles.into_iter().collect();
    assert_eq!(federated, [("spiffe://other.org".to_owned(), [[3; 90], [4; 90]].concat())]);
    assert_eq!(response.crl, [vec![8; 5], vec![9; 5]]);
}

/// The key is where the issuer keeps it, and nowhere else.
#[test]
fn a_message_has_no_copy_of_a_key() {
    let standing = identities(vec![svid("web", "", 1, SOON)], vec![bundle("example.org", &[1])]);
    let response = X509Svids::message(&standing).unwrap();
    assert_eq!(response.svids[0].x509_svid_key.as_ptr(), standing.svids[0].key.expose().as_ptr());
}

/// S8: what is empty says that nobody is to be trusted, what is absent says nothing.
#[test]
fn an_empty_foreign_bundle_is_sent_empty() {
    let standing =
        identities(vec![svid("web", "", 1, SOON)], vec![bundle("example.org", &[1]), bundle("other.org", &[])]);
    assert_eq!(X509Svids::message(&standing).unwrap().federated_bundles["spiffe://other.org"], Vec::<u8>::new());
    assert_eq!(X509Bundles::message(&standing).unwrap().bundles["spiffe://other.org"], Vec::<u8>::new());
    let sets = JwtBundles::message(&standing).unwrap().bundles;
    for name in ["spiffe://example.org", "spiffe://other.org"] {
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&sets[name]).unwrap(), json!({"keys": []}));
    }
}

#[test]
fn bundles_are_by_the_id_of_their_trust_domain_ours_among_them() {
    let standing = identities(Vec::new(), vec![bundle("example.org", &[1]), bundle("other.org", &[3])]);
    let mut names: Vec<_> = X509Bundles::message(&standing).unwrap().bundles.into_keys().collect();
    names.sort();
    assert_eq!(names, ["spiffe://example.org", "spiffe://other.org"]);
}

/// W8: libraries that know nothing of SPIFFE read it.
#[test]
fn jwt_bundles_are_standard_key_sets() {
    let mut own = bundle("example.org", &[1]);
    own.jwt_authorities = vec![jwt_authority("kid-1"), jwt_authority("kid-2")];
    let response = JwtBundles::message(&identities(Vec::new(), vec![own])).unwrap();
    let set: serde_json::Value = serde_json::from_slice(&response.bundles["spiffe://example.org"]).unwrap();
    assert_eq!(set.as_object().unwrap().len(), 1, "no member of SPIFFE's: {set}");
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.iter().map(|key| key["kid"].as_str().unwrap()).collect::<Vec<_>>(), ["kid-1", "kid-2"]);
    for key in keys {
        let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["crv", "kid", "kty", "x", "y"]);
    }
}

#[test]
fn a_bundle_that_can_not_be_told_takes_no_other_with_it() {
    let mut foreign = bundle("other.org", &[3]);
    foreign.jwt_authorities = vec![JwtAuthority { public_key: vec![1, 2, 3], ..jwt_authority("kid-1") }];
    let standing = identities(Vec::new(), vec![bundle("example.org", &[1]), foreign]);
    let response = JwtBundles::message(&standing).unwrap();
    assert_eq!(response.bundles.into_keys().collect::<Vec<_>>(), ["spiffe://example.org"]);
}

/// W6.
#[test]
fn of_several_with_one_hint_the_first_stays_and_those_without_all() {
    let hints = |hints: &[&'static str]| {
        let mut all: Vec<_> = hints.iter().copied().enumerate().collect();
        keep_first_of_hint(&mut all, |(_, hint)| hint);
        all.into_iter().map(|(index, _)| index).collect::<Vec<_>>()
    };
    assert_eq!(hints(&["internal", "external", "internal", "External"]), [0, 1, 3]);
    assert_eq!(hints(&["", "a", "", "a"]), [0, 1, 2]);
    assert_eq!(hints(&[]), [0; 0]);
}

#[test]
fn what_would_be_told_in_the_same_words_is_the_same() {
    let standing =
        || identities(vec![svid("web", "a", 1, SOON)], vec![bundle("example.org", &[1]), bundle("other.org", &[3])]);
    let one = standing();
    assert!(X509Svids::is_same(&one, &standing()));
    assert!(X509Svids::is_same(
        &one,
        &identities(
            vec![svid("web", "a", 1, Timestamp::MAX)],
            vec![bundle("example.org", &[1]), bundle("other.org", &[3])]
        )
    ));
    let renewed = Identities { svids: vec![Arc::new(svid("web", "a", 2, SOON))], ..standing() };
    let renamed = Identities { svids: vec![Arc::new(svid("web", "b", 1, SOON))], ..standing() };
    let more = Identities { svids: [standing().svids, renewed.svids.clone()].concat(), ..standing() };
    for other in [renewed, renamed, more] {
        assert!(!X509Svids::is_same(&one, &other));
        assert!(X509Bundles::is_same(&one, &other), "bundles have not changed");
    }
    let bundles = |change: fn(&mut Bundle)| {
        let mut foreign = bundle("other.org", &[3]);
        change(&mut foreign);
        identities(
            standing().svids.iter().map(|svid| Svid::clone(svid)).collect(),
            vec![bundle("example.org", &[1]), foreign],
        )
    };
    let x509_only: [fn(&mut Bundle); 2] = [
        |bundle| bundle.x509_authorities.push(CertificateDer::from(vec![5]).into()),
        |bundle| bundle.revocations.push(vec![7].into()),
    ];
    for other in x509_only.map(bundles) {
        assert!(!X509Svids::is_same(&one, &other) && !X509Bundles::is_same(&one, &other));
        assert!(JwtBundles::is_same(&one, &other), "keys have not changed");
    }
    let keys = bundles(|bundle| bundle.jwt_authorities.push(jwt_authority("kid-1")));
    assert!(!JwtBundles::is_same(&one, &keys));
    assert!(X509Bundles::is_same(&one, &keys) && X509Svids::is_same(&one, &keys));
    let sequence = bundles(|bundle| bundle.sequence += 1);
    assert!(X509Svids::is_same(&one, &sequence) && JwtBundles::is_same(&one, &sequence));
    let gone = Identities { bundles: vec![Arc::new(bundle("example.org", &[1]))], ..standing() };
    assert!(!X509Bundles::is_same(&one, &gone) && !JwtBundles::is_same(&one, &gone));
}
