use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::foundation::clock::SystemClock;
use crate::foundation::watched::Watched;
use crate::identity::bundle::Bundle;

/// Whoever signs for servers.
struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    fn new(name: Option<&str>) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = name.map(|name| uri(&format!("spiffe://{name}"))).into_iter().collect();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn server(&self, names: Vec<SanType>) -> ServerConfig {
        self.speaking(names, rustls::DEFAULT_VERSIONS)
    }

    fn speaking(&self, names: Vec<SanType>, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap()
    }

    fn bundle(&self, name: &str) -> Bundle {
        Bundle::of_x509(name.parse().unwrap(), [CertificateDer::from(self.0.der().to_vec())], 1)
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A server that answers each path as `answer` says, and stays silent where that says nothing.
async fn serve(config: ServerConfig, answer: fn(&str) -> Option<Vec<u8>>) -> (JoinSet<()>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, acceptor, mut serving) =
        (listener.local_addr().unwrap(), TlsAcceptor::from(Arc::new(config)), JoinSet::new());
    serving.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            let path = request.split(' ').nth(1).unwrap();
            let Some(answer) = answer(path) else {
                tokio::time::sleep(Duration::from_mins(1)).await;
                continue;
            };
            // Who has read enough hangs up.
            let _gone = stream.write_all(&answer).await;
            let _gone = stream.shutdown().await;
        }
    });
    (serving, address)
}

fn refused(answer: Result<String, String>, why: &str) {
    let error = answer.unwrap_err();
    assert!(error.contains(why), "{error}");
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

struct Asking {
    endpoints: BundleEndpoints,
    bundles: Watched<Bundles>,
    _directory: tempfile::TempDir,
}

impl Asking {
    /// With these authorities of the Web, and these bundles.
    fn new(web: &Issuer, bundles: impl IntoIterator<Item = Bundle>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("web.pem");
        std::fs::write(&file, web.0.pem()).unwrap();
        let endpoints = BundleEndpoints::new(file, Arc::new(SystemClock::new()));
        Self { endpoints, bundles: Watched::new(Bundles::new(bundles)), _directory: directory }
    }

    async fn ask(&self, url: &str, profile: EndpointProfile) -> Result<String, String> {
        let trust_domain: TrustDomain = "peer.org".parse().unwrap();
        let relationship = Relationship { trust_domain, endpoint: url.parse().unwrap(), profile };
        let asked = self.endpoints.fetch(&relationship, Arc::new(Bundles::clone(&self.bundles.load())));
        let answer = tokio::time::timeout(Duration::from_secs(5), asked).await;
        let answer = answer.map_err(|_elapsed| "silence".to_owned())?;
        answer.map(|body| String::from_utf8(body).unwrap()).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn a_server_of_the_web_must_have_the_name_and_an_authority_that_is_believed() {
    let web = Issuer::new(None);
    let local = || vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let (_serving, good) = serve(web.server(local()), |_| Some(ok("{}"))).await;
    let (_serving, other_name) =
        serve(web.server(vec![SanType::DnsName("h".try_into().unwrap())]), |_| Some(ok("{}"))).await;
    let (_serving, stranger) = serve(Issuer::new(None).server(local()), |_| Some(ok("{}"))).await;
    let asking = Asking::new(&web, []);
    let ask = async |address| asking.ask(&format!("https://{address}/b?x=1"), EndpointProfile::Web).await;
    assert_eq!(ask(good).await.unwrap(), "{}");
    refused(ask(other_name).await, "certificate");
    refused(ask(stranger).await, "invalid peer certificate: BadSignature");
    let (_serving, old) = serve(web.speaking(local(), &[&rustls::version::TLS12]), |_| Some(ok("{}"))).await;
    refused(ask(old).await, "ProtocolVersion");
}

#[tokio::test]
async fn a_server_with_an_svid_must_be_the_one_that_was_named_by_the_bundle_of_its_own_domain() {
    let (web, peer, other) = (Issuer::new(None), Issuer::new(Some("peer.org")), Issuer::new(Some("other.org")));
    let id: SpiffeId = "spiffe://peer.org/server".parse().unwrap();
    let named = || vec![uri("spiffe://peer.org/server")];
    let (_serving, good) = serve(peer.server(named()), |_| Some(ok("{}"))).await;
    let (_serving, forged) = serve(other.server(named()), |_| Some(ok("{}"))).await;
    let (_serving, somebody) = serve(peer.server(vec![uri("spiffe://peer.org/web")]), |_| Some(ok("{}"))).await;
    let bundles = || [peer.bundle("peer.org"), other.bundle("other.org")];
    let asking = Asking::new(&web, bundles());
    let ask = async |address| asking.ask(&format!("https://{address}/"), EndpointProfile::Spiffe(id.clone())).await;
    assert_eq!(ask(good).await.unwrap(), "{}");
    refused(ask(forged).await, "no authority of its trust domain vouches");
    refused(ask(somebody).await, "is `spiffe://peer.org/web` and not");
    let (_serving, neighbour) = serve(other.server(vec![uri("spiffe://other.org/server")]), |_| Some(ok("{}"))).await;
    refused(ask(neighbour).await, "is `spiffe://other.org/server` and not");
    let both = vec![uri("spiffe://peer.org/server"), uri("spiffe://other.org/server")];
    let (_serving, both) = serve(peer.server(both), |_| Some(ok("{}"))).await;
    refused(ask(both).await, "URI");
    let (_serving, of_the_web) = serve(web.server(named()), |_| Some(ok("{}"))).await;
    refused(ask(of_the_web).await, "no authority of its trust domain vouches");
    // The bundle is that of the moment.
    asking.bundles.update(|known| known.without(&"peer.org".parse().unwrap()));
    refused(ask(good).await, "no valid authority");
}

#[tokio::test]
async fn a_redirect_leads_to_the_same_host_over_https_or_nowhere() {
    static OTHER_PORT: OnceLock<String> = OnceLock::new();
    let web = Issuer::new(None);
    let local = || vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let (_serving, other) = serve(web.server(local()), |_| Some(ok("{}"))).await;
    OTHER_PORT.set(format!("https://{other}/b")).unwrap();
    let (_serving, address) = serve(web.server(local()), |path| {
        Some(match path {
            "/once" => redirect("/b"),
            "/b" => ok("{}"),
            "/http" => redirect("http://127.0.0.1:1/b"),
            "/user" => redirect("https://user@127.0.0.1:1/b"),
            "/file" => redirect("file:///etc/passwd"),
            "/port" => redirect(OTHER_PORT.get().unwrap()),
            "/inside" => redirect("https://169.254.169.254/latest/"),
            "/named" => redirect("https://localhost/b"),
            "/elsewhere" => redirect("https://metadata.internal/latest/"),
            "/relative" => redirect("//metadata.internal/latest/"),
            "/nowhere" => b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
            "/loop" => redirect("/loop"),
            "/error" => b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n".to_vec(),
            "/large" => ok(&"x".repeat(10 << 20)),
            "/cut" => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}".to_vec(),
            "/noise" => b"\0\0\0\0".to_vec(),
            _ => return None,
        })
    })
    .await;
    let asking = Asking::new(&web, []);
    let ask = async |path| asking.ask(&format!("https://{address}{path}"), EndpointProfile::Web).await;
    assert_eq!(ask("/once").await.unwrap(), "{}");
    assert_eq!(ask("/port").await.unwrap(), "{}", "another port is the same host's");
    for (path, why) in [
        ("/http", "must use the https scheme"),
        ("/user", "must not contain user info"),
        ("/file", "must use the https scheme"),
        ("/inside", "must stay with the host"),
        ("/named", "must stay with the host"),
        ("/elsewhere", "must stay with the host"),
        ("/relative", "must stay with the host"),
        ("/nowhere", "redirects to nowhere"),
        ("/loop", "more than 3 redirects"),
        ("/error", "answered with 503"),
        ("/large", "more than 1048576 bytes"),
        ("/cut", "broke off"),
        ("/noise", "exchange failed"),
        ("/silent", "silence"),
    ] {
        let error = ask(path).await.unwrap_err();
        assert!(error.contains(why), "{path}: {error}");
    }
}
