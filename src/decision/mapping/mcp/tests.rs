use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::metadata;
use crate::decision::mapping::fixture::Asked;
use crate::decision::mapping::{Mapping, MappingFiles};
use crate::decision::policy::PolicySet;
use crate::decision::policy::fixture::Directory;
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;

const SCHEMA: &str = r#"
entity TrustDomain;
entity Workload in [TrustDomain] { trust_domain: String, path: String };
entity McpServer;
entity Tool in [McpServer] { name: String };
entity Prompt in [McpServer] { name: String };
entity Resource in [McpServer] { uri: String };
entity Task in [McpServer];
entity Customer { tier?: String };
action initialize, ping, "tools/list", "acme/extension", "notifications/initialized", "session/listen", "session/end", "session/respond", "logging/setLevel"
  appliesTo { principal: Workload, resource: McpServer, context: {
    protocol_version?: String, session?: String, level?: String, tenant?: String, path?: String } };
action "tools/call" appliesTo { principal: Workload, resource: Tool, context: {
  tenant?: String, arguments: { path?: String, amount?: Long, tags?: Set<String>, deep?: { a?: Bool } } } };
action "prompts/get" appliesTo { principal: Workload, resource: Prompt, context: { arguments?: { who?: String } } };
action "resources/read" appliesTo { principal: Workload, resource: Resource, context: {} };
action "completion/complete" appliesTo { principal: Workload, resource: [Prompt, Resource], context: {} };
action "tasks/get" appliesTo { principal: Workload, resource: Task, context: {} };
action get_customer appliesTo { principal: Workload, resource: Customer, context: { case?: String } };
"#;

const CATALOG: &str = r#"[
  {"uid": {"type": "Tool", "id": "read"}, "attrs": {"name": "read"}, "parents": [{"type": "McpServer", "id": "files"}]},
  {"uid": {"type": "Tool", "id": "get_customer"}, "attrs": {"name": "get_customer"}, "parents": [{"type": "McpServer", "id": "files"}]},
  {"uid": {"type": "Tool", "id": "b/read"}, "attrs": {"name": "read"}, "parents": [{"type": "McpServer", "id": "b"}]},
  {"uid": {"type": "Tool", "id": "nobody's"}, "attrs": {"name": "nobody's"}, "parents": []},
  {"uid": {"type": "Resource", "id": "file:///b"}, "attrs": {"uri": "file:///b"}, "parents": [{"type": "McpServer", "id": "b"}]}
]"#;

pub(super) fn policies() -> PolicySet {
    static LOADED: LazyLock<PolicySet> = LazyLock::new(|| {
        let policy = ("p.cedar", "permit (principal, action, resource);");
        Directory::new(&[("s.cedarschema", SCHEMA), policy, ("catalog.json", CATALOG)]).load().unwrap()
    });
    LOADED.clone()
}

fn compile(routes: &str) -> Result<Mapping, String> {
    let text = format!("version: 1\nroutes:\n  - {routes}\n");
    let mapping = Mapping::compile(&MappingFiles::of(&[("m.yaml", &text)])).map_err(|error| error.to_string())?;
    mapping.fit(&policies()).map_err(|error| error.to_string())?;
    Ok(mapping)
}

const PLAIN: &str = "{match: {path: /mcp}, mcp: {server: files}, context: {tenant: '{header.x-tenant}'}}";

fn by(route: &str, asked: &Asked) -> Result<Json, Refusal> {
    asked.by_both(&compile(route).unwrap(), &policies())
}

fn posted(method: &str, params: &Json) -> Asked {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    Asked::new("POST", "/mcp").json(&message.to_string())
}

fn called(tool: &str, arguments: &Json) -> Asked {
    posted("tools/call", &json!({"name": tool, "arguments": arguments}))
}

/// Action, resource and context.
fn asks(asked: &Asked) -> (String, String, Json) {
    let said = by(PLAIN, asked).unwrap();
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    (text("action"), text("resource"), said["context"].clone())
}

fn refused(asked: &Asked) -> Reason {
    by(PLAIN, asked).unwrap_err().reason()
}

#[test]
fn each_message_is_about_what_it_names() {
    let server = "McpServer::\"files\"";
    for (method, params, resource) in [
        ("tools/call", json!({"name": "read"}), "Tool::\"read\""),
        ("prompts/get", json!({"name": "greet"}), "Prompt::\"greet\""),
        ("resources/read", json!({"uri": "file:///a"}), "Resource::\"file:///a\""),
        ("tasks/get", json!({"taskId": "t-1"}), "Task::\"t-1\""),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "greet"}}), "Prompt::\"greet\""),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "file:///{path}"}}),
            "Resource::\"file:///{path}\"",
        ),
        ("tools/list", json!({"cursor": "x"}), server),
        ("ping", json!({}), server),
        ("acme/extension", json!({"name": "read"}), server),
    ] {
        let (action, about, _) = asks(&posted(method, &params));
        assert_eq!((&*action, &*about), (method, resource));
    }
    let message = |text: &str| asks(&Asked::new("POST", "/mcp").json(text)).0;
    assert_eq!(message(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), "notifications/initialized");
    assert_eq!(message(r#"{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":""}}"#), "session/respond");
    assert_eq!(asks(&Asked::new("GET", "/mcp")).0, "session/listen");
    assert_eq!(asks(&Asked::new("DELETE", "/mcp")).0, "session/end");
}

#[test]
fn prompts_and_resources_are_within_the_server_and_say_who_they_are() {
    let said = by(PLAIN, &posted("resources/read", &json!({"uri": "file:///a"}))).unwrap();
    assert_eq!(
        (&said["parents"], &said["properties"]),
        (&json!(["McpServer::\"files\""]), &json!({"uri": "file:///a"}))
    );
    let said = by(PLAIN, &called("read", &json!({}))).unwrap();
    assert_eq!((&said["parents"], &said["properties"]), (&json!([]), &json!({})), "the catalogue says it");
}

#[test]
fn the_context_has_what_the_action_declares() {
    let arguments = json!({"path": "/a", "amount": 7, "tags": ["x"], "deep": {"a": true, "b": 1}, "other": null});
    let (_, _, context) = asks(&called("read", &arguments).header("x-tenant", "blue").header("mcp-session-id", "s"));
    let declared = json!({"path": "/a", "amount": 7, "tags": ["x"], "deep": {"a": true}});
    assert_eq!(context, json!({"arguments": declared, "tenant": "blue"}));
    assert_eq!(
        asks(&posted("tools/call", &json!({"name": "read"}))).2,
        json!({"arguments": {}}),
        "required, and empty"
    );
    assert_eq!(asks(&posted("prompts/get", &json!({"name": "greet"}))).2, json!({}));

    let proposed =
        posted("initialize", &json!({"protocolVersion": "2025-11-25"})).header("mcp-protocol-version", "old");
    assert_eq!(asks(&proposed).2, json!({"protocol_version": "2025-11-25", "path": "/mcp"}));
    let said = posted("ping", &json!({})).header("mcp-protocol-version", "2025-06-18").header("mcp-session-id", "s-1");
    assert_eq!(asks(&said).2, json!({"protocol_version": "2025-06-18", "session": "s-1", "path": "/mcp"}));
    let smuggled = posted("ping", &json!({"protocolVersion": "new"})).header("mcp-protocol-version", "old");
    assert_eq!(asks(&smuggled).2, json!({"protocol_version": "old", "path": "/mcp"}), "only `initialize` proposes one");
    assert_eq!(asks(&posted("logging/setLevel", &json!({"level": "info"}))).2["level"], "info");
    assert_eq!(refused(&called("read", &json!({"path": 1, "Path": 2}))), Reason::BadBody);
    assert_eq!(refused(&called("read", &json!({"deep": {"a": 1, "A": 2}}))), Reason::BadBody);
}

#[test]
fn a_tool_that_its_server_s_catalogue_has_not_is_unregistered() {
    for tool in ["write", "nobody's", "b/read", "Read", "read "] {
        assert_eq!(refused(&called(tool, &json!({}))), Reason::Unregistered, "{tool}");
    }
    let other = posted("resources/read", &json!({"uri": "file:///b"}));
    assert_eq!(refused(&other), Reason::Unregistered, "of another server's catalogue");
}

#[test]
fn one_route_can_be_that_of_many_servers() {
    let route = "{match: {path: '/mcp/{server}'}, mcp: {server: '{path.server}', prefix: '{path.server}/'}}";
    let at = |server: &str| {
        let asked = called("read", &json!({}));
        by(route, &Asked { path: format!("/mcp/{server}"), ..asked }).map(|said| said["resource"].clone())
    };
    assert_eq!(at("b").unwrap(), "Tool::\"b/read\"");
    assert_eq!(at("files").unwrap_err().reason(), Reason::Unregistered);
}

#[test]
fn types_and_actions_can_be_of_a_namespace() {
    let schema = r#"
entity TrustDomain;
entity Workload in [TrustDomain] { trust_domain: String, path: String };
namespace Mcp {
  entity McpServer;
  entity Tool in [McpServer];
  action "tools/call" appliesTo { principal: Workload, resource: Tool, context: {} };
}"#;
    let catalog = r#"[{"uid": {"type": "Mcp::Tool", "id": "read"}, "attrs": {}, "parents": [{"type": "Mcp::McpServer", "id": "files"}]}]"#;
    let policy = ("p.cedar", "permit (principal, action, resource);");
    let policies = Directory::new(&[("s.cedarschema", schema), policy, ("catalog.json", catalog)]).load().unwrap();
    let text = "version: 1\nroutes:\n  - {match: {path: /mcp}, mcp: {server: files, namespace: Mcp}}\n";
    let mapping = Mapping::compile(&MappingFiles::of(&[("m.yaml", text)])).unwrap();
    mapping.fit(&policies).unwrap();
    let said = called("read", &json!({})).by_both(&mapping, &policies).unwrap();
    assert_eq!((&said["action"], &said["resource"]), (&json!("Mcp::tools/call"), &json!("Mcp::Tool::\"read\"")));
    let list = posted("tools/list", &json!({})).by_both(&mapping, &policies).unwrap_err();
    assert_eq!(list.reason(), Reason::UnknownAction);
}

const DECLARED: &str = "{match: {path: /mcp}, mcp: {server: files, tools: {get_customer: {action: {name: get_customer}, \
     resource: {type: Customer, id: '{params.arguments.id}', properties: {tier: gold}}, context: {case: '{params.arguments.case}'}}}}}";

#[test]
fn calls_of_a_tool_can_be_something_else() {
    let said = by(DECLARED, &called("get_customer", &json!({"id": 7, "case": "c-1"}))).unwrap();
    assert_eq!((&said["action"], &said["resource"]), (&json!("get_customer"), &json!("Customer::\"7\"")));
    assert_eq!((&said["context"], &said["properties"]), (&json!({"case": "c-1"}), &json!({"tier": "gold"})));
    assert_eq!(by(DECLARED, &called("read", &json!({}))).unwrap()["action"], "tools/call", "only of that one");
    let lacking = by(DECLARED, &called("get_customer", &json!({"case": "c-1"}))).unwrap_err();
    assert_eq!(lacking.reason(), Reason::MissingInput);
    let record = by(DECLARED, &called("get_customer", &json!({"id": {"a": 1}}))).unwrap_err();
    assert_eq!(record.reason(), Reason::BadBody);
    let renamed = DECLARED.replace("tools: {get_customer:", "tools: {drop:");
    let unregistered = by(&renamed, &called("drop", &json!({"id": "7"}))).unwrap_err();
    assert_eq!(unregistered.reason(), Reason::Unregistered, "whatever the route says of it");
}

#[test]
fn routes_that_can_t_be_are_told() {
    for (route, why) in [
        ("{match: {path: /mcp}, mcp: {}}", "server"),
        ("{match: {path: /mcp}, mcp: {server: ''}}", "it has 1 to 1024 bytes"),
        ("{match: {path: /mcp}, mcp: {server: a, more: 1}}", "more"),
        ("{match: {path: /mcp, method: POST}, mcp: {server: a}}", "which methods there are"),
        ("{match: {path: /mcp, upgrade: websocket}, mcp: {server: a}}", "which methods there are"),
        ("{match: {grpc: {service: a.B, method: C}}, mcp: {server: a}}", "which methods there are"),
        ("{match: {path: /mcp}, mcp: {server: a}, action: {name: x}}", "so `resource` and `action` can't"),
        ("{match: {path: /mcp}, mcp: {server: '{params.name}'}}", "only a route with `mcp` has it"),
        ("{match: {path: /mcp}, mcp: {server: a}, context: {tenant: '{body.a}'}}", "has `{params.…}`"),
        ("{match: {path: /mcp}, mcp: {server: a}, context: {arguments: x}}", "follows from the request itself"),
        ("{match: {path: /mcp}, mcp: {server: a}, context: {color: x}}", "none of MCP's methods declares `color`"),
        ("{match: {path: /mcp}, mcp: {server: a}, context: {tenant: 7}}", "declared as another type"),
        ("{match: {path: /mcp}, mcp: {server: a, source: head}}", "`body`, `both` or `metadata`"),
        ("{match: {path: /mcp}, mcp: {server: a, max_bytes: 0}}", "1 to 1048576 bytes"),
        ("{match: {path: /mcp}, mcp: {server: a, max_bytes: 1048577}}", "1 to 1048576 bytes"),
        ("{match: {path: /mcp}, mcp: {server: a, denied_status: 401}}", "the status 200 or 403"),
        ("{match: {path: /mcp}, mcp: {server: a, namespace: 'a b'}}", "as Cedar has it"),
        ("{match: {path: /mcp}, mcp: {server: a, namespace: Nope}}", "no entity type `Nope::McpServer`"),
        (
            "{match: {path: /mcp, method: GET}, action: {name: ping}, resource: {type: Tool, id: '{params.x}'}}",
            "only a route with `mcp`",
        ),
        (&DECLARED.replace("type: Customer", "type: Path"), "a `Path` is the path of the request"),
        (&DECLARED.replace("name: get_customer", "name: get_all"), "the schema has no action `get_all`"),
        (&DECLARED.replace("tier: gold", "rank: gold"), "declares no `rank`"),
        (&DECLARED.replace("context: {case:", "context: {color:"), "declares no `color`"),
    ] {
        let said = compile(route).expect_err(route);
        assert!(said.contains(why), "{route}: {said}");
    }
}

fn says(params: &Json) -> Json {
    json!({"id": 1, "jsonrpc": "2.0", "method": "tools/call", "params": params, "is_mcp_request": true, "status": "mcp_ok"})
}

fn with(asked: Asked, mcp: Json) -> Asked {
    Asked { mcp: Some(mcp), ..asked }
}

#[test]
fn what_the_filter_says_must_be_so_and_be_enough() {
    let asked = || called("read", &json!({"path": "/a", "amount": 7}));
    let whole = says(&json!({"name": "read", "arguments": {"amount": 7}}));
    assert!(by(PLAIN, &with(asked(), whole.clone())).is_ok());
    assert!(by(PLAIN, &asked()).is_ok(), "it need not be there");
    let changed = |name: &str, value: Json| {
        let mut changed = whole.clone();
        changed[name] = value;
        changed
    };
    for mcp in [
        Json::Null,
        json!({}),
        changed("is_mcp_request", json!(false)),
        changed("is_mcp_request", json!("true")),
        changed("passthrough_reason", json!("mcp_not_jsonrpc")),
        changed("passthrough_reason", json!(null)),
        changed("is_exceeding_limit", json!(true)),
        changed("status", json!("mcp_error")),
        changed("status", json!(null)),
        changed("method", json!("tools/list")),
        changed("method", json!("Tools/call")),
        changed("method", json!(null)),
        changed("id", json!(2)),
        changed("id", json!("1")),
        changed("jsonrpc", json!("1.0")),
        changed("params", json!({"name": "write"})),
        changed("params", json!({"name": 5})),
        changed("params", json!({"arguments": {"amount": 7}})),
        changed("params", json!({"name": "read", "arguments": {"amount": 8}})),
        changed("params", json!({"name": "read", "arguments": {"other": 7}})),
        changed("params", json!([])),
        changed("params", json!(null)),
    ] {
        assert_eq!(refused(&with(asked(), mcp.clone())), Reason::MetadataMismatch, "{mcp}");
    }
    let float =
        posted("tools/call", &json!({"name": "read", "arguments": {"amount": 1, "tags": ["a", "b"]}, "n": 1e3}));
    let agrees = says(&json!({"name": "read", "arguments": {"tags": ["a", "b"]}, "n": 1000}));
    assert!(by(PLAIN, &with(float, agrees)).is_ok(), "a number is what it is worth");
    assert_eq!(refused(&with(Asked::new("GET", "/mcp"), whole)), Reason::BadBody, "there is nothing to read in a GET");
}

#[test]
fn a_message_can_be_what_the_filter_says_of_it() {
    let route = "{match: {path: /mcp}, mcp: {server: files, source: metadata}}";
    let bare = || Asked::new("POST", "/mcp");
    let said = by(route, &with(bare(), says(&json!({"name": "read", "arguments": {"amount": 7}})))).unwrap();
    assert_eq!((&said["resource"], &said["context"]["arguments"]), (&json!("Tool::\"read\""), &json!({"amount": 7})));
    let answer = json!({"id": 1, "jsonrpc": "2.0", "method": "__jsonrpc_response", "is_mcp_request": true});
    assert_eq!(by(route, &with(bare(), answer)).unwrap()["action"], "session/respond");
    for (asked, reason) in [
        (bare(), Reason::MetadataMismatch),
        (called("read", &json!({})), Reason::MetadataMismatch),
        (with(bare(), says(&json!({"name": 5}))), Reason::BadMessage),
        (with(bare(), says(&json!({"name": null}))), Reason::BadMessage),
        (with(bare(), says(&json!({}))), Reason::MissingInput),
        (with(bare(), json!({"is_mcp_request": true})), Reason::BadMessage),
    ] {
        assert_eq!(by(route, &asked).unwrap_err().reason(), reason, "{asked:?}");
    }
    let both = "{match: {path: /mcp}, mcp: {server: files, source: both}}";
    assert_eq!(by(both, &called("read", &json!({}))).unwrap_err().reason(), Reason::MetadataMismatch);
    assert!(by(both, &with(called("read", &json!({})), says(&json!({"name": "read"})))).is_ok());
}

#[test]
fn headers_that_proxies_route_by_must_agree() {
    let asked = || called("read", &json!({}));
    assert!(by(PLAIN, &asked().header("mcp-method", "tools/call").header("mcp-name", "read")).is_ok());
    for (name, value) in
        [("mcp-method", "tools/list"), ("mcp-name", "write"), ("mcp-method", "Tools/Call"), ("mcp-name", "")]
    {
        assert_eq!(refused(&asked().header(name, value)), Reason::MetadataMismatch, "{name}: {value}");
    }
    assert_eq!(refused(&asked().header("mcp-name", "read").header("mcp-name", "write")), Reason::BadHeader);
    assert_eq!(refused(&posted("ping", &json!({})).header("mcp-name", "read")), Reason::MetadataMismatch);
}

#[test]
fn who_waits_for_an_answer_is_known_as_far_as_can_be() {
    let mapping = compile(PLAIN).unwrap();
    let call = |asked: &Asked| asked.routed(&mapping, |routed| routed.call().cloned());
    let id = |text: &str| call(&Asked::new("POST", "/mcp").json(text)).map(|call| (call.id, call.in_band));
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#), Some((Some(json!(7)), true)));
    assert_eq!(
        id(r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[],"more":1}"#),
        Some((Some(json!("a")), true))
    );
    assert_eq!(id(r#"{"jsonrpc":"2.0","method":"ping"}"#), None);
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"result":1}"#), None);
    for text in [
        "",
        "[]",
        "x",
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[],"method":"ping"}"#,
    ] {
        assert_eq!(id(text), Some((None, false)), "{text}");
    }
    let long = json!({"jsonrpc": "2.0", "id": "x".repeat(257), "method": "ping"});
    assert_eq!(id(&long.to_string()), Some((None, false)));
    assert_eq!(call(&Asked::new("GET", "/mcp")), None);
    let strict = compile("{match: {path: /mcp}, mcp: {server: files, denied_status: 403}}").unwrap();
    let call = posted("ping", &json!({})).routed(&strict, |routed| routed.call().cloned());
    assert_eq!(call.map(|call| call.in_band), Some(false));
}

#[test]
fn the_filter_s_word_of_a_message_makes_the_message() {
    let said = says(&json!({"name": "read"}));
    assert_eq!(
        metadata::message(&said),
        json!({"id": 1, "jsonrpc": "2.0", "method": "tools/call", "params": {"name": "read"}})
    );
}
