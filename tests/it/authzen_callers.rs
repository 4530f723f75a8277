//! Who may ask over `AuthZEN`: workloads by their SVIDs, tokens, API keys and users of the machine, on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::unistd::geteuid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::envoy::free_port;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::{Answer, ask, exchange, send_unix};
use crate::support::idp::Idp;
use crate::support::pdp::{KEY, Kept, Pdp, Stranger, bearer, reads, serial};
use crate::support::{eventually, root, tls};

const BACKEND: &str = "spiffe://example.org/backend";

/// Nobody is told why.
fn assert_nobody(answer: &Answer, challenge: &str) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.json(), json!({"error": {"status": 401, "message": "it is not known who asks"}}));
    assert_eq!(answer.headers["www-authenticate"], challenge);
}

const NOTHING: &str = r#"Bearer realm="authzen""#;
const INVALID: &str = r#"Bearer realm="authzen", error="invalid_token""#;

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_known_by_their_svids_and_strangers_are_nobody() {
    let pdp = Pdp::start(&[]).await;
    let backend = pdp.identity(BACKEND, "1h");
    let answer = pdp.ask(Some(&backend), "", &reads("record-1")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"decision": true})));
    let record = pdp.home.decision(answer.decision_id()).await;
    assert_eq!((&record["caller"], &record["principal"]), (&json!(BACKEND), &json!("user::\"bob\"")));

    assert_nobody(&pdp.ask(None, "", &reads("record-1")).await, NOTHING);
    for identity in [
        Stranger::of("other.org").leaf("spiffe://other.org/backend"),
        Stranger::of("example.org").leaf(BACKEND),
        Stranger::of("example.org").leaf("https://example.org/backend"),
    ] {
        assert_nobody(&pdp.ask(Some(&identity), "", &reads("record-1")).await, NOTHING);
    }
    let get = b"GET /.well-known/authzen-configuration HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let metadata = exchange(tls::connect(pdp.port, None).await.unwrap(), get).await;
    assert_eq!(metadata.status, 200, "what everybody may know: {metadata:?}");
    let asked = pdp.home.records().into_iter().filter(|record| record["record"] == "decision").count();
    assert_eq!(asked, 1, "who is nobody has asked nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_is_revoked_is_refused_on_a_connection_that_is_open() {
    let pdp = Pdp::start(&[]).await;
    let (stolen, other) = (pdp.identity(BACKEND, "1h"), pdp.identity(BACKEND, "1h"));
    let (mut thief, mut owner) = (Kept::open(pdp.port, &stolen).await, Kept::open(pdp.port, &other).await);
    for kept in [&mut thief, &mut owner] {
        let answer = kept.ask(&reads("record-1")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#"{"decision":true}"#), "{answer}");
    }
    pdp.admin(&["x509", "revoke", "-serial", &serial(&stolen)]);
    let answer = thief.ask(&reads("record-1")).await;
    assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("decision"), "{answer}");
    assert!(owner.ask(&reads("record-1")).await.starts_with("HTTP/1.1 200"), "the other leaf stands");
    assert_nobody(&pdp.ask(Some(&stolen), "", &reads("record-1")).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_outlives_its_leaf_is_refused() {
    let pdp = Pdp::start(&[]).await;
    let mut kept = Kept::open(pdp.port, &pdp.identity(BACKEND, "5s")).await;
    let answer = kept.ask(&reads("record-1")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    eventually("the leaf has expired", async || {
        let answer = kept.ask(&reads("record-1")).await;
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 401"), "{answer}");
        answer.starts_with("HTTP/1.1 401").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_trust_domain_counts_for_as_long_as_its_bundle_is_there() {
    let pdp = Pdp::start(&[]).await;
    let other = Stranger::of("other.org");
    let identity = other.leaf("spiffe://other.org/backend");
    let mut kept = Kept::open(pdp.port, &identity).await;
    let refused = kept.ask(&reads("record-1")).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let file = pdp.home.path().join("other.pem");
    other.write(&file);
    pdp.admin(&["bundle", "set", "-id", "spiffe://other.org", "-path", file.to_str().unwrap()]);
    let answer = kept.ask(&reads("record-1")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "known from now on: {answer}");
    let imposter = other.leaf(BACKEND);
    assert_nobody(&pdp.ask(Some(&imposter), "", &reads("record-1")).await, NOTHING);
    pdp.admin(&["bundle", "delete", "-id", "spiffe://other.org"]);
    let answer = kept.ask(&reads("record-1")).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "and no longer: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_issuer_that_is_believed_name_callers_and_others_do_not() {
    let (idp, other) = (Idp::start().await, Idp::start().await);
    let issuers = json!([{"preset": "oidc", "issuer": idp.issuer, "audiences": ["https://localhost"]}]).to_string();
    let pdp = Pdp::start(&[("AUTHZEN__CALLERS__BEARER__ISSUERS", issuers.as_str())]).await;
    let ours = json!({"aud": "https://localhost"});
    let with = async |token: &str| pdp.ask(None, &bearer(token), &reads("record-1")).await;
    let answer = with(&idp.token_with(&ours)).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"decision": true})));
    assert_eq!(pdp.home.decision(answer.decision_id()).await["caller"], r#"Human::"alice""#);

    let now = json!({"aud": "https://localhost", "iat": 1_700_000_000, "exp": 1_700_000_300});
    let genuine = idp.token_with(&ours);
    let mut parts = genuine.split('.');
    let (_, claims) = (parts.next().unwrap(), parts.next().unwrap());
    let none = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#));
    for token in [
        idp.token(),
        idp.token_with(&now),
        other.token_with(&ours),
        other.token_with(&json!({"aud": "https://localhost", "iss": idp.issuer})),
        none,
        format!("{genuine}x"),
        "opaque".to_owned(),
        String::new(),
    ] {
        assert_nobody(&with(&token).await, INVALID);
    }
    let path = format!("/access/v1/evaluation?access_token={genuine}");
    assert_nobody(&pdp.post(&path, None, "", &reads("record-1")).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_credential_and_it_must_count() {
    let pdp = Pdp::start(&[]).await;
    let key = bearer(KEY);
    let answer = pdp.ask(None, &key, &reads("record-1")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"decision": true})));
    assert_eq!(pdp.home.decision(answer.decision_id()).await["caller"], "gateway");
    assert_nobody(&pdp.ask(None, &bearer("it-key-0123456789-abcdefghijkm"), &reads("record-1")).await, INVALID);
    assert_nobody(&pdp.ask(None, "authorization: Basic Z2F0ZXdheTp4\r\n", &reads("record-1")).await, INVALID);

    let backend = pdp.identity(BACKEND, "1h");
    for (identity, headers) in [(Some(&backend), key.clone()), (None, format!("{key}{key}"))] {
        let answer = pdp.ask(identity, &headers, &reads("record-1")).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.json()["error"]["message"], "there must not be more than one credential");
        assert_eq!(answer.headers["www-authenticate"], r#"Bearer realm="authzen", error="invalid_request""#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_machine_is_known_on_a_unix_socket() {
    let uid = geteuid().as_raw();
    let users = json!([{"name": "sidecar", "uid": uid}]).to_string();
    let pdp = Pdp::start(&[("AUTHZEN__CALLERS__USERS", users.as_str())]).await;
    let answer = ask(&pdp.home.authzen_socket(), &reads("record-1").to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(pdp.home.decision(answer.decision_id()).await["caller"], "sidecar");
    let headers = [("content-type", "application/json"), ("authorization", &format!("Bearer {KEY}"))];
    let body = reads("record-1").to_string();
    let socket = pdp.home.authzen_socket();
    let answer = send_unix(&socket, "POST", "/access/v1/evaluation", &headers, body.as_bytes()).await;
    assert_eq!(pdp.home.decision(answer.decision_id()).await["caller"], "gateway", "what is shown says more");
    drop(pdp);

    let others = json!([{"name": "sidecar", "uid": uid + 1}]).to_string();
    let pdp = Pdp::start(&[("AUTHZEN__CALLERS__USERS", others.as_str())]).await;
    assert_nobody(&ask(&pdp.home.authzen_socket(), &body).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_say_who_may_ask_about_whom() {
    let pdp = Pdp::start(&[("AUTHZEN__CALLERS__POLICY", "true")]).await;
    let backend = pdp.identity(BACKEND, "1h");
    let ours = async |question: &Value| pdp.ask(Some(&backend), "", question).await;
    assert_eq!(ours(&reads("record-1")).await.json(), json!({"decision": true}));
    let mut writes = reads("record-1");
    writes["action"]["name"] = json!("write");
    for question in [&writes, &reads("record-2")] {
        let answer = ours(question).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.json(), json!({"error": {"status": 403, "message": "the caller may not ask this"}}));
        let record = pdp.home.decision(answer.decision_id()).await;
        assert_eq!((&record["reason"], &record["caller"]), (&json!("caller_not_permitted"), &json!(BACKEND)));
    }
    let gateway = pdp.ask(None, &bearer(KEY), &reads("record-2")).await;
    assert_eq!((gateway.status, gateway.json()), (200, json!({"decision": true})));
    let nobody = pdp.ask(Some(&pdp.identity("spiffe://example.org/web", "1h")), "", &reads("record-1")).await;
    assert_eq!(nobody.status, 403, "who is known may still ask nothing: {nobody:?}");

    let search = json!({"subject": {"type": "user"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"}});
    let path = "/access/v1/search/subject";
    let refused = pdp.post(path, Some(&backend), "", &search).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let found = pdp.post(path, None, &bearer(KEY), &search).await.json();
    assert_eq!(found["results"], json!([{"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}]));
    let record = pdp.home.records().into_iter().find(|record| record["error"] == "caller_not_permitted").unwrap();
    assert_eq!(record["caller"], BACKEND);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_each_question_is_asked_about() {
    let pdp = Pdp::start(&[("AUTHZEN__CALLERS__POLICY", "true")]).await;
    let backend = pdp.identity(BACKEND, "1h");
    let batch = |items: &[Value]| {
        json!({"subject": {"type": "user", "id": "bob"}, "action": {"name": "read"},
        "evaluations": items})
    };
    let record = |id: &str| json!({"resource": {"type": "record", "id": id}});
    let path = "/access/v1/evaluations";
    let body = batch(&[record("record-1"), record("record-2"), record("record-1")]);
    let refused =
        json!({"decision": false, "context": {"error": {"status": 403, "message": "the caller may not ask this"}}});
    let answer = pdp.post(path, Some(&backend), "", &body).await;
    assert_eq!(
        (answer.status, answer.json()["evaluations"].clone()),
        (200, json!([{"decision": true}, refused, {"decision": true}]))
    );
    let answer = pdp.post(path, Some(&backend), "", &batch(&[record("record-2"), record("record-2")])).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_can_not_say_who_may_ask_never_take_over() {
    let pdp = Pdp::start(&[("AUTHZEN__CALLERS__POLICY", "true")]).await;
    let policies = pdp.home.policies();
    std::fs::remove_file(policies.join("callers.cedar")).unwrap();
    let plain = root().join("examples/authzen-certification/certification.cedarschema");
    std::fs::copy(plain, policies.join("records.cedarschema")).unwrap();
    eventually("the refusal is told", async || {
        let ready = pdp.gateway.operations("/readyz").await.body;
        ready.contains("authzen.callers.policy").then_some(())
    })
    .await;
    assert_eq!(pdp.ask(None, &bearer(KEY), &reads("record-1")).await.status, 200, "the last good ones decide");
    let web = pdp.identity("spiffe://example.org/web", "1h");
    assert_eq!(pdp.ask(Some(&web), "", &reads("record-1")).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_policies_can_not_say_who_may_ask_fails_and_says_why() {
    let home = Home::new();
    let users = json!([{"name": "sidecar", "uid": 0}]).to_string();
    let settings = [("AUTHZEN__CALLERS__POLICY", "true"), ("AUTHZEN__CALLERS__USERS", users.as_str())];
    let mut gateway = Gateway::spawn(&home, &settings, &[]);
    let status = gateway.process.ended().await;
    assert!(!status.success());
    let said = gateway.process.output();
    assert!(said.contains(r#"no action `Portcullis::Action::"evaluate"`"#), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_may_not_say_counts_for_nothing() {
    let may = json!([{"caller": "gateway", "subject": "*"}, {"caller": BACKEND, "resource": ["status"]}]).to_string();
    let pdp = Pdp::start(&[("AUTHZEN__CALLERS__PROPERTIES", may.as_str())]).await;
    let backend = pdp.identity(BACKEND, "1h");
    let question = json!({
        "subject": {"type": "user", "id": "bob", "properties": {"role": "admin"}},
        "action": {"name": "write"},
        "resource": {"type": "record", "id": "record-1"}});
    assert_eq!(pdp.ask(None, &bearer(KEY), &question).await.json(), json!({"decision": true}));
    assert_eq!(pdp.ask(Some(&backend), "", &question).await.json(), json!({"decision": false}));
    let item = json!({"evaluations": [question]});
    let answer = pdp.post("/access/v1/evaluations", Some(&backend), "", &item).await;
    assert_eq!(answer.json(), json!({"evaluations": [{"decision": false}]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_and_silence_cost_their_own_connection_alone() {
    let pdp = Pdp::start(&[]).await;
    let mut silent = TcpStream::connect(("127.0.0.1", pdp.port)).await.unwrap();
    for noise in [&b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b"\x00\x01\x02\x03"] {
        let mut stream = TcpStream::connect(("127.0.0.1", pdp.port)).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        let _reset = stream.read_to_end(&mut said).await;
        assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "no word in the clear: {said:?}");
    }
    assert_eq!(pdp.ask(None, &bearer(KEY), &reads("record-1")).await.status, 200);
    let mut said = Vec::new();
    // It ends by itself: the handshake has a deadline.
    let _reset = silent.read_to_end(&mut said).await;
    assert!(said.is_empty(), "{said:?}");
    let failures = r#"portcullis_server_handshake_failures_total{listener="authzen"}"#;
    eventually("all of them are counted", async || (pdp.gateway.metric(failures).await > 3.5).then_some(())).await;
}

/// What the listener shows.
async fn shown(port: u16) -> Vec<u8> {
    let stream = tls::connect(port, None).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_svid_that_is_shown_is_renewed_and_recorded() {
    let pdp = Pdp::start(&[("AUTHZEN__TLS__SVID__TTL", "20s")]).await;
    let first = shown(pdp.port).await;
    let (_, leaf) = x509_parser::parse_x509_certificate(&first).unwrap();
    let names = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value);
    assert!(names.contains("spiffe://example.org/pdp") && names.contains("localhost"), "{names}");
    eventually("another one is shown", async || (shown(pdp.port).await != first).then_some(())).await;
    let records = pdp.home.records();
    let own = records.iter().filter(|record| record["spiffe_id"] == "spiffe://example.org/pdp");
    assert!(own.count() >= 2, "each is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_svid_that_is_shown_is_replaced_when_its_authority_is_tainted() {
    let pdp = Pdp::start(&[]).await;
    let authority = |arguments: &[&str]| {
        let output = pdp.admin(&[&["localauthority", "x509"], arguments, &["-output", "json"]].concat());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let state = answer.as_object().unwrap().values().next().unwrap();
        state["authority_id"].as_str().unwrap().to_owned()
    };
    let (old, first) = (authority(&["show"]), shown(pdp.port).await);
    let next = authority(&["prepare"]);
    authority(&["activate", "-authorityID", &next]);
    assert_eq!(shown(pdp.port).await, first, "an old authority is still believed");
    authority(&["taint", "-authorityID", &old]);
    eventually("another one is shown", async || (shown(pdp.port).await != first).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_in_files_is_read_anew_and_one_that_is_broken_is_not_shown() {
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
    let write = || {
        let made = Stranger::of("files.test").leaf("https://files.test");
        std::fs::write(&certificate, &made.0).unwrap();
        std::fs::write(&key, &made.1).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(made.0.as_bytes()).unwrap();
        pem.contents
    };
    let first = write();
    let tls = json!({"certificate_file": certificate, "key_file": key}).to_string();
    let home = Home::new();
    let port = free_port();
    let listen = format!("tls:127.0.0.1:{port}");
    let settings = [("LISTEN__AUTHZEN", listen.as_str()), ("AUTHZEN__TLS", tls.as_str())];
    let gateway = Gateway::start(&home, &settings).await;
    assert_eq!(shown(port).await, first);
    let second = write();
    eventually("the new one is shown", async || (shown(port).await == second).then_some(())).await;
    std::fs::write(&key, "no key").unwrap();
    eventually("the broken one is told", async || {
        gateway.operations("/readyz").await.body.contains("authzen_tls").then_some(())
    })
    .await;
    assert_eq!(shown(port).await, second);
    let third = write();
    eventually("and repaired", async || (shown(port).await == third).then_some(())).await;
}
