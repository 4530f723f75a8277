//! What a Check costs whose answer is in the cache, in what can be counted: allocations, and the size of what is kept of a
//! call. From the bytes of the message to the bytes of the answer, record included, on the real parts; HTTP/2 is not in it.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use http::request::Parts;
use portcullis::decision::cache::DecisionCache;
use portcullis::decision::mapping::Mapping as Routes;
use portcullis::decision::policy::PolicySet;
use portcullis::decision::principal::{ClaimMapping, Mapping, Preset, PrincipalRule, PrincipalRules};
use portcullis::decision::{Authorizer, Check, DecisionMetrics, Ports, Principals, Reason, Verdict};
use portcullis::edge::envoy::ext_authz::{Decide, ExtAuthz, ExtAuthzConfig, Metrics};
use portcullis::evidence::{AppendError, Audit, CacheState, DecisionId, Edge, Outcome, Record};
use portcullis::foundation::clock::{Clock as _, SystemClock};
use portcullis::foundation::entropy::SystemEntropy;
use portcullis::foundation::telemetry::Registry;
use portcullis::foundation::watched::Watched;
use portcullis::identity::SpiffeId;
use portcullis::identity::bundle::{Bundle, Bundles};
use portcullis::identity::svid::LeafVerifier;
use portcullis::identity::token::{Algorithm, Issuer as TokenIssuer, IssuerRules, KeySet, PublishedKeys, Tokens};
use portcullis::server::{Answered, Begin, Exchange, Received};
use prost::Message as _;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use crate::bad_input::{allows, good_question, push};
use crate::support::idp::Idp;
use crate::support::root;

/// The most for one Check, and the most of these that are the wire's: reading the message and writing the answer. Whoever
/// brings them down lowers these too.
const MOST: u64 = 19;
const MOST_OF_WIRE: u64 = 9;

/// The most for one Check with a token, which is verified before the cache is asked and stands in the context.
const MOST_WITH_TOKEN: u64 = 34;

/// The most that is kept of a call whose message is still to come, in bytes.
const MOST_KEPT: usize = 64;

/// Takes every record, and keeps none.
#[derive(Debug)]
struct Taken;

impl Audit for Taken {
    fn append(&self, record: Record<'_>) -> Result<portcullis::evidence::Taken, AppendError> {
        drop(record);
        Ok(portcullis::evidence::Taken::NOW)
    }
}

/// Says of every question what is known already.
#[derive(Debug)]
struct Known(Verdict);

impl Decide for Known {
    fn check(&self, _check: &Check<'_>) -> Verdict {
        self.0.clone()
    }

    fn refuse(&self, _edge: Edge, what: &str, _reason: Reason) -> Verdict {
        panic!("{what}")
    }
}

#[test]
fn a_cached_check_allocates_little() {
    let (authorizer, frame) = authorizer();
    assert_allocates("a cached Check", &Service::new(Arc::new(authorizer), frame), MOST);
}

/// Finding a route among thousands takes no allocation: the question is the same as without one, and so is what it costs.
#[test]
fn a_cached_check_by_a_route_allocates_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let others: Vec<_> =
        (0..2000).map(|n| format!("  - {{match: {{host: orders, path: '/r{n}/{{id}}', method: GET}}}}\n")).collect();
    let routes = format!(
        "version: 1\nroutes:\n{}  - {{match: {{host: orders, path: '/orders/{{id}}', method: GET, \
         extensions: {{service: orders}}}}, resource: {{type: Path}}}}\n",
        others.concat()
    );
    std::fs::write(directory.path().join("m.yaml"), routes).unwrap();
    let mapping = Arc::new(Watched::new(Routes::load(directory.path()).unwrap()));
    let (authorizer, frame) = authorizer();
    let authorizer = authorizer.with_mapping(Some(mapping));
    assert_allocates("a cached Check by a route", &Service::new(Arc::new(authorizer), frame), MOST);
}

#[tokio::test]
async fn a_cached_check_with_a_token_allocates_little_more() {
    let idp = Idp::start().await;
    let token = format!("Bearer {}", idp.token());
    let (authorizer, frame) = authorizer_of(|question| push(question, "authorization", &token));
    let service = Service::new(Arc::new(authorizer.with_principals(Some(principals(&idp)))), frame);
    assert_allocates("a cached Check with a token", &service, MOST_WITH_TOKEN);
}

/// What believes `idp`, and leaves the peer the principal.
fn principals(idp: &Idp) -> Principals {
    let rules = IssuerRules {
        issuer: idp.issuer.as_str().into(),
        audiences: vec!["orders".to_owned()],
        algorithms: vec![Algorithm::Es256],
        types: vec!["JWT".to_owned()],
        leeway: Duration::ZERO,
        single_use: None,
    };
    let keys = PublishedKeys::new(Duration::from_hours(1));
    keys.publish(KeySet::parse(&idp.document()).unwrap(), SystemClock::new().now());
    let mapping = ClaimMapping {
        kind: "Human".to_owned(),
        id: "{sub}".parse().unwrap(),
        attributes: Preset::Oidc.attributes(),
        groups: None,
    };
    let settled = PrincipalRules {
        principal: PrincipalRule::Svid,
        peer_is_optional: false,
        ignore_unverified: false,
        headers: vec!["authorization".to_owned()],
    };
    let tokens = Tokens::new(vec![TokenIssuer::publishing(rules, Arc::new(keys))], 10);
    Principals::new(settled, Arc::new(tokens), vec![Mapping::Claims(mapping)])
}

#[test]
fn reading_a_check_and_writing_its_answer_allocates_next_to_nothing() {
    let (_, frame) = authorizer();
    let known = Known(Verdict {
        id: DecisionId::NIL,
        outcome: Outcome::Allow,
        reason: Reason::Permitted,
        policies: Arc::new(["web-reads-orders".into()]),
        cache: CacheState::Hit,
        principal: Some("spiffe://example.org/web".parse::<SpiffeId>().unwrap().into()),
        call: None,
        taken: portcullis::evidence::Taken::NOW,
    });
    assert_allocates("the wire", &Service::new(Arc::new(known), frame), MOST_OF_WIRE);
}

fn assert_allocates(what: &str, service: &Service, most: u64) {
    for _ in 0..10 {
        assert!(service.allows());
    }
    // Of many, since the caches tidy up every now and then.
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            std::hint::black_box(service.answer());
        }
    });
    let each = counted.count_total / 100;
    eprintln!("{what}: {each} allocations, {} bytes", counted.bytes_total / 100);
    assert!(each <= most, "{each} allocations for {what}");
    assert!(each > 0, "nothing was counted");
    // The caches keep notes for when they tidy up.
    assert!(counted.count_current < 50, "{} are kept of a hundred", counted.count_current);
}

#[test]
fn what_is_kept_of_a_call_is_small() {
    let kept = size_of::<<ExtAuthz as Exchange>::Call>();
    assert!(kept <= MOST_KEPT, "{kept} bytes");
}

/// The service on real parts, and a question that it allows.
struct Service {
    checks: ExtAuthz,
    head: Parts,
    frame: Vec<u8>,
}

/// The decision plane, with the quickstart's policies, and a question that it allows.
fn authorizer() -> (Authorizer, Vec<u8>) {
    authorizer_of(|_question| {})
}

/// The same with a changed question.
fn authorizer_of(change: impl FnOnce(&mut CheckRequest)) -> (Authorizer, Vec<u8>) {
    let (bundle, leaf) = authority();
    let mut question = good_question(&leaf);
    change(&mut question);
    let message = question.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let ports = Ports {
        policies: Arc::new(Watched::new(PolicySet::load(&root().join("policies/quickstart")).unwrap())),
        leaves: LeafVerifier::new(Arc::new(Watched::new(Bundles::new([bundle]))), 100),
        cache: DecisionCache::new(100, Duration::from_mins(1), Arc::default()),
        audit: Arc::new(Taken),
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy::new()),
    };
    let authorizer = Authorizer::new(ports, DecisionMetrics::new(&mut Registry::default()));
    (authorizer, [&[0][..], &length, &message].concat())
}

impl Service {
    fn new(decide: Arc<dyn Decide>, frame: Vec<u8>) -> Self {
        let (clock, metrics) = (Arc::new(SystemClock::new()), Metrics::new(&mut Registry::default()));
        let request = http::Request::post("/envoy.service.auth.v3.Authorization/Check")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "200m");
        Self {
            checks: ExtAuthz::new(decide, clock, ExtAuthzConfig::default(), metrics),
            head: request.body(()).unwrap().into_parts().0,
            frame,
        }
    }

    fn answer(&self) -> bytes::Bytes {
        let Begin::Read { call, .. } = self.checks.begin(&self.head, Duration::ZERO) else { panic!("not read") };
        match self.checks.answer(call, Received::Whole(&self.frame)) {
            Answered::Now(answer) => answer.body,
            Answered::Later(_) => panic!("nothing is to be waited for"),
        }
    }

    fn allows(&self) -> bool {
        allows(&CheckResponse::decode(&self.answer()[5..]).unwrap())
    }
}

fn authority() -> (Bundle, String) {
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.subject_alt_names = vec![SanType::URI("spiffe://example.org".try_into().unwrap())];
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::URI("spiffe://example.org/web".try_into().unwrap())];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let issuer = Issuer::from_params(&params, &key);
    let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem();
    (Bundle::of_x509("example.org".parse().unwrap(), [certificate], 1), leaf)
}
