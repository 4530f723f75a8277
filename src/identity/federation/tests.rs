use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use portcullis_spiffe::bundle::JwkError;
use portcullis_spiffe::x509::ProfileError;

use super::memory::MemoryFederation;
use super::*;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::SystemEntropy;
use crate::identity::bundle::{AuthorityError, JwtAuthority, X509Authority};
use crate::identity::registry::memory::MemoryRegistry;
use crate::identity::registry::{Change, ConfiguredEntry, EntrySource, EntryTerms, Registry};
use crate::identity::selector::Selector;
use crate::identity::svid::tests::mint;

const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);

pub(super) fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

/// Our own bundle, which nobody here may touch.
fn ours() -> Bundle {
    mint::Authority::new("example.org").bundle(7)
}

fn jwt_authority(key_id: &str) -> JwtAuthority {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public_key = key.public_key().as_der().unwrap().as_ref().to_vec();
    JwtAuthority { key_id: key_id.to_owned(), public_key, expires_at: None, tainted: false }
}

pub(super) fn relationship(name: &str) -> Relationship {
    Relationship {
        trust_domain: domain(name),
        endpoint: "https://bundles.example/".parse().unwrap(),
        profile: EndpointProfile::Web,
    }
}

/// A process on a store that others may share.
async fn process(store: &Arc<MemoryFederation>) -> (Federation, Arc<Watched<Bundles>>) {
    let bundles = Arc::new(Watched::new(Bundles::new([ours()])));
    let store = Arc::clone(store);
    (Federation::load(domain("example.org"), store, Arc::clone(&bundles)).await.unwrap(), bundles)
}

async fn alone() -> (Federation, Arc<Watched<Bundles>>) {
    process(&Arc::default()).await
}

#[tokio::test]
async fn a_bundle_is_made_changed_and_forgotten_before_the_eyes_of_its_users() {
    let (federation, bundles) = alone().await;
    let mut changes = bundles.subscribe();
    let theirs = Bundle { jwt_authorities: vec![jwt_authority("k")], ..mint::Authority::new("a.example").bundle(1) };
    assert_eq!(*federation.create_bundle(theirs.clone()).await.unwrap(), theirs);
    changes.changed().await.unwrap();
    assert_eq!(bundles.load().get(&domain("a.example")).unwrap().as_ref(), &theirs);
    assert!(matches!(federation.create_bundle(theirs.clone()).await, Err(FederationError::Exists(_))));

    let hint = Some(Duration::from_mins(1));
    let updated =
        federation.update_bundle(domain("a.example"), move |bundle| bundle.refresh_hint = hint).await.unwrap();
    assert_eq!(*updated, Bundle { refresh_hint: hint, ..theirs.clone() });
    let unknown = federation.update_bundle(domain("b.example"), |_| {}).await;
    assert!(matches!(unknown, Err(FederationError::Unknown(_))));

    federation.set_bundle(mint::bundle("a.example", vec![], 9)).await.unwrap();
    federation.set_bundle(mint::bundle("b.example", vec![], 0)).await.unwrap();
    let sequences: Vec<_> = federation.bundles().iter().map(|bundle| bundle.sequence).collect();
    assert_eq!(sequences, [9, 0]);
    assert!(federation.knows(&domain("b.example")) && !federation.knows(&domain("example.org")));

    let before = bundles.load().epoch();
    let registry = registry([], vec![]).await;
    federation.delete_bundle(domain("a.example"), DeleteMode::Restrict, &registry, NOW).await.unwrap();
    assert_eq!(bundles.load().get(&domain("a.example")), None);
    assert!(bundles.load().epoch() > before);
    let again = federation.delete_bundle(domain("a.example"), DeleteMode::Restrict, &registry, NOW).await;
    assert!(matches!(again, Err(FederationError::Unknown(_))));
}

#[tokio::test]
async fn our_own_bundle_is_never_a_foreign_one() {
    let (federation, bundles) = alone().await;
    let before = bundles.load();
    let registry = registry([], vec![]).await;
    let own = domain("example.org");
    let refused = [
        federation.create_bundle(ours()).await.map(drop),
        federation.set_bundle(ours()).await.map(drop),
        federation.update_bundle(own.clone(), |bundle| bundle.x509_authorities.clear()).await.map(drop),
        federation.delete_bundle(own.clone(), DeleteMode::Delete, &registry, NOW).await,
        federation.create_relationship(relationship("example.org"), None).await.map(drop),
        federation.create_relationship(relationship("a.example"), Some(ours())).await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(FederationError::Ourselves(_))), "{refused:?}");
    }
    assert_eq!(federation.bundle(&own), None);
    assert!(federation.bundles().is_empty() && federation.relationships().is_empty());
    assert_eq!(bundles.load().epoch(), before.epoch());
}

#[tokio::test]
async fn a_relationship_may_bring_the_first_bundle_and_leaves_it_behind() {
    let (federation, bundles) = alone().await;
    let first = mint::Authority::new("a.example").bundle(1);
    federation.create_relationship(relationship("a.example"), Some(first.clone())).await.unwrap();
    assert_eq!(bundles.load().get(&domain("a.example")).unwrap().as_ref(), &first);
    let twice = federation.create_relationship(relationship("a.example"), None).await;
    assert!(matches!(twice, Err(FederationError::Exists(_))));

    let profile = EndpointProfile::Spiffe("spiffe://a.example/bundles".parse().unwrap());
    let wanted = Relationship { profile: profile.clone(), ..relationship("a.example") };
    let change = move |relationship: &mut Relationship| relationship.profile = profile.clone();
    assert_eq!(*federation.update_relationship(domain("a.example"), change, None).await.unwrap(), wanted);
    assert_eq!(federation.relationships().get(&domain("a.example")).map(AsRef::as_ref), Some(&wanted));

    federation.delete_relationship(domain("a.example")).await.unwrap();
    assert!(federation.relationships().is_empty() && federation.knows(&domain("a.example")));
    let gone = federation.delete_relationship(domain("a.example")).await;
    assert!(matches!(gone, Err(FederationError::Unknown(_))));
}

#[tokio::test]
async fn an_unfit_bundle_changes_nothing() {
    let (federation, bundles) = alone().await;
    let good = mint::Authority::new("a.example");
    federation.set_bundle(good.bundle(1)).await.unwrap();
    let epoch = bundles.load().epoch();
    let certificate = |der: Vec<u8>| X509Authority { certificate: der.into(), tainted: false };
    for unfit in [
        vec![],
        vec![0; 3],
        good.leaf_der(|_| {}).to_vec(),
        [&good.der()[..], &good.der()[..]].concat(),
        mint::Authority::new("example.org").der().to_vec(),
        mint::Authority::new("b.example").der().to_vec(),
    ] {
        let mut mixed = good.bundle(2);
        mixed.x509_authorities.push(certificate(unfit));
        let change = mixed.clone();
        let refused = [
            federation.set_bundle(mixed.clone()).await.map(drop),
            federation.create_relationship(relationship("a.example"), Some(mixed)).await.map(drop),
            federation.update_bundle(domain("a.example"), move |bundle| *bundle = change.clone()).await.map(drop),
        ];
        for refused in refused {
            let Err(FederationError::Bundle(BundleProblem::X509(error))) = refused else { panic!("{refused:?}") };
            assert_eq!(error.position, 2, "{error}");
        }
    }
    let foreign = mint::bundle("a.example", vec![mint::Authority::new("b.example").der()], 1);
    let error = federation.set_bundle(foreign).await.unwrap_err();
    let Err(FederationError::Bundle(BundleProblem::X509(error))) = Err::<(), _>(error) else { panic!() };
    assert_eq!(error.reason, AuthorityError::Profile(ProfileError::ForeignAuthority(domain("b.example"))));
    assert_eq!(bundles.load().epoch(), epoch);
    assert!(federation.relationships().is_empty());
}

#[tokio::test]
async fn keys_that_no_token_can_name_or_use_are_refused() {
    let (federation, _) = alone().await;
    let with = async |jwt_authorities: Vec<JwtAuthority>| {
        let bundle = Bundle { jwt_authorities, ..mint::bundle("a.example", vec![], 1) };
        match federation.set_bundle(bundle).await {
            Ok(bundle) => Ok(bundle.jwt_authorities.len()),
            Err(FederationError::Bundle(problem)) => Err(problem),
            Err(other) => panic!("{other}"),
        }
    };
    let (one, two) = (jwt_authority("one"), jwt_authority("two"));
    assert_eq!(with(vec![one.clone(), two.clone(), one.clone()]).await.unwrap(), 2);
    let same_id = JwtAuthority { key_id: "one".into(), ..two.clone() };
    let error = with(vec![one.clone(), same_id]).await.unwrap_err();
    assert!(matches!(error, BundleProblem::DuplicateKeyId(id) if id == "one"));
    for key_id in [String::new(), "k".repeat(256)] {
        let error = with(vec![one.clone(), JwtAuthority { key_id, ..two.clone() }]).await.unwrap_err();
        assert!(matches!(error, BundleProblem::KeyId(2)), "{error}");
    }
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let ed25519 = ed25519.public_key().as_der().unwrap().as_ref().to_vec();
    let trailing = [&one.public_key[..], &[0]].concat();
    for (public_key, reason) in
        [(vec![], JwkError::Malformed), (trailing, JwkError::Malformed), (ed25519, JwkError::NotForJwt)]
    {
        let error = with(vec![JwtAuthority { public_key, ..one.clone() }]).await.unwrap_err();
        let BundleProblem::JwtKey { position: 1, reason: found } = error else { panic!("{error}") };
        assert_eq!(found, reason);
    }
}

#[tokio::test]
async fn a_bundle_has_bounds() {
    let (federation, _) = alone().await;
    let certificate = mint::Authority::new("a.example").der();
    let twice = mint::bundle("a.example", vec![certificate.clone(), certificate.clone()], 1);
    assert_eq!(federation.set_bundle(twice).await.unwrap().x509_authorities.len(), 1);
    let many = mint::bundle("a.example", vec![certificate.clone(); 257], 1);
    let error = federation.set_bundle(many).await.unwrap_err();
    assert!(matches!(error, FederationError::Bundle(BundleProblem::TooMany(257))), "{error}");
    let large = mint::bundle("a.example", vec![vec![0x30; 10_000_000].into()], 1);
    let error = federation.set_bundle(large).await.unwrap_err();
    assert!(matches!(error, FederationError::Bundle(BundleProblem::TooLarge(10_000_000))), "{error}");
    for number in 0..MAX_TRUST_DOMAINS - 1 {
        federation.set_bundle(mint::bundle(&format!("n{number}.example"), vec![], 1)).await.unwrap();
    }
    let one_more = federation.set_bundle(mint::bundle("more.example", vec![], 1)).await;
    assert!(matches!(one_more, Err(FederationError::TooMany)));
    federation.set_bundle(mint::bundle("n1.example", vec![], 2)).await.unwrap();
}

#[tokio::test]
async fn processes_on_one_store_see_each_others_changes() {
    let store = Arc::new(MemoryFederation::default());
    let ((one, _), (other, bundles)) = (process(&store).await, process(&store).await);
    one.create_relationship(relationship("a.example"), Some(mint::bundle("a.example", vec![], 1))).await.unwrap();
    assert!(!other.knows(&domain("a.example")));
    // A write looks first.
    let exists = other.create_bundle(mint::bundle("a.example", vec![], 1)).await;
    assert!(matches!(exists, Err(FederationError::Exists(_))));
    assert_eq!(other.relationships().len(), 1);

    other.set_bundle(mint::bundle("b.example", vec![], 1)).await.unwrap();
    one.refresh().await.unwrap();
    assert!(one.knows(&domain("b.example")));
    one.set_bundle(mint::bundle("b.example", vec![], 2)).await.unwrap();
    let registry = registry([], vec![]).await;
    one.delete_bundle(domain("a.example"), DeleteMode::Restrict, &registry, NOW).await.unwrap();
    one.delete_relationship(domain("a.example")).await.unwrap();
    other.refresh().await.unwrap();
    let names: Vec<_> = bundles.load().iter().map(|b| (b.trust_domain.to_string(), b.sequence)).collect();
    assert_eq!(names, [("b.example".to_owned(), 2), ("example.org".to_owned(), 7)]);
    assert!(other.relationships().is_empty());
    let epoch = bundles.load().epoch();
    other.refresh().await.unwrap();
    assert_eq!(bundles.load().epoch(), epoch);
}

fn terms(name: &str, federates_with: &[&str]) -> EntryTerms {
    let selectors: BTreeSet<_> = [Selector::new("unix", format!("path:/{name}"))].into();
    let id = format!("spiffe://example.org/{name}").parse().unwrap();
    let terms = EntryTerms::new(id, "spiffe://example.org/spire/agent/portcullis".parse().unwrap(), selectors);
    EntryTerms { federates_with: federates_with.iter().map(|name| domain(name)).collect(), ..terms }
}

/// A registry with entries of the API and of the configuration.
async fn registry(api: impl IntoIterator<Item = EntryTerms>, config: Vec<EntryTerms>) -> Registry {
    let (store, entropy) = (Arc::new(MemoryRegistry::default()), Arc::new(SystemEntropy::new()));
    let registry = Registry::open(domain("example.org"), store, entropy).await.unwrap();
    let name = |terms: &EntryTerms| terms.spiffe_id.path().trim_start_matches('/').to_owned();
    let configured = config.into_iter().map(|terms| ConfiguredEntry { id: name(&terms).into(), terms }).collect();
    registry.reconcile(configured, NOW).await.unwrap();
    let changes = api.into_iter().map(|terms| Change::Create { id: Some(name(&terms)), terms }).collect();
    for made in registry.apply(EntrySource::Api, changes, NOW).await.unwrap() {
        made.unwrap();
    }
    registry
}

/// The entries and with whom they federate.
fn federates(registry: &Registry) -> Vec<(String, Vec<String>)> {
    let with = |terms: &EntryTerms| terms.federates_with.iter().map(ToString::to_string).collect();
    registry.load().iter().map(|entry| (entry.id.to_string(), with(&entry.terms))).collect()
}

#[tokio::test]
async fn entries_that_need_a_bundle_keep_it_lose_it_or_go_with_it() {
    let entries = || [terms("web", &["a.example", "b.example"]), terms("api", &["b.example"]), terms("job", &[])];
    let named = |name: &str, with: &[&str]| (name.to_owned(), with.iter().map(ToString::to_string).collect::<Vec<_>>());
    for (mode, left) in [
        (DeleteMode::Restrict, None),
        (DeleteMode::Dissociate, Some(vec![named("web", &["a.example"]), named("api", &[]), named("job", &[])])),
        (DeleteMode::Delete, Some(vec![named("job", &[])])),
    ] {
        let (federation, _) = alone().await;
        for name in ["a.example", "b.example"] {
            federation.set_bundle(mint::bundle(name, vec![], 1)).await.unwrap();
        }
        let registry = registry(entries(), vec![]).await;
        let before = federates(&registry);
        let deleted = federation.delete_bundle(domain("b.example"), mode, &registry, NOW).await;
        assert_eq!(federation.knows(&domain("b.example")), left.is_none());
        assert_eq!(matches!(deleted, Err(FederationError::InUse(BundleUse::Entries(2)))), left.is_none());
        assert_eq!(federates(&registry), left.unwrap_or(before));
    }
}

#[tokio::test]
async fn entries_of_the_configuration_keep_the_bundle_that_they_need() {
    let (federation, _) = alone().await;
    federation.set_bundle(mint::bundle("b.example", vec![], 1)).await.unwrap();
    let registry = registry([terms("web", &["b.example"])], vec![terms("api", &["b.example"])]).await;
    let before = federates(&registry);
    for mode in [DeleteMode::Dissociate, DeleteMode::Delete] {
        let refused = federation.delete_bundle(domain("b.example"), mode, &registry, NOW).await;
        assert!(matches!(refused, Err(FederationError::InUse(BundleUse::ConfiguredEntries(1)))));
    }
    assert!(federation.knows(&domain("b.example")));
    assert_eq!(federates(&registry), before);
}
