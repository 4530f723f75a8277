//! What comes back, and what goes on, through a real Envoy: headers, texts and statuses of policies, challenges, forms and
//! languages, errors by route, gRPC by route, and the questions of gateways over HTTP.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::gateway::{Gateway, Home};
use crate::support::http::{self, Answer};
use crate::support::idp::Idp;
use crate::support::mesh::Mesh;
use crate::support::{eventually, root};

const MESSAGES: &str = r#"{"de": {"denied": "Das ist nicht erlaubt.", "no_permit": "Niemand hat das erlaubt.",
    "error": "Das konnte nicht entschieden werden."}, "fr": {"denied": "Ceci n'est pas permis."}}"#;

fn home() -> Home {
    let home = Home::new();
    home.take_policies("examples/answers/policies");
    home
}

async fn start(settings: &[(&str, &str)]) -> Mesh {
    let settings = [&[("ANSWERS__REALM", "orders"), ("ANSWERS__MESSAGES", MESSAGES)], settings].concat();
    Mesh::start_in(home(), &settings, |backend| backend).await
}

/// `method path` by `web`, through both sidecars, with these header lines.
async fn ask(mesh: &Mesh, method: &str, path: &str, headers: &[&str]) -> Answer {
    let lines: String = headers.iter().flat_map(|line| [line, "\r\n"]).collect();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\ncontent-length: 0\r\n{lines}\r\n");
    http::request(mesh.web_port, &request).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", String::as_str)
}

/// The lines of this name that the service got.
fn got<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let lines = answer.body.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_permit_says_reaches_the_service_and_no_client_can_say_it() {
    let mesh = start(&[]).await;
    let read = ask(&mesh, "GET", "/orders/17", &["x-tier: platinum", "x-tier: iron", "x.tier: iron"]).await;
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(got(&read, "x-tier"), ["gold"], "{}", read.body);
    assert!(got(&read, "x.tier").is_empty(), "{}", read.body);
    assert_eq!(header(&read, "x-tier"), "", "the client gets none of it");

    // Another policy lets this through, and says nothing: nor does the client.
    for _cached in 0..2 {
        let other = ask(&mesh, "GET", "/healthz", &["x-tier: gold", "X.Tier: gold"]).await;
        assert_eq!(other.status, 200, "{other:?}");
        assert!(got(&other, "x-tier").is_empty() && got(&other, "x.tier").is_empty(), "{}", other.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_forbid_says_reaches_the_client_in_the_form_and_language_that_it_wants() {
    let mesh = start(&[]).await;
    let json = ask(&mesh, "GET", "/orders/drafts/1", &[]).await;
    assert_eq!((json.status, header(&json, "content-type")), (404, "application/json"), "{json:?}");
    assert_eq!((header(&json, "x-hint"), header(&json, "cache-control")), ("drafts end at the editor", "no-store"));
    let told = json.json();
    assert_eq!((&told["decision"], &told["reason"]), (&json!(false), &json!("forbidden")));
    assert_eq!(
        (&told["message"], &told["decision_id"]),
        (&json!("There is no such order."), &json!(json.decision_id()))
    );

    // The same decision out of the cache, told otherwise.
    let plain =
        ask(&mesh, "GET", "/orders/drafts/1", &["accept: text/plain", "accept-language: de-CH, en;q=0.5"]).await;
    assert_eq!((plain.status, header(&plain, "content-type")), (404, "text/plain; charset=utf-8"));
    assert!(plain.body.starts_with("Diese Bestellung gibt es nicht.\nreason: forbidden\ndecision: "), "{}", plain.body);
    assert_eq!(header(&plain, "content-language"), "de");
    assert_eq!(mesh.home.decision(plain.decision_id()).await["cache"], "hit");
    let problem = ask(&mesh, "GET", "/orders/drafts/1", &["accept: application/problem+json"]).await;
    assert_eq!(header(&problem, "content-type"), "application/problem+json");
    assert_eq!((&problem.json()["status"], &problem.json()["title"]), (&json!(404), &json!("Not Found")));

    // Two lines are one list; what is not a list, or endless, counts as not there.
    let form = async |lines: &[&str]| {
        let answer = ask(&mesh, "GET", "/admin", lines).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        header(&answer, "content-type").to_owned()
    };
    assert_eq!(form(&["accept: application/json;q=0.1", "accept: text/plain"]).await, "text/plain; charset=utf-8");
    assert_eq!(form(&["accept: text/plain;q=0.1", "accept: application/json"]).await, "application/json");
    let endless = format!("accept: {}", "text/plain,".repeat(200));
    for line in ["accept: text/plain;q=9", "accept: ", "accept: \"", &endless] {
        assert_eq!(form(&[line]).await, "application/json", "{line}");
    }

    let language = async |line: &str| {
        let answer = ask(&mesh, "GET", "/admin", &[line]).await;
        (answer.json()["message"].as_str().unwrap().to_owned(), header(&answer, "content-language").to_owned())
    };
    assert_eq!(language("accept-language: de").await, ("Niemand hat das erlaubt.".to_owned(), "de".to_owned()));
    assert_eq!(language("accept-language: fr-CA, de;q=0.9").await.0, "Ceci n'est pas permis.");
    assert_eq!(language("accept-language: it, *").await.1, "en");
    assert_eq!(language("accept-language: ../../x").await.1, "en");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_that_can_be_remedied_says_how_and_the_remedy_helps() {
    let idp = Idp::start().await;
    let issuers = json!([{"preset": "oidc", "issuer": idp.issuer, "audiences": ["orders"],
        "claims": {"groups": "groups"}}])
    .to_string();
    let mesh = start(&[("TOKENS__ISSUERS", &issuers), ("TOKENS__PRINCIPAL", "token")]).await;
    let with =
        async |token: &str, path: &str| ask(&mesh, "GET", path, &[&format!("authorization: Bearer {token}")]).await;
    let nobody = ask(&mesh, "GET", "/orders/17", &[]).await;
    assert_eq!((nobody.status, header(&nobody, "www-authenticate")), (401, "Bearer realm=\"orders\""));
    let bad = with("rubbish", "/orders/17").await;
    assert!(
        header(&bad, "www-authenticate").starts_with("Bearer realm=\"orders\", error=\"invalid_token\", "),
        "{bad:?}"
    );
    assert_eq!((bad.status, &bad.json()["reason"]), (401, &json!("bad_token")));

    let refused = with(&idp.token(), "/orders/refunds/1").await;
    assert_eq!((refused.status, &refused.json()["reason"]), (401, &json!("forbidden")));
    assert_eq!(
        header(&refused, "www-authenticate"),
        "Bearer realm=\"orders\", error=\"insufficient_user_authentication\", \
         error_description=\"The user must authenticate anew.\", acr_values=\"urn:example:mfa\", max_age=\"300\""
    );
    assert_eq!(refused.json()["remedy"]["step_up"], json!({"acr_values": "urn:example:mfa", "max_age": 300}));
    let stronger = idp.token_with(&json!({"acr": "urn:example:mfa"}));
    assert_eq!(with(&stronger, "/orders/refunds/1").await.status, 200);

    let reports = with(&idp.token(), "/orders/reports/1").await;
    assert_eq!((reports.status, header(&reports, "www-authenticate")), (403, ""));
    assert_eq!(reports.json()["advice"], json!(["Reports are for the finance team."]));
    assert_eq!(reports.json()["remedy"]["access_request"]["form_url"], "https://access.example.org/new?app=orders");
    let finance = idp.token_with(&json!({"groups": ["finance"]}));
    assert_eq!(with(&finance, "/orders/reports/1").await.status, 200);
    // Nobody permits this, so no login helps.
    let post = ask(&mesh, "POST", "/orders/refunds/1", &[&format!("authorization: Bearer {}", idp.token())]).await;
    assert_eq!((post.status, &post.json()["remedy"]), (403, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_demands_something_is_one_only_if_the_service_is_told() {
    let mesh = start(&[]).await;
    let denied = ask(&mesh, "POST", "/orders/exports", &[]).await;
    assert_eq!((denied.status, &denied.json()["reason"]), (403, &json!("unmet_obligation")), "{denied:?}");
    let record = mesh.home.decision(denied.decision_id()).await;
    assert_eq!((&record["decision"], &record["policies"]), (&json!("deny"), &json!(["exports-are-announced"])));
    let question = json!({"subject": {"type": "Workload", "id": "spiffe://example.org/web"}, "action": {"name": "POST"},
        "resource": {"type": "Path", "id": "/orders/exports"},
        "context": {"host": "orders", "path": "/orders/exports", "scheme": "http", "protocol": "HTTP/2", "headers": {}}});
    let asked = http::ask(&mesh.home.authzen_socket(), &question.to_string()).await;
    assert_eq!(asked.json(), json!({"decision": false}), "it would not learn of it");

    let told = start(&[("EXT_AUTHZ__OBLIGATIONS", "forward"), ("AUTHZEN__DECISION_CONTEXT", "true")]).await;
    let allowed = ask(&told, "POST", "/orders/exports", &["x-portcullis-obligations: []"]).await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    let obligations: Value = serde_json::from_str(got(&allowed, "x-portcullis-obligations")[0]).unwrap();
    let expected =
        json!([{"id": "tell", "type": "notification", "properties": {"to": "finance", "body": "an export"}}]);
    assert_eq!(obligations, expected);
    let other =
        ask(&told, "GET", "/orders/17", &["x-portcullis-obligations: [1]", "x.portcullis.obligations: []"]).await;
    assert!(!other.body.contains("obligations"), "{}", other.body);
    let asked = http::ask(&told.home.authzen_socket(), &question.to_string()).await.json();
    assert_eq!((&asked["decision"], &asked["context"]["obligations"]), (&json!(true), &expected));
    let refund = question.to_string().replace("POST", "GET").replace("/orders/exports", "/orders/reports/1");
    let asked = http::ask(&told.home.authzen_socket(), &refund).await.json();
    assert_eq!(asked["decision"], false);
    let form = &asked["context"]["access_request"]["form_url"];
    assert_eq!(form, "https://access.example.org/new?app=orders", "{asked}");
    assert_eq!(asked["context"]["evaluation_id"], asked["context"]["decision_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_that_could_split_an_answer_is_refused_and_changes_nothing() {
    let mesh = start(&[]).await;
    let file = mesh.home.policies().join("orders.cedar");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("\"drafts end at the editor\"", "\"x\\r\\nx-evil: 1\"")).unwrap();
    let notice = eventually("the annotation is refused", async || {
        mesh.gateway.operations("/readyz").await.json()["notices"]["policies"].as_str().map(str::to_owned)
    })
    .await;
    assert!(
        notice.contains("orders.cedar:23:1: policy `drafts-are-not-there`: `@header_x_hint`: the value must"),
        "{notice}"
    );
    let still = ask(&mesh, "GET", "/orders/drafts/1", &[]).await;
    assert_eq!((header(&still, "x-hint"), header(&still, "x-evil")), ("drafts end at the editor", ""));
}

const ROUTES: &str = "version: 1
routes:
  - { name: closed, match: { path: '/orders/{id}', method: GET }, resource: { type: Path }, on_error: { status: 502 } }
  - { name: as-envoy-has-it, match: { path: /healthz, method: GET }, resource: { type: Path }, on_error: { fail: envoy } }
";

/// Even an Envoy that lets errors through lets none through on a closed route.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_closed_route_no_setting_of_envoy_turns_an_error_into_an_allow() {
    let home = home();
    let routes = home.path().join("routes.yaml");
    fs::write(&routes, ROUTES).unwrap();
    let settings = [("DECISION__MAPPING", routes.to_str().unwrap()), ("ANSWERS__MESSAGES", MESSAGES)];
    let open = |backend: String| backend.replace("failure_mode_allow: false", "failure_mode_allow: true");
    let mesh = Mesh::start_in(home, &settings, open).await;
    let allowed = ask(&mesh, "GET", "/orders/17", &[]).await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert_eq!(mesh.home.decision(allowed.decision_id()).await["route"], "closed");

    fs::remove_dir_all(mesh.home.path().join("data/log/journal")).unwrap();
    let refused = eventually("a decision fails for want of its record", async || {
        let answer = ask(&mesh, "GET", "/orders/17", &["accept-language: de", "accept: text/plain"]).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(refused.status, 502, "{refused:?}");
    assert!(
        refused.body.starts_with("Das konnte nicht entschieden werden.\nreason: audit_unavailable\n"),
        "{refused:?}"
    );
    let passed = ask(&mesh, "GET", "/healthz", &[]).await;
    assert_eq!(
        (passed.status, got(&passed, "x-portcullis-decision-id").len()),
        (200, 0),
        "Envoy's own setting: {passed:?}"
    );
}

const GRPC_SCHEMA: &str = r"
entity TrustDomain;
entity Workload in [TrustDomain] { trust_domain: String, path: String };
entity Service;
entity route in [Service];
action Check, Watch appliesTo { principal: Workload, resource: route, context: {} };
";

const GRPC_POLICIES: &str = r#"
permit (principal, action == Action::"Check", resource in Service::"orders");
@deny_body("Watching is not for you.") forbid (principal, action == Action::"Watch", resource);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_grpc_go_by_their_routes_and_are_denied_as_calls() {
    let home = Home::new();
    fs::remove_dir_all(home.policies()).unwrap();
    fs::create_dir(home.policies()).unwrap();
    fs::write(home.policies().join("s.cedarschema"), GRPC_SCHEMA).unwrap();
    fs::write(home.policies().join("p.cedar"), GRPC_POLICIES).unwrap();
    let routes = home.path().join("routes.yaml");
    let text = "version: 1\nroutes:\n  \
                - { name: check, match: { grpc: { service: grpc.health.v1.Health, method: Check } } }\n  \
                - { name: watch, match: { grpc: { service: grpc.health.v1.Health, method: Watch } } }\n";
    fs::write(&routes, text).unwrap();
    let mut serving = JoinSet::new();
    let port = serve_health(&mut serving).await;
    let settings = [("DECISION__MAPPING", routes.to_str().unwrap())];
    let mesh = Mesh::start_in(home, &settings, |backend| to_grpc(&backend, port)).await;
    let address = format!("http://127.0.0.1:{}", mesh.web_port);
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let question = || HealthCheckRequest { service: String::new() };

    let served = client.check(question()).await.unwrap();
    assert_eq!(served.into_inner().status, 1, "the service itself answered");
    let refused = client.watch(question()).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused:?}");
    assert!(refused.message().starts_with("Watching is not for you.\nreason: forbidden\n"), "{refused:?}");
    let id = refused.metadata().get("x-portcullis-decision-id").unwrap().to_str().unwrap();
    let record = mesh.home.decision(id).await;
    assert_eq!((&record["route"], &record["action"]), (&json!("watch"), &json!("Watch")));
    assert_eq!(record["resource"], "route::\"/grpc.health.v1.Health/Watch\"");
    let other = ask(&mesh, "POST", "/grpc.health.v1.Health/List", &[]).await;
    assert_eq!((other.status, &other.json()["reason"]), (403, &json!("no_route")));
}

/// A service that speaks gRPC and is well.
async fn serve_health(tasks: &mut JoinSet<()>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tasks.spawn(async move {
        tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming).await.unwrap();
    });
    port
}

/// The sidecar's configuration with a service at `port` that speaks HTTP/2.
fn to_grpc(backend: &str, port: u16) -> String {
    let (before, service) = backend.split_once("    - name: service\n").unwrap();
    let (head, _) = service.rsplit_once("port_value: ").unwrap();
    let h2 = "      typed_extension_protocol_options: *h2\n";
    format!("{before}    - name: service\n{h2}{head}port_value: {port} }} }} }}\n")
}

/// What a gateway asks over HTTP about a request is decided as the request itself is behind an Envoy.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_asks_over_http_goes_by_the_same_routes() {
    let home = Home::new();
    home.take_policies("examples/mapping/policies");
    let routes = root().join("examples/mapping/routes.yaml").display().to_string();
    let settings = [("DECISION__MAPPING", routes.as_str()), ("AUTHZEN__MAP_ROUTES", "true")];
    let _gateway = Gateway::start(&home, &settings).await;
    let question = |method: &str, path: &str, headers: Value| {
        json!({
            "subject": {"type": "Workload", "id": "spiffe://example.org/web"},
            "action": {"name": method},
            "resource": {"type": "route", "id": "/todos/{todoId}", "properties": {
                "scheme": "https", "hostname": "api.example.com", "path": path, "service": "todos"}},
            "context": {"headers": headers, "tenant": "blue"},
        })
    };
    let ask = async |method: &str, path: &str, tenant: Value| {
        let headers = if tenant.is_null() { json!({}) } else { json!({"x-tenant": tenant}) };
        let answer = http::ask(&home.authzen_socket(), &question(method, path, headers).to_string()).await;
        let id = answer.decision_id().to_owned();
        (answer.json()["decision"].clone(), home.decision(&id).await)
    };
    let (decision, record) = ask("GET", "/todos/7", json!("blue")).await;
    assert_eq!(decision, true, "{record}");
    assert_eq!((&record["resource"], &record["route"]), (&json!("Todo::\"7\""), &json!("read-todo")));
    assert_eq!(record["action"], "can_read_todo");
    let (decision, record) = ask("GET", "/todos/7", json!("red")).await;
    assert_eq!((decision, &record["reason"]), (json!(false), &json!("no_permit")));
    let (decision, record) = ask("GET", "/todos/7", json!(null)).await;
    assert_eq!(
        (decision, &record["reason"]),
        (json!(false), &json!("no_permit")),
        "a tenant that the request does not name is not the gateway's to name"
    );
    let (decision, record) = ask("GET", "/todos/7", json!(["blue", "blue"])).await;
    assert_eq!((decision, &record["reason"]), (json!(false), &json!("bad_header")));
    let (decision, record) = ask("DELETE", "/todos/7", json!("blue")).await;
    assert_eq!((decision, &record["reason"]), (json!(false), &json!("no_route")));
    let (decision, record) = ask("GET", "/todos/%2e%2e/7", json!("blue")).await;
    assert_eq!((decision, &record["reason"]), (json!(false), &json!("bad_path")));

    // By its name alone it would be found: the policies permit to list `route::"/todos"`.
    let mut search = question("GET", "/todos", json!({}));
    search["resource"]["id"] = json!("/todos");
    let found = http::send_unix(
        &home.authzen_socket(),
        "POST",
        "/access/v1/search/action",
        &[("content-type", "application/json")],
        search.to_string().as_bytes(),
    )
    .await;
    assert_eq!((found.status, found.json()), (200, json!({"results": []})), "a question of that name is no request");
}

/// The commands of docs/answers.md, and each of its configurations.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_shows_works() {
    let document = fs::read_to_string(root().join("docs/answers.md")).unwrap();
    let mesh = start(&[]).await;
    let scratch = tempfile::tempdir().unwrap();
    let (configurations, commands) = (blocks(&document, "yaml"), blocks(&document, "sh"));
    assert!(!configurations.is_empty() && commands.len() >= 3, "the document is not understood");
    for (index, text) in configurations.iter().enumerate() {
        let file = scratch.path().join(format!("{index}.yaml"));
        fs::write(&file, format!("trust_domain: example.org\n{text}")).unwrap();
        run(&mesh, &format!("portcullis config check -c {}", file.display()));
    }
    for script in commands {
        run(&mesh, &script);
    }
}

/// Runs a script as the document's reader does; `$SIDECAR` is where the caller's sidecar takes plain HTTP.
#[expect(clippy::disallowed_methods, reason = "a script needs the programs that this test's user has")]
fn run(mesh: &Mesh, script: &str) {
    let mut path = OsString::from(Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(root()).env("PATH", path);
    command.env("SIDECAR", format!("http://127.0.0.1:{}", mesh.web_port));
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{told}");
    // What the document says that comes out stands in comments after the command.
    for expected in script.lines().filter_map(|line| line.strip_prefix("# ")) {
        assert!(told.contains(expected), "{script}\nsays\n{told}\nand not\n{expected}");
    }
}

/// The blocks of a language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    document.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}
