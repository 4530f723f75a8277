use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::google::rpc::Status;
use prost::Name as _;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::super::UnknownNames;
use super::super::fixture::*;
use super::super::protocol::Notice;
use super::super::secret::Missing;
use super::*;

/// A stream with its clock standing still, and what it said.
struct Fixture {
    stream: StateOfTheWorld,
    entropy: Counting,
    identities: Identities,
    notices: Vec<Notice>,
}

impl Fixture {
    fn new(identities: Identities) -> Self {
        Self::with(SdsConfig::new("prod.example".parse().unwrap()), identities)
    }

    fn with(config: SdsConfig, identities: Identities) -> Self {
        let stream = StateOfTheWorld::new(Arc::new(config));
        Self { stream, entropy: Counting::default(), identities, notices: Vec::new() }
    }

    /// What is sent now, if anything.
    fn push(&mut self) -> Option<DiscoveryResponse> {
        let answer = self.stream.answer(&self.identities, NOW, &self.entropy).unwrap();
        self.notices.extend(answer.notices);
        answer.response
    }

    /// What is sent in reply to `request`, if anything.
    fn send(&mut self, request: &DiscoveryRequest) -> (Verdict, Option<DiscoveryResponse>) {
        (self.stream.hear(request).unwrap(), self.push())
    }

    /// The response to a first request for `names`.
    fn open(&mut self, names: &[&str]) -> Option<DiscoveryResponse> {
        self.send(&asking(names)).1
    }

    fn told(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

fn secrets(response: &DiscoveryResponse) -> Vec<Secret> {
    decode(&response.resources)
}

fn names(response: &DiscoveryResponse) -> Vec<String> {
    secrets(response).into_iter().map(|secret| secret.name).collect()
}

fn only(response: Option<DiscoveryResponse>) -> Secret {
    let [secret] = secrets(&response.unwrap()).try_into().unwrap();
    secret
}

fn asking(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: Secret::type_url(),
        resource_names: names.iter().map(ToString::to_string).collect(),
        ..DiscoveryRequest::default()
    }
}

fn ack(response: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: response.version_info.clone(),
        response_nonce: response.nonce.clone(),
        ..asking(names)
    }
}

fn nack(response: &DiscoveryResponse, names: &[&str], accepted: &str, reason: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: accepted.into(),
        error_detail: Some(Status { code: 13, message: reason.into(), details: Vec::new() }),
        ..ack(response, names)
    }
}

/// S1: the names table.
#[test]
fn an_svid_has_one_pem_block_for_each_certificate_and_a_pkcs8_key() {
    for name in [WEB, "default"] {
        let secret = only(Fixture::new(two_svids_two_bundles()).open(&[name]));
        assert_eq!(secret.name, name);
        let certificate = certificate(&secret);
        let chain = certificates(certificate.certificate_chain.as_ref());
        assert_eq!(chain, [vec![1; 200], vec![0xca; 100]], "Envoy rejects a chain within one block");
        let key = bytes(certificate.private_key.as_ref());
        assert_eq!(PrivatePkcs8KeyDer::from_pem_slice(key).unwrap().secret_pkcs8_der(), [0xfe; 138]);
    }
}

/// S1: the names table.
#[test]
fn each_trust_name_has_its_trust_domains_sorted() {
    for (name, expected) in [
        ("spiffe://prod.example", vec![prod()]),
        ("spiffe://partner.example", vec![partner()]),
        ("ROOTCA", vec![prod()]),
        ("ALL", vec![partner(), prod()]),
    ] {
        let secret = only(Fixture::new(two_svids_two_bundles()).open(&[name]));
        assert_eq!((secret.name.as_str(), trusted(&secret)), (name, expected));
    }
}

/// S1: the names table.
#[test]
fn our_bundle_is_told_by_its_trust_domain_and_not_by_its_place() {
    let mut identities = two_svids_two_bundles();
    identities.bundles.reverse();
    assert_eq!(trusted(&only(Fixture::new(identities.clone()).open(&["ROOTCA"]))), [prod()]);
    identities.bundles.retain(|bundle| bundle.trust_domain.as_str() != "prod.example");
    assert_eq!(Fixture::new(identities).open(&["ROOTCA"]), None);
}

/// S1: the names table.
#[test]
fn the_first_entry_counts_where_two_grant_one_id() {
    let identities = Identities { svids: vec![svid(WEB, 1), svid(WEB, 2)], ..Identities::default() };
    let secret = only(Fixture::new(identities).open(&[WEB]));
    assert_eq!(certificates(certificate(&secret).certificate_chain.as_ref())[0][0], 1);
}

/// S2: several names in one request.
#[test]
fn every_name_of_one_request_is_answered_even_those_that_are_alternatives_to_spire() {
    let asked = ["ALL", "ROOTCA", "default", "spiffe://partner.example", "spiffe://prod.example", WEB];
    let response = Fixture::new(two_svids_two_bundles()).open(&asked).unwrap();
    assert_eq!(names(&response), asked);
    assert_eq!(response.type_url, Secret::type_url());
}

/// S2: several names in one request.
#[test]
fn a_name_given_twice_is_answered_once() {
    let response = Fixture::new(two_svids_two_bundles()).open(&[WEB, WEB]).unwrap();
    assert_eq!(names(&response), [WEB]);
}

/// S3: unknown names.
#[test]
fn an_unknown_name_is_left_out_told_once_and_pushed_when_it_is_granted() {
    let batch = "spiffe://prod.example/batch";
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&[WEB, "file-root:system", batch]).unwrap();
    assert_eq!(names(&first), [WEB]);
    assert_eq!(
        fixture.told(),
        [
            Notice::Unanswered("file-root:system".into(), Missing::Nonsense),
            Notice::Unanswered(batch.into(), Missing::NotGranted),
        ]
    );
    assert_eq!(fixture.push(), None);
    assert_eq!(fixture.told(), []);
    fixture.identities.svids.push(svid(batch, 3));
    assert_eq!(names(&fixture.push().unwrap()), [batch, WEB]);
}

fn refusing(identities: Identities) -> Fixture {
    let config = SdsConfig { unknown_names: UnknownNames::Refuse, ..SdsConfig::new("prod.example".parse().unwrap()) };
    Fixture::with(config, identities)
}

/// S3: unknown names.
#[test]
fn an_unknown_name_ends_the_stream_where_that_is_wanted() {
    let mut fixture = refusing(two_svids_two_bundles());
    fixture.stream.hear(&asking(&[WEB, "ROOTCA", "file-root:system", "spiffe://prod.example/batch"])).unwrap();
    let answer = fixture.stream.answer(&fixture.identities, NOW, &fixture.entropy).unwrap();
    assert_eq!((answer.response, answer.notices.len()), (None, 2));
    assert_eq!(answer.refused, ["file-root:system", "spiffe://prod.example/batch"]);

    let mut fixture = refusing(two_svids_two_bundles());
    assert!(fixture.open(&[WEB, "ALL"]).is_some());
    fixture.identities.svids.remove(0);
    let answer = fixture.stream.answer(&fixture.identities, NOW, &fixture.entropy).unwrap();
    assert_eq!(answer.refused, [WEB]);
}

/// S3: unknown names. What SPIRE ends the stream for too, so that Envoy keeps trusting the bundle (spiffe/spire#1816).
#[test]
fn a_bundle_that_goes_away_is_emptied_where_unknown_names_are_refused_too() {
    let mut fixture = refusing(two_svids_two_bundles());
    fixture.open(&["spiffe://partner.example"]).unwrap();
    fixture.identities.bundles.pop();
    assert_eq!(trusted(&only(fixture.push())), []);
}

/// S3: unknown names.
#[test]
fn a_renewal_that_is_late_ends_no_stream() {
    let mut fixture = refusing(two_svids_two_bundles());
    fixture.open(&[WEB]).unwrap();
    let answer = fixture.stream.answer(&fixture.identities, LATER, &fixture.entropy).unwrap();
    assert_eq!((answer.response, answer.refused), (None, vec![]));
    assert_eq!(answer.notices, [Notice::Withdrawn(WEB.into(), Missing::Expired)]);
}

/// S3: unknown names.
#[test]
fn a_workload_without_an_identity_gets_no_response_until_it_has_one() {
    let mut fixture = Fixture::new(Identities::default());
    assert_eq!(fixture.open(&["default", "ROOTCA", "ALL"]), None);
    assert_eq!(fixture.told().len(), 3);
    fixture.identities = two_svids_two_bundles();
    assert_eq!(names(&fixture.push().unwrap()).len(), 3);
}

/// S3: unknown names.
#[test]
fn a_wildcard_gets_nothing_at_all() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    assert_eq!(fixture.open(&[]), None);
    assert_eq!(fixture.open(&["*"]), None);
    assert!(!fixture.stream.subscriptions().is_empty());
    assert_eq!(fixture.open(&[]), None);
    assert!(fixture.stream.subscriptions().is_empty());
}

/// S3: unknown names.
#[test]
fn an_expired_svid_is_not_sent_since_envoy_would_take_it() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.stream.hear(&asking(&[WEB])).unwrap();
    let answer = fixture.stream.answer(&fixture.identities, LATER, &fixture.entropy).unwrap();
    assert_eq!(answer.response, None);
    assert_eq!(answer.notices, [Notice::Unanswered(WEB.into(), Missing::Expired)]);
}

/// S4: versions and nonces.
#[test]
fn an_ack_gets_no_response_and_counts_once() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&[WEB]).unwrap();
    assert_eq!(first.nonce, "01010101");
    assert_eq!(fixture.send(&ack(&first, &[WEB])), (Verdict::Accepted, None));
    assert_eq!(fixture.send(&ack(&first, &[WEB])), (Verdict::None, None));
}

/// S4: versions and nonces.
#[test]
fn a_version_moves_with_the_content_and_never_without() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&[WEB]).unwrap();
    let both = fixture.send(&ack(&first, &[WEB, "ROOTCA"])).1.unwrap();
    let again = fixture.send(&ack(&both, &[WEB])).1.unwrap();
    assert_ne!(first.version_info, both.version_info);
    assert_eq!(first.version_info, again.version_info);
    let elsewhere = Fixture::new(two_svids_two_bundles()).open(&[WEB]).unwrap();
    assert_eq!(first.version_info, elsewhere.version_info, "after a reconnect too");
    fixture.identities.svids[0] = svid(WEB, 9);
    assert_ne!(fixture.push().unwrap().version_info, first.version_info);
}

/// S4: versions and nonces.
#[test]
fn a_stale_nonce_is_ignored_with_all_it_asks_for() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&[WEB]).unwrap();
    fixture.identities.svids[0] = svid(WEB, 9);
    let second = fixture.push().unwrap();
    for nonce in [first.nonce.as_str(), "", "ffffffff"] {
        let stale = DiscoveryRequest { response_nonce: nonce.into(), ..ack(&first, &[WEB, "ROOTCA"]) };
        assert_eq!(fixture.send(&stale), (Verdict::Stale, None), "{nonce}");
    }
    let (verdict, third) = fixture.send(&ack(&second, &[WEB, "ROOTCA"]));
    assert_eq!((verdict, names(&third.unwrap()).len()), (Verdict::Accepted, 2));
}

/// S4: versions and nonces.
#[test]
fn a_rejected_secret_is_not_sent_again_until_it_differs() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&[WEB]).unwrap();
    let rejection = nack(&first, &[WEB], "", "KEY_VALUES_MISMATCH\r\n\u{1b}[2Jforged");
    let (verdict, response) = fixture.send(&rejection);
    assert_eq!(verdict, Verdict::Rejected(r"KEY_VALUES_MISMATCH\u{d}\u{a}\u{1b}[2Jforged".into()));
    assert_eq!(response, None);
    assert_eq!(fixture.push(), None);
    fixture.identities.svids[0] = svid(WEB, 9);
    assert!(fixture.push().is_some());
}

/// S4: versions and nonces.
#[test]
fn a_rejection_without_words_is_told_by_its_version_and_a_long_one_is_cut() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&[WEB]).unwrap();
    let silent = DiscoveryRequest { version_info: "0".into(), ..ack(&first, &[WEB]) };
    assert_eq!(fixture.send(&silent), (Verdict::Rejected("no reason given".into()), None));

    fixture.identities.svids[0] = svid(WEB, 9);
    let second = fixture.push().unwrap();
    match fixture.send(&nack(&second, &[WEB], "0", &"x".repeat(100_000))).0 {
        Verdict::Rejected(reason) => assert!(reason.len() < 600),
        other => panic!("{other:?}"),
    }
}

/// S4: versions and nonces.
#[test]
fn other_names_are_answered_even_with_a_rejection() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&[WEB]).unwrap();
    let (verdict, second) = fixture.send(&nack(&first, &[WEB, "ROOTCA"], "", "no"));
    assert_eq!(verdict, Verdict::Rejected("no".into()));
    assert_eq!(names(&second.unwrap()), ["ROOTCA", WEB]);
}

/// S4: versions and nonces.
#[test]
fn fewer_names_are_answered_too_and_the_order_of_names_means_nothing() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&[WEB, "ROOTCA"]).unwrap();
    assert_eq!(fixture.send(&ack(&first, &["ROOTCA", WEB])).1, None);
    assert_eq!(names(&fixture.send(&ack(&first, &["ROOTCA"])).1.unwrap()), ["ROOTCA"]);
}

/// S4: versions and nonces.
#[test]
fn a_client_that_reconnects_with_an_old_version_and_nonce_is_answered() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let request = DiscoveryRequest {
        version_info: "7".into(),
        response_nonce: "deadbeef".into(),
        error_detail: Some(Status::default()),
        ..asking(&[WEB])
    };
    let (verdict, response) = fixture.send(&request);
    assert_eq!((verdict, names(&response.unwrap())), (Verdict::None, vec![WEB.to_owned()]));
}

/// S4: versions and nonces.
#[test]
fn what_is_no_request_for_secrets_is_refused() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let mut hear = |request| fixture.stream.hear(&request).unwrap_err();
    let cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    assert_eq!(
        hear(DiscoveryRequest { type_url: cluster.into(), ..asking(&[WEB]) }),
        RequestError::TypeUrl(cluster.into())
    );
    assert_eq!(hear(asking(&["a"; 101])), RequestError::TooManyNames(101));
    assert_eq!(hear(asking(&["a".repeat(2049).as_str()])), RequestError::LongName(2049));
    assert!(fixture.stream.subscriptions().is_empty());
    let without_type = DiscoveryRequest { type_url: String::new(), ..asking(&[WEB]) };
    assert!(fixture.send(&without_type).1.is_some());
}

/// S5: what is pushed.
#[test]
fn a_renewal_alone_is_pushed_and_an_unrelated_change_is_not() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.open(&[WEB]).unwrap();
    fixture.identities.svids[1] = svid("spiffe://prod.example/api", 8);
    fixture.identities.bundles.push(bundle("new.example", &[30]));
    assert_eq!(fixture.push(), None);
    fixture.identities.svids[0] = svid(WEB, 9);
    let secret = only(fixture.push());
    assert_eq!(certificates(certificate(&secret).certificate_chain.as_ref())[0][0], 9);
    assert_eq!(fixture.push(), None);
}

/// S2: several names on one stream, as a selector of certificates on demand has them.
#[test]
fn a_name_may_be_asked_for_at_any_time() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let mut asked = vec!["ROOTCA"];
    let mut response = fixture.open(&asked).unwrap();
    for more in [WEB, "spiffe://prod.example/api", "spiffe://prod.example/batch", "default"] {
        asked.push(more);
        response = fixture.send(&ack(&response, &asked)).1.unwrap();
    }
    assert_eq!(names(&response), ["ROOTCA", "default", "spiffe://prod.example/api", WEB]);
}

/// S5: what is pushed.
#[test]
fn a_new_authority_is_pushed_to_those_who_trust_it() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.open(&["ROOTCA"]).unwrap();
    fixture.identities.bundles[0] = bundle("prod.example", &[10, 11, 12]);
    assert_eq!(trusted(&only(fixture.push())), [(String::from("prod.example"), vec![10, 11, 12])]);
}

/// S5: what is pushed.
#[test]
fn renewal_is_due_when_the_first_subscribed_svid_is() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.open(&["ROOTCA"]).unwrap();
    assert_eq!(fixture.stream.subscriptions().renew_at(&fixture.identities), None);
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.open(&["spiffe://prod.example/api", "ALL"]).unwrap();
    assert_eq!(
        fixture.stream.subscriptions().renew_at(&fixture.identities),
        Some(fixture.identities.svids[1].renew_at)
    );
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.open(&["spiffe://prod.example/api", "default"]).unwrap();
    assert_eq!(
        fixture.stream.subscriptions().renew_at(&fixture.identities),
        Some(fixture.identities.svids[0].renew_at)
    );
}

// Removal is not revocation.

#[test]
fn a_bundle_that_goes_away_is_replaced_by_one_that_trusts_no_one() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.open(&["spiffe://partner.example"]).unwrap();
    fixture.identities.bundles.pop();
    let secret = only(fixture.push());
    assert_eq!((secret.name.as_str(), trusted(&secret)), ("spiffe://partner.example", vec![]));
    assert_eq!(fixture.told(), [Notice::Emptied("spiffe://partner.example".into())]);
    assert_eq!((fixture.push(), fixture.told()), (None, vec![]));
    fixture.identities.bundles.push(bundle("partner.example", &[20]));
    assert_eq!(trusted(&only(fixture.push())), [partner()]);
}

#[test]
fn a_domain_that_leaves_all_bundles_is_gone_from_the_next_response() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.open(&["ALL"]).unwrap();
    fixture.identities.bundles.pop();
    assert_eq!(trusted(&only(fixture.push())), [prod()]);
    fixture.identities.bundles.clear();
    assert_eq!(trusted(&only(fixture.push())), []);
}

#[test]
fn a_bundle_that_went_away_between_two_streams_is_emptied_too() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.identities.bundles.pop();
    let again = DiscoveryRequest { version_info: "3".into(), ..asking(&["spiffe://partner.example"]) };
    assert_eq!(trusted(&only(fixture.send(&again).1)), []);
    let mut newcomer = Fixture::new(fixture.identities);
    assert_eq!(newcomer.open(&["spiffe://partner.example"]), None);
}

#[test]
fn an_svid_that_is_withdrawn_is_told_and_leaves_the_rest_of_the_stream_alone() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.open(&[WEB, "ROOTCA"]).unwrap();
    let granted = fixture.identities.svids.remove(0);
    assert_eq!(fixture.push(), None, "there is nothing that Envoy would take in its place");
    assert_eq!(fixture.told(), [Notice::Withdrawn(WEB.into(), Missing::NotGranted)]);
    assert_eq!((fixture.push(), fixture.told()), (None, vec![]));
    fixture.identities.bundles[0] = bundle("prod.example", &[12]);
    assert_eq!(names(&fixture.push().unwrap()), ["ROOTCA"]);
    fixture.identities.svids.insert(0, granted);
    assert_eq!(fixture.push(), None, "the client still holds this one");
}

/// S6, S7: the node.
#[test]
fn the_node_of_the_first_request_holds_for_the_stream() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.send(&DiscoveryRequest { node: Some(plain_node()), ..asking(&["ROOTCA"]) }).1.unwrap();
    let second = fixture.send(&ack(&first, &["ROOTCA", "spiffe://partner.example"])).1.unwrap();
    for (secret, authorities) in secrets(&second).iter().zip([vec![10, 11], vec![20]]) {
        assert_eq!(context(secret).custom_validator_config, None);
        let first_bytes: Vec<_> = certificates(context(secret).trusted_ca.as_ref()).iter().map(|der| der[0]).collect();
        assert_eq!(first_bytes, authorities, "{}", secret.name);
    }
}

/// S6, S7: the node.
#[test]
fn a_node_that_changes_its_mind_is_answered_in_the_new_spelling() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.open(&["ROOTCA"]).unwrap();
    let (_, second) = fixture.send(&DiscoveryRequest { node: Some(plain_node()), ..ack(&first, &["ROOTCA"]) });
    assert!(context(&only(second)).trusted_ca.is_some());
}

/// S6, S7: the node.
#[test]
fn all_bundles_are_never_plain_authorities() {
    let mut config = SdsConfig::new("prod.example".parse().unwrap());
    config.disable_spiffe_cert_validation = true;
    let mut fixture = Fixture::with(config, two_svids_two_bundles());
    let again = DiscoveryRequest { version_info: "1".into(), ..asking(&["ALL"]) };
    assert_eq!(fixture.send(&again).1, None);
    assert_eq!(fixture.told(), [Notice::Withdrawn("ALL".into(), Missing::NeedsValidator)]);
}

/// S8: empty bundles.
#[test]
fn an_empty_federated_bundle_is_left_out_since_envoy_would_reject_all() {
    let mut identities = two_svids_two_bundles();
    identities.bundles[1] = bundle("partner.example", &[]);
    assert_eq!(trusted(&only(Fixture::new(identities.clone()).open(&["ALL"]))), [prod()]);
    assert_eq!(trusted(&only(Fixture::new(identities).open(&["spiffe://partner.example"]))), []);
}

/// S8: empty bundles.
#[test]
fn an_empty_bundle_refuses_everyone_in_the_plain_spelling_too() {
    let mut fixture = Fixture::new(Identities { bundles: vec![bundle("prod.example", &[])], ..Identities::default() });
    let request = DiscoveryRequest { node: Some(plain_node()), ..asking(&["ROOTCA"]) };
    assert_eq!(trusted(&only(fixture.send(&request).1)), [], "an empty `trusted_ca` would verify nothing");
}
