//! What survives `kill -9`.

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::mesh::Mesh;
use crate::support::sds;

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_the_authority_is_the_same_and_envoy_comes_back() {
    let mut mesh = Mesh::start(&[]).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    let before = authority(&mesh.home).await;
    mesh.gateway.process.kill_hard();
    let down = mesh.get("/orders/17").await;
    assert_eq!(down.status, 503, "without a gateway nothing is allowed: {down:?}");
    mesh.gateway = Gateway::start(&mesh.home, &[]).await;
    eventually("requests pass again", async || {
        let answer = mesh.get("/orders/17").await;
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(mesh.get("/admin").await.status, 403);
    assert_eq!(authority(&mesh.home).await, before, "the authority changed");
    eventually("both sidecars stream secrets again", async || {
        let connected = mesh.orders.stat("sds.*connected_state").await + mesh.web.stat("sds.*connected_state").await;
        (connected >= 4).then_some(())
    })
    .await;
}

/// Killed again and again at any moment of its start, it always comes up with one authority, the same.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_of_the_first_start_leaves_one_authority() {
    let home = Home::new();
    let mut seen = None;
    for milliseconds in [1, 3, 5, 8, 12, 18, 25, 35, 50, 70, 100, 140, 200, 300] {
        let mut gateway = Gateway::spawn(&home, &[], &[]);
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        gateway.process.kill_hard();
        // Once an authority has been handed out it must never be another.
        let mut gateway = Gateway::start(&home, &[]).await;
        let now = authority(&home).await;
        assert_eq!(seen.get_or_insert_with(|| now.clone()), &now);
        gateway.process.kill_hard();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    drop(Gateway::start(&home, &[]).await);
    let key = home.path().join("data/seal.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut gateway = Gateway::spawn(&home, &[], &[]);
    assert!(!gateway.process.ended().await.success());
    assert!(gateway.process.output().contains("0644"), "{}", gateway.process.output());
}

/// The bundle that the gateway hands out.
async fn authority(home: &Home) -> Vec<u8> {
    let response = sds::fetch(&home.workload_socket(), &["ROOTCA"]).await.unwrap();
    response.resources[0].value.clone()
}
