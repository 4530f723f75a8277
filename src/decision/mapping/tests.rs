use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::decision::check::{Extensions, HttpAttributes};

/// The quickstart schema's shape, with a route.
struct Quickstart {
    actions: BTreeMap<&'static str, BTreeSet<String>>,
    headers: BTreeSet<String>,
    route: BTreeSet<String>,
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn quickstart() -> Quickstart {
    let http = names(&["host", "path", "query", "scheme", "protocol", "sni", "headers", "route", "clearance"]);
    Quickstart {
        actions: BTreeMap::from([
            ("GET", http.clone()),
            ("POST", http),
            ("upgrade", names(&["host", "path", "protocol", "upgrade", "method", "headers"])),
            ("CONNECT", names(&["host"])),
            ("connect", names(&["sni", "destination", "host", "headers"])),
        ]),
        headers: names(&["x-tenant"]),
        route: names(&["audience", "tier"]),
    }
}

impl Shape for Quickstart {
    fn context_attributes(&self, action: &str) -> Option<&BTreeSet<String>> {
        self.actions.get(action)
    }

    fn headers(&self, _action: &str) -> &BTreeSet<String> {
        &self.headers
    }

    fn route_attributes(&self, _action: &str) -> &BTreeSet<String> {
        &self.route
    }
}

fn web() -> SpiffeId {
    "spiffe://example.org/shop/web".parse().unwrap()
}

fn check<'a>(method: &'a str, path: &'a str, headers: &[(&'a str, &'a str)]) -> Check<'a> {
    Check {
        destination: "spiffe://example.org/orders",
        http: Some(HttpAttributes {
            method,
            path,
            host: "Orders.example:8443",
            scheme: "https",
            protocol: "HTTP/2",
            headers: Some(headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect()),
            ..HttpAttributes::default()
        }),
        extensions: vec![("service", "orders"), ("audience", "backend")].into(),
        ..Check::default()
    }
}

fn query_of(check: &Check<'_>) -> Result<Query<'static>, Refusal> {
    let request = HttpRequest::from_attributes(check.http.as_ref().expect("is HTTP"))?;
    http_query(workload(&web()), &request, check, &quickstart()).map(Query::into_owned)
}

fn reason(check: &Check<'_>) -> Reason {
    query_of(check).expect_err("is refused").reason()
}

fn parents(entity: &Entity<'_>) -> Vec<String> {
    entity.parents.iter().map(ToString::to_string).collect()
}

#[test]
fn a_request_becomes_subject_action_resource_and_the_declared_context() {
    let query = query_of(&check("GET", "/orders/7?full=1", &[("x-tenant", "acme"), ("x-other", "1")])).unwrap();
    assert_eq!(query.subject.to_string(), "Workload::\"spiffe://example.org/shop/web\"");
    assert_eq!(
        Value::from(query.subject.properties.clone()),
        json!({"trust_domain": "example.org", "path": "/shop/web"})
    );
    assert_eq!(parents(&query.subject), ["TrustDomain::\"example.org\""]);
    assert_eq!(query.action.name, "GET");
    assert_eq!(query.resource.to_string(), "Path::\"/orders/7\"");
    let context = json!({
        "host": "orders.example", "path": "/orders/7", "query": "full=1", "scheme": "https", "protocol": "HTTP/2",
        "headers": {"x-tenant": "acme"}, "route": {"audience": "backend"},
    });
    assert_eq!(Value::from(query.context), context);
}

#[test]
fn each_path_is_in_the_one_that_encloses_it_and_the_root_in_the_service() {
    let query = query_of(&check("GET", "/orders/7/", &[])).unwrap();
    let chain: Vec<_> = [&query.resource].into_iter().chain(&query.extra).map(|e| (&*e.id, parents(e))).collect();
    assert_eq!(
        chain,
        [
            ("/orders/7/", vec!["Path::\"/orders/7\"".to_owned()]),
            ("/orders/7", vec!["Path::\"/orders\"".to_owned()]),
            ("/orders", vec!["Path::\"/\"".to_owned()]),
            ("/", vec!["Service::\"orders\"".to_owned()]),
        ]
    );
    let root = query_of(&check("GET", "/", &[])).unwrap();
    assert_eq!((parents(&root.resource), root.extra), (vec!["Service::\"orders\"".to_owned()], vec![]));
}

#[test]
fn an_absent_query_or_server_name_is_absent_not_empty() {
    let context = query_of(&check("GET", "/", &[])).unwrap().context;
    assert!(context.get("query").is_none() && context.get("sni").is_none());
    assert_eq!(query_of(&check("GET", "/?", &[])).unwrap().context.get("query"), Some(&"".into()));
    let named = Check { sni: "Orders.Example", ..check("GET", "/", &[]) };
    assert_eq!(query_of(&named).unwrap().context.get("sni"), Some(&"orders.example".into()));
    for sni in ["a,b", "a:443", "spiffe://example.org/x", "a\0b"] {
        assert_eq!(reason(&Check { sni, ..check("GET", "/", &[]) }), Reason::BadHost, "{sni}");
    }
}

#[test]
fn an_action_that_the_schema_does_not_have_is_refused() {
    for method in ["BREW", "DELETE", "TRACE"] {
        assert_eq!(reason(&check(method, "/", &[])), Reason::UnknownAction, "{method}");
    }
}

#[test]
fn an_upgrade_is_an_action_of_its_own() {
    let query = query_of(&check("GET", "/chat", &[("connection", "Upgrade"), ("upgrade", "websocket")])).unwrap();
    assert_eq!((&*query.action.name, query.resource.to_string().as_str()), ("upgrade", "Path::\"/chat\""));
    let said = |name: &str| query.context.get(name).and_then(Property::as_str);
    assert_eq!((said("upgrade"), said("method")), (Some("websocket"), Some("GET")));
    // Without the header there is nothing to upgrade to, and the schema's required attribute is missing.
    let query = query_of(&check("GET", "/chat", &[("connection", "upgrade")])).unwrap();
    assert_eq!((&*query.action.name, query.context.get("upgrade")), ("upgrade", None));
}

#[test]
fn a_tunnel_is_an_action_on_host_and_port_without_any_path() {
    let query = query_of(&check("CONNECT", "", &[])).unwrap();
    assert_eq!(
        (&*query.action.name, query.resource.to_string().as_str()),
        ("CONNECT", "Authority::\"orders.example:8443\"")
    );
    assert_eq!(parents(&query.resource), ["Service::\"orders\""]);
    assert_eq!((Value::from(query.context), query.extra), (json!({"host": "orders.example"}), vec![]));
}

#[test]
fn a_tcp_connection_is_an_action_on_the_service() {
    let check = Check { http: None, sni: "orders.example", ..check("", "", &[]) };
    let query = connect_query(workload(&web()), &check, &quickstart()).unwrap().into_owned();
    assert_eq!((&*query.action.name, query.resource.to_string().as_str()), ("connect", "Service::\"orders\""));
    let context = json!({"sni": "orders.example", "destination": "spiffe://example.org/orders"});
    assert_eq!(Value::from(query.context), context);
}

#[test]
fn the_service_is_what_the_route_says_else_the_proxy_itself() {
    let mut check = check("GET", "/", &[]);
    check.extensions = Extensions::default();
    assert_eq!(parents(&query_of(&check).unwrap().resource), ["Service::\"spiffe://example.org/orders\""]);
    for destination in ["", "orders.example", "spiffe://example.org", "spiffe://Example.org/x", "CN=orders"] {
        check.destination = destination;
        assert_eq!(reason(&check), Reason::NoService, "{destination}");
    }
    for name in ["", "a\nb"] {
        check.destination = "spiffe://example.org/orders";
        check.extensions = vec![("service", name)].into();
        assert_eq!(reason(&check), Reason::NoService, "{name:?}");
    }
}

/// CVE-2021-32777 and its kin: only what a policy can read matters, and that must be certain.
/// A policy may read the path in either place, so they must not differ.
#[test]
fn an_authzen_context_cannot_name_another_path_than_the_resource() {
    let asked = |context: Value| Query {
        subject: workload(&web()).into_owned(),
        action: Action::named("GET"),
        resource: Entity::named("Path", "/orders/7"),
        context: serde_json::from_value::<Map<_, _>>(context).unwrap().into(),
        extra: Vec::new(),
    };
    assert!(complete(&mut asked(json!({}))).is_ok());
    assert!(complete(&mut asked(json!({ "path": "/orders/7" }))).is_ok());
    for path in [json!("/public"), json!("/orders/7/"), json!(null), json!(["/orders/7"])] {
        assert_eq!(complete(&mut asked(json!({ "path": path }))).unwrap_err().reason(), Reason::BadPath, "{path}");
    }
}

#[test]
fn a_duplicate_matters_exactly_if_the_schema_declares_the_header() {
    assert_eq!(reason(&check("GET", "/", &[("x-tenant", "a"), ("x-tenant", "b")])), Reason::BadHeader);
    assert_eq!(reason(&check("GET", "/", &[("x-tenant", "a"), ("x_tenant", "b")])), Reason::BadHeader);
    assert_eq!(reason(&check("GET", "/", &[("x-tenant", "é")])), Reason::BadHeader);
    let undeclared = query_of(&check("GET", "/", &[("x-other", "a"), ("x-other", "b"), ("x-raw", "é")])).unwrap();
    assert_eq!(undeclared, query_of(&check("GET", "/", &[])).unwrap());
}

proptest! {
    /// CVE-2023-27487, CVE-2024-45806, oauth2-proxy CVE-2026-40575: a client's own story of its request.
    #[test]
    fn cve_2023_27487_headers_that_retell_the_request_change_nothing(
        name in prop_oneof![
            Just("x-envoy-original-path"), Just("x-envoy-original-host"), Just("x-envoy-auth-partial-body"),
            Just("x-envoy-downstream-service-cluster"), Just("x-original-url"), Just("x-rewrite-url"),
            Just("x-forwarded-uri"), Just("x-forwarded-host"), Just("x-forwarded-method"), Just("x-forwarded-proto"),
            Just("x-http-method-override"), Just("x-http-method"), Just("x-method-override"), Just("forwarded"),
        ],
        value in "[ -~]{0,20}",
        times in 1_usize..3,
    ) {
        let lines = vec![(name, value.as_str()); times];
        prop_assert_eq!(query_of(&check("POST", "/orders", &lines)), query_of(&check("POST", "/orders", &[])));
    }

    #[test]
    fn the_context_has_only_what_is_declared(path in "/[a-z/?&=]{0,20}", extension in "[a-z]{1,9}") {
        let mut check = check("GET", &path, &[("x-tenant", "acme"), ("authorization", "Bearer secret")]);
        check.extensions = check.extensions.iter().chain([(extension.as_str(), "value")]).collect::<Vec<_>>().into();
        let Ok(query) = query_of(&check) else { return Ok(()) };
        let shape = quickstart();
        let context = Value::from(query.context);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        prop_assert!(keys(&context).is_subset(&shape.actions["GET"]));
        prop_assert!(keys(&context["route"]).is_subset(&shape.route));
        prop_assert!(keys(&context["headers"]).is_subset(&shape.headers));
    }
}
