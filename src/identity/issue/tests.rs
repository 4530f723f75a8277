use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use proptest::prelude::*;
use tempfile::TempDir;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::*;
use crate::evidence::{JwtIssuanceRecord, Taken};
use crate::foundation::clock::ManualClock;
use crate::foundation::entropy::SystemEntropy;
use crate::identity::authority::{self, AuthorityConfig, AuthorityKind, Hash, KeyCustody, KeyType};
use crate::identity::journal::memory::MemoryJournal;
use crate::identity::registry::memory::MemoryRegistry;
use crate::identity::registry::{ConfiguredEntry, EntryTerms};
use crate::identity::selector::Selector;
use crate::identity::svid::{LeafError, LeafVerifier};

mod assertion;
mod changes;
mod revocation;

const AUTHORITY_TTL: Duration = Duration::from_mins(200);
const TTL: Duration = Duration::from_secs(1000);
const JWT_TTL: Duration = Duration::from_mins(5);

mod jwt;
mod mint;
mod own;

/// An audit log that can be made to refuse.
#[derive(Debug, Default)]
struct Log {
    records: Mutex<Vec<IssuanceRecord>>,
    tokens: Mutex<Vec<JwtIssuanceRecord>>,
    full: AtomicBool,
}

impl Audit for Log {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(AppendError::Full);
        }
        match record {
            Record::Issuance(issuance) => self.records.lock().unwrap().push(*issuance),
            Record::JwtIssuance(issuance) => self.tokens.lock().unwrap().push(*issuance),
            Record::AuthorityChange(_) => {}
            other => panic!("{other:?}"),
        }
        Ok(Taken::NOW)
    }
}

struct House {
    _directory: TempDir,
    authority: Arc<Authority>,
    registry: Arc<Registry>,
    log: Arc<Log>,
    clock: Arc<ManualClock>,
    issuer: Issuer,
}

impl House {
    async fn new(entries: impl IntoIterator<Item = ConfiguredEntry>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        let entropy = Arc::new(SystemEntropy::new());
        let config = AuthorityConfig {
            trust_domain: "example.org".parse().unwrap(),
            ttl: AUTHORITY_TTL,
            key_type: KeyType::default(),
            jwt_key_type: KeyType::default(),
            jwt_rsa_hash: Hash::default(),
            data_dir: directory.path().join("data"),
            custody: KeyCustody::Sealed { seal_key_file: directory.path().join("data/seal.key") },
        };
        let (journal, log) = (Arc::new(MemoryJournal::default()), Arc::new(Log::default()));
        let ports = authority::Ports { journal, audit: log.clone(), entropy: entropy.clone() };
        let metrics = authority::Metrics::default();
        let authority = Arc::new(Authority::open(config, ports, metrics, clock.now()).await.unwrap());
        let store = Arc::new(MemoryRegistry::default());
        let registry = Registry::open(authority.trust_domain().clone(), store, entropy.clone()).await.unwrap();
        registry.reconcile(entries.into_iter().collect(), clock.now()).await.unwrap();
        let registry = Arc::new(registry);
        let ports = Ports {
            authority: authority.clone(),
            registry: registry.clone(),
            audit: log.clone(),
            clock: clock.clone(),
            entropy,
        };
        let config = IssueConfig { x509_svid_ttl: TTL, jwt_svid_ttl: JWT_TTL, jwt_issuer: None };
        let issuer = Issuer::new(ports, config, Metrics::default());
        Self { _directory: directory, authority, registry, log, clock, issuer }
    }

    fn identities(&self, uid: u32) -> Result<Identities, IssueError> {
        let selectors = [Selector::new("unix", format!("uid:{uid}"))].into();
        self.issuer.identities(&Attested { pid: 1, selectors, failures: Vec::new() })
    }

    fn svid(&self, uid: u32) -> Arc<Svid> {
        self.identities(uid).unwrap().svids[0].clone()
    }

    async fn replace_entries(&self, entries: impl IntoIterator<Item = ConfiguredEntry>) {
        self.registry.reconcile(entries.into_iter().collect(), self.clock.now()).await.unwrap();
    }

    /// Has another authority sign; names the one that did.
    async fn rotate(&self, kind: AuthorityKind) -> String {
        let now = self.clock.now();
        let old = self.authority.slots(kind).active.unwrap().id;
        let prepared = self.authority.prepare(kind, now).await.unwrap().id;
        self.authority.activate(kind, &prepared, now).await.unwrap();
        old
    }

    fn recorded(&self) -> usize {
        self.log.records.lock().unwrap().len()
    }
}

/// An entry for processes of `uid`.
fn entry(name: &str, uid: u32) -> ConfiguredEntry {
    let id = format!("spiffe://example.org/{name}").parse().unwrap();
    let agent = "spiffe://example.org/spire/agent/portcullis".parse().unwrap();
    let terms = EntryTerms::new(id, agent, [Selector::new("unix", format!("uid:{uid}"))].into());
    ConfiguredEntry { id: name.into(), terms }
}

/// `entry` with other terms.
fn but(mut entry: ConfiguredEntry, change: impl FnOnce(&mut EntryTerms)) -> ConfiguredEntry {
    change(&mut entry.terms);
    entry
}

#[tokio::test]
async fn an_svid_verifies_and_is_of_its_key() {
    let dns_names = vec!["web.example".to_owned()];
    let house =
        House::new([but(entry("web", 1), |terms| (terms.dns_names, terms.hint) = (dns_names, "main".into()))]).await;
    let found = house.identities(1).unwrap();
    let [svid] = &found.svids[..] else { panic!("{found:?}") };
    assert_eq!((svid.id.as_str(), &*svid.entry_id, &*svid.hint), ("spiffe://example.org/web", "web", "main"));

    let [leaf] = &svid.chain[..] else { panic!("{:?}", svid.chain) };
    let anchors = [anchor_from_trusted_cert(&found.bundles[0].x509_authorities[0].certificate).unwrap()];
    let verified = EndEntityCert::try_from(leaf).unwrap();
    for usage in [KeyUsage::client_auth(), KeyUsage::server_auth()] {
        verified
            .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], house.clock.now().into(), usage, None, None)
            .unwrap();
    }
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, svid.key.expose()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).unwrap();
    assert_eq!(*parsed.public_key().subject_public_key.data, *key.public_key().as_ref());

    let records = house.log.records.lock().unwrap();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&*record.spiffe_id, &*record.entry_id), ("spiffe://example.org/web", "web"));
    assert_eq!((record.leaf, record.not_after), (Digest::of(leaf), svid.not_after));
    assert_eq!(record.serial, hex::encode(parsed.raw_serial()));
}

#[tokio::test]
async fn one_svid_is_shared_until_it_is_due() {
    let house = House::new([entry("web", 1)]).await;
    let first = house.svid(1);
    assert!(Arc::ptr_eq(&first, &house.svid(1)));
    let last_moment = first.renew_at.before(Duration::from_nanos(1));
    house.clock.advance(last_moment.since(house.clock.now()));
    assert!(Arc::ptr_eq(&first, &house.svid(1)));
    house.clock.advance(Duration::from_nanos(1));
    let second = house.svid(1);
    assert_ne!(first.key.expose(), second.key.expose());
    assert!(second.not_after > first.not_after);
    assert_eq!(house.recorded(), 2);
}

#[tokio::test]
async fn many_streams_at_once_cause_one_signing() {
    let house = House::new([entry("web", 1), entry("batch", 2)]).await;
    thread::scope(|scope| {
        for uid in [1, 2].repeat(8) {
            scope.spawn({
                let house = &house;
                move || house.svid(uid)
            });
        }
    });
    assert_eq!(house.recorded(), 2);
}

#[tokio::test]
async fn each_workload_gets_its_own_in_the_order_of_the_registry() {
    let house = House::new([entry("second", 1), entry("other", 2), entry("first", 1)]).await;
    let ids = |found: &Identities| found.svids.iter().map(|svid| svid.entry_id.to_string()).collect::<Vec<_>>();
    // Two entries with the same selectors grant two identities.
    assert_eq!(ids(&house.identities(1).unwrap()), ["second", "first"]);
    assert_eq!(ids(&house.identities(2).unwrap()), ["other"]);
    let nobody = house.identities(3).unwrap();
    assert!(nobody.svids.is_empty() && nobody.bundles.is_empty());
}

#[tokio::test]
async fn an_entry_that_changed_gets_a_new_svid_and_one_that_did_not_keeps_its() {
    let house = House::new([entry("web", 1), entry("batch", 2)]).await;
    let (web, batch) = (house.svid(1), house.svid(2));
    house
        .replace_entries([
            but(entry("web", 1), |terms| terms.dns_names = vec!["web.example".into()]),
            entry("batch", 2),
        ])
        .await;
    assert!(!Arc::ptr_eq(&web, &house.svid(1)));
    assert!(Arc::ptr_eq(&batch, &house.svid(2)));

    house.replace_entries([entry("batch", 2)]).await;
    assert!(house.identities(1).unwrap().svids.is_empty());
    house.clock.advance(SWEEP_PAUSE);
    house.identities(2).unwrap();
    assert_eq!(house.issuer.slots.lock().unwrap().by_entry.len(), 1, "what is gone is forgotten");
}

/// An entry id that is used again for another identity must not get the SVID of the former one (spire#5686).
#[tokio::test]
async fn an_entry_id_that_is_used_again_gets_nothing_of_its_former_holder() {
    let house = House::new([entry("web", 1)]).await;
    house.svid(1);
    house.replace_entries([ConfiguredEntry { id: "web".into(), ..entry("admin", 2) }]).await;
    assert_eq!(house.svid(2).id.as_str(), "spiffe://example.org/admin");
}

#[tokio::test]
async fn an_svid_whose_authority_left_the_bundle_is_replaced_at_once() {
    let house = House::new([entry("web", 1)]).await;
    let before = house.svid(1);
    let bundle = house.authority.bundles().load().get(house.authority.trust_domain()).unwrap().clone();
    let other = Bundle { x509_authorities: Vec::new(), sequence: 9, ..(*bundle).clone() };
    house.authority.bundles().replace(Bundles::new([other]));
    assert!(!Arc::ptr_eq(&before, &house.svid(1)));
}

/// Found by attack: the SVID of a clock that was set back later is one that nobody takes yet.
#[tokio::test]
async fn after_the_clock_was_set_back_an_svid_of_the_future_is_replaced() {
    let house = House::new([entry("web", 1)]).await;
    let start = house.clock.now();
    house.clock.advance(Duration::from_secs(100));
    let future = house.svid(1);
    house.clock.set(start.after(Duration::from_secs(95)));
    assert!(Arc::ptr_eq(&future, &house.svid(1)), "valid since 10 s before it was made");
    house.clock.set(start.after(Duration::from_secs(50)));
    assert!(!Arc::ptr_eq(&future, &house.svid(1)));
}

#[tokio::test]
async fn after_the_hand_over_new_svids_come_from_the_new_authority_and_are_in_the_bundle() {
    let house = House::new([entry("web", 1)]).await;
    for _ in 0..120 {
        house.clock.advance(AUTHORITY_TTL / 40);
        house.authority.maintain(house.clock.now()).await.unwrap();
        let found = house.identities(1).unwrap();
        let anchors: Vec<_> =
            found.bundles[0].certificates().map(|der| anchor_from_trusted_cert(der).unwrap()).collect();
        let leaf = EndEntityCert::try_from(&found.svids[0].chain[0]).unwrap();
        let (now, usage) = (house.clock.now().into(), KeyUsage::client_auth());
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], now, usage, None, None).unwrap();
    }
    let records = house.log.records.lock().unwrap();
    let signers: BTreeSet<_> = records.iter().map(|record| &record.authority).collect();
    assert!(signers.len() >= 3, "{signers:?}");
}

fn pem(leaf: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(leaf);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The unit part of C1: no leaf that is handed out is ever refused, and what a revoked authority signed is at once.
#[tokio::test]
async fn what_a_tainted_authority_signed_is_replaced_at_once_and_refused_once_it_is_revoked() {
    let house = House::new([entry("web", 1)]).await;
    let verifier = LeafVerifier::new(house.authority.bundles().clone(), 100);
    let is_accepted = |svid: &Svid| verifier.verify(&pem(&svid.chain[0]), house.clock.now()).is_ok();
    let first = house.svid(1);
    assert!(is_accepted(&first));
    let old = house.rotate(AuthorityKind::X509).await;
    assert!(Arc::ptr_eq(&first, &house.svid(1)), "an old authority is trusted");

    let mut changes = house.issuer.changes();
    house.authority.taint(AuthorityKind::X509, &old, house.clock.now()).await.unwrap();
    changes.changed().await;
    let second = house.svid(1);
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &house.svid(1)));
    assert!(is_accepted(&first) && is_accepted(&second), "until it is revoked, what it signed is good");

    house.authority.revoke(AuthorityKind::X509, &old, house.clock.now()).await.unwrap();
    changes.changed().await;
    let refused = verifier.verify(&pem(&first.chain[0]), house.clock.now()).unwrap_err();
    assert!(matches!(refused, LeafError::Untrusted { .. }), "{refused}");
    assert!(is_accepted(&second) && Arc::ptr_eq(&second, &house.svid(1)));
}

#[tokio::test]
async fn an_svid_of_a_tainted_authority_stays_while_none_can_be_made() {
    let house = House::new([entry("web", 1)]).await;
    let first = house.svid(1);
    let old = house.rotate(AuthorityKind::X509).await;
    house.authority.taint(AuthorityKind::X509, &old, house.clock.now()).await.unwrap();
    house.log.full.store(true, Ordering::SeqCst);
    assert_eq!(house.svid(1).chain, first.chain);
    house.log.full.store(false, Ordering::SeqCst);
    assert_ne!(house.svid(1).chain, first.chain);
}

#[tokio::test]
async fn what_can_not_be_recorded_is_not_handed_out() {
    let house = House::new([entry("web", 1)]).await;
    house.log.full.store(true, Ordering::SeqCst);
    assert!(matches!(house.identities(1), Err(IssueError::Record(AppendError::Full))));
    assert!(matches!(house.identities(1), Err(IssueError::Record(AppendError::Full))));
    house.log.full.store(false, Ordering::SeqCst);
    house.svid(1);
    assert_eq!((house.recorded(), house.issuer.metrics.issued.get(), house.issuer.metrics.failed.get()), (1, 1, 2));
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_a_good_svid_in_place_until_it_expires() {
    let house = House::new([entry("web", 1)]).await;
    let first = house.svid(1);
    house.log.full.store(true, Ordering::SeqCst);
    house.clock.advance(first.renew_at.since(house.clock.now()));
    let kept = house.svid(1);
    assert_eq!((&kept.chain, kept.not_after), (&first.chain, first.not_after));
    assert!(kept.renew_at > house.clock.now(), "no busy loop");
    assert!(Arc::ptr_eq(&kept, &house.svid(1)));

    house.clock.advance(first.not_after.since(house.clock.now()));
    assert!(matches!(house.identities(1), Err(IssueError::Record(_))));
    house.log.full.store(false, Ordering::SeqCst);
    assert_ne!(house.svid(1).chain, first.chain);
}

#[tokio::test]
async fn a_changed_entry_never_gets_its_old_svid_even_if_renewal_fails() {
    let house = House::new([entry("web", 1)]).await;
    house.svid(1);
    house.log.full.store(true, Ordering::SeqCst);
    house.replace_entries([ConfiguredEntry { id: "web".into(), ..entry("admin", 1) }]).await;
    assert!(matches!(house.identities(1), Err(IssueError::Record(_))));
}

#[tokio::test]
async fn a_life_is_the_entrys_own_or_the_default_and_never_beyond_a_sixth_of_the_authoritys() {
    let ttl = |seconds| Some(Duration::from_secs(seconds));
    let house = House::new([
        entry("default", 1),
        but(entry("short", 2), |terms| terms.x509_svid_ttl = ttl(60)),
        but(entry("long", 3), |terms| terms.x509_svid_ttl = ttl(1_000_000)),
    ])
    .await;
    let life = |uid| house.svid(uid).not_after.since(house.clock.now());
    assert_eq!((life(1), life(2), life(3)), (TTL, Duration::from_mins(1), AUTHORITY_TTL / 6));
}

#[tokio::test]
async fn our_own_bundle_comes_first_then_those_federated_with_that_are_known() {
    let domains = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let house = House::new([
        but(entry("a", 1), |terms| terms.federates_with = domains(&["zebra.test", "unknown.test"])),
        but(entry("b", 1), |terms| terms.federates_with = domains(&["aardvark.test", "zebra.test"])),
    ])
    .await;
    let foreign = |name: &str| Bundle::of_x509(name.parse().unwrap(), [], 1);
    let bundles = house.authority.bundles();
    let own = (**bundles.load().get(house.authority.trust_domain()).unwrap()).clone();
    bundles.replace(Bundles::new([foreign("zebra.test"), foreign("aardvark.test"), foreign("secret.test"), own]));
    let found = house.identities(1).unwrap();
    let names: Vec<_> = found.bundles.iter().map(|bundle| bundle.trust_domain.as_str()).collect();
    assert_eq!(names, ["example.org", "aardvark.test", "zebra.test"]);

    let recorded = house.recorded();
    let attested = |uid: u32| Attested {
        pid: 1,
        selectors: [Selector::new("unix", format!("uid:{uid}"))].into(),
        failures: Vec::new(),
    };
    assert_eq!(house.issuer.bundles(&attested(1)), found.bundles, "the bundles alone are the same");
    assert_eq!(house.issuer.bundles(&attested(2)), [], "no entry");
    assert_eq!(house.issuer.own_bundle().as_ref(), found.bundles.first());
    assert_eq!(house.recorded(), recorded, "and cost no signature");
}

#[tokio::test]
async fn digests_are_wanted_only_if_an_entry_names_one() {
    let house = House::new([entry("web", 1)]).await;
    assert!(!house.issuer.wants_sha256());
    let selectors = [Selector::new("unix", "sha256:00")].into();
    house.replace_entries([but(entry("web", 1), |terms| terms.selectors = selectors)]).await;
    assert!(house.issuer.wants_sha256());
}

proptest! {
    #[test]
    fn renewal_is_at_half_of_the_life_give_or_take_a_tenth(start: u32, life in 1..10_000_000_u64) {
        let now = Timestamp::from_unix_seconds(start.into());
        let life = Duration::from_secs(life);
        let waited = renewal(now, now.after(life), &SystemEntropy::new()).unwrap().since(now);
        prop_assert!(waited >= (life / 20) * 9, "{waited:?}");
        prop_assert!(waited <= (life / 20) * 11, "{waited:?}");
    }
}

#[test]
fn renewals_are_spread() {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let draw = |_| renewal(now, now.after(TTL), &SystemEntropy::new()).unwrap();
    assert!((0..20).map(draw).collect::<BTreeSet<_>>().len() > 10);
}
