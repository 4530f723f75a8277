//! TLS on a listener: 1.3 (RFC 8446) and 1.2 (RFC 5246), without resumption and without early data, so that each
//! connection has proved anew what its peer's certificate claims.
//!
//! Whom a client's certificate names, and whether anybody vouches for it, is not looked at here: the handshake only makes
//! sure that the client has its key. Who serves requests verifies the rest, on each of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::DigitallySignedStruct;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Owner;
use super::places::Places;
use crate::foundation::watched::Watched;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many handshakes may be under way at the same time.
const UNDER_WAY: usize = 512;

/// How many of these may be with the same network or user: who says nothing to many of them must not keep the others out.
const OF_ONE: usize = UNDER_WAY / 4;

/// The protocols that are spoken after the handshake (RFC 7301), ours first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What a server shows, and the key that proves it. It can be replaced at any time; handshakes from then on use the new one.
#[derive(Debug)]
pub struct ServerCertificate(Watched<Arc<CertifiedKey>>);

/// TLS as one or more listeners serve it.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    handshakes: Places<Owner>,
}

/// Why a connection that was accepted got no further.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// There are enough of them.
    #[error("{UNDER_WAY} handshakes are under way, or {OF_ONE} with this peer")]
    Full,
    /// The peer took its time.
    #[error("the handshake took longer than {PATIENCE:?}")]
    Late,
    /// The peer does not speak TLS, or not as we do.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl ServerCertificate {
    /// Shows `chain`, leaf first, and signs with `key`.
    ///
    /// # Errors
    /// The key is of no kind that TLS knows, or not that of the leaf.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Self, rustls::Error> {
        Ok(Self(Watched::new(certified(chain, key)?)))
    }

    /// Shows these from now on.
    ///
    /// # Errors
    /// As [`Self::new`]; then what was shown before stays.
    pub fn replace(&self, chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<(), rustls::Error> {
        self.0.replace(certified(chain, key)?);
        Ok(())
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load()))
    }
}

impl Tls {
    /// Shows `certificate`, and asks clients for theirs if `ask_for_certificates`. One that has none is let in all the same.
    ///
    /// # Errors
    /// The library lacks what it needs.
    pub fn new(certificate: Arc<ServerCertificate>, ask_for_certificates: bool) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let clients: Arc<dyn ClientCertVerifier> =
            if ask_for_certificates { Arc::new(AnyClient(provider)) } else { WebPkiClientVerifier::no_client_auth() };
        let builder = builder.with_safe_default_protocol_versions()?.with_client_cert_verifier(clients);
        let mut config = builder.with_cert_resolver(certificate);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: Places::shared(UNDER_WAY, OF_ONE) })
    }

    /// Shakes hands on `socket`, which is of `owner`, and gives the certificate that the client showed, if it did.
    pub(super) async fn accept<S>(
        &self,
        socket: S,
        owner: Owner,
    ) -> Result<(TlsStream<S>, Option<CertificateDer<'static>>), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let _place = self.handshakes.take(Some(owner)).ok_or(HandshakeError::Full)?;
        let stream = timeout(PATIENCE, self.acceptor.accept(socket)).await.map_err(|_late| HandshakeError::Late)??;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        Ok((stream, shown.map(CertificateDer::into_owned)))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("handshakes", &self.handshakes).finish_non_exhaustive()
    }
}

fn certified(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let certified = CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(key)?);
    match certified.keys_match() {
        // A key that can't tell its public half is not to be doubted for it.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(error) => Err(error),
    }
}

/// Takes any certificate whose key the client has.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
