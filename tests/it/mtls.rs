//! Who gets through the handshake, and what is checked again after it.

use std::time::Duration;

use crate::support::http::{self, answer_on, exchange};
use crate::support::mesh::Mesh;
use crate::support::{eventually, sds, tls};

#[tokio::test(flavor = "multi_thread")]
async fn the_service_learns_the_verified_caller_and_a_forged_header_is_replaced() {
    let mesh = Mesh::start(&[]).await;
    let forged = "GET /orders/17 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\
                  x-portcullis-principal: spiffe://example.org/admin\r\n\r\n";
    let answer = http::request(mesh.web_port, forged).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("x-portcullis-principal: spiffe://example.org/web\r\n"), "{answer:?}");
    assert!(!answer.body.contains("spiffe://example.org/admin"), "{answer:?}");
    assert!(answer.body.contains(&format!("x-portcullis-decision-id: {}", answer.decision_id())), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_and_a_strangers_certificate_end_in_the_handshake() {
    let mesh = Mesh::start(&[]).await;
    assert_refused(mesh.orders_port, None).await;
    assert_refused(mesh.orders_port, Some(&foreign_identity())).await;
    assert_eq!(mesh.orders.stat("ssl.fail_verify_error").await, 1);
    assert!(
        mesh.home.records().iter().all(|record| record["record"] != "decision"),
        "a refused caller was asked about"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_outlives_its_leaf_is_denied() {
    let mesh = Mesh::start(&[("IDENTITY__X509_SVID_TTL", "10s")]).await;
    let response = sds::fetch(&mesh.home.workload_socket(), &["default"]).await.unwrap();
    let identity = sds::certificate(&sds::secrets(&response)[0]);
    let stream = tls::connect(mesh.orders_port, Some(&identity)).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let request = b"GET /orders/17 HTTP/1.1\r\nhost: orders\r\n\r\n";
    let first = answer_on(&mut reader, &mut writer, request).await;
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    eventually("the kept connection is denied", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let later = answer_on(&mut reader, &mut writer, request).await;
        assert!(later.starts_with("HTTP/1.1 200") || later.starts_with("HTTP/1.1 401"), "{later}");
        later.contains("expired_certificate").then_some(())
    })
    .await;
}

/// The handshake or, in TLS 1.3, the first read must fail: nothing of HTTP comes back.
async fn assert_refused(port: u16, identity: Option<&(String, String)>) {
    if let Ok(stream) = tls::connect(port, identity).await {
        let answer = exchange(stream, b"GET /orders HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n").await;
        assert_eq!(answer.status, 0, "{answer:?}");
        assert!(answer.body.contains("ertificate"), "refused, but not for the certificate: {answer:?}");
    }
}

/// A certificate for the name of `web`, signed by an authority of nobody's.
fn foreign_identity() -> (String, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::default();
    leaf.subject_alt_names = vec![rcgen::SanType::URI("spiffe://example.org/web".try_into().unwrap())];
    leaf.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    leaf.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    (leaf.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}
