//! Ending in order.

use std::time::Duration;

use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use tokio_stream::StreamExt as _;

use crate::bad_input::{allows, ask};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::{self, Answer};
use crate::support::mesh::Mesh;
use crate::support::sds;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_never_ending_sds_streams_before_the_deadline() {
    let home = Home::new();
    let mut gateway = Gateway::start(&home, &[("SHUTDOWN__DEADLINE", "5s")]).await;
    let mut client = SecretDiscoveryServiceClient::new(sds::channel(&home.workload_socket()).await);
    let requests = tokio_stream::once(sds::request(&["default"])).chain(tokio_stream::pending());
    let mut stream = client.stream_secrets(requests).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    gateway.process.terminate();
    let ended = tokio::time::timeout(Duration::from_secs(4), stream.message()).await.expect("the stream must end");
    assert!(matches!(ended, Ok(None) | Err(_)), "{ended:?}");
    assert!(gateway.process.ends_within(Duration::from_secs(6)).await, "the process must end by its deadline");
    assert!(gateway.process.ended().await.success());
    assert!(!home.workload_socket().exists(), "a socket of a process that ended in order is taken away");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_takes_over_from_another_and_no_check_is_lost() {
    let mut mesh = Mesh::start(&[]).await;
    let traffic = tokio_util::task::AbortOnDropHandle::new(spawn_traffic(mesh.web_port));
    tokio::time::sleep(Duration::from_millis(300)).await;
    for generation in 2..4 {
        let next = Gateway::take_over(&mesh.home, &[], generation).await;
        mesh.gateway.process.terminate();
        assert!(mesh.gateway.process.ended().await.success());
        mesh.gateway = next;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let answered = traffic.await.unwrap();
    assert!(answered.len() > 50, "only {} requests were made", answered.len());
    let lost: Vec<_> = answered.iter().filter(|answer| answer.status != 200).collect();
    let seen = mesh.orders.admin("/stats?filter=portcullis_ext_authz.upstream|ext_authz").await.body;
    assert!(lost.is_empty(), "{lost:?}\n{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_a_service_manager_that_holds_the_sockets_loses_no_check() {
    let mesh = Mesh::start_activated().await;
    let traffic = tokio_util::task::AbortOnDropHandle::new(spawn_traffic(mesh.web_port));
    let starts = || mesh.home.records().iter().filter(|record| record["record"] == "policy_load").count();
    for started in 1..4 {
        // One that is still starting is not what is to be replaced.
        eventually("the gateway has started", async || (starts() == started).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        mesh.gateway.process.start_again();
    }
    let answered = traffic.await.unwrap();
    let lost: Vec<_> = answered.iter().filter(|answer| answer.status != 200).collect();
    assert!(lost.is_empty() && answered.len() > 20, "{lost:?} of {}", answered.len());
    eventually("the gateway was started again three times", async || (starts() == 4).then_some(())).await;
    mesh.gateway.process.terminate();
}

/// Requests one after the other, for a few seconds; returns their answers.
#[expect(clippy::disallowed_methods, reason = "the handle is the owner: it ends with the test")]
fn spawn_traffic(port: u16) -> tokio::task::JoinHandle<Vec<Answer>> {
    tokio::spawn(async move {
        let mut answers = Vec::new();
        let _time_is_up = tokio::time::timeout(Duration::from_secs(4), async {
            loop {
                answers.push(http::get(port, "/orders/17").await);
            }
        })
        .await;
        answers
    })
}

/// Found by attack: one that could not start had already taken the running one's sockets.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_fails_to_start_takes_nothing() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[]).await;
    let nowhere = home.path().join("nowhere").display().to_string();
    let no_socket = home.path().join(".workload.sock");
    std::fs::create_dir(&no_socket).unwrap();
    for settings in [&[("DECISION__POLICIES", nowhere.as_str())][..], &[]] {
        let mut successor = Gateway::spawn(&home, settings, &["--takeover"]);
        assert!(!successor.process.ended().await.success());
        assert_eq!(gateway.operations("/readyz").await.status, 200, "after {settings:?}");
        assert_eq!(http::get_unix(&home.authzen_socket(), "/").await.status, 404, "after {settings:?}");
        assert!(!allows(&ask(&home.ext_authz_socket(), b"not a question").await), "after {settings:?}");
    }
}
