//! Asking the kubelet over TLS, and believing only the kubelet.

use std::fmt;
use std::fs;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, IpAddr, Ipv4Addr, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::KubeletConfig;
use super::pods::Pods;
use crate::foundation::clock::Clock;
use crate::foundation::http::Get;
use crate::foundation::secret::Secret;
use crate::foundation::tls::{OurTime, roots};

/// The longest list that is read, in bytes: some thousand pods with all that is written about them.
const MAX_ANSWER: usize = 32 << 20;

/// Where a kubelet without a name is.
const LOOPBACK: &str = "127.0.0.1";

/// Asks for the list of pods.
#[derive(Debug)]
pub(super) struct KubeletClient {
    config: Arc<KubeletConfig>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
}

/// What is read from files each time, for it is replaced while we run.
struct Credentials {
    tls: ClientConfig,
    token: HeaderValue,
}

impl KubeletClient {
    pub(super) fn new(config: KubeletConfig, clock: Arc<dyn Clock>) -> Self {
        Self { config: Arc::new(config), provider: Arc::new(aws_lc_rs::default_provider()), clock }
    }

    /// The list as it is now.
    pub(super) async fn pods(&self) -> Result<Pods, String> {
        let (config, provider, clock) = (Arc::clone(&self.config), Arc::clone(&self.provider), Arc::clone(&self.clock));
        let credentials = tokio::task::spawn_blocking(move || credentials(&config, provider, clock));
        let Credentials { tls, token } = credentials.await.map_err(|error| error.to_string())??;

        let (host, port) = (self.config.node_name.as_deref().unwrap_or(LOOPBACK), self.config.port);
        let failed = |error: &dyn fmt::Display| format!("the kubelet at `{host}:{port}`: {error}");
        let stream =
            TcpStream::connect((host, port)).await.map_err(|error| failed(&format!("can't connect: {error}")))?;
        let name = match &self.config.node_name {
            Some(name) => ServerName::try_from(name.clone()).map_err(|error| failed(&error))?,
            None => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1]))),
        };
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.map_err(|error| failed(&error))?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, token)]);
        let question = Get { host, path: "/pods", headers, limit: MAX_ANSWER };
        let answer = question.over(stream).await.map_err(|error| failed(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(failed(&format!("`/pods` is answered with {}", answer.status())));
        }
        let body = answer.into_body();
        let parse = move || serde_json::from_slice(&body).map_err(|error| format!("can't be understood: {error}"));
        let parsed = tokio::task::spawn_blocking(parse).await.map_err(|error| error.to_string())?;
        parsed.map_err(|error| failed(&format!("its list of pods {error}")))
    }
}

fn credentials(
    config: &KubeletConfig,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
) -> Result<Credentials, String> {
    let token = fs::read_to_string(&config.token_file)
        .map(Secret::new)
        .map_err(|error| format!("can't read `{}`: {error}", config.token_file.display()))?;
    let mut token = HeaderValue::from_str(&format!("Bearer {}", token.expose().trim()))
        .map_err(|_| format!("`{}` does not hold a token", config.token_file.display()))?;
    token.set_sensitive(true);

    let builder = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(OurTime::new(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?;
    let dangerous =
        |verifier| builder.clone().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    let tls = if config.skip_verification {
        dangerous(Arc::new(Verifier { roots: None, provider }))
    } else {
        let roots = Arc::new(roots(&config.ca_file)?);
        if config.node_name.is_some() {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|error| error.to_string())?).with_no_client_auth()
        } else {
            dangerous(Arc::new(Verifier { roots: Some(roots), provider }))
        }
    };
    Ok(Credentials { tls, token })
}

/// A kubelet on loopback: its certificate names the node, of which we don't know the name, so that only who signed it
/// counts; or nobody at all, if the operator said so.
#[derive(Debug)]
struct Verifier {
    roots: Option<Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
