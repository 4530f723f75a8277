//! SVIDs that are renewed under traffic.

use std::collections::BTreeSet;

use crate::support::eventually;
use crate::support::mesh::Mesh;

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_rotate_under_traffic_and_no_request_fails() {
    let mesh = Mesh::start(&[("IDENTITY__X509_SVID_TTL", "10s")]).await;
    let mut serials = (BTreeSet::new(), BTreeSet::new());
    eventually("both sidecars have used three certificates", async || {
        for _ in 0..10 {
            let answer = mesh.get("/orders/17").await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        serials.0.insert(mesh.web.serial().await);
        serials.1.insert(mesh.orders.serial().await);
        (serials.0.len() >= 3 && serials.1.len() >= 3).then_some(())
    })
    .await;
    assert_eq!(mesh.orders.stat("update_rejected").await + mesh.web.stat("update_rejected").await, 0);
    let issued = mesh.home.records().into_iter().filter(|record| record["record"] == "issuance").count();
    assert!(issued >= 6, "only {issued} issuances are in the log");
}
