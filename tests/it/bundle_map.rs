//! The bundle map: one file that Envoy verifies peers of all trust domains by, and that follows what is believed.

use std::path::Path;

use serde_json::{Value, json};

use crate::federation::federating_home;
use crate::support::gateway::{Gateway, Home};
use crate::support::mesh::Mesh;
use crate::support::neighbour::{Neighbour, hold};
use crate::support::{eventually, http, tls};

/// The trust domains of the file, if it is there: whenever it is read, it is whole.
fn domains(file: &Path) -> Vec<String> {
    let map: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    map["trust_domains"].as_object().unwrap().keys().cloned().collect()
}

fn empty(home: &Home) {
    let nobody = home.path().join("nobody.json");
    std::fs::write(&nobody, r#"{"keys":[]}"#).unwrap();
    hold(home, &nobody);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_follows_what_is_believed_and_says_nothing_of_who_is_not_let_in() {
    let neighbour = Neighbour::start().await;
    let home = Home::new();
    let file = home.path().join("map/bundles.json");
    let path = file.display().to_string();
    let refused = json!([{"trust_domain": "other.org", "paths": []}]).to_string();
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let gateway = Gateway::start(&home, &[("FEDERATION__BUNDLE_MAP_FILE", &path)]).await;
    assert_eq!(domains(&file), ["example.org"], "it is there before the gateway is ready");
    hold(&home, &neighbour.bundle());
    let both = async || (domains(&file) == ["example.org", "other.org"]).then_some(());
    eventually("the other domain is in the file", both).await;
    empty(&home);
    eventually("it is gone", async || (domains(&file) == ["example.org"]).then_some(())).await;
    hold(&home, &neighbour.bundle());
    eventually("it is back", both).await;
    drop(gateway);
    let listed = [("FEDERATION__BUNDLE_MAP_FILE", path.as_str()), ("FEDERATION__IDENTITIES", refused.as_str())];
    let _gateway = Gateway::start(&home, &listed).await;
    assert_eq!(domains(&file), ["example.org"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_can_not_write_the_file_does_not_start() {
    let home = Home::new();
    let nowhere = home.path().join("nowhere/bundles.json").display().to_string();
    let gateway = Gateway::spawn(&home, &[("FEDERATION__BUNDLE_MAP_FILE", &nowhere)], &[]);
    let said = eventually("it has ended", async || {
        let said = gateway.process.output();
        said.contains("federation.bundle_map_file").then_some(said)
    })
    .await;
    assert!(said.contains("nowhere"), "{said}");
}

/// `trust_bundles` in place of what SDS would say.
fn by_the_file(backend: &str, file: &Path) -> String {
    let pushed = "                combined_validation_context:
                  default_validation_context:
                    match_typed_subject_alt_names:
                      - { san_type: URI, matcher: { prefix: \"spiffe://\" } }
                  validation_context_sds_secret_config: { name: ALL, sds_config: *sds }
";
    let read = format!(
        "                validation_context:
                  match_typed_subject_alt_names:
                    - {{ san_type: URI, matcher: {{ prefix: \"spiffe://\" }} }}
                  custom_validator_config:
                    name: envoy.tls.cert_validator.spiffe
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig
                      trust_bundles: {{ filename: {}, watched_directory: {{ path: {} }} }}
",
        file.display(),
        file.parent().unwrap().display()
    );
    assert!(backend.contains(pushed), "{backend}");
    backend.replace(pushed, &read)
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_verifies_peers_of_all_domains_by_the_file_and_follows_it() {
    let neighbour = Neighbour::start().await;
    let (home, _entries) = federating_home();
    let directory = home.path().join("map");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("bundles.json");
    let path = file.display().to_string();
    let settings = [("FEDERATION__BUNDLE_MAP_FILE", path.as_str())];
    let mesh = Mesh::start_in(home, &settings, |backend| by_the_file(&backend, &file)).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200, "our own are verified by it");

    let identity = neighbour.identity("/web");
    let status = async || {
        let request = b"GET /orders/17 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
        match tls::connect(mesh.orders_port, Some(&identity)).await {
            Ok(stream) => http::exchange(stream, request).await.status,
            Err(_refused) => 0,
        }
    };
    assert_eq!(status().await, 0, "no handshake");
    hold(&mesh.home, &neighbour.bundle());
    eventually("the other domain's workload gets through", async || (status().await == 200).then_some(())).await;
    empty(&mesh.home);
    eventually("and no longer", async || (status().await == 0).then_some(())).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
}
