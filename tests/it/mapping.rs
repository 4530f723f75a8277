//! Requests through a real Envoy by the routes of a mapping, and the commands that make, check and try one.

use std::fs;
use std::process::{Command, Output};

use serde_json::json;

use crate::support::gateway::{Gateway, Home};
use crate::support::http::{self, Answer};
use crate::support::mesh::Mesh;
use crate::support::{eventually, root};

const BUFFERED: &str =
    "with_request_body: { max_request_bytes: 256, allow_partial_message: true, pack_as_bytes: true }";

/// The example's policies and routes, behind an Envoy that sends the first 256 bytes of each body along as `body` says.
async fn start(body: &str) -> Mesh {
    let home = Home::new();
    home.take_policies("examples/mapping/policies");
    let routes = home.path().join("routes.yaml");
    fs::copy(root().join("examples/mapping/routes.yaml"), &routes).unwrap();
    let change = |backend: String| {
        backend
            .replace("include_tls_session: true", &format!("include_tls_session: true\n                      {body}"))
            .replace("{ service: orders }", "{ service: todos, list: home }")
    };
    Mesh::start_in(home, &[("DECISION__MAPPING", &routes.display().to_string())], change).await
}

async fn send(mesh: &Mesh, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\n{headers}");
    http::request(mesh.web_port, &format!("{head}\r\n{body}")).await
}

async fn post(mesh: &Mesh, path: &str, body: &str) -> Answer {
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    send(mesh, "POST", path, &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_become_what_their_routes_say() {
    let mesh = start(BUFFERED).await;
    let listed = send(&mesh, "GET", "/todos", "", "").await;
    assert_eq!(listed.status, 200, "{listed:?}");
    let record = mesh.home.decision(listed.decision_id()).await;
    assert_eq!(
        (&record["action"], &record["resource"], &record["policies"]),
        (&json!("GET"), &json!("route::\"/todos\""), &json!(["web-lists-todos"]))
    );

    let read = send(&mesh, "GET", "/todos/7", "x-tenant: blue\r\n", "").await;
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(mesh.home.decision(read.decision_id()).await["resource"], "Todo::\"7\"");
    let other = send(&mesh, "GET", "/todos/7", "x-tenant: red\r\n", "").await;
    assert_eq!((other.status, &other.json()["reason"]), (403, &json!("no_permit")));
    let shared = send(&mesh, "GET", "/todos/7?view=shared", "", "").await;
    assert_eq!(shared.status, 200, "the service of the route is the todo's parent: {shared:?}");
    for query in ["view=shared&view=mine", "view=shared&view[]=mine", "view=shared&+view=mine", "View=shared"] {
        let twice = send(&mesh, "GET", &format!("/todos/7?{query}"), "", "").await;
        assert_eq!((twice.status, &twice.json()["reason"]), (400, &json!("bad_query")), "{query}");
    }

    for (method, path) in [("GET", "/todo"), ("DELETE", "/todos/7"), ("GET", "/todos/7/"), ("GET", "/orders/17")] {
        let none = send(&mesh, method, path, "", "").await;
        assert_eq!((none.status, &none.json()["reason"]), (403, &json!("no_route")), "{method} {path}");
        let record = mesh.home.decision(none.decision_id()).await;
        assert_eq!((&record["decision"], &record["resource"]), (&json!("deny"), &json!(path)));
    }
    assert_eq!(mesh.get("/todos").await.json()["reason"], "no_route", "another host has none of these routes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_the_body_decides_and_a_part_of_a_body_is_denied() {
    let mesh = start(BUFFERED).await;
    let small = post(&mesh, "/todos/7/payments", r#"{"amount": 12, "price": {"currency": "CHF"}}"#).await;
    assert_eq!(small.status, 200, "{small:?}");
    let large = post(&mesh, "/todos/7/payments", r#"{"amount": 1200}"#).await;
    assert_eq!((large.status, &large.json()["reason"]), (403, &json!("no_permit")));
    let record = mesh.home.decision(large.decision_id()).await;
    assert_eq!(record["action"], "can_pay");

    let padding = " ".repeat(300);
    for (body, why) in [
        (format!(r#"{{"amount": 12{padding}}}"#), "a part of it"),
        (format!(r#"{{"amount": 12}}{padding}"#), "a part of it, which by itself would do"),
        (r#"{"amount": 12, "amount": 13}"#.to_owned(), "a member twice"),
        (r#"{"amount": 12, "AMOUNT": 1300}"#.to_owned(), "a member that some read for another"),
        (r#"{"amount": -9007199254740993}"#.to_owned(), "a number that some round"),
        ("amount=12".to_owned(), "not JSON"),
        (String::new(), "nothing"),
    ] {
        let denied = post(&mesh, "/todos/7/payments", &body).await;
        assert_eq!((denied.status, &denied.json()["reason"]), (400, &json!("bad_body")), "{why}");
    }
    let lacking = post(&mesh, "/todos/7/payments", r#"{"sum": 12}"#).await;
    assert_eq!((lacking.status, &lacking.json()["reason"]), (403, &json!("schema_mismatch")));

    // A client that says itself that its body is whole is not heard.
    let claim =
        format!("x-envoy-auth-partial-body: false\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", 314);
    let claimed = send(&mesh, "POST", "/todos/7/payments", &claim, &format!(r#"{{"amount": 12{padding}}}"#)).await;
    assert_eq!((claimed.status, &claimed.json()["reason"]), (400, &json!("bad_body")));

    let chunked = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let body = "7\r\n{\"amoun\r\n8\r\nt\": 12} \r\n0\r\n\r\n";
    let in_pieces = send(&mesh, "POST", "/todos/7/payments", chunked, body).await;
    assert_eq!(in_pieces.status, 200, "whole, though no length says so: {in_pieces:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_envoy_changes_or_keeps_is_denied() {
    for body in ["with_request_body: { max_request_bytes: 256, allow_partial_message: true }", ""] {
        let mesh = start(body).await;
        let denied = post(&mesh, "/todos/7/payments", r#"{"amount": 12}"#).await;
        assert_eq!((denied.status, &denied.json()["reason"]), (400, &json!("bad_body")), "{body}");
        assert_eq!(send(&mesh, "GET", "/todos", "", "").await.status, 200, "other routes ask for no body");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_followed_and_broken_ones_change_nothing() {
    let mesh = start(BUFFERED).await;
    let file = mesh.home.path().join("routes.yaml");
    let good = fs::read_to_string(&file).unwrap();
    assert_eq!(send(&mesh, "GET", "/lists", "", "").await.json()["reason"], "no_route");

    let broken = good.replace("path: /todos,", "path: /lists,").replace("type: Todo", "type: Nope");
    fs::write(&file, broken).unwrap();
    let notice = eventually("readiness shows the routes that don't fit", async || {
        let report = mesh.gateway.operations("/readyz").await;
        assert_eq!(report.status, 200, "it must not make the gateway unready");
        report.json()["notices"]["mapping"].as_str().map(str::to_owned)
    })
    .await;
    assert!(notice.contains("routes.yaml:9:23: route `read-todo`: the schema has no entity type `Nope`"), "{notice}");
    assert_eq!(send(&mesh, "GET", "/todos", "", "").await.status, 200, "the last good routes are in place");
    assert!(mesh.gateway.metric("portcullis_mapping_load_failures_total").await >= 1.0);

    fs::write(&file, good.replace("path: /todos,", "path: /lists,")).unwrap();
    eventually("the new routes are in place", async || {
        (mesh.gateway.metric("portcullis_mapping_epoch").await >= 2.0).then_some(())
    })
    .await;
    assert_eq!(send(&mesh, "GET", "/todos", "", "").await.json()["reason"], "no_route");
    assert_eq!(send(&mesh, "GET", "/lists", "", "").await.json()["reason"], "no_permit");
    assert!(mesh.gateway.operations("/readyz").await.json()["notices"].as_object().unwrap().is_empty());
    let loads: Vec<_> = mesh.home.records().into_iter().filter(|record| record["record"] == "mapping_load").collect();
    assert!(
        loads.iter().any(|load| load["error"].is_string()) && loads.last().unwrap()["error"].is_null(),
        "{loads:?}"
    );
    assert!((mesh.gateway.metric("portcullis_mapping_routes").await - 6.0).abs() < 0.5);
}

/// Two routes of which neither is the narrower are an error, whoever reads them.
#[tokio::test(flavor = "multi_thread")]
async fn routes_that_overlap_keep_it_from_starting() {
    let home = Home::new();
    let file = home.path().join("m.yaml");
    let [a, b] = ["{path: '/{a}/b', method: GET}", "{path: '/a/{b}', method: GET}"];
    fs::write(&file, format!("version: 1\nroutes:\n  - {{match: {a}}}\n  - {{match: {b}}}\n")).unwrap();
    let file = file.display().to_string();
    let checked = portcullis(&["mapping", "check", &file]);
    assert_eq!(checked.status.code(), Some(64), "{checked:?}");
    let said = String::from_utf8(checked.stderr).unwrap();
    let mut gateway = Gateway::spawn(&home, &[("DECISION__MAPPING", &file)], &[]);
    assert!(!gateway.process.ended().await.success());
    for said in [said, gateway.process.output()] {
        assert!(said.contains("m.yaml:3:5") && said.contains("m.yaml:4:5"), "both places are named: {said}");
    }
}

#[test]
fn routes_that_do_not_fit_the_schema_are_told_with_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.yaml");
    fs::write(&file, "version: 1\nroutes:\n  - {match: {path: /a, method: BREW}}\n").unwrap();
    let output = portcullis(&["mapping", "check", &file.display().to_string()]);
    assert!(output.status.success(), "{output:?}");
    let output = portcullis(&["mapping", "check", "--policies", "policies/quickstart", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("m.yaml:3:5: route `BREW /a`: the schema has no action `BREW`"), "{said}");
}

/// Every command in a `console` block is run, and has to say what stands below it.
#[test]
fn the_commands_of_the_page_say_what_the_page_says() {
    let page = fs::read_to_string(root().join("docs/mapping.md")).unwrap();
    let blocks: Vec<&str> = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let commands = blocks.iter().flat_map(|block| block.split("$ ").skip(1));
    let mut count = 0;
    for command in commands {
        let mut lines = command.lines();
        let mut line = lines.next().unwrap().to_owned();
        while line.ends_with('\\') {
            line.pop();
            line.push_str(lines.next().unwrap().trim_start());
        }
        let told: Vec<_> = lines.map(|line| format!("{line}\n")).collect();
        let output = Command::new("sh").args(["-c", &with_binary(&line)]).current_dir(root()).output().unwrap();
        let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
        assert_eq!(said, told.concat(), "{line}");
        count += 1;
    }
    assert!(count >= 6, "{count} commands");
}

fn with_binary(line: &str) -> String {
    let rest = line.strip_prefix("portcullis ").unwrap_or_else(|| panic!("not a command of ours: {line}"));
    format!("'{}' {rest}", env!("CARGO_BIN_EXE_portcullis"))
}

#[test]
fn routes_made_from_a_document_load_and_say_what_was_left_out() {
    let output =
        portcullis(&["mapping", "from-openapi", "--hosts", "--operation-ids", "examples/mapping/openapi.yaml"]);
    let made = String::from_utf8(output.stdout).unwrap();
    assert!(made.contains(
        r#"  - { name: "readTodo", match: { host: "api.example.com", path: "/v1/todos/{todoId}", method: GET }, action: { name: "readTodo" } }"#
    ), "{made}");
    assert!(made.contains("# Left out: GET /v1/todos/{todoId}.pdf:"), "{made}");
    assert_loads(&made, 4);

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("set.bin");
    fs::write(&file, descriptors()).unwrap();
    let output = portcullis(&["mapping", "from-descriptors", &file.display().to_string()]);
    let made = String::from_utf8(output.stdout).unwrap();
    let line = r#"  - { name: "orders.v1.Orders/Watch", match: { grpc: { service: "orders.v1.Orders", method: "Watch" } } } # streams both ways"#;
    assert!(made.contains(line), "{made}");
    assert_loads(&made, 2);

    for (text, why) in [("swagger: '2.0'\n", "does not say 3.x"), ("a: [", "document.yaml")] {
        let file = directory.path().join("document.yaml");
        fs::write(&file, text).unwrap();
        let output = portcullis(&["mapping", "from-openapi", &file.display().to_string()]);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
    }
    let output = portcullis(&["mapping", "from-descriptors", "examples/mapping/openapi.yaml"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}

fn assert_loads(mapping: &str, routes: usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.yaml");
    fs::write(&file, mapping).unwrap();
    let output = portcullis(&["mapping", "check", &file.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!(": ok, {routes} routes")), "{output:?}");
}

/// A set with a service of two methods, one of which streams.
fn descriptors() -> Vec<u8> {
    use prost::Message as _;
    use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};

    let method = |name: &str, streams: bool| MethodDescriptorProto {
        name: Some(name.into()),
        client_streaming: Some(streams),
        server_streaming: Some(streams),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Orders".into()),
        method: vec![method("Get", false), method("Watch", true)],
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        package: Some("orders.v1".into()),
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn portcullis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).current_dir(root()).output().unwrap()
}
