//! The secrets service as a real Envoy uses it, beyond what every other test with a sidecar shows: incrementally, on
//! demand, one way, and with what it rejects.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::envoy::{Sidecar, configuration, free_port, one_way};
use crate::support::gateway::{Gateway, Home};
use crate::support::http::exchange;
use crate::support::mesh::Mesh;
use crate::support::{eventually, tls};

const REQUEST: &[u8] = b"GET /orders/17 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";

fn incremental(yaml: &str) -> String {
    let changed = yaml.replace("api_type: GRPC", "api_type: DELTA_GRPC");
    assert_ne!(changed, yaml);
    changed
}

/// `orders` with a selector in place of its certificate.
fn on_demand(backend: &str) -> String {
    let source = "{ resource_api_version: V3, initial_fetch_timeout: 0s, api_config_source: { api_type: DELTA_GRPC, \
                  transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: portcullis_sds } }] } }";
    let (before, rest) = backend.split_once("tls_certificate_sds_secret_configs:").unwrap();
    let (_, after) = rest.split_once("combined_validation_context:").unwrap();
    let after = after.replace("sds_config: *sds", &format!("sds_config: {source}"));
    let extensions = "type.googleapis.com/envoy.extensions.transport_sockets.tls";
    format!(
        "{before}custom_tls_certificate_selector:
                  name: envoy.tls.certificate_selectors.on_demand_secret
                  typed_config:
                    \"@type\": {extensions}.cert_selectors.on_demand_secret.v3.Config
                    config_source: {source}
                    certificate_mapper:
                      name: static_name
                      typed_config:
                        \"@type\": {extensions}.cert_mappers.static_name.v3.StaticName
                        name: spiffe://example.org/orders
                combined_validation_context:{after}"
    )
}

/// S11, S5, S9: mTLS and its rotation under traffic.
#[tokio::test(flavor = "multi_thread")]
async fn sidecars_that_ask_incrementally_rotate_under_traffic_and_no_request_fails() {
    let mesh = Mesh::start_with_both(&[("IDENTITY__X509_SVID_TTL", "10s")], incremental).await;
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
    let taken = mesh.gateway.metric("portcullis_sds_acknowledged_total").await;
    assert!(taken >= 8.0, "only {taken} responses were acknowledged");
}

/// S11, S4: after a restart the bundles are the same, so that only the certificates are sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_reconnects_incrementally_is_not_sent_what_it_has() {
    let mut mesh = Mesh::start_with_both(&[], incremental).await;
    let serials = (mesh.web.serial().await, mesh.orders.serial().await);
    mesh.gateway.process.kill_hard();
    mesh.gateway = Gateway::start(&mesh.home, &[]).await;
    eventually("both sidecars have new certificates", async || {
        (mesh.web.serial().await != serials.0 && mesh.orders.serial().await != serials.1).then_some(())
    })
    .await;
    eventually("all four secrets are subscribed again, and acknowledged", async || {
        let subscribed = mesh.gateway.metric("portcullis_sds_streams").await;
        let taken = mesh.gateway.metric("portcullis_sds_acknowledged_total").await;
        (subscribed >= 4.0 && taken >= 2.0).then_some(())
    })
    .await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    let sent = mesh.gateway.metric("portcullis_sds_responses_total").await;
    assert!(sent <= 2.0, "{sent} responses");
}

/// S11: Envoy's selector asks for the certificate when the first connection needs it.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_fetched_on_demand() {
    let mesh = Mesh::start_with(&[], |backend| on_demand(&backend)).await;
    assert_eq!(mesh.orders.stat("on_demand_secret.cert_requested").await, 0);
    for _ in 0..2 {
        let answer = mesh.get("/orders/17").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(mesh.orders.stat("on_demand_secret.cert_requested").await, 1);
}

/// S11: removal. Other than one that is named in the configuration, such a certificate can be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_on_demand_is_no_longer_shown_once_no_entry_grants_it() {
    let mut mesh = Mesh::start_with(&[], |backend| on_demand(&backend)).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    mesh.gateway.process.kill_hard();
    mesh.gateway = Gateway::start(&mesh.home, &[("IDENTITY__ENTRIES", "[]")]).await;
    eventually("no certificate is shown", async || {
        let handshake = tokio::time::timeout(Duration::from_secs(1), tls::connect(mesh.orders_port, None)).await;
        (!matches!(handshake, Ok(Ok(_)))).then_some(())
    })
    .await;
    assert!(mesh.gateway.metric("portcullis_sds_withdrawn_svids_total").await >= 1.0);
}

/// S4: a secret that is not what a sidecar takes it for.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_sidecar_rejects_is_counted_and_logged_in_its_words() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[]).await;
    let mistaken = configuration("backend.yaml")
        .replace(
            "validation_context_sds_secret_config: { name: ALL",
            "validation_context_sds_secret_config: { name: default",
        )
        .replace("18443", &free_port().to_string());
    let mut sidecar = Sidecar::spawn(&home, "orders", &mistaken);
    eventually("the sidecar rejects a certificate in place of a bundle", async || {
        sidecar.process.assert_running();
        (gateway.metric("portcullis_sds_rejected_total").await >= 1.0).then_some(())
    })
    .await;
    let log = gateway.process.output();
    let line = log.lines().find(|line| line.contains("the client rejected the secrets")).unwrap();
    assert!(line.contains("without trusted CA is insecure"), "{line}");
}

/// S9, S7: plain authorities, for a port that demands no certificate of its clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_gets_through_where_the_sidecar_wants_plain_authorities() {
    let mesh = Mesh::start_with(&[], |backend| one_way(&backend)).await;
    let with_none = exchange(tls::connect(mesh.orders_port, None).await.unwrap(), REQUEST).await;
    assert_eq!((with_none.status, with_none.json()["reason"].as_str()), (401, Some("no_certificate")), "{with_none:?}");
    assert_eq!(mesh.get("/orders/17").await.status, 200, "and one with a certificate is still verified");
    let trusted = mesh.orders.admin("/certs").await.body;
    assert!(trusted.contains("ca_cert"), "{trusted}");
}

/// The examples exchange keys that a recording of today's traffic does not give to a quantum computer of tomorrow.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_on_a_key_exchange_that_is_safe_from_quantum_computers() {
    let mesh = Mesh::start(&[]).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    for sidecar in [&mesh.web, &mesh.orders] {
        assert!(sidecar.stat("ssl.curves.X25519MLKEM768").await >= 1);
        assert_eq!(sidecar.stat("ssl.curves.X25519$").await, 0);
    }
}
