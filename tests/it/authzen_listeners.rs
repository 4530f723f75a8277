//! Listeners of `AuthZEN` with rules of their own, and the tenants that all of them serve, on the wire.

use portcullis::foundation::digest::Digest;
use serde_json::{Value, json};

use crate::support::authzen::{EVALUATION, EVALUATIONS, METADATA, Pdp as Plain, SEARCHES, assert_error};
use crate::support::envoy::free_port;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;
use crate::support::pdp::{KEY, Pdp, bearer, reads};
use crate::support::tls;

const BACKEND: &str = "spiffe://example.org/backend";
const NOTHING: &str = r#"Bearer realm="authzen""#;
const INVALID: &str = r#"Bearer realm="authzen", error="invalid_token""#;

/// A Unix socket where nobody has to say who asks; a listener for workloads, with a certificate of its own; and one for keys,
/// where policies say what their holders may ask. The last is the port of `Pdp`.
async fn three() -> (Pdp, u16) {
    let home = Home::new();
    home.take_policies("examples/authzen-callers");
    let (of_workloads, of_keys) = (free_port(), free_port());
    let key = |name: &str, key: &str| json!({"name": name, "sha256": Digest::of(key.as_bytes()).to_string()});
    let listen = json!([
        format!("unix:{}", home.authzen_socket().display()),
        {
            "address": format!("tls:127.0.0.1:{of_workloads}"),
            "tls": {"svid": {"spiffe_id": "spiffe://example.org/for-workloads", "dns_names": ["localhost"]}},
            "callers": {"mtls": true},
        },
        {
            "address": format!("tls:127.0.0.1:{of_keys}"),
            "callers": {"api_keys": [key("gateway", KEY), key("shop", OTHER_KEY)], "policy": true},
        },
    ]);
    let settings = [
        ("LISTEN__AUTHZEN", &*listen.to_string()),
        ("AUTHZEN__TLS__SVID__SPIFFE_ID", "spiffe://example.org/pdp"),
        ("AUTHZEN__IDENTIFIER", "https://localhost"),
    ];
    let gateway = Gateway::start(&home, &settings).await;
    (Pdp { home, gateway, port: of_keys }, of_workloads)
}

const OTHER_KEY: &str = "another-key-0123456789-abcdefgh";

/// The SPIFFE ID of what a listener shows.
async fn shown(port: u16) -> String {
    let stream = tls::connect(port, None).await.unwrap();
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_has_its_own_certificate_and_its_own_callers() {
    let (mut pdp, of_workloads) = three().await;
    let (of_keys, backend) = (pdp.port, pdp.identity(BACKEND, "1h"));
    assert!(shown(of_workloads).await.contains("spiffe://example.org/for-workloads"));
    assert!(shown(of_keys).await.contains("spiffe://example.org/pdp"));

    let anybody = ask(&pdp.home.authzen_socket(), &reads("record-2").to_string()).await;
    assert_eq!(
        (anybody.status, anybody.json()),
        (200, json!({"decision": true})),
        "policies on callers mean nothing here"
    );
    assert_eq!(pdp.home.decision(anybody.decision_id()).await["caller"], Value::Null);

    for (port, identity, headers, outcome) in [
        (of_workloads, Some(&backend), String::new(), Ok(BACKEND)),
        (of_workloads, None, String::new(), Err(NOTHING)),
        (of_workloads, None, bearer(KEY), Err(INVALID)),
        (of_keys, None, bearer(KEY), Ok("gateway")),
        (of_keys, None, String::new(), Err(NOTHING)),
        (of_keys, Some(&backend), String::new(), Err(NOTHING)),
    ] {
        pdp.port = port;
        let answer = pdp.ask(identity, &headers, &reads("record-1")).await;
        match outcome {
            Ok(caller) => {
                assert_eq!((answer.status, answer.json()), (200, json!({"decision": true})), "{port} {headers}");
                assert_eq!(pdp.home.decision(answer.decision_id()).await["caller"], caller);
            }
            Err(challenge) => {
                assert_error(&answer, 401);
                assert_eq!(answer.headers["www-authenticate"], challenge, "{headers}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_say_who_may_ask_where_the_listener_has_them_asked() {
    let (mut pdp, of_workloads) = three().await;
    let shop = pdp.ask(None, &bearer(OTHER_KEY), &reads("record-1")).await;
    assert_error(&shop, 403);
    assert_eq!(pdp.home.decision(shop.decision_id()).await["caller"], "shop");
    let search = json!({"subject": {"type": "user"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"}});
    let [(_, path), ..] = SEARCHES;
    assert_error(&pdp.post(path, None, &bearer(OTHER_KEY), &search).await, 403);
    assert_eq!(pdp.post(path, None, &bearer(KEY), &search).await.status, 200);

    pdp.port = of_workloads;
    let backend = pdp.identity(BACKEND, "1h");
    let found = pdp.post(path, Some(&backend), "", &search).await;
    assert_eq!(found.status, 200, "the same policies would not let it search, and are not asked here: {found:?}");
}

const TENANTS: &str =
    r#"["https://pdp.example.com/tenant1", "https://pdp.example.com/tenant2", "https://pdp.example.com"]"#;

/// Whoever is asked for by `tenant1` may read.
const OF_TENANT: [(&str, &str); 3] = [
    (
        "tenants.cedarschema",
        "entity user; entity record;
        action read appliesTo { principal: user, resource: record, context: { tenant?: String } };",
    ),
    (
        "tenants.cedar",
        r#"permit (principal, action, resource) when { context has tenant && context.tenant == "tenant1" };"#,
    ),
    (
        "tenants.json",
        r#"[{"uid": {"type": "user", "id": "bob"}, "attrs": {}, "parents": []},
            {"uid": {"type": "record", "id": "record-1"}, "attrs": {}, "parents": []}]"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_has_its_own_document_paths_and_say() {
    let pdp = Plain::of_files(&OF_TENANT, &[("AUTHZEN__IDENTIFIER", TENANTS)]).await;
    let mut says = reads("record-1");
    says["context"] = json!({"tenant": "tenant1"});
    let batch = json!({"evaluations": [says]});
    let users = json!({"subject": {"type": "user"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"}, "context": {"tenant": "tenant1"}});
    let actions = json!({"subject": {"type": "user", "id": "bob"}, "resource": {"type": "record", "id": "record-1"}});
    for (tenant, expected) in [("/tenant1", true), ("/tenant2", false), ("", false)] {
        let identifier = format!("https://pdp.example.com{tenant}");
        let metadata = pdp.send("GET", &format!("{METADATA}{tenant}"), &[], "").await.json();
        assert_eq!(metadata["policy_decision_point"], identifier, "what it was asked for, letter by letter");
        pdp.assert_signed(metadata["signed_metadata"].as_str().unwrap(), &metadata);
        let path = |member: &str| metadata[member].as_str().unwrap().strip_prefix("https://pdp.example.com").unwrap();
        assert_eq!(path("access_evaluation_endpoint"), format!("{tenant}{EVALUATION}"));
        assert_eq!(path("access_evaluations_endpoint"), format!("{tenant}{EVALUATIONS}"));
        let decided = pdp.answer(path("access_evaluation_endpoint"), &says).await;
        assert_eq!(decided, json!({"decision": expected}), "{tenant}: nobody says for whom but the path");
        let decided = pdp.answer(path("access_evaluations_endpoint"), &batch).await;
        assert_eq!(decided, json!({"evaluations": [{"decision": expected}]}));
        let found = pdp.finds(path("search_subject_endpoint"), &users).await;
        assert_eq!(found, if expected { vec!["bob"] } else { vec![] });
        let found = pdp.finds(path("search_action_endpoint"), &actions).await;
        assert_eq!(found, if expected { vec!["read"] } else { vec![] });
    }
    for elsewhere in ["/tenant3", "/tenant1/tenant2", "/TENANT1"] {
        assert_error(&pdp.send("GET", &format!("{METADATA}{elsewhere}"), &[], "").await, 404);
        assert_error(&pdp.post(&format!("{elsewhere}{EVALUATION}"), &says).await, 404);
    }
    assert_error(&pdp.send("GET", &format!("/tenant1{METADATA}"), &[], "").await, 404);
}
