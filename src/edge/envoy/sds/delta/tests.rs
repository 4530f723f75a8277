use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::google::rpc::Status;
use prost::Name as _;

use super::super::UnknownNames;
use super::super::fixture::*;
use super::super::protocol::Notice;
use super::super::secret::Missing;
use super::*;

const API: &str = "spiffe://prod.example/api";

/// A stream with its clock standing still.
struct Fixture {
    stream: Delta,
    entropy: Counting,
    identities: Identities,
}

impl Fixture {
    fn new(identities: Identities) -> Self {
        Self::with(SdsConfig::new("prod.example".parse().unwrap()), identities)
    }

    fn with(config: SdsConfig, identities: Identities) -> Self {
        Self { stream: Delta::new(Arc::new(config)), entropy: Counting::default(), identities }
    }

    fn answer(&mut self) -> Answer<DeltaDiscoveryResponse> {
        self.stream.answer(&self.identities, NOW, &self.entropy).unwrap()
    }

    /// What is sent now, if anything.
    fn push(&mut self) -> Option<DeltaDiscoveryResponse> {
        self.answer().response
    }

    /// What is sent in reply to `request`, if anything.
    fn send(&mut self, request: &DeltaDiscoveryRequest) -> (Verdict, Option<DeltaDiscoveryResponse>) {
        (self.stream.hear(request).unwrap(), self.push())
    }

    /// The response to a request for further names.
    fn more(&mut self, names: &[&str]) -> Option<DeltaDiscoveryResponse> {
        self.send(&asking(names)).1
    }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn asking(names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: Secret::type_url(),
        resource_names_subscribe: texts(names),
        ..DeltaDiscoveryRequest::default()
    }
}

fn no_longer(names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { resource_names_unsubscribe: texts(names), ..asking(&[]) }
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { response_nonce: response.nonce.clone(), ..asking(&[]) }
}

fn nack(response: &DeltaDiscoveryResponse, reason: &str) -> DeltaDiscoveryRequest {
    let error = Status { code: 13, message: reason.into(), details: Vec::new() };
    DeltaDiscoveryRequest { error_detail: Some(error), ..ack(response) }
}

/// A first request of a client that comes back with what `responses` gave it.
fn returning(names: &[&str], responses: &[&DeltaDiscoveryResponse]) -> DeltaDiscoveryRequest {
    let resources = responses.iter().flat_map(|response| &response.resources);
    let versions = resources.map(|resource| (resource.name.clone(), resource.version.clone()));
    DeltaDiscoveryRequest { initial_resource_versions: versions.collect(), ..asking(names) }
}

fn secrets(response: &DeltaDiscoveryResponse) -> Vec<Secret> {
    let found = decode(response.resources.iter().map(|resource| resource.resource.as_ref().unwrap()));
    let names: Vec<_> = response.resources.iter().map(|resource| resource.name.clone()).collect();
    assert_eq!(names, found.iter().map(|secret| secret.name.clone()).collect::<Vec<_>>());
    found
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<String> {
    secrets(response).into_iter().map(|secret| secret.name).collect()
}

fn versions(response: &DeltaDiscoveryResponse) -> Vec<String> {
    response.resources.iter().map(|resource| resource.version.clone()).collect()
}

/// S11, S1: the names are those of the other protocol.
#[test]
fn every_name_is_answered_under_a_version_of_its_own() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let asked = ["ALL", "ROOTCA", "default", "spiffe://partner.example", "spiffe://prod.example", WEB];
    let response = fixture.more(&asked).unwrap();
    assert_eq!((names(&response), response.type_url.clone()), (texts(&asked), Secret::type_url()));
    let mut versions = versions(&response);
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), asked.len());
}

/// S11, S5: a response has what changed and nothing else.
#[test]
fn only_what_changed_is_pushed_and_only_its_version_moves() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.more(&["ROOTCA", API, WEB]).unwrap();
    assert_eq!(fixture.send(&ack(&first)), (Verdict::Accepted, None));
    fixture.identities.svids[0] = svid(WEB, 9);
    let second = fixture.push().unwrap();
    assert_eq!(names(&second), [WEB]);
    assert_ne!(versions(&second)[0], versions(&first)[2]);
    assert_eq!(fixture.push(), None);
    fixture.identities.svids[0] = svid(WEB, 1);
    assert_eq!(versions(&fixture.push().unwrap())[0], versions(&first)[2]);
}

/// S11: Envoy asks for certificates on demand one by one, as connections come.
#[test]
fn names_come_and_go_over_time() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    for name in [WEB, API, "default"] {
        assert_eq!(names(&fixture.more(&[name]).unwrap()), [name]);
    }
    assert_eq!(fixture.send(&no_longer(&[WEB, "never asked for"])).1, None);
    fixture.identities.svids = vec![svid(WEB, 8), svid(API, 9)];
    assert_eq!(names(&fixture.push().unwrap()), ["default", API]);
    assert_eq!(names(&fixture.more(&[WEB]).unwrap()), [WEB]);
    assert_eq!(names(&fixture.more(&[WEB]).unwrap()), [WEB], "who asks again has lost it");
}

/// S11, S4: a client that reconnects gets only what differs.
#[test]
fn a_client_that_comes_back_is_sent_what_it_does_not_have() {
    let before = Fixture::new(two_svids_two_bundles()).more(&["ROOTCA", API, WEB]).unwrap();
    let mut fixture = Fixture::new(two_svids_two_bundles());
    assert_eq!(fixture.send(&returning(&["ROOTCA", API, WEB], &[&before])).1, None);

    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.identities.svids[0] = svid(WEB, 9);
    let mut request = returning(&["ROOTCA", API, WEB, "default"], &[&before]);
    request.initial_resource_versions.insert("ROOTCA".into(), "1".into());
    request.initial_resource_versions.insert("not asked for".into(), "1".into());
    assert_eq!(names(&fixture.send(&request).1.unwrap()), ["ROOTCA", "default", WEB]);
}

/// S11: versions that a client brings count in its first request alone.
#[test]
fn what_a_client_claims_to_hold_later_is_not_heard() {
    let before = Fixture::new(two_svids_two_bundles()).more(&[WEB]).unwrap();
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.more(&["ROOTCA"]).unwrap();
    assert_eq!(names(&fixture.send(&returning(&[WEB], &[&before])).1.unwrap()), [WEB]);
}

/// S11, S3: unknown names.
#[test]
fn an_unknown_name_is_left_out_until_it_is_granted_and_is_never_called_removed() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let batch = "spiffe://prod.example/batch";
    let response = fixture.more(&["file-root:system", batch, WEB]).unwrap();
    assert_eq!(names(&response), [WEB]);
    assert!(response.removed_resources.is_empty(), "Envoy would open its port without a certificate");
    fixture.identities.svids.push(svid(batch, 3));
    assert_eq!(names(&fixture.push().unwrap()), [batch]);

    let config = SdsConfig { unknown_names: UnknownNames::Refuse, ..SdsConfig::new("prod.example".parse().unwrap()) };
    let mut fixture = Fixture::with(config, two_svids_two_bundles());
    fixture.stream.hear(&asking(&["file-cert:/tls", WEB])).unwrap();
    let answer = fixture.answer();
    assert_eq!((answer.response, answer.refused), (None, texts(&["file-cert:/tls"])));
}

/// S11: Envoy spells a mapped name of `*` as no name at all.
#[test]
fn a_wildcard_gets_nothing_at_all() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    assert_eq!(fixture.more(&[]), None);
    assert_eq!(fixture.more(&["*"]), None);
    let claim = [("default".to_owned(), "1".to_owned())];
    let brings = DeltaDiscoveryRequest { initial_resource_versions: claim.into(), ..asking(&[]) };
    assert_eq!(Fixture::new(two_svids_two_bundles()).send(&brings).1, None);
}

/// S11: removal.
#[test]
fn a_bundle_that_goes_away_is_replaced_by_one_that_trusts_no_one() {
    let partner = "spiffe://partner.example";
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let before = fixture.more(&[partner]).unwrap();
    fixture.identities.bundles.pop();
    let response = fixture.push().unwrap();
    assert_eq!(trusted(&secrets(&response)[0]), []);
    assert_eq!(response.removed_resources, [""; 0], "Envoy would keep the old one");

    let mut later = Fixture::new(fixture.identities);
    let response = later.send(&returning(&[partner], &[&before])).1.unwrap();
    assert_eq!(trusted(&secrets(&response)[0]), []);
}

/// S11: removal. An SVID can't be emptied, but a selector on demand throws it away when told to.
#[test]
fn an_svid_that_is_withdrawn_is_removed_once_and_given_again_when_granted_again() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let before = fixture.more(&[API, WEB]).unwrap();
    let granted = fixture.identities.svids.remove(0);
    let answer = fixture.answer();
    let response = answer.response.unwrap();
    assert_eq!((names(&response), response.removed_resources), (vec![], texts(&[WEB])));
    assert_eq!(answer.notices, [Notice::Withdrawn(WEB.into(), Missing::NotGranted)]);
    let answer = fixture.answer();
    assert_eq!((answer.response, answer.notices), (None, vec![]));

    let mut later = Fixture::new(fixture.identities.clone());
    let response = later.send(&returning(&[API, WEB], &[&before])).1.unwrap();
    assert_eq!((names(&response), response.removed_resources), (vec![], texts(&[WEB])));

    fixture.identities.svids.insert(0, granted);
    assert_eq!(names(&fixture.push().unwrap()), [WEB]);
}

/// S11: an SVID whose renewal is late is no reason to take it away before it ends.
#[test]
fn an_svid_that_expired_is_not_called_removed() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.more(&[WEB]).unwrap();
    let answer = fixture.stream.answer(&fixture.identities, LATER, &fixture.entropy).unwrap();
    assert_eq!(answer.response, None);
    fixture.identities.svids.remove(0);
    assert_eq!(fixture.push().unwrap().removed_resources, [WEB]);
}

/// S11, S4: nonces.
#[test]
fn each_response_is_judged_once_and_in_any_order() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.more(&[WEB]).unwrap();
    let second = fixture.more(&["ROOTCA"]).unwrap();
    assert_eq!(fixture.send(&ack(&second)), (Verdict::Accepted, None));
    assert_eq!(fixture.send(&nack(&first, "bad\r\nkey")), (Verdict::Rejected(r"bad\u{d}\u{a}key".into()), None));
    assert_eq!(fixture.send(&nack(&first, "again")), (Verdict::Stale, None));
    assert_eq!(fixture.push(), None, "it is not sent again until it differs");
    fixture.identities.svids[0] = svid(WEB, 9);
    assert_eq!(names(&fixture.push().unwrap()), [WEB]);
}

/// S11, S4: what a request asks for counts, whichever response it is about.
#[test]
fn a_stale_nonce_takes_no_subscription_with_it() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    fixture.more(&[WEB]).unwrap();
    let request = DeltaDiscoveryRequest { response_nonce: "deadbeef".into(), ..asking(&["ROOTCA"]) };
    let (verdict, response) = fixture.send(&request);
    assert_eq!((verdict, names(&response.unwrap())), (Verdict::Stale, texts(&["ROOTCA"])));
}

#[test]
fn responses_that_nobody_judges_are_not_kept_for_ever() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = fixture.more(&[WEB]).unwrap();
    for _ in 0..MAX_UNJUDGED {
        fixture.more(&[WEB]).unwrap();
    }
    assert_eq!(fixture.stream.unjudged.len(), MAX_UNJUDGED);
    assert_eq!(fixture.send(&ack(&first)).0, Verdict::Stale);
}

/// S11, S6, S7: the node.
#[test]
fn the_node_of_the_first_request_holds_for_the_stream() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let first = DeltaDiscoveryRequest { node: Some(plain_node()), ..asking(&["ROOTCA"]) };
    for response in [fixture.send(&first).1.unwrap(), fixture.more(&["spiffe://partner.example"]).unwrap()] {
        assert!(context(&secrets(&response)[0]).trusted_ca.is_some());
    }
}

/// S11: bounds.
#[test]
fn a_stream_is_bounded_over_all_its_requests() {
    let mut fixture = Fixture::new(two_svids_two_bundles());
    let cluster = DeltaDiscoveryRequest { type_url: "a.Cluster".into(), ..asking(&[WEB]) };
    assert_eq!(fixture.stream.hear(&cluster), Err(RequestError::TypeUrl("a.Cluster".into())));
    let long = "a".repeat(2049);
    assert_eq!(fixture.stream.hear(&asking(&[&long])), Err(RequestError::LongName(2049)));
    for number in 0..100 {
        fixture.stream.hear(&asking(&[&number.to_string()])).unwrap();
    }
    assert_eq!(fixture.stream.hear(&asking(&["one more"])), Err(RequestError::TooManyNames(101)));
}
