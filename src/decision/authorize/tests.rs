mod callers;
mod delegation;
mod foreign;
mod manner;
mod recording;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use portcullis_spiffe::TrustDomain;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};

use super::*;
use crate::decision::Caller;
use crate::decision::check::HttpAttributes;
use crate::decision::mapping::OnError;
use crate::decision::query::Entity;
use crate::evidence::{AppendError, DecisionRecord, Outcome};
use crate::foundation::clock::ManualClock;
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::telemetry::Registry;
use crate::identity::bundle::{Bundle, Bundles};

const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
const LEAF_LIFE: Duration = Duration::from_mins(10);
const CACHE_TTL: Duration = Duration::from_mins(1);

/// The decision plane with the quickstart's policies, an authority of its own and a clock that stands still.
struct Plane {
    authorizer: Authorizer,
    policies: Arc<Watched<PolicySet>>,
    bundles: Arc<Watched<Bundles>>,
    clock: Arc<ManualClock>,
    log: Arc<Log>,
    authority: Authority,
}

type Authority = (KeyPair, CertificateParams);

#[derive(Debug, Default)]
struct Log {
    records: Mutex<Vec<DecisionRecord<'static>>>,
    /// Which policies refused each search.
    refusals: Mutex<Vec<Option<Vec<String>>>>,
    full: std::sync::atomic::AtomicBool,
}

impl Audit for Log {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        if self.full.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(AppendError::Full);
        }
        let record = match record {
            Record::Decision(record) => record,
            Record::Search(record) => {
                self.refusals.lock().unwrap().push(record.policies);
                return Ok(Taken::NOW);
            }
            other => panic!("{other:?}"),
        };
        self.records.lock().unwrap().push(record.clone().into_owned());
        Ok(Taken::NOW)
    }
}

impl Plane {
    fn new() -> Self {
        let authority = authority();
        let policies = Arc::new(Watched::new(quickstart()));
        let bundles = Arc::new(Watched::new(bundles(&authority)));
        let clock = Arc::new(ManualClock::new(NOW));
        let log = Arc::new(Log::default());
        let ports = Ports {
            policies: Arc::clone(&policies),
            leaves: LeafVerifier::new(Arc::clone(&bundles), 100),
            cache: DecisionCache::new(100, CACHE_TTL, Arc::default()),
            audit: log.clone(),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy::new()),
        };
        let authorizer = Authorizer::new(ports, DecisionMetrics::new(&mut Registry::default()));
        Self { authorizer, policies, bundles, clock, log, authority }
    }

    fn ask(&self, caller: &str, method: &str, path: &str) -> Verdict {
        self.authorizer.check(&self.question(caller, method, path))
    }

    fn question<'a>(&self, caller: &'a str, method: &'a str, path: &'a str) -> Check<'a> {
        let headers = [(":method", method), (":path", path), (":authority", "orders"), ("x-request-id", "r-1")];
        Check {
            certificate: leaf(&self.authority, caller),
            principal: caller,
            destination: "spiffe://example.org/orders",
            http: Some(HttpAttributes {
                method,
                path,
                host: "orders",
                scheme: "http",
                protocol: "HTTP/1.1",
                headers: Some(headers.map(|(name, value)| (name, value.as_bytes())).to_vec()),
                ..HttpAttributes::default()
            }),
            extensions: vec![("service", "orders")].into(),
            ..Check::default()
        }
    }

    fn last(&self) -> DecisionRecord<'static> {
        self.log.records.lock().unwrap().last().unwrap().clone()
    }
}

const WEB: &str = "spiffe://example.org/web";
const BATCH: &str = "spiffe://example.org/batch";

#[test]
fn what_is_answered_is_what_is_recorded() {
    let plane = Plane::new();
    for (caller, method, path, outcome, reason, policies) in [
        (WEB, "GET", "/orders/17", Outcome::Allow, Reason::Permitted, vec!["web-reads-orders"]),
        (WEB, "DELETE", "/orders/17", Outcome::Deny, Reason::NoPermit, vec![]),
        (BATCH, "GET", "/internal/x", Outcome::Deny, Reason::Forbidden, vec!["nobody-reads-internal"]),
        (WEB, "BREW", "/orders/17", Outcome::Deny, Reason::UnknownAction, vec![]),
        (WEB, "GET", "/orders/../admin", Outcome::Deny, Reason::BadPath, vec![]),
    ] {
        let verdict = plane.ask(caller, method, path);
        assert_eq!((verdict.outcome, verdict.reason), (outcome, reason), "{method} {path}");
        assert_eq!(verdict.policies.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), policies);
        let record = plane.last();
        assert_eq!((record.decision_id, record.decision, &*record.reason), (verdict.id, outcome, reason.name()));
        assert_eq!(record.policies, verdict.policies);
        assert_eq!(record.principal, format!("Workload::{caller:?}"));
        assert_eq!(record.policy_digest, Some(plane.policies.load().policy_digest()));
        assert_eq!(record.request_id.as_deref(), Some("r-1"));
    }
}

#[test]
fn a_leaf_that_proves_nobody_is_refused_and_the_record_names_nobody() {
    let plane = Plane::new();
    let good = plane.question(WEB, "GET", "/orders/17");
    for (change, reason) in [
        (Check { certificate: "", ..good.clone() }, Reason::NoCertificate),
        (Check { certificate: "%", ..good.clone() }, Reason::BadCertificate),
        (Check { certificate: leaf(&authority(), WEB), ..good.clone() }, Reason::UntrustedCertificate),
        (Check { principal: BATCH, ..good.clone() }, Reason::PrincipalMismatch),
        (Check { principal: "", ..good.clone() }, Reason::PrincipalMismatch),
    ] {
        let verdict = plane.authorizer.check(&change);
        assert_eq!((verdict.outcome, verdict.reason, verdict.principal), (Outcome::Deny, reason, None));
        assert_eq!(plane.last().principal, "");
    }
}

#[test]
fn a_cached_allow_ends_with_the_leaf_even_on_an_open_connection() {
    let plane = Plane::new();
    let question = plane.question(WEB, "GET", "/orders/17");
    assert_eq!(plane.authorizer.check(&question).cache, CacheState::Miss);
    assert_eq!(plane.authorizer.check(&question).cache, CacheState::Hit);
    plane.clock.advance(LEAF_LIFE + Duration::from_secs(1));
    let verdict = plane.authorizer.check(&question);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::ExpiredCertificate));
}

#[test]
fn a_cached_allow_ends_with_its_ttl_with_its_policies_and_with_its_bundle() {
    let plane = Plane::new();
    let question = plane.question(WEB, "GET", "/orders/17");
    let ask = || plane.authorizer.check(&question);
    assert_eq!((ask().cache, ask().cache), (CacheState::Miss, CacheState::Hit));
    plane.clock.advance(CACHE_TTL);
    assert_eq!((ask().cache, ask().cache), (CacheState::Miss, CacheState::Hit));
    plane.policies.replace(quickstart());
    assert_eq!((ask().cache, ask().cache), (CacheState::Miss, CacheState::Hit));
    plane.bundles.replace(bundles(&plane.authority));
    assert_eq!((ask().cache, ask().cache), (CacheState::Miss, CacheState::Hit));
    plane.bundles.replace(bundles(&authority()));
    assert_eq!(ask().reason, Reason::UntrustedCertificate);
}

#[test]
fn a_cached_allow_ends_when_its_leaf_is_revoked_and_nobody_elses_does() {
    let plane = Plane::new();
    let (bad, good) = (plane.question(WEB, "GET", "/orders/17"), plane.question(WEB, "GET", "/orders/17"));
    let ask = |question| plane.authorizer.check(question);
    // They are the same workload, and no policy can tell its certificates apart.
    assert_eq!((ask(&bad).cache, ask(&good).cache), (CacheState::Miss, CacheState::Hit));
    plane.bundles.replace(bundles_but(&plane.authority, &[serial_of(bad.certificate)]));
    let verdict = ask(&bad);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::RevokedCertificate));
    assert_eq!(ask(&good).reason, Reason::Permitted);
}

#[test]
fn a_refused_question_is_not_cached() {
    let plane = Plane::new();
    for _ in 0..2 {
        assert_eq!(plane.ask(WEB, "BREW", "/orders").reason, Reason::UnknownAction);
        assert_ne!(plane.last().cache, CacheState::Hit);
    }
}

#[test]
fn what_cannot_be_recorded_is_an_error_and_never_an_allow() {
    let plane = Plane::new();
    plane.log.full.store(true, std::sync::atomic::Ordering::SeqCst);
    for path in ["/orders/17", "/admin", "//"] {
        let verdict = plane.ask(WEB, "GET", path);
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::AuditUnavailable), "{path}");
    }
    let verdict = plane.authorizer.refuse(Edge::ExtAuthz, "noise", Reason::Undecodable, Asker::default());
    assert_eq!(verdict.outcome, Outcome::Error);
}

#[test]
fn a_tcp_connection_is_an_action_of_its_own_that_nothing_permits() {
    let plane = Plane::new();
    let question = Check { http: None, ..plane.question(WEB, "GET", "/orders") };
    let verdict = plane.authorizer.check(&question);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::NoPermit));
    assert_eq!((&*plane.last().action, &*plane.last().resource), ("connect", "Service::\"orders\""));
}

#[test]
fn over_authzen_a_path_lies_within_its_paths_and_a_workload_in_its_trust_domain() {
    let plane = Plane::new();
    let ask = |subject: &str, path: &str| {
        let query = serde_json::json!({
            "subject": {"type": "Workload", "id": subject, "properties": {"trust_domain": "evil.org"}},
            "action": {"name": "GET"},
            "resource": {"type": "Path", "id": path, "properties": {"service": "orders"}},
            "context": {"host": "h", "path": path, "scheme": "http", "protocol": "HTTP/1.1", "headers": {}},
        });
        plane.authorizer.evaluate(serde_json::from_value(query).unwrap(), Asker::default())
    };
    assert_eq!(ask(BATCH, "/reports").reason, Reason::Permitted);
    assert_eq!(ask(BATCH, "/internal/keys").reason, Reason::Forbidden);
    assert_eq!(ask(BATCH, "/internal//keys").reason, Reason::BadPath);
    assert_eq!(ask(BATCH, "/%69nternal/keys").reason, Reason::BadPath);
    assert_eq!(ask("batch", "/reports").reason, Reason::BadPrincipal);
}

fn quickstart() -> PolicySet {
    PolicySet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/quickstart")).unwrap()
}

fn bundles(authority: &Authority) -> Bundles {
    let (key, params) = authority;
    let trust_domain: TrustDomain = "example.org".parse().unwrap();
    let certificate = params.self_signed(key).unwrap().der().clone();
    Bundles::new([Bundle::of_x509(trust_domain, [certificate], 1)])
}

/// The same with a list of the leaves of these numbers.
fn bundles_but(authority: &Authority, revoked: &[SerialNumber]) -> Bundles {
    let (key, params) = authority;
    let at = |time: Timestamp| time::OffsetDateTime::from_unix_timestamp(time.unix_seconds().cast_signed()).unwrap();
    let entry = |serial: &SerialNumber| RevokedCertParams {
        serial_number: serial.clone(),
        revocation_time: at(NOW),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: at(NOW),
        next_update: at(NOW.after(LEAF_LIFE)),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&Issuer::from_params(params, key)).unwrap();
    let before = bundles(authority);
    let bundle = before.iter().next().unwrap();
    Bundles::new([Bundle { revocations: vec![list.into()], ..Bundle::clone(bundle) }])
}

fn serial_of(presented: &str) -> SerialNumber {
    let pem = percent_encoding::percent_decode_str(presented).decode_utf8().unwrap();
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    SerialNumber::from_slice(block.parse_x509().unwrap().raw_serial())
}

fn authority() -> Authority {
    authority_of("example.org")
}

fn authority_of(trust_domain: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into().unwrap())];
    (KeyPair::generate().unwrap(), params)
}

/// A leaf for `id`, as Envoy gives it: percent-encoded PEM. Kept for good, so that questions can borrow it.
fn leaf((key, params): &Authority, id: &str) -> &'static str {
    let issuer = Issuer::from_params(params, key);
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let at = |time: Timestamp| time::OffsetDateTime::from_unix_timestamp(time.unix_seconds().cast_signed()).unwrap();
    leaf.not_before = at(NOW.before(Duration::from_secs(10)));
    leaf.not_after = at(NOW.after(LEAF_LIFE));
    let pem = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem();
    percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC).to_string().leak()
}
