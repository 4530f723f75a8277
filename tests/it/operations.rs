//! Probes and metrics of the running gateway.

use std::collections::BTreeSet;
use std::path::Path;

use tokio::net::UnixStream;

use crate::support::gateway::{Gateway, Home};
use crate::support::http;
use crate::support::mesh::Mesh;
use crate::support::root;

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[]).await;
    assert_eq!(gateway.operations("/livez").await.status, 200);
    let ready = gateway.operations("/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
    assert_eq!(gateway.operations("/nothing").await.status, 404);
}

/// Found by attack: a log collector that stalled took all decisions with it, and one that died made them panic.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_no_decision() {
    let home = Home::new();
    let mut gateway = Gateway::start_unheard(&home, &[("LOG__FILTER", "debug")]).await;
    let question = UNASKABLE.replace('\n', "\r\n");
    for heard in ["never read", "closed"] {
        // Each is logged at this level; a pipe takes 64 KiB.
        for _ in 0..400 {
            let stream = UnixStream::connect(home.authzen_socket()).await.unwrap();
            let answer = http::exchange(stream, question.as_bytes());
            assert_eq!(answer.await.status, 200, "with a log that is {heard}");
        }
        gateway.process.hang_up();
    }
    assert!(gateway.metric(r#"portcullis_server_panics_total{listener="authzen"}"#).await < 0.5);
    gateway.process.terminate();
    assert!(gateway.process.ended().await.success());
}

/// A question about a path that is none.
const UNASKABLE: &str = r#"POST /access/v1/evaluation HTTP/1.1
host: h
connection: close
content-type: application/json
content-length: 146

{"subject":{"type":"Workload","id":"spiffe://example.org/web"},"action":{"name":"GET"},"resource":{"type":"Path","id":"/orders/../../admin/none"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_counted_by_outcome_and_reason() {
    let mesh = Mesh::start(&[]).await;
    for path in ["/orders/1", "/orders/1", "/admin"] {
        mesh.get(path).await;
    }
    let count = async |labels: &str| mesh.gateway.metric(&format!("portcullis_decisions_total{{{labels}}}")).await;
    assert!((count(r#"edge="ext_authz",outcome="allow",reason="permitted",cache="miss""#).await - 1.0).abs() < 0.1);
    assert!((count(r#"edge="ext_authz",outcome="allow",reason="permitted",cache="hit""#).await - 1.0).abs() < 0.1);
    assert!((count(r#"edge="ext_authz",outcome="deny",reason="no_permit",cache="miss""#).await - 1.0).abs() < 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_those_of_the_document() {
    let document = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let documented: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with("portcullis_"))
        .map(|name| name.trim_end_matches("_total").to_owned())
        .collect();
    assert_eq!(registered(&root().join("src")), documented, "what the source registers and what the document says");

    let mesh = Mesh::start(&[]).await;
    mesh.get("/orders/1").await;
    let exposed = mesh.gateway.operations("/metrics").await.body;
    for name in exposed.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(documented.contains(name), "`{name}` is exposed, but not documented");
    }
}

/// The names that stand in the source as a metric's: the only literals of that form.
fn registered(directory: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.append(&mut registered(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let literals = text.split('"').skip(1).step_by(2).filter(|literal| literal.starts_with("portcullis_"));
            names.extend(
                literals.filter(|name| name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())).map(str::to_owned),
            );
        }
    }
    names
}
