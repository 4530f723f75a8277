//! What Envoy's filter lets through without a word, or with half of one (measured on 1.40), and what else a lenient server
//! could take for something that it may not do. Each is denied with the filter and without.

/// A request, and the reason for its denial.
pub(super) struct Trap {
    pub(super) what: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Vec<u8>,
    pub(super) reason: &'static str,
}

/// All of them.
pub(super) fn all() -> Vec<Trap> {
    let of_messages = MESSAGES
        .iter()
        .map(|(what, body, reason)| (*what, typed("application/json"), body.as_bytes().to_vec(), *reason));
    let traps = of_the_transport().into_iter().chain(of_messages);
    traps.map(|(what, headers, body, reason)| Trap { what, headers, body, reason }).collect()
}

type Row = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>, &'static str);

fn typed(kind: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![("content-type", kind)]
}

fn of_the_transport() -> Vec<Row> {
    let purge = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"purge_orders"}}"#;
    let get = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order"}}"#;
    let json = || typed("application/json");
    let with = |name, value| vec![("content-type", "application/json"), (name, value)];
    let utf16: Vec<u8> = get.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep = get.replace("\"get_order\"", &format!("{}1{}", "[".repeat(500), "]".repeat(500)));
    vec![
        ("text/plain", typed("text/plain"), purge.into(), "bad_body"),
        ("no content-type", vec![], purge.into(), "bad_body"),
        ("another case of the content-type", typed("Application/JSON"), purge.into(), "bad_body"),
        ("another JSON", typed("application/vnd.x+json"), purge.into(), "bad_body"),
        ("another charset", typed("application/json; charset=utf-16"), purge.into(), "bad_body"),
        ("compressed", with("content-encoding", "gzip"), get.into(), "bad_body"),
        ("a batch", json(), format!("[{get},{purge}]").into(), "bad_message"),
        ("a batch of one", json(), format!("[{get}]").into(), "bad_message"),
        ("two messages", json(), format!("{get}{purge}").into(), "bad_body"),
        ("two lines", json(), format!("{get}\n{purge}").into(), "bad_body"),
        ("a byte order mark", json(), format!("\u{feff}{get}").into(), "bad_body"),
        ("UTF-16", json(), utf16, "bad_body"),
        ("not JSON", json(), "tools/call purge_orders".into(), "bad_body"),
        ("nothing", json(), Vec::new(), "bad_body"),
        ("deep", json(), deep.into(), "bad_body"),
        ("the header of 2026-07-28 for the method", with("mcp-method", "tools/list"), get.into(), "metadata_mismatch"),
        ("the header of 2026-07-28 for the name", with("mcp-name", "refund_order"), get.into(), "metadata_mismatch"),
    ]
}

/// What, the message, and the reason.
const MESSAGES: &[(&str, &str, &str)] = &[
    (
        "the method twice",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"purge_orders"}}"#,
        "bad_body",
    ),
    (
        "the name twice",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","name":"purge_orders"}}"#,
        "bad_body",
    ),
    (
        "the name twice, once escaped",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","n\u0061me":"purge_orders"}}"#,
        "bad_body",
    ),
    (
        "a name in two cases",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","Name":"purge_orders"}}"#,
        "bad_body",
    ),
    (
        "a method in two cases",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call","params":{"name":"purge_orders"}}"#,
        "bad_message",
    ),
    (
        "members in another case",
        r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call","Params":{"Name":"purge_orders"}}"#,
        "bad_message",
    ),
    (
        "an argument in two cases",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund_order","arguments":{"amount":1,"Amount":99999}}}"#,
        "bad_body",
    ),
    (
        "an argument that some round",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund_order","arguments":{"amount":-9007199254740993}}}"#,
        "bad_body",
    ),
    (
        "a method in another case",
        r#"{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{"name":"purge_orders"}}"#,
        "unknown_action",
    ),
    (
        "a method that nobody knows",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call2","params":{"name":"purge_orders"}}"#,
        "unknown_action",
    ),
    (
        "a method with a space",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call ","params":{"name":"purge_orders"}}"#,
        "unknown_action",
    ),
    ("a name that is a number", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}"#, "bad_message"),
    ("a name that is null", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":null}}"#, "bad_message"),
    (
        "a name that is a list",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["get_order","purge_orders"]}}"#,
        "bad_message",
    ),
    ("no name", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#, "missing_input"),
    (
        "parameters by position",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["purge_orders"]}"#,
        "bad_message",
    ),
    (
        "arguments that are a list",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":[]}}"#,
        "bad_message",
    ),
    (
        "a lone surrogate",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order\ud800"}}"#,
        "bad_body",
    ),
    (
        "a NUL in a name",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order\u0000"}}"#,
        "bad_message",
    ),
    (
        "a space that nobody sees",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order\u200b"}}"#,
        "unregistered",
    ),
    (
        "a space at the end",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order "}}"#,
        "unregistered",
    ),
    (
        "letters that look alike",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"g\u0435t_order"}}"#,
        "unregistered",
    ),
    (
        "a tool in another case",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"Get_Order"}}"#,
        "unregistered",
    ),
    ("JSON-RPC 1.0", r#"{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"get_order"}}"#, "bad_message"),
    ("no version", r#"{"id":1,"method":"tools/call","params":{"name":"get_order"}}"#, "bad_message"),
    (
        "an id that is null",
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"get_order"}}"#,
        "bad_message",
    ),
    (
        "an id with a fraction",
        r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"get_order"}}"#,
        "bad_message",
    ),
    (
        "an id that is an object",
        r#"{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"get_order"}}"#,
        "bad_message",
    ),
    (
        "a call that is an answer too",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"purge_orders"},"result":{}}"#,
        "bad_message",
    ),
    ("neither", r#"{"jsonrpc":"2.0","id":1}"#, "bad_message"),
    (
        "a URI with dots",
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"orders://public/x/../../secret"}}"#,
        "bad_message",
    ),
    (
        "a URI with escaped dots",
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"orders://public/%2e%2e/secret"}}"#,
        "bad_message",
    ),
    (
        "a URI with a fragment",
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"orders://public/17#x"}}"#,
        "bad_message",
    ),
    (
        "a schema that is not declared",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund_order","arguments":{"amount":"1"}}}"#,
        "schema_mismatch",
    ),
];
