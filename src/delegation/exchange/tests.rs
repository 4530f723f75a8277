//! A house with an authority of its own, an issuer of people, and policies that grant what a test says.

mod chain;
pub(crate) mod clients;
mod narrowing;
mod recorded;
mod revoked;
mod transactions;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::*;
use crate::decision::{Asker, Caller, Query, Reason, Verdict};
use crate::evidence::{AppendError, Audit, CacheState, DecisionId, ExchangeRecord, Outcome, Record, Taken};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::watched::Watched;
use crate::identity::authority::{self, Authority, AuthorityConfig, DelegatedKind, Hash, KeyCustody, KeyType};
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::delegation::memory::MemoryRevocations;
use crate::identity::delegation::{Revocations, Revoked, RevokedKind};
use crate::identity::journal::memory::MemoryJournal;
use crate::identity::token::tests::{Key, bundle, header, published, rules, token};
use crate::identity::token::{Issuer, IssuerRules, Tokens, VerifiedToken};

pub(crate) use crate::identity::token::tests::{ISSUER as IDP, NOW, SECOND, with};

/// Whom our tokens name as their issuer.
pub(crate) const US: &str = "https://tokens.example.org";

/// Somebody else who issues tokens.
const OTHER_IDP: &str = "https://other.example";

const CALENDAR: &str = "https://calendar.example.org";
const TOOL: &str = "https://tool.example.org";

/// Grants the scopes that it is told to, and remembers what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    granted: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<Value>>,
    fails: AtomicBool,
}

impl Grants for Policies {
    fn grant(&self, query: Query<'_>, by: Asker<'_>, _token: &Arc<VerifiedToken>) -> Verdict {
        let context: Map<String, Value> =
            query.context.iter().map(|(name, value)| (name.to_owned(), value.clone().into())).collect();
        let scope = context["scope"].as_str().unwrap().to_owned();
        self.asked.lock().unwrap().push(json!({
            "principal": query.subject.id, "action": query.action.name, "resource": query.resource.to_string(),
            "context": context, "caller": by.caller.unwrap().name(),
        }));
        let (fails, is_granted) = (self.fails.load(Ordering::SeqCst), self.granted.lock().unwrap().contains(&scope));
        let reason = if is_granted { Reason::Permitted } else { Reason::NoPermit };
        let reason = if fails { Reason::AuditUnavailable } else { reason };
        Verdict {
            id: DecisionId::new(NOW, &SystemEntropy::new()).unwrap(),
            outcome: reason.outcome(),
            reason,
            policies: Arc::new([]),
            cache: CacheState::Bypass,
            principal: None,
            manner: crate::decision::Manner::default(),
            taken: Taken::NOW,
        }
    }
}

/// Exchanges that were recorded; can be made to refuse.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: Mutex<Vec<ExchangeRecord>>,
    full: AtomicBool,
}

impl Audit for Log {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        match record {
            _ if self.full.load(Ordering::SeqCst) => Err(AppendError::Full),
            Record::Exchange(record) => {
                self.records.lock().unwrap().push(*record);
                Ok(Taken::NOW)
            }
            _ => Ok(Taken::NOW),
        }
    }
}

pub(crate) struct House {
    directory: TempDir,
    pub(crate) exchange: Exchange,
    policies: Arc<Policies>,
    log: Arc<Log>,
    revocations: Arc<Revocations>,
    tokens: Arc<Tokens>,
    bundles: Arc<Watched<Bundles>>,
    people: Key,
    strangers: Key,
    workloads: Key,
}

fn scopes(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn config() -> ExchangeConfig {
    let workload = |name: &str| id(name);
    ExchangeConfig {
        issuer: US.into(),
        trust_domain: "example.org".parse().unwrap(),
        audiences: BTreeMap::from([
            (CALENDAR.to_owned(), [workload("calendar")].into()),
            (TOOL.to_owned(), [workload("tool")].into()),
        ]),
        scopes: scopes(&["read", "write", "send"]),
        unscoped: BTreeMap::new(),
        forwarded: BTreeSet::new(),
        profiles: BTreeMap::from([(workload("tool"), "ai_agent".to_owned())]),
        max_ttl: Duration::from_mins(5),
        max_actors: 3,
        bind_to_certificate: false,
    }
}

fn id(name: &str) -> SpiffeId {
    format!("spiffe://example.org/{name}").parse().unwrap()
}

/// A workload that is known by an assertion.
pub(crate) fn client(name: &str) -> Client {
    let id = id(name);
    Client { caller: Caller::named(id.as_str().into()), id, certificate: None }
}

/// The same by a certificate.
fn holder(name: &str, certificate: &[u8]) -> Client {
    Client { certificate: Some(Digest::of(certificate)), ..client(name) }
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_config| {}).await
    }

    /// One with other settings. Everything that there is is granted.
    async fn with(change: impl FnOnce(&mut ExchangeConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        let directory = tempfile::tempdir().unwrap();
        let (log, policies, entropy) =
            (Arc::<Log>::default(), Arc::<Policies>::default(), Arc::new(SystemEntropy::new()));
        *policies.granted.lock().unwrap() = config.scopes.clone();
        let authority = AuthorityConfig {
            trust_domain: config.trust_domain.clone(),
            ttl: Duration::from_mins(200),
            key_type: KeyType::default(),
            jwt_key_type: KeyType::default(),
            jwt_rsa_hash: Hash::default(),
            data_dir: directory.path().join("data"),
            custody: KeyCustody::Sealed { seal_key_file: directory.path().join("data/seal.key") },
        };
        let ports = authority::Ports {
            journal: Arc::new(MemoryJournal::default()),
            audit: log.clone(),
            entropy: entropy.clone(),
        };
        let authority = Authority::open(authority, ports, authority::Metrics::default(), NOW).await.unwrap();
        let (people, strangers, workloads) = (Key::p256(), Key::p256(), Key::p256());
        let svids = Bundles::new([Bundle::clone(&bundle("example.org", [("kid-1", &workloads)]))]);
        let audiences = config.audiences.keys().cloned().chain(["example.org".to_owned()]).collect();
        let own = IssuerRules {
            audiences,
            types: DelegatedKind::ALL.map(|kind| kind.typ().to_owned()).to_vec(),
            leeway: Duration::ZERO,
            ..rules(US)
        };
        let bundles = Arc::clone(authority.bundles());
        let people_rules = IssuerRules { types: ["JWT", "txntoken+jwt"].map(str::to_owned).to_vec(), ..rules(IDP) };
        let believed = vec![
            Issuer::publishing(people_rules, published(&[("kid-1", &people)])),
            Issuer::publishing(rules(OTHER_IDP), published(&[("kid-1", &strangers)])),
            Issuer::spiffe(rules("spiffe"), Arc::new(Watched::new(svids))),
            Issuer::own(own, config.trust_domain.clone(), Arc::clone(&bundles)),
        ];
        let revocations = Arc::new(Revocations::load(Arc::new(MemoryRevocations::default())).await.unwrap());
        let tokens = Arc::new(Tokens::new(believed, 100));
        let ports = Ports {
            tokens: tokens.clone(),
            revocations: Arc::clone(&revocations),
            grants: policies.clone(),
            authority: Arc::new(authority),
            audit: log.clone(),
            entropy,
        };
        let exchange = Exchange::new(config, ports, ExchangeMetrics::default());
        Self { directory, exchange, policies, log, revocations, tokens, bundles, people, strangers, workloads }
    }

    /// The exchange alone, and where its keys are.
    pub(crate) fn into_parts(self) -> (TempDir, Exchange) {
        (self.directory, self.exchange)
    }

    /// The policies grant these scopes and no others.
    fn grant(&self, names: &[&str]) {
        *self.policies.granted.lock().unwrap() = scopes(names);
    }

    /// A token of alice's, for `orders` as all of her issuer's, with these claims on top.
    pub(crate) fn alice(&self, claims: &Value) -> String {
        issued(&self.people, IDP, claims)
    }

    /// The same of this type.
    fn alice_of(&self, kind: &str, claims: &Value) -> String {
        typed(&self.people, IDP, kind, claims)
    }

    /// What another issuer says of its alice.
    fn other_alice(&self, claims: &Value) -> String {
        issued(&self.strangers, OTHER_IDP, claims)
    }

    /// A workload's own token, for `orders`, with these claims on top.
    fn svid(&self, name: &str, claims: &Value) -> String {
        let subject = with(claims, "sub", format!("spiffe://example.org/{name}"));
        issued(&self.workloads, "https://whoever.example", &subject)
    }

    async fn ask(&self, client: &Client, request: &ExchangeRequest<'_>) -> Result<Exchanged, ExchangeError> {
        self.exchange.exchange(request, client, NOW).await
    }

    /// Why it is refused.
    async fn refusal(&self, client: &Client, request: &ExchangeRequest<'_>) -> &'static str {
        self.ask(client, request).await.unwrap_err().reason()
    }

    /// The bundle that has who signs here.
    fn exchange_bundle(&self) -> Arc<Bundle> {
        Arc::clone(self.bundles.load().iter().next().unwrap())
    }

    fn last(&self) -> ExchangeRecord {
        self.log.records.lock().unwrap().last().unwrap().clone()
    }

    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut *self.policies.asked.lock().unwrap())
    }
}

fn issued(key: &Key, issuer: &str, claims: &Value) -> String {
    typed(key, issuer, "JWT", claims)
}

fn typed(key: &Key, issuer: &str, kind: &str, claims: &Value) -> String {
    let mut all = json!({
        "iss": issuer, "sub": "alice", "aud": "orders", "iat": SECOND, "exp": SECOND + 3600, "jti": "her-token",
        "scope": "read write",
    });
    for (name, value) in claims.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    token(&with(&header("ES256"), "typ", kind), &all, key)
}

/// For the tool, all that there is.
fn wanted(subject: &str) -> ExchangeRequest<'_> {
    ExchangeRequest {
        subject: ShownToken { token: subject, kind: TokenType::AccessToken },
        actor: None,
        wanted: TokenType::AccessToken,
        audience: Some(TOOL),
        scope: None,
        request_context: None,
        request_details: None,
        request_id: None,
        traceparent: None,
    }
}

/// What a token says.
fn claims_of(issued: &Exchanged) -> Value {
    part(issued, 1)
}

fn part(issued: &Exchanged, index: usize) -> Value {
    let part = issued.token.expose().split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_says_on_whose_behalf_and_its_header_says_what_it_is() {
    let house = House::new().await;
    let alice = house.alice(&json!({"sub_profile": "user"}));
    let issued = house.ask(&client("tool"), &ExchangeRequest { scope: Some("read"), ..wanted(&alice) }).await.unwrap();
    let mut claims = claims_of(&issued);
    let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(jti.as_str().unwrap()).unwrap().len(), 16);
    let tool = json!({"iss": "spiffe://example.org", "sub": "spiffe://example.org/tool", "sub_profile": "ai_agent"});
    let expected = json!({
        "iss": US, "sub": "alice", "sub_profile": "user", "aud": TOOL, "scope": "read", "act": tool,
        "sub_id": {"format": "iss_sub", "iss": IDP, "sub": "alice"}, "client_id": "spiffe://example.org/tool",
        "iat": SECOND, "exp": SECOND + 300,
    });
    assert_eq!(claims, expected);
    assert_eq!(part(&issued, 0)["typ"], "at+jwt");
    assert_eq!((issued.expires_in, &*issued.scope), (Duration::from_mins(5), "read"));
    let again = house.ask(&client("tool"), &ExchangeRequest { scope: Some("read"), ..wanted(&alice) }).await.unwrap();
    assert_ne!(claims_of(&again)["jti"], jti, "no two have one name");
}

#[tokio::test]
async fn a_token_proves_something_or_nothing_comes_of_it() {
    let house = House::new().await;
    let forged = issued(&house.strangers, IDP, &json!({}));
    for (bad, reason) in [
        (String::new(), "bad_subject_token"),
        (forged, "bad_subject_token"),
        (house.alice(&json!({"exp": SECOND - 60})), "bad_subject_token"),
        (house.alice(&json!({"aud": TOOL})), "bad_subject_token"),
        (house.alice(&json!({"iss": US, "aud": TOOL})), "bad_subject_token"),
        (house.alice(&json!({"act": "spiffe://example.org/tool"})), "bad_delegation"),
        (house.alice(&json!({"scope": ["read"]})), "bad_delegation"),
        (house.alice(&json!({"scope": ""})), "bad_delegation"),
        (house.alice(&json!({"cnf": {"jkt": "x"}})), "bad_delegation"),
        (house.alice(&json!({"scope": null})), "no_scope"),
        (house.alice(&json!({"scope": "openid email"})), "no_scope"),
    ] {
        assert_eq!(house.refusal(&client("tool"), &wanted(&bad)).await, reason);
        assert_eq!(house.asked(), Vec::<Value>::new());
    }
    let alice = house.alice(&json!({}));
    for audience in [None, Some("https://elsewhere.example"), Some("example.org"), Some(US)] {
        let request = ExchangeRequest { audience, ..wanted(&alice) };
        assert_eq!(house.refusal(&client("tool"), &request).await, "unknown_audience");
    }
    let request = ExchangeRequest { wanted: TokenType::IdToken, ..wanted(&alice) };
    assert_eq!(house.refusal(&client("tool"), &request).await, "not_issued");
}
