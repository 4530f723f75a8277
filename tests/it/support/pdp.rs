//! A gateway that is asked over TLS, and callers with whatever they show.

use std::path::Path;
use std::process::{Command, Output};

use portcullis::foundation::digest::Digest;
use serde_json::{Value, json};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::envoy::free_port;
use super::gateway::{Gateway, Home};
use super::http::{Answer, answer_on, exchange};
use super::tls;

/// A leaf with its key, both PEM.
pub(crate) type Identity = (String, String);

/// An API key of the caller `gateway`.
pub(crate) const KEY: &str = "it-key-0123456789-abcdefghijkl";

/// A gateway with the policies of `examples/authzen-callers`, on a Unix socket and over TLS.
pub(crate) struct Pdp {
    pub(crate) home: Home,
    pub(crate) gateway: Gateway,
    pub(crate) port: u16,
}

impl Pdp {
    /// One that knows workloads and the key of `gateway`, with `settings` on top.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        home.take_policies("examples/authzen-callers");
        let port = free_port();
        let listen = json!([format!("unix:{}", home.authzen_socket().display()), format!("tls:127.0.0.1:{port}")]);
        let keys = json!([{"name": "gateway", "sha256": Digest::of(KEY.as_bytes()).to_string()}]);
        let (listen, keys) = (listen.to_string(), keys.to_string());
        let mut all = vec![
            ("LISTEN__AUTHZEN", listen.as_str()),
            ("AUTHZEN__TLS__SVID__SPIFFE_ID", "spiffe://example.org/pdp"),
            ("AUTHZEN__TLS__SVID__DNS_NAMES", "[localhost]"),
            ("AUTHZEN__CALLERS__MTLS", "true"),
            ("AUTHZEN__CALLERS__API_KEYS", keys.as_str()),
            ("AUTHZEN__IDENTIFIER", "https://localhost"),
        ];
        all.extend(settings);
        let gateway = Gateway::start(&home, &all).await;
        Self { home, gateway, port }
    }

    /// `portcullis …` at the admin socket.
    pub(crate) fn admin(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = command.args(arguments).arg("-socketPath").arg(self.home.admin_socket()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    /// An SVID for `id` that lives as long as `ttl`.
    pub(crate) fn identity(&self, id: &str, ttl: &str) -> Identity {
        let directory = tempfile::tempdir_in(self.home.path()).unwrap();
        let path = directory.path().to_str().unwrap();
        self.admin(&["x509", "mint", "-spiffeID", id, "-ttl", ttl, "-write", path]);
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        (read("svid.pem"), read("key.pem"))
    }

    /// The answer to a question on a connection of its own.
    pub(crate) async fn ask(&self, identity: Option<&Identity>, headers: &str, question: &Value) -> Answer {
        self.post("/access/v1/evaluation", identity, headers, question).await
    }

    /// The same at another path. The status is 0 if there was no handshake.
    pub(crate) async fn post(&self, path: &str, identity: Option<&Identity>, headers: &str, body: &Value) -> Answer {
        let request = request(path, &format!("connection: close\r\n{headers}"), body);
        match tls::connect(self.port, identity).await {
            Ok(stream) => exchange(stream, request.as_bytes()).await,
            Err(error) => Answer { body: error.to_string(), ..Answer::default() },
        }
    }
}

/// A connection that stays open.
pub(crate) struct Kept(ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>);

impl Kept {
    pub(crate) async fn open(port: u16, identity: &Identity) -> Self {
        let (reader, writer) = tokio::io::split(tls::connect(port, Some(identity)).await.unwrap());
        Self(reader, writer)
    }

    /// The answer to one question, head and body.
    pub(crate) async fn ask(&mut self, question: &Value) -> String {
        let request = request("/access/v1/evaluation", "", question);
        answer_on(&mut self.0, &mut self.1, request.as_bytes()).await
    }
}

fn request(path: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}content-length: \
         {length}\r\n\r\n{body}"
    )
}

/// May bob read this record?
pub(crate) fn reads(record: &str) -> Value {
    json!({"subject": {"type": "user", "id": "bob"}, "action": {"name": "read"},
           "resource": {"type": "record", "id": record}})
}

/// The header with a key or a token.
pub(crate) fn bearer(shown: &str) -> String {
    format!("authorization: Bearer {shown}\r\n")
}

/// The hexadecimal serial number of a leaf.
pub(crate) fn serial(identity: &Identity) -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(identity.0.as_bytes()).unwrap();
    hex::encode(pem.parse_x509().unwrap().raw_serial())
}

/// An authority of somebody else, which signs whatever it is asked to.
pub(crate) struct Stranger {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

impl Stranger {
    /// That of a trust domain.
    pub(crate) fn of(trust_domain: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))];
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: rcgen::Issuer::new(params, key), certificate }
    }

    /// Writes its certificate.
    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.certificate.pem()).unwrap();
    }

    /// A leaf for a client.
    pub(crate) fn leaf(&self, id: &str) -> Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut leaf = rcgen::CertificateParams::default();
        leaf.subject_alt_names = vec![uri(id)];
        leaf.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        leaf.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        leaf.use_authority_key_identifier_extension = true;
        (leaf.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn uri(uri: &str) -> rcgen::SanType {
    rcgen::SanType::URI(uri.try_into().unwrap())
}
