//! A TLS server that proves itself by an X.509-SVID.

use std::io;
use std::sync::Arc;

use portcullis_spiffe::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use crate::foundation::clock::Timestamp;
use crate::identity::bundle::Bundles;
use crate::identity::svid::server::verify_server;

/// Believes the one who has this SPIFFE ID, whatever the name of the host (SPIFFE Federation 5.2.2).
#[derive(Debug)]
pub(super) struct SpiffeServer {
    id: SpiffeId,
    bundles: Arc<Bundles>,
    provider: Arc<CryptoProvider>,
}

impl SpiffeServer {
    pub(super) const fn new(id: SpiffeId, bundles: Arc<Bundles>, provider: Arc<CryptoProvider>) -> Self {
        Self { id, bundles, provider }
    }
}

/// What went wrong in a handshake, in the words of who checked the server.
pub(super) fn explained(error: &io::Error) -> String {
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match reason {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(reason)))) => reason.to_string(),
        _ => error.to_string(),
    }
}

impl ServerCertVerifier for SpiffeServer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let now = Timestamp::from_unix_seconds(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        verify_server(leaf, intermediates, &self.id, &self.bundles, now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|error| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
