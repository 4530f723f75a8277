//! Callers by tokens that were made for one workload.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::{Value, json};

use super::*;
use crate::decision::principal::ClaimMapping;
use crate::identity::bundle::Bundle;
use crate::identity::delegation::memory::MemoryRevocations;
use crate::identity::delegation::{Revoked, RevokedKind};
use crate::identity::foreign::ForeignIdentities;
use crate::identity::token::tests::{ISSUER, Key, NOW, bundle, claims, header, published, rules, token, with};
use crate::identity::token::{Issuer, IssuerRules, Tokens as Believed};

const WEB: &str = "spiffe://example.org/web";
const ROBOT: &str = "spiffe://example.org/robot";

struct Desk {
    callers: Callers,
    key: Key,
    authority: (KeyPair, CertificateParams),
    bundles: Arc<Watched<Bundles>>,
    revocations: Arc<Revocations>,
}

impl Desk {
    async fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![SanType::URI("spiffe://example.org".try_into().unwrap())];
        let pair = KeyPair::generate().unwrap();
        let root = params.self_signed(&pair).unwrap().der().clone();
        let ours = Bundle::of_x509("example.org".parse().unwrap(), [root], 1);
        let foreign = ForeignIdentities::new(&ours.trust_domain, [].into(), false);
        let bundles = Arc::new(Watched::new(Bundles::new([ours]).with_foreign(Arc::new(foreign))));
        let key = Key::p256();
        let types = ["JWT", "txntoken+jwt"].map(str::to_owned).to_vec();
        let issuers = vec![Issuer::publishing(IssuerRules { types, ..rules(ISSUER) }, published(&[("kid-1", &key)]))];
        let people = ClaimMapping {
            kind: "Human".to_owned(),
            id: "{sub}".parse().unwrap(),
            attributes: Vec::new(),
            groups: None,
        };
        let revocations = Arc::new(Revocations::load(Arc::new(MemoryRevocations::default())).await.unwrap());
        let callers = callers()
            .with_workloads(LeafVerifier::new(Arc::clone(&bundles), 10))
            .with_tokens(Arc::new(Believed::new(issuers, 10)), vec![Mapping::Claims(people)])
            .with_revocations(Arc::clone(&revocations));
        Self { callers, key, authority: (pair, params), bundles, revocations }
    }

    fn leaf(&self, id: &str) -> CertificateDer<'static> {
        let (pair, params) = &self.authority;
        let mut leaf = CertificateParams::default();
        leaf.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = rcgen::Issuer::from_params(params, pair);
        leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone()
    }

    fn show(&self, certificate: Option<&CertificateDer<'static>>, claims: &Value) -> Result<String, String> {
        self.show_a("JWT", certificate, claims)
    }

    fn show_a(
        &self,
        kind: &str,
        certificate: Option<&CertificateDer<'static>>,
        claims: &Value,
    ) -> Result<String, String> {
        let token = token(&with(&header("ES256"), "typ", kind), claims, &self.key);
        shown(&self.callers, Credentials { certificate, bearer: Some(&token), user: None })
    }
}

fn acting() -> Value {
    with(&claims(), "act", json!({"sub": ROBOT}))
}

#[tokio::test]
async fn a_token_that_was_made_for_one_workload_is_shown_by_it_and_by_nobody_else() {
    let desk = Desk::new().await;
    let (robot, web) = (desk.leaf(ROBOT), desk.leaf(WEB));
    let thumbprint = URL_SAFE_NO_PAD.encode(Digest::of(&robot).as_bytes());
    let bound = with(&claims(), "cnf", json!({"x5t#S256": thumbprint}));
    for made in [acting(), bound] {
        assert_eq!(desk.show(Some(&robot), &made), Ok(ROBOT.to_owned()), "{made}");
        assert_eq!(desk.show(Some(&web), &made), Err("unproved".to_owned()), "{made}");
        assert_eq!(desk.show(None, &made), Err("unproved".to_owned()), "{made}");
    }
    let unknown = with(&claims(), "cnf", json!({"jkt": thumbprint}));
    assert_eq!(desk.show(Some(&robot), &unknown), Err("unproved".to_owned()));
    // Of a plain token and a certificate it can't be told who asks.
    assert_eq!(desk.show(Some(&robot), &claims()), Err("several".to_owned()));
    assert_eq!(desk.show(None, &claims()), Ok(r#"Human::"alice""#.to_owned()));
    let noise = CertificateDer::from(b"noise".to_vec());
    assert_eq!(desk.show(Some(&noise), &acting()), Err("unproved".to_owned()));
}

/// It says what a transaction is about, and is no credential (draft-ietf-oauth-transaction-tokens).
#[tokio::test]
async fn a_transaction_token_makes_nobody_a_caller() {
    let desk = Desk::new().await;
    let robot = desk.leaf(ROBOT);
    let transaction = with(&with(&acting(), "txn", "t-1"), "req_wl", ROBOT);
    assert_eq!(desk.show(Some(&robot), &transaction), Ok(ROBOT.to_owned()), "of another type");
    assert!(desk.show_a("txntoken+jwt", Some(&robot), &transaction).is_err());
    assert!(desk.show_a("txntoken+jwt", None, &transaction).is_err());
}

#[tokio::test]
async fn a_caller_by_a_token_that_rests_on_somebody_of_a_domain_that_was_cut_off_is_nobody() {
    let desk = Desk::new().await;
    let (robot, partner) = (desk.leaf(ROBOT), "spiffe://partner.example");
    let before = json!({"iss": partner, "sub": format!("{partner}/desk")});
    let made = with(&claims(), "act", json!({"sub": ROBOT, "act": before}));
    assert_eq!(desk.show(Some(&robot), &made), Err("unproved".to_owned()));
    desk.bundles.update(|known| known.with(Bundle::clone(&bundle("partner.example", [("kid-9", &desk.key)]))));
    assert_eq!(desk.show(Some(&robot), &made), Ok(ROBOT.to_owned()));
    desk.bundles.update(|known| known.without(&"partner.example".parse().unwrap()));
    assert_eq!(desk.show(Some(&robot), &made), Err("unproved".to_owned()));
}

#[tokio::test]
async fn a_caller_by_a_revoked_token_is_nobody() {
    for (kind, name) in [(RevokedKind::Token, "a-number"), (RevokedKind::Member, "alice"), (RevokedKind::Member, ROBOT)]
    {
        let desk = Desk::new().await;
        let robot = desk.leaf(ROBOT);
        desk.revocations.revoke(Revoked::new(kind, name, None).unwrap(), None, NOW).await.unwrap();
        assert_eq!(desk.show(Some(&robot), &acting()), Err("unproved".to_owned()), "{name}");
        assert_eq!(desk.show(None, &claims()).is_err(), name != ROBOT, "{name}");
    }
    let desk = Desk::new().await;
    let robot = desk.leaf(ROBOT);
    let named =
        |claims| with(&claims, "sub_id", json!({"format": "iss_sub", "iss": "https://third.example", "sub": "x"}));
    desk.show(Some(&robot), &named(acting())).unwrap();
    desk.show(None, &named(claims())).unwrap();
    desk.revocations.revoke(Revoked::new(RevokedKind::Member, "x", None).unwrap(), None, NOW).await.unwrap();
    assert_eq!(desk.show(Some(&robot), &named(acting())), Err("unproved".to_owned()), "by what others call her");
    assert_eq!(desk.show(None, &named(claims())), Err("unproved".to_owned()));
}
