//! The service behind the gate. What is expected is what SPIRE 1.15 answered to the same, but where a test says otherwise.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};
use tonic::service::Routes;

use super::super::tests::{Desk, clock, now};
use super::*;
use crate::foundation::entropy::SystemEntropy;
use crate::identity::federation::memory::MemoryFederation;
use crate::identity::federation::{
    Age, BundleAnswer, BundleSource, FetchError, PeerEvents, PollConfig, PollPorts, Poller, RefreshError, Relationship,
    Taken,
};
use crate::identity::registry::memory::MemoryRegistry;
use crate::identity::registry::{Change, ConfiguredEntry, EntrySource, EntryTerms};
use crate::identity::selector::Selector;

pub(in crate::edge::spire_api) struct Office {
    pub(in crate::edge::spire_api) desk: Desk,
    pub(in crate::edge::spire_api) bundles: Arc<Watched<Bundles>>,
    registry: Arc<Registry>,
}

impl Office {
    /// Our two services of the federation over one of `example.org`, whose own bundle has one authority.
    pub(in crate::edge::spire_api) async fn open() -> Self {
        let ours: TrustDomain = "example.org".parse().unwrap();
        let own = Bundle::of_x509(ours.clone(), [authority("example.org").into()], 3);
        let bundles = Arc::new(Watched::new(Bundles::new([own])));
        let store = Arc::new(MemoryFederation::default());
        let federation = Arc::new(Federation::load(ours.clone(), store, Arc::clone(&bundles)).await.unwrap());
        let entropy = Arc::new(SystemEntropy::new());
        let registry = Registry::open(ours.clone(), Arc::new(MemoryRegistry::default()), entropy).await.unwrap();
        let registry = Arc::new(registry);
        let bundle = BundleService::new(
            ours.clone(),
            Arc::clone(&bundles),
            Arc::clone(&federation),
            Arc::clone(&registry),
            clock(),
        );
        let poller = Arc::new(poller(&federation));
        let peers = super::super::FederationService::new(Arc::clone(&federation), Arc::clone(&poller));
        let relationships = super::super::TrustDomainService::new(ours, federation, poller);
        let services = Routes::default()
            .add_service(bundle.into_server())
            .add_service(relationships.into_server())
            .add_service(peers.into_server());
        Self { desk: Desk::new(services), bundles, registry }
    }

    async fn ask<Q: Message, A: Message + Default>(&self, method: &str, question: &Q) -> Result<A, Status> {
        self.desk.call(&format!("spire.api.server.bundle.v1.Bundle/{method}"), question).await
    }

    /// What becomes of each of `bundle`.
    async fn create(&self, bundle: Vec<types::Bundle>) -> Vec<(i32, String)> {
        let question = BatchCreateFederatedBundleRequest { bundle, output_mask: None };
        let answer: BatchCreateFederatedBundleResponse =
            self.ask("BatchCreateFederatedBundle", &question).await.unwrap();
        answer.results.into_iter().map(|result| plain(result.status)).collect()
    }

    async fn delete(&self, trust_domains: &[&str], mode: Mode) -> Vec<(i32, String)> {
        let trust_domains = trust_domains.iter().map(ToString::to_string).collect();
        let question = BatchDeleteFederatedBundleRequest { trust_domains, mode: mode.into() };
        let answer: BatchDeleteFederatedBundleResponse =
            self.ask("BatchDeleteFederatedBundle", &question).await.unwrap();
        answer.results.into_iter().map(|result| plain(result.status)).collect()
    }

    /// The names of all bundles, ours too.
    fn names(&self) -> Vec<String> {
        self.bundles.load().iter().map(|bundle| bundle.trust_domain.to_string()).collect()
    }
}

/// Asks endpoints of which none is there.
#[derive(Debug)]
struct Nowhere;

impl BundleSource for Nowhere {
    fn fetch<'a>(&'a self, _relationship: &'a Relationship, _bundles: Arc<Bundles>) -> BundleAnswer<'a> {
        Box::pin(async { Err(FetchError("nobody is there".to_owned())) })
    }
}

impl PeerEvents for Nowhere {
    fn fetched(&self, _taken: &Taken) {}
    fn failed(&self, _trust_domain: &TrustDomain, _error: &RefreshError) {}
    fn stale(&self, _trust_domain: &TrustDomain) {}
    fn dated(&self, _trust_domain: &TrustDomain, _age: Age) {}
    fn ended(&self, _trust_domain: &TrustDomain) {}
}

fn poller(federation: &Arc<Federation>) -> Poller {
    let ports = PollPorts {
        source: Arc::new(Nowhere),
        events: Arc::new(Nowhere),
        clock: clock(),
        entropy: Arc::new(SystemEntropy::new()),
    };
    let (timeout, shortest, longest) = (Duration::from_secs(1), Duration::from_secs(30), Duration::from_hours(1));
    Poller::new(Arc::clone(federation), ports, PollConfig { timeout, shortest, longest, max_stale: None })
}

pub(in crate::edge::spire_api) fn plain(status: Option<types::Status>) -> (i32, String) {
    let status = status.unwrap();
    (status.code, status.message)
}

/// The certificate of an authority, DER.
pub(in crate::edge::spire_api) fn authority(name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{name}").try_into().unwrap())];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

pub(in crate::edge::spire_api) fn of(name: &str) -> types::Bundle {
    types::Bundle { trust_domain: name.to_owned(), ..types::Bundle::default() }
}

fn full(name: &str) -> types::Bundle {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let key = types::JwtKey {
        public_key: key.public_key().as_der().unwrap().as_ref().to_vec(),
        key_id: "k".into(),
        expires_at: 1_795_412_165,
        tainted: true,
    };
    types::Bundle {
        x509_authorities: vec![types::X509Certificate { asn1: authority(name), tainted: true }],
        jwt_authorities: vec![key],
        refresh_hint: 60,
        sequence_number: u64::MAX,
        ..of(name)
    }
}

fn refused<A: std::fmt::Debug>(answer: Result<A, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn our_own_bundle_is_shown_and_nobody_adds_to_it() {
    let office = Office::open().await;
    let own: types::Bundle = office.ask("GetBundle", &GetBundleRequest::default()).await.unwrap();
    assert_eq!((own.trust_domain.as_str(), own.x509_authorities.len()), ("example.org", 1));
    assert_eq!((own.refresh_hint, own.sequence_number), (0, 3));
    let masked = GetBundleRequest { output_mask: Some(BundleMask::default()) };
    assert_eq!(office.ask::<_, types::Bundle>("GetBundle", &masked).await.unwrap(), of("example.org"));

    let append = async |request| refused(office.ask::<_, types::Bundle>("AppendBundle", &request).await);
    let nothing = append(AppendBundleRequest::default()).await;
    assert_eq!(nothing, (Code::InvalidArgument, "no authorities to append".into()));
    // SPIRE appends.
    let certificate = types::X509Certificate { asn1: authority("example.org"), tainted: false };
    let appended = append(AppendBundleRequest { x509_authorities: vec![certificate], ..Default::default() }).await;
    assert_eq!(appended.0, Code::FailedPrecondition);
    let publish = PublishJwtAuthorityRequest::default();
    let published = office.ask::<_, PublishJwtAuthorityResponse>("PublishJWTAuthority", &publish).await;
    assert_eq!(refused(published).0, Code::PermissionDenied);
    let now: types::Bundle = office.ask("GetBundle", &GetBundleRequest::default()).await.unwrap();
    assert_eq!(now, own);
}

#[tokio::test]
async fn a_bundle_comes_back_whole() {
    let office = Office::open().await;
    let given = full("other.org");
    assert_eq!(office.create(vec![given.clone()]).await, [(0, "OK".into())]);
    // A trust domain may be named by any ID of it.
    for name in ["other.org", "spiffe://other.org", "spiffe://other.org/path"] {
        let question = GetFederatedBundleRequest { trust_domain: name.into(), output_mask: None };
        assert_eq!(office.ask::<_, types::Bundle>("GetFederatedBundle", &question).await.unwrap(), given);
    }
    let count: CountBundlesResponse = office.ask("CountBundles", &CountBundlesRequest {}).await.unwrap();
    assert_eq!(count.count, 2);
    assert_eq!(office.names(), ["example.org", "other.org"]);
    let recorded = office.desk.recorded();
    assert_eq!(recorded[0].subjects, ["other.org"]);
    assert_eq!((recorded[0].code.as_deref(), recorded[1].code.as_deref()), (None, Some("ok")));
}

#[tokio::test]
async fn each_bundle_of_a_batch_is_judged_by_itself() {
    let office = Office::open().await;
    let certificate = |asn1: Vec<u8>| types::Bundle {
        x509_authorities: vec![types::X509Certificate { asn1, tainted: false }],
        ..of("bad.org")
    };
    let key = |key_id: &str, public_key: Vec<u8>| types::Bundle {
        jwt_authorities: vec![types::JwtKey { key_id: key_id.into(), public_key, ..Default::default() }],
        ..of("bad.org")
    };
    let results = office
        .create(vec![
            of(""),
            of("nox.org"),
            of("nox.org"),
            of("example.org"),
            of("Bad!"),
            certificate(vec![0, 0, 0]),
            certificate(authority("example.org")),
            key("k", vec![0, 0, 0]),
            types::Bundle { refresh_hint: -1, ..of("bad.org") },
            of("good.org"),
        ])
        .await;
    let invalid = |message: &str| (3, message.to_owned());
    assert_eq!(results[0], invalid("trust domain argument is not valid: trust domain is missing"));
    assert_eq!(results[1], (0, "OK".into()));
    assert_eq!(results[2], (6, "bundle already exists".into()));
    let own = "creating a federated bundle for the server's own trust domain is not allowed";
    assert_eq!(results[3], invalid(own));
    let grammar = "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores";
    assert_eq!(results[4], invalid(&format!("trust domain argument is not valid: {grammar}")));
    // SPIRE takes another domain's authority and a negative hint; a stream with either is refused by go-spiffe or Envoy.
    for result in &results[5..9] {
        assert!(result.0 == 3 && result.1.starts_with("failed to convert bundle: "), "{result:?}");
    }
    assert_eq!(results[9], (0, "OK".into()));
    assert_eq!(office.names(), ["example.org", "good.org", "nox.org"]);
    let [begun, ended] = office.desk.recorded().try_into().unwrap();
    assert_eq!((begun.subjects.len(), begun.code.as_deref()), (10, None));
    assert_eq!((ended.subjects, ended.code.as_deref()), (vec!["nox.org".to_owned(), "good.org".into()], Some("ok")));
}

#[tokio::test]
async fn an_update_changes_what_its_mask_names() {
    let office = Office::open().await;
    office.create(vec![full("other.org")]).await;
    let update = async |bundle, input_mask| {
        let question = BatchUpdateFederatedBundleRequest { bundle: vec![bundle], input_mask, output_mask: None };
        let answer: BatchUpdateFederatedBundleResponse =
            office.ask("BatchUpdateFederatedBundle", &question).await.unwrap();
        let [result] = answer.results.try_into().unwrap();
        (plain(result.status), result.bundle)
    };
    let unknown = update(of("nope.org"), None).await;
    assert_eq!(unknown, ((5, "bundle not found".into()), None));
    let hint = BundleMask { refresh_hint: true, ..BundleMask::default() };
    let (_, updated) = update(types::Bundle { refresh_hint: 99, ..of("other.org") }, Some(hint)).await;
    let updated = updated.unwrap();
    assert_eq!((updated.refresh_hint, updated.sequence_number), (99, u64::MAX));
    assert_eq!((updated.x509_authorities.len(), updated.jwt_authorities.len()), (1, 1));
    let (_, emptied) = update(of("other.org"), None).await;
    assert_eq!(emptied, Some(of("other.org")));

    let question = BatchSetFederatedBundleRequest {
        bundle: vec![full("set.org"), of("example.org")],
        output_mask: Some(BundleMask::default()),
    };
    let set: BatchSetFederatedBundleResponse = office.ask("BatchSetFederatedBundle", &question).await.unwrap();
    assert_eq!(set.results[0].bundle, Some(of("set.org")));
    let own = "setting a federated bundle for the server's own trust domain is not allowed";
    assert_eq!(plain(set.results[1].status.clone()), (3, own.into()));
}

/// SPIRE counts its own bundle as one of a page, and so hands out empty pages.
#[tokio::test]
async fn pages_are_full_and_in_order() {
    let office = Office::open().await;
    office.create(["c.org", "a.org", "b.org", "f.org"].map(of).into()).await;
    let page = async |page_size, page_token: &str| {
        let question = ListFederatedBundlesRequest { output_mask: None, page_size, page_token: page_token.into() };
        let answer: ListFederatedBundlesResponse = office.ask("ListFederatedBundles", &question).await?;
        let names = answer.bundles.into_iter().map(|bundle| bundle.trust_domain);
        Ok::<_, Status>((names.collect::<Vec<_>>().join(" "), answer.next_page_token))
    };
    let (names, token) = page(3, "").await.unwrap();
    assert_eq!(names, "a.org b.org c.org");
    assert_eq!(page(3, &token).await.unwrap(), ("f.org".into(), String::new()));
    assert_eq!(page(0, "").await.unwrap(), ("a.org b.org c.org f.org".into(), String::new()));
    let bogus = refused(page(1, "bogus").await).1;
    assert_eq!(bogus, "failed to list bundles: could not parse token 'bogus'");
    for (name, code, message) in [
        ("", Code::InvalidArgument, "trust domain argument is not valid: trust domain is missing"),
        ("nope.org", Code::NotFound, "bundle not found"),
        (
            "example.org",
            Code::InvalidArgument,
            "getting a federated bundle for the server's own trust domain is not allowed",
        ),
    ] {
        let question = GetFederatedBundleRequest { trust_domain: name.into(), output_mask: None };
        let answer = office.ask::<_, types::Bundle>("GetFederatedBundle", &question).await;
        assert_eq!(refused(answer), (code, message.into()));
    }
}

fn terms(name: &str) -> EntryTerms {
    let selectors: BTreeSet<_> = [Selector::new("unix", format!("path:/{name}"))].into();
    let id = format!("spiffe://example.org/{name}").parse().unwrap();
    let terms = EntryTerms::new(id, "spiffe://example.org/spire/agent/portcullis".parse().unwrap(), selectors);
    EntryTerms { federates_with: ["other.org".parse().unwrap()].into(), ..terms }
}

#[tokio::test]
async fn a_bundle_in_use_is_deleted_as_its_mode_says() {
    let office = Office::open().await;
    let results = office.delete(&["", "nope.org", "example.org", "Bad!"], Mode::Restrict).await;
    let codes: Vec<_> = results.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [3, 5, 3, 3]);
    assert_eq!(results[2].1, "removing the bundle for the server trust domain is not allowed");
    let unknown = BatchDeleteFederatedBundleRequest { trust_domains: vec!["nope.org".into()], mode: 99 };
    let unknown = office.ask::<_, BatchDeleteFederatedBundleResponse>("BatchDeleteFederatedBundle", &unknown).await;
    let message = "failed to parse deletion mode: unhandled delete mode \"99\"";
    assert_eq!(refused(unknown), (Code::InvalidArgument, message.into()));

    let create = async || {
        office.create(vec![of("other.org")]).await;
        let change = Change::Create { id: Some("web".into()), terms: terms("web") };
        office.registry.apply(EntrySource::Api, vec![change], now()).await.unwrap()[0].clone().unwrap();
    };
    create().await;
    let in_use = "failed to delete federated bundle: cannot delete bundle; federated with 1 registration entries";
    assert_eq!(office.delete(&["other.org"], Mode::Restrict).await, [(9, in_use.into())]);
    assert_eq!(office.delete(&["other.org"], Mode::Dissociate).await, [(0, "OK".into())]);
    assert!(office.registry.load().get("web").unwrap().terms.federates_with.is_empty());
    office.registry.apply(EntrySource::Api, vec![Change::Delete { id: "web".into() }], now()).await.unwrap();
    create().await;
    assert_eq!(office.delete(&["other.org"], Mode::Delete).await, [(0, "OK".into())]);
    assert!(office.registry.load().get("web").is_none());

    office.create(vec![of("other.org")]).await;
    let configured = ConfiguredEntry { id: "web".into(), terms: terms("web") };
    office.registry.reconcile(vec![configured], now()).await.unwrap();
    for mode in [Mode::Dissociate, Mode::Delete] {
        let [(code, message)] = office.delete(&["other.org"], mode).await.try_into().unwrap();
        assert!(code == 9 && message.contains("of the configuration"), "{message}");
    }
    assert_eq!(office.names(), ["example.org", "other.org"]);
}
