//! Workloads of other trust domains: whether they are let in, and what policies see of them.

use serde_json::{Value, json};

use super::*;
use crate::decision::principal::{Mapping, PrincipalRule, PrincipalRules};
use crate::decision::query::{Action, Overlay, Properties};
use crate::decision::search::{Search, Sought};
use crate::identity::foreign::{ForeignDomain, ForeignIdentities};
use crate::identity::token::tests::{ISSUER, Key, bundle, claims, header, published, rules, token, with};
use crate::identity::token::{Issuer, TokenVerifier as _, Tokens};

const RUNNER: &str = "spiffe://partner.example/prod/runner";
const STRANGER: &str = "spiffe://partner.example/production/runner";
const OTHER: &str = "spiffe://other.example/prod/runner";

/// The quickstart's policies where the schema has room for what is known of others, and these beside them.
fn policies(more: &str) -> PolicySet {
    let (shipped, home) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/quickstart"), tempfile::tempdir().unwrap());
    for file in std::fs::read_dir(shipped).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), home.path().join(file.file_name())).unwrap();
    }
    std::fs::write(home.path().join("more.cedar"), more).unwrap();
    PolicySet::load(home.path()).unwrap()
}

const GOLD: &str = r#"@id("gold-reads") permit (principal in TrustDomain::"partner.example", action == Action::"GET", resource)
    when { principal has foreign && principal.foreign has local_name && principal.foreign.local_name == "acme" };
    @id("no-foreign-writes") forbid (principal is Workload, action in Action::"write", resource)
    when { principal has foreign };"#;

/// A plane that holds the bundles of both others, and lets in what of `partner.example` is within `paths`.
struct Border {
    plane: Plane,
    partner: Authority,
    other: Authority,
}

impl Border {
    fn new(paths: &[&str], refuses_unlisted: bool) -> Self {
        let (plane, partner, other) = (Plane::new(), authority_of("partner.example"), authority_of("other.example"));
        plane.policies.replace(policies(GOLD));
        let border = Self { plane, partner, other };
        for (name, (key, params)) in [("partner.example", &border.partner), ("other.example", &border.other)] {
            let certificate = params.self_signed(key).unwrap().der().clone();
            let bundle = Bundle::of_x509(name.parse().unwrap(), [certificate], 1);
            border.plane.bundles.update(|known| known.with(bundle));
        }
        border.admit(paths, refuses_unlisted);
        border
    }

    fn admit(&self, paths: &[&str], refuses_unlisted: bool) {
        let domain = ForeignDomain {
            paths: paths.iter().map(|path| path.parse().unwrap()).collect(),
            local_name: Some("acme".to_owned()),
            attributes: [("undeclared".to_owned(), json!(true))].into_iter().collect(),
        };
        let listed = [("partner.example".parse().unwrap(), domain)].into();
        let ours = "example.org".parse().unwrap();
        let foreign = Arc::new(ForeignIdentities::new(&ours, listed, refuses_unlisted));
        self.plane.bundles.update(|known| Some(known.clone().with_foreign(foreign)));
    }

    fn question(&self, caller: &'static str, method: &'static str) -> Check<'static> {
        let authority = if caller == OTHER { &self.other } else { &self.partner };
        Check { certificate: leaf(authority, caller), ..self.plane.question(caller, method, "/orders/17") }
    }

    fn ask(&self, caller: &'static str, method: &'static str) -> Reason {
        self.plane.authorizer.check(&self.question(caller, method)).reason
    }

    /// The same over `AuthZEN`, where who asks says this of the subject.
    fn ask_about(&self, subject: &str, method: &str, properties: &Value) -> Reason {
        let query = about(subject, method, properties);
        self.plane.authorizer.evaluate(query, Asker::default()).reason
    }

    /// The same by the exchange of tokens, on the strength of a token of alice's.
    fn grants(&self, client: &str, method: &str) -> Reason {
        let key = Key::p256();
        let believed = vec![Issuer::publishing(rules(ISSUER), published(&[("kid-1", &key)]))];
        let token = Tokens::new(believed, 1).verify(&token(&header("ES256"), &claims(), &key), NOW).unwrap();
        self.plane.authorizer.grant(about(client, method, &json!({})), Asker::default(), &token).reason
    }
}

/// A question over `AuthZEN` about a workload of which who asks says this.
fn about(subject: &str, method: &str, properties: &Value) -> Query<'static> {
    serde_json::from_value(json!({
        "subject": {"type": "Workload", "id": subject, "properties": properties},
        "action": {"name": method},
        "resource": {"type": "Path", "id": "/orders/17", "properties": {"service": "orders"}},
        "context": {"host": "h", "path": "/orders/17", "scheme": "http", "protocol": "HTTP/1.1", "headers": {}},
    }))
    .unwrap()
}

#[test]
fn who_is_not_let_in_is_denied_before_any_policy_and_on_record() {
    let border = Border::new(&["/prod"], true);
    border.plane.policies.replace(policies("permit (principal, action, resource);"));
    assert_eq!(border.ask(RUNNER, "GET"), Reason::Permitted);
    for caller in [STRANGER, OTHER] {
        assert_eq!(border.ask(caller, "GET"), Reason::ForeignIdentity, "{caller}");
        let record = border.plane.last();
        assert_eq!((record.decision, &*record.reason), (Outcome::Deny, "foreign_identity"), "{caller}");
        assert!(record.policies.is_empty());
    }
    assert_eq!(border.plane.ask(WEB, "GET", "/orders/17").reason, Reason::Permitted, "our own are not concerned");
}

#[test]
fn what_was_allowed_and_cached_ends_with_the_domain_or_with_its_being_let_in() {
    let border = Border::new(&["/prod"], true);
    let question = border.question(RUNNER, "GET");
    let ask = || border.plane.authorizer.check(&question);
    assert_eq!((ask().reason, ask().cache), (Reason::Permitted, CacheState::Hit));
    border.admit(&["/dev"], true);
    assert_eq!(ask().reason, Reason::ForeignIdentity);
    border.admit(&["/prod"], true);
    assert_eq!((ask().reason, ask().cache), (Reason::Permitted, CacheState::Hit));
    border.plane.bundles.update(|known| known.without(&"partner.example".parse().unwrap()));
    assert_eq!(ask().reason, Reason::UntrustedCertificate);
}

#[test]
fn a_token_is_exchanged_for_nobody_who_is_not_let_in_and_for_others_as_what_they_are() {
    let border = Border::new(&["/prod"], true);
    assert_eq!((border.grants(RUNNER, "GET"), border.grants(RUNNER, "POST")), (Reason::Permitted, Reason::Forbidden));
    assert_eq!(border.grants(STRANGER, "GET"), Reason::ForeignIdentity);
    assert_eq!(border.plane.last().edge, Edge::Token, "which is on record");
}

/// A token that is good, and of one who is not let in, is never as good as none.
#[test]
fn a_jwt_svid_of_one_who_is_not_let_in_denies_even_where_a_bad_token_counts_as_none() {
    let key = Key::p256();
    let admits = |paths: &[&str]| {
        let domain =
            ForeignDomain { paths: paths.iter().map(|path| path.parse().unwrap()).collect(), ..<_>::default() };
        let listed = [("partner.example".parse().unwrap(), domain)].into();
        let foreign = ForeignIdentities::new(&"example.org".parse().unwrap(), listed, true);
        let partner = Bundle::clone(&bundle("partner.example", [("kid-1", &key)]));
        Arc::new(Watched::new(Bundles::new([partner]).with_foreign(Arc::new(foreign))))
    };
    let shown = token(&header("ES256"), &with(&with(&claims(), "sub", RUNNER), "iss", "x"), &key);
    let bearer = format!("Bearer {shown}");
    for (paths, reason) in [(["/prod"], Reason::Permitted), (["/dev"], Reason::ForeignIdentity)] {
        let mut plane = Plane::new();
        let rules = PrincipalRules {
            principal: PrincipalRule::Svid,
            peer_is_optional: false,
            ignore_unverified: true,
            headers: vec!["authorization".to_owned()],
        };
        let tokens = Tokens::new(vec![Issuer::spiffe(self::rules("spiffe"), admits(&paths))], 1);
        let principals = Principals::new(rules, Arc::new(tokens), vec![Mapping::Spiffe]);
        plane.authorizer = plane.authorizer.with_principals(Some(principals));
        let mut question = plane.question(WEB, "GET", "/orders/17");
        question.http.as_mut().unwrap().headers.as_mut().unwrap().push(("authorization", bearer.as_bytes()));
        assert_eq!(plane.authorizer.check(&question).reason, reason, "{paths:?}");
    }
}

#[test]
fn of_a_resource_nobody_says_that_it_is_foreign_either() {
    let types = policies("");
    let foreign = ForeignIdentities::new(&"example.org".parse().unwrap(), [].into(), false);
    let described = |id: &str| {
        let mut query: Query<'_> = serde_json::from_value(json!({
            "subject": {"type": "Workload", "id": WEB},
            "action": {"name": "GET"},
            "resource": {"type": "Workload", "id": id, "properties": {"foreign": {"tier": "gold"}}},
        }))
        .unwrap();
        describe(&mut query, &foreign, types.types()).unwrap();
        format!("{:?}", query.resource.properties.get("foreign"))
    };
    assert_eq!([WEB, ""].map(described), ["None", "None"]);
    let partner = described(RUNNER);
    assert!(partner != "None" && !partner.contains("gold"), "{partner}");
}

#[test]
fn policies_see_what_the_schema_declares_and_only_of_others() {
    let border = Border::new(&["/prod"], false);
    assert_eq!((border.ask(RUNNER, "GET"), border.ask(RUNNER, "POST")), (Reason::Permitted, Reason::Forbidden));
    assert_eq!(border.ask(OTHER, "GET"), Reason::NoPermit, "it has no name here");
    assert_eq!(border.ask(OTHER, "POST"), Reason::Forbidden, "and is foreign all the same");
    assert_eq!(border.plane.ask(WEB, "POST", "/orders").reason, Reason::Permitted);
}

#[test]
fn over_authzen_the_same_is_known_whatever_is_said_and_nobody_is_let_in_by_being_named() {
    let border = Border::new(&["/prod"], true);
    let lies = json!({"foreign": {"local_name": "acme"}});
    assert_eq!(border.ask_about(RUNNER, "GET", &json!({})), Reason::Permitted);
    assert_eq!(border.ask_about(STRANGER, "GET", &json!({})), Reason::ForeignIdentity);
    assert_eq!(&*border.plane.last().reason, "foreign_identity");
    assert_eq!(border.ask_about(OTHER, "GET", &lies), Reason::ForeignIdentity);
    border.admit(&["/"], false);
    assert_eq!(border.ask_about(OTHER, "GET", &lies), Reason::NoPermit, "the name is not the caller's to give");
    assert_eq!(border.ask_about(WEB, "POST", &lies), Reason::NoPermit, "nor are our own made foreign");
    assert_eq!(border.ask_about(RUNNER, "POST", &json!({"foreign": null})), Reason::Forbidden);
}

#[test]
fn a_search_finds_nobody_who_is_not_let_in() {
    let border = Border::new(&["/prod"], true);
    let workload = |id: &str| {
        let attributes = json!({"trust_domain": "t", "path": "p"});
        json!({"uid": {"type": "Workload", "id": id}, "attrs": attributes, "parents": []})
    };
    let stored = json!([workload(WEB), workload(RUNNER), workload(STRANGER), workload(OTHER)]);
    let home = tempfile::tempdir().unwrap();
    let schema = "entity TrustDomain; entity Workload in [TrustDomain] { trust_domain: String, path: String, \
                  foreign?: { local_name?: String } }; entity Thing; action see appliesTo { principal: Workload, resource: Thing };";
    std::fs::write(home.path().join("s.cedarschema"), schema).unwrap();
    std::fs::write(home.path().join("e.json"), stored.to_string()).unwrap();
    std::fs::write(home.path().join("p.cedar"), "permit (principal, action, resource);").unwrap();
    let found = |refuses_unlisted: bool| {
        border.admit(&["/prod"], refuses_unlisted);
        border.plane.policies.replace(PolicySet::load(home.path()).unwrap());
        let sought = Sought::Subjects {
            kind: "Workload".into(),
            properties: Properties::default(),
            overlay: Overlay::default(),
            action: Action::named("see"),
            resource: Entity::named("Thing", "1"),
        };
        let search = Search { sought, context: Properties::default(), after: None, limit: 10 };
        border.plane.authorizer.search(&search, Asker::default()).result.unwrap().names
    };
    assert_eq!(found(true), [WEB, RUNNER]);
    assert_eq!(found(false), [WEB, OTHER, RUNNER]);
}

#[test]
fn a_search_for_workloads_as_resources_goes_by_what_they_are_here_too() {
    let border = Border::new(&["/prod"], true);
    let stored = json!([STRANGER, WEB, RUNNER, OTHER].map(|id| {
        let attributes = json!({"trust_domain": "t", "path": "p"});
        json!({"uid": {"type": "Workload", "id": id}, "attrs": attributes, "parents": []})
    }));
    let home = tempfile::tempdir().unwrap();
    let schema = "entity TrustDomain; entity Workload in [TrustDomain] { trust_domain: String, path: String, \
                  foreign?: { local_name?: String } }; entity Human; \
                  action call, watch appliesTo { principal: Human, resource: Workload };";
    let policies = r#"permit (principal, action, resource);
        forbid (principal, action == Action::"watch", resource) when { resource has foreign };"#;
    std::fs::write(home.path().join("s.cedarschema"), schema).unwrap();
    std::fs::write(home.path().join("e.json"), stored.to_string()).unwrap();
    std::fs::write(home.path().join("p.cedar"), policies).unwrap();
    border.plane.policies.replace(PolicySet::load(home.path()).unwrap());
    let search = |sought| {
        let search = Search { sought, context: Properties::default(), after: None, limit: 10 };
        border.plane.authorizer.search(&search, Asker::default()).result.unwrap().names
    };
    let found = |action: &'static str| {
        search(Sought::Resources {
            subject: Entity::named("Human", "alice"),
            action: Action::named(action),
            kind: "Workload".into(),
            properties: Properties::default(),
            overlay: Overlay::default(),
        })
    };
    assert_eq!(found("call"), [WEB, RUNNER]);
    assert_eq!(found("watch"), [WEB]);
    let watchers = |resource: &'static str| {
        let mut resource = Entity::named("Workload", resource);
        resource.properties.insert("foreign", json!({"local_name": "ours"}));
        search(Sought::Actions { subject: Entity::named("Human", "alice"), resource })
    };
    assert_eq!(watchers(WEB), ["call", "watch"], "nobody is made foreign by who asks");
    assert_eq!(watchers(RUNNER), ["call"]);
    assert!(watchers(STRANGER).is_empty());
}

#[test]
fn a_caller_that_is_not_let_in_is_on_record_by_name() {
    let border = Border::new(&["/prod"], true);
    let by = Asker { request_id: Some("r-9"), ..Asker::default() };
    let verdict = border.plane.authorizer.refuse_caller(Edge::Authzen, &STRANGER.parse().unwrap(), by);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::ForeignIdentity));
    let record = border.plane.last();
    assert_eq!((record.caller.as_deref(), record.request_id.as_deref()), (Some(STRANGER), Some("r-9")));
    assert_eq!(&*record.reason, "foreign_identity");
}
