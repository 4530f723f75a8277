//! SVIDs that are renewed under traffic.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

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

/// `portcullis localauthority x509 …` at the gateway; the id of the authority that it was about.
fn authority(mesh: &Mesh, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["localauthority", "x509"]).args(arguments);
    let output = command.args(["-output", "json", "-socketPath"]).arg(mesh.home.admin_socket()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let state = answer.as_object().unwrap().values().next().unwrap();
    state["authority_id"].as_str().unwrap().to_owned()
}

/// C1: an operator replaces the authority by hand while both sidecars make new connections all the time.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_replaced_and_revoked_under_traffic_and_no_handshake_fails() {
    let mesh = Mesh::start(&[]).await;
    // Each round goes over a connection of its own: the caller's sidecar keeps one for a second at most.
    let traffic = async |what: &str| {
        let before = mesh.orders.stat("ssl.handshake").await;
        eventually(what, async || {
            for _ in 0..5 {
                let answer = mesh.get("/orders/17").await;
                assert_eq!(answer.status, 200, "{what}: {answer:?}");
            }
            (mesh.orders.stat("ssl.handshake").await >= before + 2).then_some(())
        })
        .await;
    };
    traffic("handshakes before anything happened").await;
    let old = authority(&mesh, &["show"]);
    let next = authority(&mesh, &["prepare"]);
    traffic("handshakes with a prepared authority").await;
    assert_eq!(authority(&mesh, &["activate", "-authorityID", &next]), next);
    traffic("handshakes with a new active authority").await;
    let serials = (mesh.web.serial().await, mesh.orders.serial().await);
    authority(&mesh, &["taint", "-authorityID", &old]);
    eventually("both sidecars have certificates of the new authority", async || {
        assert_eq!(mesh.get("/orders/17").await.status, 200);
        (mesh.web.serial().await != serials.0 && mesh.orders.serial().await != serials.1).then_some(())
    })
    .await;
    traffic("handshakes with a tainted authority").await;
    authority(&mesh, &["revoke", "-authorityID", &old]);
    traffic("handshakes after the old authority is revoked").await;
    assert_eq!(mesh.orders.stat("update_rejected").await + mesh.web.stat("update_rejected").await, 0);
}
