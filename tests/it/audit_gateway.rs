//! What the log says of the gateway itself: when it ran, by which configuration, whom it believed and whom it turned away.

use std::fs;
use std::process::Command;

use nix::unistd::geteuid;
use portcullis::foundation::digest::Digest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::audit::{Log, QUESTION, audit_ok, stop};
use crate::audit_backlog::{Hanging, quiet};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;
use crate::support::pdp::Pdp;
use crate::support::workload_api::Client;

/// The records of one kind, in order.
fn of_kind(home: &Home, kind: &str) -> Vec<Value> {
    home.records().into_iter().filter(|record| record["record"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_begins_and_ends_is_on_record_and_its_configuration_is_kept() {
    let home = Home::new();
    stop(Gateway::start(&home, &[]).await).await;
    let mut gateway = Gateway::start(&home, &[("AUDIT__DURABILITY", "strict"), ("AUDIT__UNAVAILABLE", "alarm")]).await;
    quiet(&gateway).await;
    gateway.process.kill_hard();
    stop(Gateway::start(&home, &[]).await).await;

    let records = home.records();
    let of_process = |record: &&Value| record["record"] == "process";
    let told: Vec<_> = records.iter().filter(of_process).map(|record| record["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["start", "stop", "start", "start", "stop"], "the crash shows");
    assert!([records.first(), records.last()].into_iter().flatten().all(|record| of_process(&record)));
    let second = records.iter().filter(of_process).nth(2).unwrap();
    assert_eq!((&second["durability"], &second["unavailable"]), (&json!("strict"), &json!("alarm")));
    assert_eq!(second["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(records[0]["log_key"], second["log_key"]);

    let kept: Vec<_> = fs::read_dir(Log::of(&home).0.join("configurations")).unwrap().map(Result::unwrap).collect();
    assert_eq!(kept.len(), 2, "one for each configuration");
    for file in kept {
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(Digest::of(text.as_bytes()).to_string(), file.file_name().to_str().unwrap());
        assert!(text.contains("trust_domain: example.org"), "{text}");
    }
    let log = Log::of(&home);
    audit_ok(&log.arguments("verify", &["--key", &log.key()]));
}

/// With the same key it would sign a history that contradicts the one that others have seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_emptied_is_not_begun_anew() {
    let home = Home::new();
    stop(Gateway::start(&home, &[]).await).await;
    let log = Log::of(&home).0;
    for gone in ["tile", "journal"] {
        fs::remove_dir_all(log.join(gone)).unwrap();
    }
    fs::remove_file(log.join("checkpoint")).unwrap();
    let mut gateway = Gateway::spawn(&home, &[], &[]);
    assert_eq!(gateway.process.ended().await.code(), Some(70));
    let said = gateway.process.output();
    assert!(said.contains("neither a checkpoint nor an entry of it"), "{said}");
    assert!(!log.join("tile").exists() && !log.join("checkpoint").exists());
    // Whoever wants another log says so.
    fs::remove_file(log.join("verifier")).unwrap();
    stop(Gateway::start(&home, &[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_record_leave_one_that_counts_them() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[("AUDIT__QUEUE", "5"), ("AUDIT__UNAVAILABLE", "alarm")]).await;
    quiet(&gateway).await;
    let hanging = Hanging::of(&home);
    for _ in 0..12 {
        assert_eq!(ask(&home.authzen_socket(), QUESTION).await.status, 200);
    }
    hanging.end();
    let told = eventually("the gap is on record", async || of_kind(&home, "unrecorded").pop()).await;
    assert_eq!(told["count"], 7);
    assert!(told["since"].as_str().unwrap() < told["time"].as_str().unwrap());
    stop(gateway).await;
    assert_eq!(of_kind(&home, "unrecorded").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bundle_that_changes_is_on_record() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[]).await;
    let authority = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = command.args(arguments).args(["-socketPath"]).arg(home.admin_socket()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let bundles = eventually("the first bundle is on record", async || {
        Some(of_kind(&home, "bundle")).filter(|bundles| !bundles.is_empty())
    });
    let first = bundles.await.remove(0);
    assert_eq!(first["trust_domain"], "example.org");
    assert_eq!(first["x509_authorities"].as_array().unwrap().len(), 1);
    authority(&["localauthority", "x509", "prepare"]);
    let second = eventually("the bundle with two authorities is on record", async || {
        of_kind(&home, "bundle").into_iter().find(|bundle| bundle["x509_authorities"].as_array().unwrap().len() == 2)
    });
    let second = second.await;
    assert_eq!(second["x509_authorities"][0], first["x509_authorities"][0]);
    assert!(second["bundle_sequence"].as_u64() > first["bundle_sequence"].as_u64());
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_nobody_knows_are_on_record_and_what_sources_say() {
    let home = Home::new();
    let uid = geteuid().as_raw();
    let others = json!([{"name": "sidecar", "uid": uid + 1}]).to_string();
    let people = home.path().join("people.json");
    fs::write(&people, "[]").unwrap();
    let sources = format!("[{{name: people, files: {}}}]", people.display());
    let settings = [("AUTHZEN__CALLERS__USERS", others.as_str()), ("DECISION__ENTITIES", sources.as_str())];
    let gateway = Gateway::start(&home, &settings).await;
    for _ in 0..3 {
        assert_eq!(ask(&home.authzen_socket(), QUESTION).await.status, 401);
    }
    fs::write(&people, "[{").unwrap();
    let failed = eventually("the broken source is on record", async || {
        of_kind(&home, "entity_load").into_iter().find(|record| record["error"].is_string())
    });
    let failed = failed.await;
    assert_eq!((&failed["source"], &failed["entities"]), (&json!("people"), &json!(0)));
    assert!(failed["error"].as_str().unwrap().contains("people.json:1:"), "{failed}");
    stop(gateway).await;
    let told = of_kind(&home, "turned_away");
    let [told] = &*told else { panic!("{told:?}") };
    assert_eq!(
        (&told["edge"], &told["reason"], &told["count"]),
        (&json!("authzen"), &json!("unknown_caller"), &json!(3))
    );
    assert_eq!(told["peers"], json!([format!("uid {uid}")]));
    assert!(of_kind(&home, "decision").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_no_further_than_the_door_is_on_record_too() {
    let pdp = Pdp::start(&[]).await;
    let mut workload = Client::connect(&pdp.home.workload_socket()).await;
    for _ in 0..2 {
        assert!(workload.validate("anyone", "e30.e30.e30").await.is_err());
    }
    let mut plain = TcpStream::connect(("127.0.0.1", pdp.port)).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let _alert = plain.read_to_end(&mut Vec::new()).await;
    stop(pdp.gateway).await;
    let told: Vec<_> = of_kind(&pdp.home, "turned_away")
        .iter()
        .map(|told| json!([told["edge"], told["reason"], told["count"]]))
        .collect();
    assert_eq!(told, [json!(["authzen", "no_handshake", 1]), json!(["workload_api", "token_rejected", 2])]);
}
