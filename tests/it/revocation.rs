//! One SVID that is revoked by an operator, with real Envoys.

use std::process::{Command, Output};

use serde_json::Value;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::gateway::{Gateway, Home};
use crate::support::http::{Answer, answer_on, exchange};
use crate::support::mesh::Mesh;
use crate::support::{eventually, sds, tls};

/// A leaf with its key, both PEM.
type Identity = (String, String);

/// What this test process is given, and would keep if it were a thief.
async fn identity(home: &Home) -> Identity {
    let response = sds::fetch(&home.workload_socket(), &["default"]).await.unwrap();
    sds::certificate(&sds::secrets(&response)[0])
}

fn serial(identity: &Identity) -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(identity.0.as_bytes()).unwrap();
    hex::encode(pem.parse_x509().unwrap().raw_serial())
}

/// `portcullis x509 …` at the admin socket of `home`.
fn x509(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("x509").args(arguments).args(["-output", "json", "-socketPath"]).arg(home.admin_socket());
    command.output().unwrap()
}

fn revoke(home: &Home, serial: &str) {
    let output = x509(home, &["revoke", "-serial", serial]);
    assert!(output.status.success(), "{output:?}");
}

fn revoked(home: &Home) -> Vec<String> {
    let output = x509(home, &["revoked"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let all = shown["revoked"].as_array().unwrap();
    all.iter().map(|one| one["serial"].as_str().unwrap().to_owned()).collect()
}

/// A connection that stays open.
struct Kept(ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>);

impl Kept {
    async fn open(port: u16, identity: &Identity) -> Self {
        let (reader, writer) = tokio::io::split(tls::connect(port, Some(identity)).await.unwrap());
        Self(reader, writer)
    }

    /// The answer to one request, head and body.
    async fn ask(&mut self) -> String {
        answer_on(&mut self.0, &mut self.1, b"GET /orders/17 HTTP/1.1\r\nhost: orders\r\n\r\n").await
    }
}

/// One request on a connection of its own; its status is 0 if there was no handshake.
async fn ask(port: u16, identity: &Identity) -> Answer {
    match tls::connect(port, Some(identity)).await {
        Ok(stream) => exchange(stream, b"GET /orders/17 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n").await,
        Err(error) => Answer { body: error.to_string(), ..Answer::default() },
    }
}

/// Waits until the sidecar's own TLS refuses the leaf. Until it has the list, the gateway does.
async fn refused_in_the_handshake(mesh: &Mesh, identity: &Identity) {
    eventually("new handshakes are refused", async || {
        let answer = ask(mesh.orders_port, identity).await;
        match answer.status {
            0 => assert!(answer.body.contains("ertificate"), "refused, but not for the certificate: {answer:?}"),
            401 => assert!(answer.body.contains("revoked_certificate"), "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
        (answer.status == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_leaf_is_refused_on_open_connections_and_in_new_handshakes_and_no_other_is() {
    let mut mesh = Mesh::start(&[]).await;
    let stolen = identity(&mesh.home).await;
    let mut kept = Kept::open(mesh.orders_port, &stolen).await;
    for _ in 0..2 {
        let answer = kept.ask().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(mesh.get("/orders/17").await.status, 200);

    revoke(&mesh.home, &serial(&stolen));
    let answer = kept.ask().await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("revoked_certificate"), "{answer}");
    refused_in_the_handshake(&mesh, &stolen).await;
    assert!(mesh.orders.stat("ssl.fail_verify_error").await > 0);

    assert_eq!(mesh.get("/orders/17").await.status, 200, "another leaf of the same identity");
    let fresh = identity(&mesh.home).await;
    assert_ne!(serial(&fresh), serial(&stolen));
    assert_ne!(fresh.1, stolen.1, "the key of a revoked leaf is not used again");
    assert_eq!(ask(mesh.orders_port, &fresh).await.status, 200);
    assert_eq!(mesh.orders.stat("update_rejected").await + mesh.web.stat("update_rejected").await, 0);

    mesh.gateway.process.kill_hard();
    mesh.gateway = Gateway::start(&mesh.home, &[]).await;
    assert_eq!(revoked(&mesh.home), [serial(&stolen)]);
    eventually("the sidecar asks the new process", async || {
        let answer = kept.ask().await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.contains("revoked_certificate").then_some(())
    })
    .await;
    refused_in_the_handshake(&mesh, &stolen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_whose_leaf_is_revoked_gets_another_and_goes_on() {
    let mesh = Mesh::start(&[]).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    let before = mesh.web.serial().await;
    revoke(&mesh.home, &before);
    eventually("the sidecar has another leaf", async || (mesh.web.serial().await != before).then_some(())).await;
    eventually("requests pass again", async || {
        let answer = mesh.get("/orders/17").await;
        assert!(matches!(answer.status, 200 | 401 | 503), "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;

    let records = mesh.home.records();
    let administration = records.iter().filter(|record| record["record"] == "administration");
    let about = administration.filter(|record| record["subjects"].to_string().contains(&before)).count();
    assert_eq!(about, 2, "the call is recorded before the change and at its end");
    let issued = records.iter().filter(|record| record["record"] == "issuance" && record["entry_id"] == "web");
    assert_eq!(issued.count(), 2);
}
