//! Where the text of `AuthZEN` can be read in two ways, or others have fallen: what we do there, each against the running
//! gateway.

use std::collections::BTreeSet;

use portcullis::foundation::digest::Digest;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::support::authzen::{EVALUATION, EVALUATIONS, METADATA, Pdp, SEARCHES, assert_error, entity, question, with};
use crate::support::http::exchange;

const JSON: (&str, &str) = ("content-type", "application/json");
const IDENTIFIER: (&str, &str) = ("AUTHZEN__IDENTIFIER", "https://pdp.example.com");

fn alice_reads() -> Value {
    question("user/alice", "read", "record/record-1")
}

fn decisions(answer: &Value) -> Vec<bool> {
    answer["evaluations"].as_array().unwrap().iter().map(|item| item["decision"].as_bool().unwrap()).collect()
}

async fn metadata(pdp: &Pdp) -> Value {
    pdp.send("GET", METADATA, &[], "").await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_01_capabilities_have_one_name_and_are_left_out_if_there_are_none() {
    let pdp = Pdp::start("authzen-certification", &[IDENTIFIER]).await;
    let metadata = metadata(&pdp).await;
    assert!(metadata.get("supported_capabilities").is_none());
    assert!(metadata.get("capabilities").is_none(), "the core registers none, and an empty list is a missing value");
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_02_defaults_are_replaced_whole_and_may_be_empty() {
    let pdp = Pdp::certification().await;
    let archived = json!({"type": "record", "id": "record-1", "properties": {"status": "archived"}});
    let body = json!({
        "subject": entity("user/alice"), "action": {"name": "write"}, "resource": archived, "context": {},
        "evaluations": [{}, {"resource": entity("record/record-1")}, {"resource": {"id": "record-1"}}],
    });
    assert_eq!(decisions(&pdp.answer(EVALUATIONS, &body).await), [false, true, false], "no member of it is merged");
    let empty = json!({
        "subject": {}, "action": {}, "resource": {}, "context": {},
        "evaluations": [alice_reads(), {"subject": entity("user/alice")}],
    });
    assert_eq!(decisions(&pdp.answer(EVALUATIONS, &empty).await), [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_03_what_is_missing_is_400_of_the_whole_and_a_denial_of_an_item() {
    let pdp = Pdp::certification().await;
    for part in ["subject", "action", "resource"] {
        let mut lacking = alice_reads();
        lacking.as_object_mut().unwrap().remove(part);
        assert_error(&pdp.post(EVALUATION, &lacking).await, 400);
        assert_error(&pdp.post(EVALUATIONS, &lacking).await, 400);
        let batch = json!({"evaluations": [lacking, alice_reads()]});
        assert_eq!(decisions(&pdp.answer(EVALUATIONS, &batch).await), [false, true]);
    }
    for bad in [json!({}), json!("a"), json!(1)] {
        assert_error(&pdp.post(EVALUATIONS, &with(&alice_reads(), json!({"evaluations": bad}))).await, 400);
        let odd = with(&alice_reads(), json!({"options": [bad]}));
        assert_error(&pdp.post(EVALUATIONS, &odd).await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_04_an_error_is_a_json_object_with_a_message() {
    let pdp = Pdp::certification().await;
    assert_error(&pdp.post(EVALUATION, &json!({})).await, 400);
    assert_error(&pdp.send("GET", EVALUATION, &[], "").await, 405);
    assert_error(&pdp.send("GET", "/nowhere", &[], "").await, 404);
    assert_error(&pdp.send("POST", EVALUATION, &[JSON], &" ".repeat((1 << 20) + 1)).await, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_05_another_content_type_is_400_and_another_method_405() {
    let pdp = Pdp::certification().await;
    let body = alice_reads().to_string();
    assert_error(&pdp.send("POST", EVALUATION, &[("content-type", "text/plain")], &body).await, 400);
    assert_error(&pdp.send("PUT", EVALUATION, &[JSON], &body).await, 405);
    assert_error(&pdp.send("QUERY", EVALUATION, &[JSON], &body).await, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_06_limits_of_nothing_of_too_much_and_none() {
    let pdp = Pdp::start("authzen-certification", &[("AUTHZEN__MAX_PAGE_SIZE", "1")]).await;
    let [_, (_, path), _] = SEARCHES;
    let body = with(&alice_reads(), json!({"resource": {"type": "record"}}));
    let page = async |page: Value| pdp.answer(path, &with(&body, json!({ "page": page }))).await;
    let none = page(json!({"limit": 0})).await;
    assert_eq!(none["results"], json!([]));
    assert_ne!(none["page"]["next_token"], "", "there is more than nothing");
    for first in [page(json!({"limit": 1_000_000})).await, page(json!({})).await, pdp.answer(path, &body).await] {
        assert_eq!(first["results"], json!([{"type": "record", "id": "record-1"}]));
        let token = &first["page"]["next_token"];
        let last = page(json!({ "token": token })).await;
        assert_eq!(last, json!({"page": {"next_token": ""}, "results": [{"type": "record", "id": "record-2"}]}));
    }
    let first = page(json!({"limit": 1})).await;
    let token = &first["page"]["next_token"];
    assert_eq!(page(json!({"token": token, "limit": 1})).await["results"][0]["id"], "record-2");
    let changed = with(&body, json!({"page": {"token": token, "limit": 2}}));
    assert_error(&pdp.post(path, &changed).await, 400);
    let other = with(&changed, json!({"action": {"name": "write"}, "page": {"token": token}}));
    assert_error(&pdp.post(path, &other).await, 400);
    for bad in [json!({"token": "garbage"}), json!({"limit": -1}), json!({"limit": "1"}), json!({"limit": 1.5})] {
        assert_error(&pdp.post(path, &with(&body, json!({ "page": bad }))).await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_07_a_request_id_comes_back_on_every_answer_if_it_is_one() {
    let pdp = Pdp::start("authzen-certification", &[IDENTIFIER]).await;
    let [(_, subjects), _, (_, actions)] = SEARCHES;
    let good = alice_reads().to_string();
    for (method, path, body, status) in [
        ("POST", EVALUATION, &*good, 200),
        ("POST", EVALUATIONS, &*good, 200),
        ("POST", subjects, &*good, 200),
        ("POST", actions, "{", 400),
        ("GET", EVALUATION, "", 405),
        ("GET", METADATA, "", 200),
        ("GET", "/nowhere", "", 404),
    ] {
        let id = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716";
        let answer = pdp.send(method, path, &[JSON, ("x-request-id", id)], body).await;
        assert_eq!((answer.status, &*answer.headers["x-request-id"]), (status, id), "{method} {path}");
        let without = pdp.send(method, path, &[JSON], body).await;
        assert!(!without.headers.contains_key("x-request-id"), "an id is the client's to give");
    }
    for (id, comes_back) in
        [("i".repeat(128), true), ("i".repeat(129), false), ("a b".into(), false), ("ä".into(), false)]
    {
        let answer = pdp.send("POST", EVALUATION, &[JSON, ("x-request-id", &id)], &good).await;
        assert_eq!((answer.status, answer.headers.contains_key("x-request-id")), (200, comes_back), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_08_a_decision_says_why_only_where_that_was_configured() {
    let asks = with(&alice_reads(), json!({"options": {"decision_context": true}}));
    let silent = Pdp::certification().await;
    assert_eq!(silent.answer(EVALUATION, &asks).await, json!({"decision": true}));
    let asked = Pdp::start("authzen-certification", &[("AUTHZEN__DECISION_CONTEXT_ON_REQUEST", "true")]).await;
    assert_eq!(asked.answer(EVALUATION, &alice_reads()).await, json!({"decision": true}));
    let answer = asked.post(EVALUATION, &asks).await;
    let context = answer.json()["context"].clone();
    assert_eq!((&context["reason"], &context["policies"]), (&json!("permitted"), &json!(["members-read"])));
    assert_eq!(context["decision_id"], answer.decision_id());
    let batch = json!({"options": {"decision_context": true}, "evaluations": [alice_reads(), {}]});
    let items = asked.answer(EVALUATIONS, &batch).await;
    assert_eq!(items["evaluations"][0]["context"]["reason"], "permitted");
    let error = json!({"status": 400, "message": "`subject` is missing"});
    assert_eq!(items["evaluations"][1]["context"]["error"], error);
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_09_what_is_stored_counts_and_parents_are_nobodys_to_claim() {
    let pdp = Pdp::start("authzen-search", &[]).await;
    let mut claims = question("user/erin", "view", "record/101");
    assert_eq!(pdp.answer(EVALUATION, &claims).await["decision"], false);
    claims["subject"]["properties"] = json!({"department": "Legal", "role": "manager"});
    claims["subject"]["parents"] = json!([{"type": "role", "id": "manager"}]);
    claims["resource"]["properties"] = json!({"owner": {"type": "user", "id": "erin"}, "department": "Finance"});
    assert_eq!(pdp.answer(EVALUATION, &claims).await["decision"], false);
    let pdp = Pdp::certification().await;
    let mut fills_in = question("user/bob", "write", "record/record-1");
    assert_eq!(pdp.answer(EVALUATION, &fills_in).await["decision"], false);
    fills_in["subject"]["properties"] = json!({"role": "admin"});
    assert_eq!(pdp.answer(EVALUATION, &fills_in).await["decision"], true, "what is not stored is the caller's to say");
    fills_in["resource"]["properties"] = json!({"status": "archived"});
    assert_eq!(pdp.answer(EVALUATION, &fills_in).await["decision"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_09_who_was_granted_to_overlay_a_property_does_and_nobody_else() {
    const KEYS: [&str; 2] = ["it-key-0123456789-of-the-registry", "it-key-0123456789-of-somebody-else"];
    let named = |(name, key): (&str, &str)| json!({"name": name, "sha256": Digest::of(key.as_bytes()).to_string()});
    let keys = json!([("registry", KEYS[0]), ("other", KEYS[1])].map(named)).to_string();
    let properties = json!([
        {"caller": "registry", "subject_overlay": "department"},
        {"caller": "*", "subject": "*", "resource": "*"},
    ])
    .to_string();
    let settings = [("AUTHZEN__CALLERS__API_KEYS", &*keys), ("AUTHZEN__CALLERS__PROPERTIES", &*properties)];
    let pdp = Pdp::start("authzen-search", &settings).await;
    let by = async |caller: usize, path: &str, body: &Value| {
        let authorization = format!("Bearer {}", KEYS[caller]);
        let answer = pdp.send("POST", path, &[JSON, ("authorization", &authorization)], &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    // Record 101 is not of erin's department, which is Finance.
    let mut claims = question("user/erin", "view", "record/101");
    claims["subject"]["properties"] = json!({"department": "Legal", "role": "manager"});
    claims["subject"]["parents"] = json!([{"type": "role", "id": "manager"}]);
    for _cached in 0..2 {
        assert_eq!(by(1, EVALUATION, &claims).await, json!({"decision": false}), "what is stored comes first");
        assert_eq!(by(0, EVALUATION, &claims).await, json!({"decision": true}));
        let batch = json!({"evaluations": [claims, question("user/erin", "view", "record/101")]});
        let both = by(0, EVALUATIONS, &batch).await;
        assert_eq!(both, json!({"evaluations": [{"decision": true}, {"decision": false}]}));
    }
    claims["action"]["name"] = json!("edit");
    assert_eq!(
        by(0, EVALUATION, &claims).await,
        json!({"decision": false}),
        "that is for managers, and nobody is one by saying so"
    );
    claims["action"]["name"] = json!("view");
    claims["subject"]["properties"]["department"] = json!(7);
    assert_eq!(
        by(0, EVALUATION, &claims).await,
        json!({"decision": false}),
        "no department, and not the stored one either"
    );

    claims["subject"]["properties"]["department"] = json!("Legal");
    let [(_, subjects), (_, resources), _] = SEARCHES;
    let mut whose = claims.clone();
    whose["resource"] = json!({"type": "record"});
    let found = by(0, resources, &whose).await;
    let plain = by(1, resources, &whose).await;
    let has = |answer: &Value| answer["results"].as_array().unwrap().iter().any(|found| found["id"] == "101");
    assert_eq!((has(&found), has(&plain)), (true, false), "a search finds what an evaluation permits");
    let mut who = claims.clone();
    who["subject"] = json!({"type": "user", "properties": {"department": "Legal"}});
    let all = by(0, subjects, &who).await["results"].as_array().unwrap().len();
    assert_eq!(all, 6, "everybody would be of that department");
    assert!(by(1, subjects, &who).await["results"].as_array().unwrap().len() < 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_10_properties_of_the_action_reach_the_policies() {
    let pdp = Pdp::certification().await;
    let mut deletes = question("user/alice", "delete", "record/record-1");
    for (properties, expected) in [
        (json!({"soft": true}), true),
        (json!({"soft": false}), false),
        (json!({"soft": "true"}), false),
        (json!({"soft": true, "unknown": [1]}), true),
        (json!({}), false),
    ] {
        deletes["action"]["properties"] = properties.clone();
        assert_eq!(pdp.answer(EVALUATION, &deletes).await["decision"], expected, "{properties}");
    }
    deletes["action"]["properties"] = json!({});
    deletes["context"] = json!({"action": {"soft": true}});
    assert_eq!(pdp.answer(EVALUATION, &deletes).await["decision"], false, "the context is not the action");
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_11_what_cedar_has_no_value_for_is_decided_or_400() {
    let pdp = Pdp::certification().await;
    let odd = [
        json!(null),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!([1, "a", null, {"b": []}]),
        json!({"": null}),
        json!(""),
        json!("\u{0}"),
        json!("\u{202e}"),
        json!([]),
        json!({}),
        json!(true),
    ];
    for value in &odd {
        for (part, name) in [("subject", "role"), ("resource", "status"), ("action", "soft"), ("subject", "unknown")] {
            let mut body = alice_reads();
            body[part]["properties"] = json!({ name: value });
            body["context"] = json!({"x": value, "action": value, "": value});
            let answer = pdp.answer(EVALUATION, &body).await;
            assert!(answer["decision"].is_boolean(), "{body}");
            for (_, path) in SEARCHES {
                assert_eq!(pdp.post(path, &body).await.status, 200, "{path} {body}");
            }
        }
    }
    for name in ["http:route", "spiffe-id", "a::b", "::", "a b", "user\n", "\"", "\u{0}", "ユーザー", "Action", "if"]
    {
        for part in ["subject", "resource"] {
            let mut body = alice_reads();
            body[part]["type"] = json!(name);
            assert_eq!(pdp.answer(EVALUATION, &body).await, json!({"decision": false}), "{name:?}");
            body = alice_reads();
            body[part]["id"] = json!(name);
            assert_eq!(pdp.answer(EVALUATION, &body).await, json!({"decision": false}), "{name:?}");
            for (_, path) in SEARCHES {
                body[part] = json!({"type": name, "id": name});
                assert_eq!(pdp.answer(path, &body).await, json!({"results": []}), "{path} {name:?}");
            }
        }
        let mut body = alice_reads();
        body["action"]["name"] = json!(name);
        assert_eq!(pdp.answer(EVALUATION, &body).await, json!({"decision": false}), "{name:?}");
    }
    let good = alice_reads().to_string();
    for bad in [
        good.replace(r#""id":"alice""#, r#""id":"alice","id":"bob""#),
        good.replace("alice", r"\ud800"),
        good.replace("alice", "\u{ffff}"),
        good.replace("\"alice\"", "\"\""),
        good.replacen('{', &format!(r#"{{"x":{}{},"#, "[".repeat(40), "]".repeat(40)), 1),
        good.replacen('{', r#"{"x":1e999,"#, 1),
    ] {
        assert_ne!(bad, good);
        assert_error(&pdp.send("POST", EVALUATION, &[JSON], &bad).await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_12_what_the_schema_lacks_is_denied_and_not_found() {
    let pdp = Pdp::certification().await;
    for (subject, action, resource) in [
        ("robot/r2", "read", "record/record-1"),
        ("user/alice", "fly", "record/record-1"),
        ("user/alice", "read", "folder/f"),
        ("record/record-1", "read", "user/alice"),
    ] {
        assert!(!pdp.decides(subject, action, resource).await);
    }
    let [(_, subjects), _, _] = SEARCHES;
    let body = with(&alice_reads(), json!({"subject": {"type": "robot"}}));
    assert_eq!(pdp.answer(subjects, &body).await, json!({"results": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_13_a_search_for_actions_finds_those_that_need_no_properties() {
    let pdp = Pdp::certification().await;
    let [_, _, (_, path)] = SEARCHES;
    let body = json!({"subject": entity("user/alice"), "resource": entity("record/record-1")});
    assert_eq!(pdp.finds(path, &body).await, ["read", "write"], "a soft deletion has to say that it is one");
    let with_action = with(&body, json!({"action": {"name": "delete", "properties": {"soft": true}}}));
    assert_eq!(pdp.finds(path, &with_action).await, ["read", "write"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_14_an_error_in_an_item_is_a_denial() {
    let pdp = Pdp::certification().await;
    let mut body = json!({
        "options": {"evaluations_semantic": "deny_on_first_deny"},
        "evaluations": [alice_reads(), {"subject": "alice"}, alice_reads()],
    });
    assert_eq!(decisions(&pdp.answer(EVALUATIONS, &body).await), [true, false]);
    body["options"] = json!({"evaluations_semantic": "permit_on_first_permit"});
    body["evaluations"] = json!([1, {"subject": "alice"}, alice_reads(), alice_reads()]);
    assert_eq!(decisions(&pdp.answer(EVALUATIONS, &body).await), [false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_15_the_metadata_do_not_follow_from_the_request() {
    let pdp = Pdp::start("authzen-certification", &[IDENTIFIER]).await;
    let said = metadata(&pdp).await;
    let forged =
        "x-forwarded-host: evil.example\r\nx-forwarded-proto: http\r\nforwarded: host=evil.example;proto=http\r\n";
    for target in [METADATA, "http://evil.example/.well-known/authzen-configuration"] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n{forged}\r\n");
        let stream = UnixStream::connect(pdp.home.authzen_socket()).await.unwrap();
        let answer = exchange(stream, request.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut told = answer.json();
        // Each is signed by itself, so the signature may differ.
        told["signed_metadata"] = said["signed_metadata"].clone();
        assert_eq!(told, said);
        assert!(!answer.body.contains("evil"), "{answer:?}");
    }
    let silent = Pdp::certification().await;
    assert_error(&silent.send("GET", METADATA, &[], "").await, 404);
}

#[test]
fn trap_16_an_identifier_that_can_be_mistaken_is_refused_at_start() {
    for bad in [
        "https://pdp.example.com/",
        "http://pdp.example.com",
        "https://pdp.example.com?a",
        "pdp.example.com",
        "https://pdp.example.com/.well-known/authzen-configuration",
    ] {
        let set = format!("authzen.identifier={bad}");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["config", "check", "--set", &set, "-c"])
            .arg(crate::support::root().join("examples/quickstart/portcullis.yaml"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{bad}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("authzen.identifier"), "{output:?}");
    }
}

/// The core's example, the obligations profile and OAuth each spell it in another way.
#[tokio::test(flavor = "multi_thread")]
async fn trap_17_no_draft_of_a_step_up_is_spoken() {
    const POLICIES: &str = r#"
        @id("anybody-reads") permit (principal, action == Action::"read", resource);
        @id("with-a-second-factor") @step_up("acr=urn:example:mfa, amr=hwk, max_age=300")
        forbid (principal, action, resource) unless { context has mfa && context.mfa };"#;
    const SCHEMA: &str = "entity user; entity record;
        action read, write appliesTo { principal: user, resource: record, context: { mfa?: Bool } };";
    let files = [("p.cedar", POLICIES), ("s.cedarschema", SCHEMA)];
    let pdp = Pdp::of_files(&files, &[("AUTHZEN__DECISION_CONTEXT", "true")]).await;
    let denied = pdp.answer(EVALUATION, &alice_reads()).await;
    assert_eq!(denied["decision"], false);
    let context = denied["context"].as_object().unwrap();
    let members: BTreeSet<_> = context.keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["decision_id", "obligations", "policies", "reason"]));
    let properties = json!({"acr_value": "urn:example:mfa", "amr_values": ["hwk"], "max_age": 300});
    let expected = json!([{"id": "with-a-second-factor", "type": "step-up", "properties": properties}]);
    assert_eq!(context["obligations"], expected);
    let stepped_up = with(&alice_reads(), json!({"context": {"mfa": true}}));
    let permitted = pdp.answer(EVALUATION, &stepped_up).await;
    assert_eq!((&permitted["decision"], permitted["context"].get("obligations")), (&json!(true), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_18_signed_metadata_verify_with_the_trust_domains_bundle() {
    let pdp = Pdp::start("authzen-certification", &[IDENTIFIER]).await;
    let signed = metadata(&pdp).await;
    assert!(signed.get("jwks_uri").is_none(), "it is no member of the core");
    pdp.assert_signed(signed["signed_metadata"].as_str().unwrap(), &signed);
    let unsigned = Pdp::start("authzen-certification", &[IDENTIFIER, ("AUTHZEN__SIGNED_METADATA", "false")]).await;
    assert!(metadata(&unsigned).await.get("signed_metadata").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_19_what_earlier_drafts_had_is_a_stranger_or_an_error() {
    let pdp = Pdp::certification().await;
    let mut old = alice_reads();
    old["subject"]["identity"] = json!("bob");
    old["resource"]["status"] = json!("archived");
    assert_eq!(pdp.answer(EVALUATION, &old).await, json!({"decision": true}), "no property, and no identity");
    let identity = with(&alice_reads(), json!({"subject": {"type": "user", "identity": "alice"}}));
    assert_error(&pdp.post(EVALUATION, &identity).await, 400);
    let boxcar = json!({"evaluations": {"first": alice_reads()}});
    assert_error(&pdp.post(EVALUATIONS, &boxcar).await, 400);
    for (_, path) in SEARCHES {
        assert_error(&pdp.post(path, &with(&alice_reads(), json!({"page": "next"}))).await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_20_nothing_tells_a_client_to_keep_a_decision() {
    let pdp = Pdp::certification().await;
    let paths = [EVALUATION, EVALUATIONS].into_iter().chain(SEARCHES.map(|(_, path)| path));
    for path in paths {
        let answer = pdp.post(path, &alice_reads()).await;
        for name in ["cache-control", "expires", "etag", "last-modified"] {
            assert!(!answer.headers.contains_key(name), "{path} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_21_no_context_is_needed() {
    let pdp = Pdp::certification().await;
    assert_eq!(pdp.answer(EVALUATION, &alice_reads()).await, json!({"decision": true}));
    for context in [json!(null), json!({}), json!({"unknown": {"a": [1.5]}})] {
        let body = with(&alice_reads(), json!({ "context": context }));
        assert_eq!(pdp.answer(EVALUATION, &body).await, json!({"decision": true}), "{context}");
    }
}
