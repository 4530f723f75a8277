//! What the log of decisions is good for afterwards: decisions that are explained, parts of them disclosed, receipts.

use std::fs;

use serde_json::Value;

use crate::audit::{Log, QUESTION, audit, audit_ok, audit_refuses, files, stop};
use crate::support::envoy::access_log;
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;
use crate::support::mesh::Mesh;

/// Configuration of what is kept of questions.
const KEPT: &str = "[{path: channel}, {path: email, redact: true}, {header: x-tenant, redact: true}]";

const PERMIT: &str = r#"@id("web-connects")
permit(principal == Workload::"spiffe://example.org/web", action == Action::"connect", resource);"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_explained_under_the_policies_of_its_time_long_after_they_changed() {
    let home = Home::new();
    let log = Log::of(&home);
    fs::write(home.policies().join("more.cedar"), PERMIT).unwrap();
    let gateway = Gateway::start(&home, &[("AUDIT__REQUEST", "full")]).await;
    let denied = QUESTION.replace("/web", "/nobody");
    let mut ids = Vec::new();
    for question in [QUESTION, &denied] {
        ids.push(ask(&home.authzen_socket(), question).await.decision_id().to_owned());
    }
    stop(gateway).await;
    // What decides now is nothing like what decided then.
    for file in fs::read_dir(home.policies()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            fs::write(path, "permit(principal, action, resource);").unwrap();
        }
    }
    let gateway = Gateway::start(&home, &[]).await;
    let later = ask(&home.authzen_socket(), &denied).await.decision_id().to_owned();
    stop(gateway).await;

    let explain =
        |id: &str| -> Value { serde_json::from_str(&audit_ok(&log.arguments("explain", &[id, "--json"]))).unwrap() };
    let (allowed, denied, later) = (explain(&ids[0]), explain(&ids[1]), explain(&later));
    assert_eq!(
        (&allowed["effect"], &allowed["request"], &allowed["agrees"]),
        (&"permitted".into(), &"recorded".into(), &true.into())
    );
    assert_eq!(allowed["reasons"][0]["without"], "no_permit", "{allowed}");
    assert_eq!((&denied["effect"], &denied["agrees"]), (&"no_permit".into(), &true.into()));
    assert_eq!(
        (&denied["near"][0]["id"], &denied["near"][0]["unmet"][0]["part"]),
        (&"web-connects".into(), &"principal".into())
    );
    // Without all of the question in the record, there is just enough of it here: it has no context.
    assert_eq!((&later["effect"], &later["request"]), (&"permitted".into(), &"rebuilt".into()));
    assert_ne!(later["policy_digest"], denied["policy_digest"]);
    let told = audit_ok(&log.arguments("explain", &[&ids[1]]));
    assert!(told.contains("nothing permits it") && told.contains("as they were recorded"), "{told}");

    let digest = denied["policy_digest"].as_str().unwrap();
    fs::write(log.0.join("policies").join(digest), "permit(principal, action, resource);").unwrap();
    assert!(audit_refuses(&log.arguments("explain", &[&ids[1]])).contains("is not what it was"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_part_is_in_no_file_and_is_disclosed_to_whom_it_may_concern() {
    let home = Home::new();
    let log = Log::of(&home);
    let config = home.path().join("kept.yaml");
    let _gateway = Gateway::start(&home, &[("AUDIT__CONTEXT", KEPT)]).await;
    let question = QUESTION.trim_end().trim_end_matches('}').to_owned()
        + r#", "context": {"email": "alice@example.org", "channel": "web", "more": 1}}"#;
    let id = ask(&home.authzen_socket(), &question).await.decision_id().to_owned();
    let (receipt, key) = (home.path().join("receipt"), log.key());
    log.receipt(&id, &receipt).await;
    let proved: Value =
        serde_json::from_str(&audit_ok(&["verify-receipt", receipt.to_str().unwrap(), "--key", &key])).unwrap();
    let fields = proved["record"]["fields"].as_array().unwrap();
    assert_eq!(fields[0]["value"], "\"web\"");
    assert_eq!((&fields[1]["name"], &fields[1]["value"]), (&"context.email".into(), &Value::Null));
    assert_eq!(proved["record"]["context_digest"], Value::Null);
    for path in files(&log.0.join("tile")) {
        assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("alice@"), "{}", path.display());
    }

    let disclosed = audit_ok(&log.arguments("disclose", &[&id, "--field", "context.email"]));
    assert!(disclosed.contains("alice@example.org"));
    fs::write(&config, &disclosed).unwrap();
    let verify = |text: &str| {
        fs::write(&config, text).unwrap();
        let (config, receipt) = (config.to_str().unwrap(), receipt.to_str().unwrap());
        audit(&["verify-disclosure", config, "--receipt", receipt, "--key", &key])
    };
    let output = verify(&disclosed);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("alice@example.org"));
    for wrong in
        [disclosed.replace("alice", "bob"), disclosed.replace("context.email", "context.channel"), "[]".to_owned()]
    {
        assert_eq!(verify(&wrong).status.code(), Some(1), "{wrong}");
    }
    assert_eq!(audit_ok(&log.arguments("disclose", &[&id])).matches("decision_id").count(), 2);
    audit_refuses(&log.arguments("disclose", &[&id, "--field", "context.channel"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_gives_receipts_itself_once_a_checkpoint_has_the_decision() {
    let home = Home::new();
    let log = Log::of(&home);
    let gateway = Gateway::start(&home, &[("AUDIT__CHECKPOINT_EVERY", "500ms")]).await;
    let id = ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned();
    let path = format!("/v1/audit/receipt/{id}");
    let receipt = eventually("there is a receipt", async || {
        let answer = gateway.operations(&path).await;
        assert!(matches!(answer.status, 200 | 202), "{}: {}", answer.status, answer.body);
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    let file = home.path().join("receipt");
    fs::write(&file, receipt).unwrap();
    let proved = audit_ok(&["verify-receipt", file.to_str().unwrap(), "--key", &log.key()]);
    assert!(proved.contains(&id));
    let unknown = gateway.operations("/v1/audit/receipt/01a200f1-db9b-7777-b777-777777777777").await;
    assert_eq!((unknown.status, gateway.operations("/v1/audit/receipt/x").await.status), (404, 400));
}

/// The certificate by which the caller was known is in the receipt, and what it proves holds without anybody's clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_has_the_certificates_that_proved_the_caller() {
    let mesh = Mesh::start(&[]).await;
    let answer = mesh.get("/orders/17").await;
    assert_eq!(answer.status, 200);
    let records = mesh.home.records();
    let record = records.iter().rfind(|record| record["record"] == "decision").unwrap();
    let log = Log::of(&mesh.home);
    let file = mesh.home.path().join("receipt");
    let id = record["decision_id"].as_str().unwrap();
    let whole = eventually("the certificates are kept", async || {
        log.receipt(id, &file).await;
        fs::read_to_string(&file).ok().filter(|receipt| receipt.contains("BEGIN CERTIFICATE"))
    })
    .await;
    let verify = || audit(&["verify-receipt", file.to_str().unwrap(), "--key", &log.key()]);
    let proved: Value = serde_json::from_slice(&verify().stdout).unwrap();
    assert_eq!(proved["certificates"]["spiffe_id"], "spiffe://example.org/web");
    assert_eq!(proved["certificates"]["bundle_sequence"], record["bundle_sequence"]);
    assert!(record["authority"].is_string() && record["schema_digest"].is_string());
    let start = whole.find("-----BEGIN").unwrap();
    for place in (start..whole.len()).step_by(97) {
        let mut changed = whole.clone().into_bytes();
        changed[place] ^= 2;
        fs::write(&file, changed).unwrap();
        assert_eq!(verify().status.code(), Some(1), "{place}");
    }
}

/// The receipt in an answer is whole and verifies, whoever asked for it.
fn verified(home: &Home, receipt: &str) -> Value {
    let file = home.path().join("receipt-in-answer");
    fs::write(&file, receipt).unwrap();
    let proved = audit_ok(&["verify-receipt", file.to_str().unwrap(), "--key", &Log::of(home).key()]);
    serde_json::from_str(&proved).unwrap()
}

const RECEIPT_URL: (&str, &str) = ("AUDIT__RECEIPT_URL", "https://gate.example.org/");

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_its_receipt_for_who_asks_where_answers_wait_for_the_disk() {
    let asking = |wanted: &str| {
        let question = QUESTION.trim_end().trim_end_matches('}').to_owned();
        question + &format!(r#", "options": {{"receipt": "{wanted}"}}}}"#)
    };
    for durability in ["strict", "group"] {
        let home = Home::new();
        let gateway = Gateway::start(&home, &[("AUDIT__DURABILITY", durability), RECEIPT_URL]).await;
        for wanted in ["url", "proof"] {
            let answer = ask(&home.authzen_socket(), &asking(wanted)).await;
            let (id, receipt) = (answer.decision_id(), answer.json()["context"]["receipt"].clone());
            assert_eq!(receipt["url"], format!("https://gate.example.org/v1/audit/receipt/{id}"));
            assert_eq!(receipt["proof"].is_string(), (wanted, durability) == ("proof", "strict"), "{receipt}");
            if let Some(proof) = receipt["proof"].as_str() {
                assert_eq!(verified(&home, proof)["record"]["decision_id"], id);
            }
        }
        assert_eq!(ask(&home.authzen_socket(), QUESTION).await.json().get("context"), None);
        stop(gateway).await;
    }
}

/// Envoy has it in its access log, of what it lets through and of what it sends away.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_has_the_receipt_in_its_metadata_if_the_route_asks_for_it() {
    let mesh = Mesh::start_with(&[("AUDIT__DURABILITY", "strict"), RECEIPT_URL], |backend| {
        let field = |name: &str| format!("{name}: \"%DYNAMIC_METADATA(envoy.filters.http.ext_authz:{name})%\"");
        let line = backend.lines().find(|line| line.trim() == field("cache")).unwrap();
        let indent = &line[..line.len() - line.trim_start().len()];
        let more = format!("{line}\n{indent}{}\n{indent}{}", field("receipt_url"), field("receipt"));
        backend.replace(line, &more).replace("{ service: orders }", "{ service: orders, receipt: proof }")
    })
    .await;
    for (path, status) in [("/orders/17", 200), ("/admin", 403)] {
        let answer = mesh.get(path).await;
        assert_eq!(answer.status, status);
        let line = eventually("the request is in the access log", async || {
            let log = access_log(&mesh.home, "orders");
            log.lines().find(|line| line.contains(answer.decision_id())).map(str::to_owned)
        })
        .await;
        let line: Value = serde_json::from_str(&line).unwrap();
        let url = format!("https://gate.example.org/v1/audit/receipt/{}", answer.decision_id());
        assert_eq!(line["receipt_url"], url, "{line}");
        let proved = verified(&mesh.home, line["receipt"].as_str().unwrap());
        assert_eq!(proved["record"]["decision_id"], answer.decision_id());
    }
}
