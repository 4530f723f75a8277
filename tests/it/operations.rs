//! Probes and metrics of the running gateway.

use crate::support::gateway::{Gateway, Home};
use crate::support::mesh::Mesh;

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[]).await;
    assert_eq!(gateway.operations("/livez").await.status, 200);
    let ready = gateway.operations("/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
    assert_eq!(gateway.operations("/nothing").await.status, 404);
}

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

/// Every metric that the gateway exposes is in the document, and every one in the document exists.
#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_those_of_the_document() {
    let mesh = Mesh::start(&[]).await;
    mesh.get("/orders/1").await;
    let exposed = mesh.gateway.operations("/metrics").await.body;
    let mut exposed: Vec<&str> =
        exposed.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let document = std::fs::read_to_string(crate::support::root().join("docs/operations.md")).unwrap();
    let mut documented: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `portcullis_")?.split(['`', '{']).next())
        .map(|name| name.trim_end_matches("_total"))
        .collect();
    exposed.sort_unstable();
    documented.sort_unstable();
    let exposed: Vec<&str> = exposed.iter().map(|name| name.trim_start_matches("portcullis_")).collect();
    assert_eq!(exposed, documented);
}
