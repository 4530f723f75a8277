//! What is said and done beside yes or no, and by which route.

use serde_json::json;

use super::*;
use crate::decision::mapping::MappingFiles;
use crate::decision::policy::fixture::Directory;

/// A plane with these policies over the quickstart's schema, and these routes.
fn plane(policies: &str, routes: Option<&str>) -> Plane {
    let schema = include_str!("../../../../policies/quickstart/portcullis.cedarschema");
    let mut plane = Plane::new();
    plane.policies.replace(Directory::new(&[("s.cedarschema", schema), ("p.cedar", policies)]).load().unwrap());
    if let Some(routes) = routes {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("m.yaml");
        std::fs::write(&file, format!("version: 1\nroutes:\n{routes}")).unwrap();
        let mapping = Mapping::compile(&MappingFiles::read(&file).unwrap()).unwrap();
        plane.authorizer = plane.authorizer.with_mapping(Some(Arc::new(Watched::new(mapping))));
    }
    plane
}

const PERMIT: &str = "@id(\"all\") permit (principal is Workload, action, resource is Path);";

#[test]
fn what_policies_say_comes_with_their_decision_cached_or_not() {
    let forbid =
        "@id(\"no\") @deny_status(\"404\") @step_up(\"acr=mfa\") forbid (principal, action, resource is Path);";
    let plane = plane(&format!("{PERMIT} {forbid}"), None);
    for cache in [CacheState::Miss, CacheState::Hit, CacheState::Hit] {
        let verdict = plane.ask(WEB, "GET", "/orders/17");
        assert_eq!((verdict.reason, verdict.cache), (Reason::Forbidden, cache));
        let guidance = verdict.guidance().unwrap();
        assert_eq!((guidance.status, guidance.remedy.is_some()), (Some(404), true));
    }
}

#[test]
fn a_permit_that_demands_something_denies_where_nobody_does_it() {
    let demands = "@id(\"mail\") @obligation(\"{\\\"id\\\": \\\"m\\\", \\\"type\\\": \\\"notification\\\", \
                   \\\"properties\\\": {}}\") permit (principal is Workload, action, resource is Path);";
    let mut plane = plane(demands, None);
    let verdict = plane.ask(WEB, "GET", "/orders/17");
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::UnmetObligation));
    assert_eq!(verdict.guidance(), None);
    let record = plane.last();
    assert_eq!((record.decision, &*record.reason, &*record.policies[0]), (Outcome::Deny, "unmet_obligation", "mail"));

    let query = || {
        let context: crate::decision::query::Properties<'static> =
            serde_json::from_value(json!({"host": "h", "path": "/o", "scheme": "s", "protocol": "p", "headers": {}}))
                .unwrap();
        Query {
            subject: Entity::named("Workload", WEB),
            action: crate::decision::Action::named("GET"),
            resource: Entity::named("Path", "/o"),
            context,
            extra: Vec::new(),
        }
    };
    assert_eq!(plane.authorizer.evaluate(query(), Asker::default()).reason, Reason::Permitted, "the client is told");
    assert_eq!(plane.authorizer.evaluate_plainly(query(), Asker::default()).reason, Reason::UnmetObligation);
    assert_eq!(plane.last().decision, Outcome::Deny);

    plane.authorizer = plane.authorizer.with_obligations_forwarded(true);
    let verdict = plane.ask(WEB, "GET", "/orders/17");
    assert_eq!((verdict.reason, verdict.guidance().unwrap().obligations.len()), (Reason::Permitted, 1));
}

#[test]
fn headers_that_a_permit_sets_are_known_whoever_is_let_through() {
    let gold =
        "@id(\"gold\") @header_x_tier(\"gold\") permit (principal, action == Action::\"POST\", resource is Path);";
    let plane = plane(&format!("{PERMIT} {gold}"), None);
    let verdict = plane.ask(WEB, "GET", "/orders/17");
    assert_eq!((verdict.reason, verdict.guidance()), (Reason::Permitted, None));
    assert_eq!(verdict.manner.backend_headers.unwrap().iter().map(|name| &**name).collect::<Vec<_>>(), ["x-tier"]);
}

#[test]
fn the_route_is_recorded_and_says_what_an_error_is() {
    let routes = "  - {name: strict, match: {path: /a, method: GET}, resource: {type: Path}, on_error: {status: 502}}\n  \
                  - {name: loose, match: {path: /b, method: GET}, resource: {type: Path}, on_error: {fail: envoy}}\n";
    let plane = plane(PERMIT, Some(routes));
    let ask = |path| plane.ask(WEB, "GET", path).manner.on_error;
    assert_eq!(ask("/a"), Some(OnError { is_closed: true, status: Some(502) }));
    assert_eq!(plane.last().route.as_deref(), Some("strict"));
    assert_eq!(ask("/b"), Some(OnError { is_closed: false, status: None }));
    assert_eq!(ask("/c"), None);
    assert_eq!(plane.last().route, None);
    plane.log.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let unrecorded = plane.ask(WEB, "GET", "/a");
    assert_eq!((unrecorded.outcome, unrecorded.reason), (Outcome::Error, Reason::AuditUnavailable));
    assert!(unrecorded.manner.on_error.unwrap().is_closed);
}

/// Even a panic is answered as the route says.
#[test]
fn a_panic_within_a_decision_is_recorded_with_its_route() {
    #[derive(Debug)]
    struct Broken;
    impl crate::identity::token::TokenVerifier for Broken {
        fn verify(
            &self,
            _token: &str,
            _now: Timestamp,
        ) -> Result<Arc<VerifiedToken>, crate::identity::token::TokenError> {
            panic!("broken")
        }
    }
    let mut plane = plane(PERMIT, None);
    let rules = crate::decision::principal::PrincipalRules {
        principal: PrincipalRule::Svid,
        peer_is_optional: false,
        ignore_unverified: false,
        headers: vec!["authorization".to_owned()],
    };
    let principals = Principals::new(rules, Arc::new(Broken), Vec::new());
    plane.authorizer = plane.authorizer.with_principals(Some(principals));
    let mut question = plane.question(WEB, "GET", "/orders/17");
    question.http.as_mut().unwrap().headers.as_mut().unwrap().push(("authorization", b"Bearer x"));
    let verdict = plane.authorizer.check(&question);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Error, Reason::Internal));
    assert_eq!((&*plane.last().reason, &*plane.last().action), ("internal", "GET"));
}

#[test]
fn a_route_whose_principal_is_a_tokens_denies_where_no_issuer_is_believed() {
    let routes = "  - {match: {path: /a, method: GET}, resource: {type: Path}, principal: token}\n";
    let plane = plane(PERMIT, Some(routes));
    assert_eq!(plane.ask(WEB, "GET", "/a").reason, Reason::NoToken);
}
