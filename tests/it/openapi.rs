//! The documents under `docs/openapi` beside `authzen.yaml`, which the router's own tests go through: they have the paths and
//! methods that are served, and every answer that can be brought about from outside is one that they have.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::envoy::free_port;
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::{Answer, ask, exchange, request};
use crate::support::tls;

const OPERATIONS: &str = include_str!("../../docs/openapi/operations.yaml");
const WITNESS: &str = include_str!("../../docs/openapi/witness.yaml");
const BUNDLE: &str = include_str!("../../docs/openapi/bundle.yaml");
const OIDC: &str = include_str!("../../docs/openapi/oidc.yaml");
const TOKEN: &str = include_str!("../../docs/openapi/token.yaml");

const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";

const METADATA: &str = "/.well-known/openid-configuration";

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

/// A gateway that serves all of it.
struct Served {
    home: Home,
    gateway: Gateway,
    operations: u16,
    witness: u16,
    bundle: u16,
    oidc: u16,
    token: u16,
}

impl Served {
    async fn start() -> Self {
        let [operations, witness, bundle, oidc, token] = std::array::from_fn(|_| free_port());
        let tcp = |port: u16| format!("tcp:127.0.0.1:{port}");
        let home = Home::new();
        let both = json!([format!("unix:{}", home.path().join("operations.sock").display()), tcp(operations)]);
        let settings = [
            ("LISTEN__OPERATIONS", both.to_string()),
            ("LISTEN__WITNESS", tcp(witness)),
            ("LISTEN__OIDC", tcp(oidc)),
            ("LISTEN__TOKEN", tcp(token)),
            ("DELEGATION__ISSUER", "https://tokens.example.org".to_owned()),
            ("DELEGATION__AUDIENCES", "[{name: 'https://calendar.example.org'}]".to_owned()),
            ("DELEGATION__SCOPES", "['calendar:read']".to_owned()),
            ("OIDC__ISSUERS", "[https://id.example.org]".to_owned()),
            ("IDENTITY__JWT_ISSUER", "https://id.example.org".to_owned()),
            ("LISTEN__BUNDLE_SPIFFE", format!("tls:127.0.0.1:{bundle}")),
            ("FEDERATION__ENDPOINT__SPIFFE_ID", "spiffe://example.org/bundle".to_owned()),
        ];
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let gateway = Gateway::start(&home, &settings).await;
        Self { home, gateway, operations, witness, bundle, oidc, token }
    }

    /// Each surface, with where it is.
    fn surfaces(&self) -> [(&'static str, Value, u16); 5] {
        [
            ("operations", read(OPERATIONS), self.operations),
            ("witness", read(WITNESS), self.witness),
            ("bundle", read(BUNDLE), self.bundle),
            ("oidc", read(OIDC), self.oidc),
            ("token", read(TOKEN), self.token),
        ]
    }

    /// The answer to a request of one of them.
    async fn send(&self, port: u16, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        if port == self.bundle {
            return exchange(tls::connect(port, None).await.unwrap(), text.as_bytes()).await;
        }
        request(port, &text).await
    }
}

fn read(document: &str) -> Value {
    serde_saphyr::from_str(document).unwrap()
}

/// What a document has for a method of a path.
fn operation<'d>(document: &'d Value, path: &str, method: &str) -> Option<&'d Value> {
    document["paths"][path].get(method.to_lowercase())
}

/// The response that it has for a status, references followed.
fn response<'d>(document: &'d Value, operation: &'d Value, status: u16) -> &'d Value {
    let response = &operation["responses"][status.to_string()];
    match response["$ref"].as_str() {
        Some(place) => document.pointer(place.strip_prefix('#').unwrap()).unwrap(),
        None => response,
    }
}

/// A path as it is asked for.
fn concrete(path: &str) -> String {
    path.replace("{id}", "019b0000-0000-7000-8000-000000000000").replace("{origin}", &"0".repeat(64))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_have_the_methods_of_every_path_and_no_other() {
    let served = Served::start().await;
    let mut paths = BTreeSet::new();
    for (name, document, port) in served.surfaces() {
        assert_eq!(document["openapi"], "3.1.0");
        for path in document["paths"].as_object().unwrap().keys() {
            paths.insert(format!("{name} {path}"));
            for method in METHODS {
                let answer = served.send(port, method, &concrete(path), "", "").await;
                if let Some(operation) = operation(&document, path, method) {
                    assert!(!response(&document, operation, answer.status).is_null(), "{answer:?}");
                } else {
                    assert_eq!(answer.status, 405, "{method} {path} of {name}: {answer:?}");
                    assert!(answer.headers.contains_key("allow"));
                }
            }
        }
        assert_eq!(served.send(port, "GET", "/elsewhere/and/nowhere", "", "").await.status, 404);
    }
    let expected = [
        "bundle /",
        "oidc /.well-known/openid-configuration",
        "oidc /keys",
        "operations /livez",
        "operations /metrics",
        "operations /readyz",
        "operations /v1/audit/receipt/{id}",
        "token /.well-known/oauth-authorization-server",
        "token /token",
        "witness /add-checkpoint",
        "witness /{origin}/checkpoint",
    ];
    assert_eq!(paths.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// The statuses that were seen, by surface, method and path.
type Seen = BTreeMap<(&'static str, &'static str, &'static str), BTreeSet<u16>>;

/// That `answer` is one that the document has for it, content type and headers included.
fn documented(
    seen: &mut Seen,
    (name, document): (&'static str, &Value),
    at: (&'static str, &'static str),
    answer: &Answer,
) {
    let (method, path) = at;
    let response = response(document, operation(document, path, method).unwrap(), answer.status);
    assert!(!response.is_null(), "{method} {path} of {name}: {answer:?}");
    let content_type = answer.headers.get("content-type").map(|given| given.split(';').next().unwrap());
    match response["content"].as_object() {
        Some(content) => assert!(content.contains_key(content_type.unwrap()), "{method} {path}: {answer:?}"),
        None => assert!(answer.body.is_empty(), "{method} {path}: {answer:?}"),
    }
    for header in response["headers"].as_object().into_iter().flat_map(serde_json::Map::keys) {
        assert!(answer.headers.contains_key(&header.to_lowercase()), "{method} {path} lacks `{header}`: {answer:?}");
    }
    if name == "token" && answer.status >= 400 {
        // As OAuth has it (RFC 6749 section 5.2).
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    } else if content_type == Some("application/json") && answer.status >= 400 && answer.status != 503 {
        assert_eq!(answer.json()["error"]["status"], answer.status);
    }
    seen.entry((name, method, path)).or_default().insert(answer.status);
}

/// What can't be brought about from outside: faults, and what is full.
fn out_of_reach(name: &str, path: &str) -> BTreeSet<u16> {
    let statuses: &[u16] = match (name, path) {
        ("operations", "/readyz") => &[503],
        ("operations", "/metrics") => &[500],
        ("operations", "/v1/audit/receipt/{id}") => &[410, 429, 500, 503],
        // What a log that signs can bring about is in the tests of the witness.
        ("witness", "/add-checkpoint") => &[200, 403, 409, 422, 429, 500],
        ("witness", _) => &[200, 429, 500],
        // This machine may ask as often as it likes.
        ("bundle" | "oidc", _) => &[429, 503],
        // What a client that is somebody can bring about is in the tests of the exchange.
        ("token", "/token") => &[200, 408, 429, 503],
        _ => &[],
    };
    statuses.iter().copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_its_document_has() {
    let served = Served::start().await;
    let surfaces = served.surfaces();
    let mut seen = Seen::new();
    let long = "x".repeat(portcullis_tlog::witness::MAX_LENGTH + 1);
    let large = "x".repeat((64 << 10) + 1);
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let (root, signature) = (STANDARD.encode([0; 32]), STANDARD.encode([1; 68]));
    let request = format!("old 0\n\nexample.com/log\n1\n{root}\n\n— example.com/log {signature}\n");
    for (surface, method, path, sent, headers, body) in [
        (0, "GET", "/livez", "/livez", "", ""),
        (0, "GET", "/readyz", "/readyz", "", ""),
        (0, "GET", "/metrics", "/metrics", "", ""),
        (0, "GET", "/v1/audit/receipt/{id}", "/v1/audit/receipt/no-uuid", "", ""),
        (0, "GET", "/v1/audit/receipt/{id}", "/v1/audit/receipt/%ff", "", ""),
        (0, "GET", "/v1/audit/receipt/{id}", "/v1/audit/receipt/ffffffff-ffff-7fff-bfff-ffffffffffff", "", ""),
        (1, "POST", "/add-checkpoint", "/add-checkpoint", "", ""),
        (1, "POST", "/add-checkpoint", "/add-checkpoint", "", "\u{ffff}"),
        (1, "POST", "/add-checkpoint", "/add-checkpoint", "", &*request),
        (1, "POST", "/add-checkpoint", "/add-checkpoint", "", &*long),
        (1, "GET", "/{origin}/checkpoint", "/%ff/checkpoint", "", ""),
        (1, "GET", "/{origin}/checkpoint", "/unknown/checkpoint", "", ""),
        (2, "GET", "/", "/", "", ""),
        (2, "GET", "/", "/", "if-none-match: *\r\n", ""),
        (2, "GET", "/", "/", "accept-encoding: *;q=0\r\n", ""),
        (4, "POST", "/token", "/token", "", ""),
        (4, "POST", "/token", "/token", form, "grant_type=a"),
        (4, "POST", "/token", "/token", form, &*large),
        (4, "GET", AUTHORIZATION_SERVER, AUTHORIZATION_SERVER, "", ""),
        (3, "GET", "/keys", "/keys", "", ""),
        (3, "GET", "/keys", "/keys", "if-none-match: *\r\n", ""),
        (3, "GET", "/keys", "/keys", "accept-encoding: *;q=0\r\n", ""),
        (3, "GET", METADATA, METADATA, "", ""),
        (3, "GET", METADATA, METADATA, "if-none-match: *\r\n", ""),
        (3, "GET", METADATA, METADATA, "accept-encoding: *;q=0\r\n", ""),
    ] {
        let (name, document, port) = &surfaces[surface];
        let answer = served.send(*port, method, sent, headers, body).await;
        documented(&mut seen, (*name, document), (method, path), &answer);
    }

    let decided = ask(
        &served.home.authzen_socket(),
        r#"{"subject":{"type":"a","id":"a"},"action":{"name":"a"},"resource":{"type":"a","id":"a"}}"#,
    )
    .await;
    let (name, document, port) = &surfaces[0];
    eventually("the receipt of a decision", async || {
        let path = format!("/v1/audit/receipt/{}", decided.decision_id());
        let answer = served.send(*port, "GET", &path, "", "").await;
        documented(&mut seen, (*name, document), ("GET", "/v1/audit/receipt/{id}"), &answer);
        (answer.status == 200).then_some(())
    })
    .await;
    // Of a time at which the log had begun, and long past.
    let unknown = served.send(*port, "GET", "/v1/audit/receipt/01a200f1-db9b-7777-b777-777777777777", "", "").await;
    documented(&mut seen, (*name, document), ("GET", "/v1/audit/receipt/{id}"), &unknown);

    assert_complete(&surfaces, &seen);
    assert!(served.gateway.operations("/readyz").await.status == 200);
}

/// That nothing was left out but what can't be brought about.
fn assert_complete(surfaces: &[(&'static str, Value, u16)], seen: &Seen) {
    for (name, document, _) in surfaces {
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let all: BTreeSet<u16> =
                    operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect();
                let found = seen
                    .iter()
                    .find(|((surface, verb, at), _)| surface == name && verb.to_lowercase() == *method && at == path);
                let (_, found) = found.unwrap_or_else(|| panic!("{method} {path} was not asked"));
                let rest: BTreeSet<u16> = all.difference(found).copied().collect();
                assert!(rest.is_subset(&out_of_reach(name, path)), "{method} {path} of {name} never said {rest:?}");
            }
        }
    }
}
