//! MCP through a real Envoy with its own MCP filter, on the files of `examples/mcp`: what is denied never reaches a server
//! that would have done it.

mod traps;

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use self::traps::Trap;
use crate::support::gateway::Home;
use crate::support::http::{self, Answer};
use crate::support::mcp::McpServer;
use crate::support::mesh::Mesh;
use crate::support::root;

struct Setup {
    mesh: Mesh,
    server: McpServer,
}

/// The example, its Envoy and its routes changed.
async fn start(envoy: impl FnOnce(String) -> String, routes: impl FnOnce(String) -> String) -> Setup {
    let home = Home::new();
    home.take_policies("examples/mcp/policies");
    let mapping = home.path().join("routes.yaml");
    fs::write(&mapping, routes(read("examples/mcp/routes.yaml"))).unwrap();
    let server = McpServer::start().await;
    let settings = [("DECISION__MAPPING", mapping.to_str().unwrap())];
    let mesh = Mesh::start_before(home, &settings, &envoy(read("examples/mcp/envoy.yaml")), server.port).await;
    Setup { mesh, server }
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// Without Envoy's MCP filter, which is not needed for decisions.
fn without_filter(envoy: &str) -> String {
    let (start, end) =
        (envoy.find("- name: envoy.filters.http.mcp").unwrap(), "65536 # as `max_request_bytes` below\n");
    let end = envoy.find(end).unwrap() + end.len();
    [&envoy[..start], envoy[end..].trim_start()].concat()
}

impl Setup {
    async fn send(&self, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} /mcp HTTP/1.1\r\nhost: mcp.example.com\r\nconnection: close\r\n");
        for (name, value) in headers {
            let _infallible = write!(head, "{name}: {value}\r\n");
        }
        if method == "POST" || !body.is_empty() {
            let _infallible = write!(head, "content-length: {}\r\n", body.len());
        }
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.mesh.web_port)).await.unwrap();
        http::exchange(stream, &[head.as_bytes(), b"\r\n", body].concat()).await
    }

    async fn post(&self, body: &str) -> Answer {
        self.send("POST", &JSON, body.as_bytes()).await
    }

    /// Has `body` denied for `reason`, and not a word of it reach the server.
    async fn denies(&self, what: &str, headers: &[(&str, &str)], body: &[u8], reason: &str) -> Answer {
        let answer = self.send("POST", headers, body).await;
        let said = answer.json();
        assert_eq!(said["error"]["data"]["reason"], reason, "{what}: {answer:?}");
        assert_eq!(self.server.done(), Vec::<String>::new(), "{what} reached the server");
        assert_eq!(said["error"]["data"]["decision_id"], answer.decision_id(), "{what}");
        answer
    }
}

const JSON: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

fn call(id: &Value, tool: &str, arguments: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_calls_that_are_allowed() {
    let setup = start(|envoy| envoy, |routes| routes).await;
    for (body, did) in [
        (
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#,
            "initialize",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, "tools/list"),
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"get_order","arguments":{"order":"17"}}}"#,
            "tools/call get_order",
        ),
        (
            "  {\"jsonrpc\":\"2.0\",\r\n\"id\":2,\"method\":\"tools\\/call\",\"params\":{\"name\":\"\\u0067et_order\"}}  ",
            "tools/call get_order",
        ),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"refund_order","arguments":{"order":"17","amount":5000}}}"#,
            "tools/call refund_order",
        ),
        (
            r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"move_order","arguments":{"order":"17","to":"warehouse-2"}}}"#,
            "tools/call move_order",
        ),
        (
            r#"{"jsonrpc":"2.0","id":5,"method":"resources/read","params":{"uri":"orders://public/17"}}"#,
            "resources/read orders://public/17",
        ),
        (r#"{"jsonrpc":"2.0","id":6,"result":{"roots":[]}}"#, "an answer"),
    ] {
        let answer = setup.post(body).await;
        assert_eq!((answer.status, &*setup.server.done()), (200, &[did.to_owned()][..]), "{answer:?}");
        assert_eq!(answer.json()["result"]["did"], did);
    }
    let notified = setup.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    assert_eq!((notified.status, setup.server.done()), (202, vec!["notifications/initialized".to_owned()]));
    for method in ["GET", "DELETE"] {
        let answer = setup.send(method, &[("mcp-session-id", "s-1"), ("accept", "text/event-stream")], b"").await;
        assert_eq!((answer.status, setup.server.done()), (200, vec![method.to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_is_answered_as_one_that_failed() {
    let setup = start(|envoy| envoy, |routes| routes).await;
    let id = json!("odd \"id\"\r\n\u{e9}");
    let denied =
        setup.denies("a sum", &JSON, call(&id, "refund_order", &json!({"amount": 5001})).as_bytes(), "no_permit").await;
    assert_eq!(
        (denied.status, &*denied.headers["content-type"]),
        (200, "application/json"),
        "denials are told in band"
    );
    let error = json!({
        "code": -32001, "message": "access denied: no_permit",
        "data": {"reason": "no_permit", "decision_id": denied.decision_id()},
    });
    assert_eq!(denied.json(), json!({"jsonrpc": "2.0", "id": id, "error": error}));
    let record = setup.mesh.home.decision(denied.decision_id()).await;
    assert_eq!((&record["action"], &record["resource"]), (&json!("tools/call"), &json!("Tool::\"refund_order\"")));

    let unregistered = call(&json!(18_446_744_073_709_551_615_u64), "drop_tables", &json!({}));
    let denied = setup.denies("no tool", &JSON, unregistered.as_bytes(), "unregistered").await;
    assert!(denied.body.contains(r#""id":18446744073709551615"#), "verbatim: {denied:?}");
    let record = setup.mesh.home.decision(denied.decision_id()).await;
    assert_eq!((&record["action"], &record["resource"]), (&json!("tools/call"), &json!("Tool::\"drop_tables\"")));
    assert_eq!(
        (&record["policies"], &record["principal"]),
        (&json!([]), &json!("Workload::\"spiffe://example.org/web\""))
    );

    let lacking = call(&json!(1), "move_order", &json!({"to": "warehouse-2"}));
    let denied = setup.denies("no order to move", &JSON, lacking.as_bytes(), "missing_input").await;
    assert_eq!((denied.status, &denied.json()["error"]["code"]), (200, &json!(-32602)));
    let elsewhere = call(&json!(1), "move_order", &json!({"order": "17", "to": "home"}));
    setup.denies("elsewhere", &JSON, elsewhere.as_bytes(), "no_permit").await;
    setup.denies("no permit", &JSON, call(&json!(1), "purge_orders", &json!({})).as_bytes(), "no_permit").await;

    // Nobody waits for an answer to a notification: it is refused as any request.
    let denied = setup.post(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#).await;
    assert_eq!((denied.status, &denied.json()["reason"]), (403, &json!("unknown_action")));
    assert_eq!(setup.server.done(), Vec::<String>::new());
}

async fn every_trap_is_denied(setup: &Setup) {
    for Trap { what, headers, body, reason } in traps::all() {
        let answer = setup.denies(what, &headers, &body, reason).await;
        let said = answer.json();
        // In band only if it is known who waits for the answer.
        assert_eq!(answer.status, if said["id"].is_null() { 400 } else { 200 }, "{what}: {answer:?}");
        assert!([-32001, -32600, -32602].contains(&said["error"]["code"].as_i64().unwrap()), "{what}: {answer:?}");
    }
    for (method, body, reason) in [
        ("PUT", "{}", "no_route"),
        ("PATCH", "{}", "no_route"),
        ("GET", "{}", "bad_body"),
        ("DELETE", "{}", "bad_body"),
    ] {
        let answer = setup.send(method, &JSON, body.as_bytes()).await;
        assert_eq!(answer.json()["reason"], reason, "{method}: {answer:?}");
        assert!(matches!(answer.status, 400 | 403) && setup.server.done().is_empty(), "{method}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trap_is_denied_beside_envoys_filter() {
    every_trap_is_denied(&start(|envoy| envoy, |routes| routes).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trap_is_denied_without_envoys_filter() {
    let setup = start(|envoy| without_filter(&envoy), |routes| routes).await;
    every_trap_is_denied(&setup).await;
    let answer = setup.post(&call(&json!(1), "get_order", &json!({"order": "17"}))).await;
    assert_eq!((answer.status, setup.server.done()), (200, vec!["tools/call get_order".to_owned()]), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_long_or_not_there_whole_are_denied() {
    let long = |bytes: usize| call(&json!(1), "get_order", &json!({"note": "x".repeat(bytes)}));
    let setup = start(|envoy| envoy, |routes| routes).await;
    assert_eq!(setup.post(&long(60_000)).await.status, 200);
    assert_eq!(setup.server.done(), ["tools/call get_order"]);
    let denied = setup.denies("more than Envoy sends", &JSON, long(70_000).as_bytes(), "bad_body").await;
    assert_eq!((denied.status, &denied.json()["id"]), (400, &Value::Null), "nobody knows its id");
    let padded = format!("{}{}", long(0), " ".repeat(70_000));
    setup.denies("a beginning that would do", &JSON, padded.as_bytes(), "bad_body").await;
    let claims = [JSON[0], ("x-envoy-auth-partial-body", "false")];
    setup.denies("a client that says it is whole", &claims, padded.as_bytes(), "bad_body").await;

    let setup = start(
        |envoy| without_filter(&envoy),
        |routes| routes.replace("server: orders\n", "server: orders\n      max_bytes: 2000\n"),
    )
    .await;
    setup.denies("more than the route takes", &JSON, long(3000).as_bytes(), "bad_body").await;
    let as_text = |envoy: String| without_filter(&envoy).replace(", pack_as_bytes: true", "");
    let setup = start(as_text, |routes| routes).await;
    setup.denies("a body that Envoy changed", &JSON, long(0).as_bytes(), "bad_body").await;
    let line = "with_request_body: { max_request_bytes: 65536, allow_partial_message: true, pack_as_bytes: true }";
    let setup = start(|envoy| without_filter(&envoy).replace(line, ""), |routes| routes).await;
    setup.denies("a body that Envoy keeps", &JSON, long(0).as_bytes(), "bad_body").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readings_are_both_asked_for_or_one_is_taken() {
    let get = call(&json!(1), "get_order", &json!({"order": "17"}));
    let both = |routes: String| routes.replace("server: orders\n", "server: orders\n      source: both\n");
    let setup = start(|envoy| envoy, both).await;
    assert_eq!((setup.post(&get).await.status, &*setup.server.done()), (200, &["tools/call get_order".to_owned()][..]));
    let setup = start(|envoy| without_filter(&envoy), both).await;
    setup.denies("a body of which the filter says nothing", &JSON, get.as_bytes(), "metadata_mismatch").await;

    // The filter's word alone: no body is asked for, and what it lets through without understanding it is denied.
    let line = "with_request_body: { max_request_bytes: 65536, allow_partial_message: true, pack_as_bytes: true }";
    let metadata = |routes: String| {
        routes.replace("server: orders\n", "server: orders\n      source: metadata\n      denied_status: 403\n")
    };
    let setup = start(|envoy| envoy.replace(line, "").replace("65536 #", "8192 #"), metadata).await;
    assert_eq!((setup.post(&get).await.status, &*setup.server.done()), (200, &["tools/call get_order".to_owned()][..]));
    let denied =
        setup.denies("another tool", &JSON, call(&json!(7), "purge_orders", &json!({})).as_bytes(), "no_permit").await;
    assert_eq!((denied.status, &denied.json()["id"]), (403, &json!(7)), "as `denied_status` says");
    let ahead = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"arguments":{{"x":"{}"}},"name":"get_order"}}}}"#,
        "x".repeat(9000)
    );
    let text = [("content-type", "text/plain")];
    for (what, headers, body) in [
        ("a name behind much else", &JSON[..], ahead.as_bytes()),
        (
            "a name before much else",
            &JSON,
            ahead.replace("\"arguments\"", "\"name\":\"get_order\",\"arguments\"").as_bytes(),
        ),
        ("text/plain", &text, get.as_bytes()),
        ("a batch", &JSON, format!("[{get}]").as_bytes()),
        ("two messages", &JSON, format!("{get}{get}").as_bytes()),
        ("a byte order mark", &JSON, format!("\u{feff}{get}").as_bytes()),
    ] {
        let denied = setup.denies(what, headers, body, "metadata_mismatch").await;
        assert_eq!(denied.status, 400, "{what}");
    }
    setup.denies("a number", &JSON, get.replace("\"get_order\"", "5").as_bytes(), "bad_message").await;
}
