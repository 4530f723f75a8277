//! `docs/audit.md` is run: its commands in their order, on the log of a gateway that has decided.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::audit::Log;
use crate::support::envoy::free_port;
use crate::support::gateway::{Gateway, Home};
use crate::support::guide::{blocks, commands};
use crate::support::http::ask;

const GUIDE: &str = include_str!("../../docs/audit.md");

/// The decision of the guide, and where its gateway listens.
const ID: &str = "019a…";
const AUTHZEN: &str = "127.0.0.1:8181";
const OPERATIONS: &str = "127.0.0.1:9901";

const PERMIT: &str = r#"@id("web-connects")
permit(principal == Workload::"spiffe://example.org/web", action == Action::"connect", resource);"#;

const QUESTION: &str = r#"{
    "subject": {"type": "Workload", "id": "spiffe://example.org/web"}, "action": {"name": "connect"},
    "resource": {"type": "Service", "id": "orders"},
    "context": {"channel": "web", "user": {"email": "alice@example.org"}}
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_does_what_it_says() {
    let home = Home::new();
    fs::write(home.policies().join("more.cedar"), PERMIT).unwrap();
    let [authzen, operations] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let listen = |name: &str, address: &str| {
        json!([format!("unix:{}", home.path().join(name).display()), format!("tcp:{address}")]).to_string()
    };
    let kept = blocks(GUIDE, "yaml").into_iter().find_map(|block| block.split_once("  context:\n")).unwrap().1;
    let (asked, read) = (listen("authzen.sock", &authzen), listen("operations.sock", &operations));
    let settings = [
        ("LISTEN__AUTHZEN", asked.as_str()),
        ("LISTEN__OPERATIONS", read.as_str()),
        ("AUDIT__CONTEXT", kept),
        ("AUDIT__RECEIPT_URL", "https://gate-1.example.org"),
    ];
    let _gateway = Gateway::start(&home, &settings).await;
    let id = ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned();
    let log = Log::of(&home);
    log.receipt(&id, &home.path().join("receipt")).await;
    // It is handed out by another way than the log.
    fs::copy(log.key(), home.path().join("verifier")).unwrap();

    let binaries = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap();
    let mut run = 0;
    for (command, printed) in blocks(GUIDE, "console").into_iter().flat_map(commands) {
        let command = command.replace(ID, &id).replace(AUTHZEN, &authzen).replace(OPERATIONS, &operations);
        let script = format!("PATH=\"{}:$PATH\"\n{command}", binaries.display());
        let output = Command::new("sh").args(["-ec", &script]).current_dir(home.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        if !printed.is_empty() {
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(plain(said.trim_end()), plain(printed.trim_end()), "{command}");
        }
        run += 1;
    }
    assert!(run >= 13, "the guide is not understood: only {run} commands");
    for file in ["receipt", "disclosure"] {
        assert!(fs::metadata(home.path().join(file)).unwrap().len() > 0, "{file}");
    }
}

/// A text with one id in place of each, and one number.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.get(..36).filter(|id| is_id(id)).and(rest.get(36..)) {
            plain.push_str(ID);
            rest = after;
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    let numbers = plain.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty());
    numbers.collect::<Vec<_>>().join("0")
}

fn is_id(text: &str) -> bool {
    let dash = |place| matches!(place, 8 | 13 | 18 | 23);
    text.bytes().enumerate().all(|(place, byte)| if dash(place) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}
