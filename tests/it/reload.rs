//! Policies that change while all runs.

use std::fs;

use crate::support::eventually;
use crate::support::mesh::Mesh;

const FORBID: &str = r#"@id("closed") forbid (principal, action in Action::"read", resource in Path::"/orders");"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_bites_even_on_a_cached_decision_and_a_broken_one_changes_nothing() {
    let mesh = Mesh::start(&[]).await;
    for _ in 0..3 {
        assert_eq!(mesh.get("/orders/17").await.status, 200);
    }
    let file = mesh.home.policies().join("closed.cedar");
    fs::write(&file, FORBID).unwrap();
    loaded(&mesh, 2).await;
    assert_eq!(mesh.get("/orders/17").await.status, 403, "the first request after the load must obey it");

    fs::write(&file, "permit (principal, action, resource);\nforbid (principal, action, resource").unwrap();
    let notice = eventually("readiness shows the broken edit", async || {
        let report = mesh.gateway.operations("/readyz").await;
        assert_eq!(report.status, 200, "a broken edit must not make the gateway unready");
        report.json()["notices"]["policies"].as_str().map(str::to_owned)
    })
    .await;
    assert!(notice.contains("closed.cedar:2:"), "file and line are missing: {notice}");
    assert_eq!(mesh.get("/orders/17").await.status, 403, "the last good set decides");
    assert!(mesh.gateway.metric("portcullis_policy_load_failures_total").await >= 1.0);

    fs::remove_file(&file).unwrap();
    loaded(&mesh, 3).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    assert!(mesh.gateway.operations("/readyz").await.json()["notices"].as_object().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_swaps_a_symlink() {
    let mesh = Mesh::start_with_mounted_policies().await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    mesh.swap_mounted_policies(FORBID);
    eventually("the swapped set decides", async || (mesh.get("/orders/17").await.status == 403).then_some(())).await;
}

/// Waits until the set of this epoch decides.
async fn loaded(mesh: &Mesh, epoch: u64) {
    eventually(&format!("policy epoch {epoch} decides"), async || {
        let records = mesh.home.records();
        records.iter().any(|record| record["record"] == "policy_load" && record["policy_epoch"] == epoch).then_some(())
    })
    .await;
}
