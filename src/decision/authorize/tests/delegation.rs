//! Requests with a token that says who acts for whom: whose it must be, what policies see of it, and how it ends.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::decision::principal::{ClaimMapping, Mapping, PrincipalRule, PrincipalRules};
use crate::identity::delegation::memory::MemoryRevocations;
use crate::identity::delegation::{MAX_ACTORS, Revocations, Revoked, RevokedKind};
use crate::identity::foreign::ForeignIdentities;
use crate::identity::token::tests::{ISSUER, Key, SECOND, bundle, claims, header, published, rules, token, with};
use crate::identity::token::{Issuer as Believed, IssuerRules, Tokens};

/// Who issues tokens of our own exchange.
const GATE: &str = "https://gate.example";
const ROBOT: &str = "spiffe://example.org/robot";

const SCHEMA: &str = r"
entity TrustDomain;
entity Workload in [TrustDomain] { trust_domain: String, path: String };
entity Human;
entity Service;
entity Path in [Path, Service];
type Delegation = {
  subject: String, issuer: String, subject_profile?: String, actor: String, actor_profile?: String,
  depth: Long, scope: Set<String>, earlier: Set<String>, transaction?: String,
};
action GET, POST appliesTo {
  principal: [Workload, Human], resource: Path, context: { token?: Human, peer?: Workload, delegation?: Delegation },
};
action PATCH appliesTo { principal: [Workload, Human], resource: Path, context: { token?: Human, peer?: Workload } };
action DELETE appliesTo {
  principal: Workload, resource: Path, context: { delegation?: { transaction: String } },
};
";

const POLICIES: &str = r#"
@id("agents-read")
permit (principal == Workload::"spiffe://example.org/robot", action == Action::"GET", resource in Path::"/orders")
when {
  context has token && context.token == Human::"alice" && context has delegation &&
  context.delegation.actor == "spiffe://example.org/robot" && context.delegation.subject == "alice" &&
  context.delegation.depth <= 2 && context.delegation.scope.contains("orders:read")
};

@id("web-reads-by-itself")
permit (principal == Workload::"spiffe://example.org/web", action == Action::"GET", resource in Path::"/orders");

@id("all-patch")
permit (principal, action == Action::"PATCH", resource);

@id("transactions-delete")
permit (principal, action == Action::"DELETE", resource)
when { context has delegation && context.delegation.transaction == "t-1" };

@id("not-through-batch")
forbid (principal, action == Action::"POST", resource)
when { context has delegation && context.delegation.earlier.contains("spiffe://example.org/batch") };

@id("agents-write")
permit (principal is Workload, action == Action::"POST", resource)
when { context has delegation && context.delegation has actor_profile && context.delegation.actor_profile == "ai_agent" };
"#;

/// A plane that believes one issuer of people, our own exchange, and trust domains.
struct Gate {
    plane: Plane,
    key: Key,
    revocations: Arc<Revocations>,
}

impl Gate {
    async fn new() -> Self {
        Self::with(|_rules| {}).await
    }

    async fn with(change: impl FnOnce(&mut PrincipalRules)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("gate.cedarschema"), SCHEMA).unwrap();
        std::fs::write(directory.path().join("gate.cedar"), POLICIES).unwrap();
        let (key, mut plane) = (Key::p256(), Plane::new());
        plane.policies.replace(PolicySet::load(directory.path()).unwrap());
        let own = Bundle::clone(&bundle("example.org", [("kid-1", &key)]));
        let own = Arc::new(Watched::new(Bundles::new([own])));
        let types = ["at+jwt", "txntoken+jwt"].map(str::to_owned).to_vec();
        let issuers = vec![
            Believed::publishing(rules(ISSUER), published(&[("kid-1", &key)])),
            Believed::own(IssuerRules { types, ..rules(GATE) }, "example.org".parse().unwrap(), Arc::clone(&own)),
            Believed::spiffe(rules("spiffe"), own),
        ];
        let people = ClaimMapping {
            kind: "Human".to_owned(),
            id: "{sub}".parse().unwrap(),
            attributes: Vec::new(),
            groups: None,
        };
        let mut settled = PrincipalRules {
            principal: PrincipalRule::Svid,
            peer_is_optional: false,
            ignore_unverified: false,
            headers: vec!["authorization".to_owned(), "txn-token".to_owned()],
        };
        change(&mut settled);
        let mappings = vec![Mapping::Claims(people.clone()), Mapping::Delegated(people), Mapping::Spiffe];
        let revocations = Arc::new(Revocations::load(Arc::new(MemoryRevocations::default())).await.unwrap());
        let principals = Principals::new(settled, Arc::new(Tokens::new(issuers, 100)), mappings);
        let principals = principals.with_revocations(Arc::clone(&revocations));
        plane.authorizer = plane.authorizer.with_principals(Some(principals));
        Self { plane, key, revocations }
    }

    fn token(&self, kind: &str, claims: &Value) -> String {
        token(&with(&header("ES256"), "typ", kind), claims, &self.key)
    }

    /// Asks with a token of this type and these claims, where tokens of that type stand.
    fn ask(&self, caller: &str, method: &str, (kind, claims): (&str, &Value)) -> Verdict {
        let shown = self.token(kind, claims);
        self.show(&self.plane.question(caller, method, "/orders/17"), kind, &shown)
    }

    fn show(&self, question: &Check<'_>, kind: &str, token: &str) -> Verdict {
        let (name, value) = match kind {
            "txntoken+jwt" => ("txn-token", token.to_owned()),
            _ => ("authorization", format!("Bearer {token}")),
        };
        let mut question = question.clone();
        question.http.as_mut().unwrap().headers.as_mut().unwrap().push((name, value.as_bytes()));
        self.plane.authorizer.check(&question)
    }

    async fn revoke(&self, kind: RevokedKind, name: &str) {
        self.revocations.revoke(Revoked::new(kind, name, None).unwrap(), None, NOW).await.unwrap();
    }
}

const ACCESS: &str = "at+jwt";
const TRANSACTION: &str = "txntoken+jwt";

/// Claims of a token of our exchange: alice's, for whom robot acts, whom web asked.
fn chain() -> Value {
    let act = json!({"sub": ROBOT, "sub_profile": "ai_agent", "act": {"iss": "spiffe://example.org", "sub": WEB}});
    with(&with(&with(&claims(), "iss", GATE), "act", act), "scope", "orders:read orders:list")
}

/// The same, bound to the certificate that the question has.
fn bound(gate: &Gate, question: &Check<'_>) -> Value {
    let leaf = gate.plane.authorizer.ports.leaves.verify(question.certificate, NOW).unwrap();
    with(&chain(), "cnf", json!({"x5t#S256": URL_SAFE_NO_PAD.encode(leaf.digest.as_bytes())}))
}

#[tokio::test]
async fn a_delegated_token_is_decided_on_subject_actor_depth_and_scope() {
    let gate = Gate::new().await;
    let verdict = gate.ask(ROBOT, "GET", (ACCESS, &chain()));
    assert_eq!((verdict.reason, &*verdict.policies), (Reason::Permitted, &["agents-read".into()][..]));
    let record = gate.plane.last();
    let claims = record.token_claims.unwrap();
    assert_eq!((&*claims.subject, claims.id.as_deref(), claims.transaction), ("alice", Some("a-number"), None));
    let actors: Vec<String> = record.actors.unwrap().into_iter().map(|actor| actor.subject).collect();
    assert_eq!(actors, [ROBOT, WEB]);

    let narrower = with(&chain(), "scope", "orders:list");
    assert_eq!(gate.ask(ROBOT, "GET", (ACCESS, &narrower)).reason, Reason::NoPermit, "no such scope");
    let nothing = with(&chain(), "act", json!({"sub": ROBOT}));
    assert_eq!(gate.ask(ROBOT, "GET", (ACCESS, &nothing)).reason, Reason::Permitted, "one hop");
    let act = json!({"sub": ROBOT, "act": {"sub": WEB, "act": {"sub": BATCH}}});
    assert_eq!(gate.ask(ROBOT, "GET", (ACCESS, &with(&chain(), "act", act))).reason, Reason::NoPermit, "three hops");
    assert_eq!(gate.ask(ROBOT, "GET", (ACCESS, &with(&chain(), "sub", "bob"))).reason, Reason::NoPermit);
    assert_eq!(gate.plane.ask(ROBOT, "GET", "/orders/17").reason, Reason::NoPermit, "no token");
    // The policies of others are not touched by any of it.
    assert_eq!(gate.plane.ask(WEB, "GET", "/orders/17").reason, Reason::Permitted);
}

#[tokio::test]
async fn policies_read_what_the_schema_declares_and_a_lack_of_it_denies() {
    let gate = Gate::new().await;
    assert_eq!(gate.ask(ROBOT, "POST", (ACCESS, &chain())).reason, Reason::Permitted, "an agent");
    let through = json!({"sub": ROBOT, "sub_profile": "ai_agent", "act": {"sub": BATCH}});
    let verdict = gate.ask(ROBOT, "POST", (ACCESS, &with(&chain(), "act", through)));
    assert_eq!(verdict.reason, Reason::Forbidden, "earlier actors are there to forbid by");
    let unknown = json!({"sub": ROBOT});
    assert_eq!(gate.ask(ROBOT, "POST", (ACCESS, &with(&chain(), "act", unknown))).reason, Reason::NoPermit);

    let transaction = with(&with(&claims(), "iss", GATE), "req_wl", ROBOT);
    let t1 = with(&transaction, "txn", "t-1");
    assert_eq!(gate.ask(ROBOT, "DELETE", (TRANSACTION, &t1)).reason, Reason::Permitted);
    assert_eq!(gate.plane.last().token_claims.unwrap().transaction.as_deref(), Some("t-1"));
    let t2 = with(&transaction, "txn", "t-2");
    assert_eq!(gate.ask(ROBOT, "DELETE", (TRANSACTION, &t2)).reason, Reason::NoPermit);
    assert_eq!(gate.ask(ROBOT, "DELETE", (TRANSACTION, &transaction)).reason, Reason::SchemaMismatch);
}

#[tokio::test]
async fn a_grant_that_policies_can_not_see_makes_nobody_its_subject() {
    for rule in [PrincipalRule::Token, PrincipalRule::TokenOrSvid] {
        let gate = Gate::with(|rules| rules.principal = rule).await;
        assert_eq!(gate.ask(ROBOT, "PATCH", (ACCESS, &chain())).reason, Reason::SchemaMismatch, "{rule:?}");
        assert_eq!(gate.ask(ROBOT, "PATCH", ("JWT", &claims())).reason, Reason::Permitted, "{rule:?}: alice's own");
    }
    let gate = Gate::new().await;
    assert_eq!(gate.ask(ROBOT, "PATCH", (ACCESS, &chain())).reason, Reason::Permitted, "robot's own right");
}

#[tokio::test]
async fn a_token_that_was_stolen_is_of_no_use_to_another_workload() {
    let gate = Gate::new().await;
    for (kind, claims) in [
        (ACCESS, chain()),
        (TRANSACTION, with(&with(&claims(), "iss", GATE), "req_wl", ROBOT)),
        (TRANSACTION, with(&chain(), "req_wl", ROBOT)),
        // Of any issuer: what it says of itself decides.
        ("JWT", with(&chain(), "iss", ISSUER)),
    ] {
        for thief in [WEB, BATCH] {
            let verdict = gate.ask(thief, "GET", (kind, &claims));
            assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::OtherHolder), "{thief} {claims}");
            assert!(gate.plane.last().token.is_some(), "what was stolen is on record");
        }
        assert_ne!(gate.ask(ROBOT, "GET", (kind, &claims)).reason, Reason::OtherHolder, "{claims}");
    }
    // What our exchange made is for somebody, though nobody acts: never a bearer's.
    let alone = with(&claims(), "iss", GATE);
    assert_eq!(gate.ask(WEB, "GET", (ACCESS, &alone)).reason, Reason::OtherHolder);
    assert_eq!(gate.ask(WEB, "GET", (ACCESS, &with(&alone, "sub", WEB))).reason, Reason::Permitted);
    // A plain token of a person is whoever's who shows it, as ever.
    assert_eq!(gate.ask(WEB, "GET", ("JWT", &claims())).reason, Reason::Permitted);
}

#[tokio::test]
async fn a_bound_token_needs_its_certificate_and_no_other_of_the_same_workload() {
    let gate = Gate::new().await;
    let question = gate.plane.question(ROBOT, "GET", "/orders/17");
    let shown = gate.token(ACCESS, &bound(&gate, &question));
    assert_eq!(gate.show(&question, ACCESS, &shown).reason, Reason::Permitted);
    for other in [ROBOT, WEB] {
        let question = gate.plane.question(other, "GET", "/orders/17");
        assert_eq!(gate.show(&question, ACCESS, &shown).reason, Reason::OtherHolder, "{other}");
    }
    let digest = "A".repeat(43);
    for cnf in [json!({"jkt": digest}), json!({"jwk": {}}), json!({"x5t#S256": "short"}), json!({}), Value::Null] {
        let verdict = gate.ask(ROBOT, "GET", (ACCESS, &with(&chain(), "cnf", cnf.clone())));
        assert_eq!(verdict.reason, Reason::BadToken, "{cnf}");
    }
}

#[tokio::test]
async fn a_delegated_token_without_a_certificate_is_nobodys() {
    let gate = Gate::with(|rules| {
        rules.principal = PrincipalRule::TokenOrSvid;
        rules.peer_is_optional = true;
    })
    .await;
    let mut question = gate.plane.question(ROBOT, "GET", "/orders/17");
    (question.certificate, question.principal) = ("", "");
    let shown = gate.token(ACCESS, &chain());
    let verdict = gate.show(&question, ACCESS, &shown);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::NoCertificate));
}

#[tokio::test]
async fn what_can_not_be_relied_on_denies_even_where_a_bad_token_counts_as_none() {
    for ignores in [false, true] {
        let gate = Gate::with(|rules| rules.ignore_unverified = ignores).await;
        let deep = (0..=MAX_ACTORS).fold(json!({"sub": BATCH}), |inner, _| json!({"sub": WEB, "act": inner}));
        for (name, value) in [
            ("act", json!("robot")),
            ("act", Value::Null),
            ("act", json!({})),
            ("act", deep),
            ("scope", json!(["orders:read"])),
            ("scope", json!("orders:read  orders:list")),
            ("cnf", json!({"jkt": "x"})),
        ] {
            let claims = with(&with(&chain(), "act", json!({"sub": WEB})), name, value);
            let verdict = gate.ask(WEB, "GET", (ACCESS, &claims));
            assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::BadToken), "{ignores} {claims}");
        }
        assert_eq!(gate.ask(BATCH, "GET", (ACCESS, &chain())).reason, Reason::OtherHolder);
        gate.revoke(RevokedKind::Token, "a-number").await;
        assert_eq!(gate.ask(ROBOT, "GET", (ACCESS, &chain())).reason, Reason::RevokedToken);
    }
}

#[tokio::test]
async fn a_revocation_bites_on_the_next_request_whatever_is_cached() {
    for (kind, name) in [
        (RevokedKind::Token, "a-number"),
        (RevokedKind::Member, ROBOT),
        (RevokedKind::Member, WEB),
        (RevokedKind::Member, "alice"),
    ] {
        let gate = Gate::new().await;
        let (question, shown) = (gate.plane.question(ROBOT, "GET", "/orders/17"), gate.token(ACCESS, &chain()));
        let ask = || gate.show(&question, ACCESS, &shown);
        assert_eq!((ask().cache, ask().cache), (CacheState::Miss, CacheState::Hit));
        gate.revoke(kind, name).await;
        let verdict = ask();
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::RevokedToken), "{name}");
        // Others go on: of that name there may be one in the chain, and no more.
        assert_eq!(gate.plane.ask(WEB, "GET", "/orders/17").reason, Reason::Permitted);
        assert!(gate.revocations.restore(&Revoked::new(kind, name, None).unwrap()).await.unwrap());
        assert_eq!(ask().reason, Reason::Permitted, "{name}");
    }
}

/// Whom a third issuer calls so: the token of the exchange has the name from a token that went in, others from their issuer.
#[tokio::test]
async fn a_name_that_others_have_for_the_subject_is_revoked_too() {
    let third = json!({"format": "iss_sub", "iss": "https://third.example", "sub": "employee-7"});
    let carried = with(&chain(), "sub_aliases", json!({"format": "aliases", "identifiers": [&third]}));
    let own = with(&claims(), "sub_id", third);
    let gate = Gate::new().await;
    for revoked in [false, true] {
        let expected = if revoked { Reason::RevokedToken } else { Reason::Permitted };
        assert_eq!(gate.ask(ROBOT, "GET", (ACCESS, &carried)).reason, expected);
        assert_eq!(gate.ask(WEB, "GET", ("JWT", &own)).reason, expected);
        gate.revoke(RevokedKind::Member, "employee-7").await;
    }
    let unreadable = json!({"format": "iss_sub", "sub": "alice"});
    for (caller, kind, claims) in [(ROBOT, ACCESS, chain()), (WEB, "JWT", claims())] {
        let verdict = gate.ask(caller, "GET", (kind, &with(&claims, "sub_id", unreadable.clone())));
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::BadToken), "{kind}");
    }
}

#[tokio::test]
async fn a_persons_own_token_and_a_jwt_svid_are_revoked_too() {
    let gate = Gate::new().await;
    let svid = {
        let mut claims = with(&claims(), "sub", WEB);
        claims.as_object_mut().unwrap().remove("iss");
        claims
    };
    for shown in [&claims(), &svid] {
        assert_eq!(gate.ask(WEB, "GET", ("JWT", shown)).reason, Reason::Permitted);
    }
    gate.revoke(RevokedKind::Member, "alice").await;
    assert_eq!(gate.ask(WEB, "GET", ("JWT", &claims())).reason, Reason::RevokedToken);
    assert_eq!(gate.ask(WEB, "GET", ("JWT", &svid)).reason, Reason::Permitted);
    gate.revoke(RevokedKind::Member, WEB).await;
    assert_eq!(gate.ask(WEB, "GET", ("JWT", &svid)).reason, Reason::RevokedToken);
    assert_eq!(gate.plane.ask(WEB, "GET", "/orders/17").reason, Reason::Permitted, "a certificate is no token");
}

#[tokio::test]
async fn what_is_cached_ends_with_the_delegated_token_and_with_its_bundle() {
    let gate = Gate::new().await;
    let question = gate.plane.question(ROBOT, "GET", "/orders/17");
    let shown = gate.token(ACCESS, &with(&chain(), "exp", SECOND + 20));
    let ask = || gate.show(&question, ACCESS, &shown);
    assert_eq!((ask().cache, ask().cache), (CacheState::Miss, CacheState::Hit));
    gate.plane.clock.advance(Duration::from_secs(20));
    assert_eq!(ask().cache, CacheState::Miss, "its clock is forgiven, and nothing is kept");
    gate.plane.clock.advance(Duration::from_secs(30));
    assert_eq!(ask().reason, Reason::ExpiredToken);
}

#[tokio::test]
async fn nobody_in_a_chain_counts_for_longer_than_their_domain() {
    let gate = Gate::new().await;
    let (partner, name): (_, TrustDomain) = ("spiffe://partner.example", "partner.example".parse().unwrap());
    let foreign = Arc::new(ForeignIdentities::new(&"example.org".parse().unwrap(), [].into(), false));
    gate.plane.bundles.update(|known| Some(known.clone().with_foreign(foreign)));
    let desk = format!("{partner}/desk");
    let act = json!({"sub": ROBOT, "act": {"iss": partner, "sub": desk}});
    let named = json!({"format": "iss_sub", "iss": partner, "sub": desk});
    for claims in [with(&chain(), "act", act), with(&chain(), "sub_id", named)] {
        let ask = || gate.ask(ROBOT, "GET", (ACCESS, &claims)).reason;
        assert_eq!(ask(), Reason::ForeignIdentity, "{claims}");
        gate.plane.bundles.update(|known| known.with(Bundle::clone(&bundle(name.as_str(), [("kid-9", &gate.key)]))));
        assert_eq!((ask(), ask()), (Reason::Permitted, Reason::Permitted), "{claims}");
        gate.plane.bundles.update(|known| known.without(&name));
        assert_eq!(ask(), Reason::ForeignIdentity, "cached or not: {claims}");
    }
}

#[tokio::test]
async fn a_token_stands_in_the_header_of_its_type_and_never_in_two() {
    let gate = Gate::new().await;
    let access = gate.token(ACCESS, &chain());
    let transaction = gate.token(TRANSACTION, &with(&chain(), "req_wl", ROBOT));
    let question = gate.plane.question(ROBOT, "GET", "/orders/17");
    assert_eq!(gate.show(&question, ACCESS, &access).reason, Reason::Permitted);
    assert_eq!(gate.show(&question, TRANSACTION, &transaction).reason, Reason::Permitted);
    assert_eq!(gate.show(&question, ACCESS, &transaction).reason, Reason::BadToken);
    assert_eq!(gate.show(&question, TRANSACTION, &access).reason, Reason::BadToken);
    let both = format!("Bearer {access}");
    let mut question = question;
    question.http.as_mut().unwrap().headers.as_mut().unwrap().push(("authorization", both.as_bytes()));
    assert_eq!(gate.show(&question, TRANSACTION, &transaction).reason, Reason::BadToken);
}

#[tokio::test]
async fn the_subject_is_a_workload_only_if_a_trust_domain_vouched_for_it() {
    let gate = Gate::with(|rules| rules.principal = PrincipalRule::Token).await;
    let acting = with(&chain(), "sub", WEB);
    let vouched = |issuer: &str| with(&acting, "sub_id", json!({"format": "iss_sub", "iss": issuer, "sub": WEB}));
    for (claims, principal) in [
        (vouched("spiffe://example.org"), format!("Workload::{WEB:?}")),
        (vouched("spiffe://example.com"), format!("Human::{WEB:?}")),
        (vouched(ISSUER), format!("Human::{WEB:?}")),
        (acting.clone(), format!("Human::{WEB:?}")),
        (chain(), r#"Human::"alice""#.to_owned()),
    ] {
        gate.ask(ROBOT, "GET", (ACCESS, &claims));
        let record = gate.plane.last();
        assert_eq!((&*record.principal, record.peer.as_deref()), (&*principal, Some(ROBOT)), "{claims}");
    }
}

#[tokio::test]
async fn another_trust_domain_makes_no_token_of_our_exchange() {
    let gate = Gate::new().await;
    let forged = token(&with(&header("ES256"), "typ", ACCESS), &chain(), &Key::p256());
    let question = gate.plane.question(ROBOT, "GET", "/orders/17");
    assert_eq!(gate.show(&question, ACCESS, &forged).reason, Reason::UntrustedToken);
    // A JWT-SVID is signed with the same key, and is none either: its type is not one that the exchange makes for services.
    let svid = gate.token("JWT", &chain());
    assert_eq!(gate.show(&question, ACCESS, &svid).reason, Reason::BadToken);
}
