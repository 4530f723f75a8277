//! SVIDs that an administrator asks for, without an entry and without a workload: for what can't be attested.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use portcullis_spiffe::SpiffeId;
use portcullis_spiffe::bundle::jwk_of;
use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::CertificateDer;

use super::jwt::{JwtSvid, Wanted, check_audience};
use super::{IssueError, Issuer};
use crate::foundation::clock::Timestamp;
use crate::identity::TrustDomain;
use crate::identity::authority::LeafRequest;
use crate::identity::registry::check_dns_names;

const MAX_DNS_NAMES: usize = 100;

/// An X.509-SVID that someone asks for.
#[derive(Clone, Debug)]
pub struct MintX509 {
    /// For whom: of our trust domain, with a path that is not reserved.
    pub spiffe_id: SpiffeId,
    /// DNS names for the certificate, beside the identity.
    pub dns_names: Vec<String>,
    /// `SubjectPublicKeyInfo`, DER, of a key on P-256, P-384 or P-521, an Ed25519 key, or an RSA key of 2048 to 8192 bits.
    /// That the caller has the private half is the caller's word or its request's signature, and not looked at here.
    pub public_key: Vec<u8>,
    /// How long it is to live; the default if `None`. What exceeds a sixth of the authority's life is cut off.
    pub ttl: Option<Duration>,
}

/// A JWT-SVID that someone asks for.
#[derive(Clone, Debug)]
pub struct MintJwt {
    /// See [`MintX509::spiffe_id`].
    pub spiffe_id: SpiffeId,
    /// To whom it may be shown.
    pub audience: Vec<String>,
    /// How long it is to live; the default if `None`. What exceeds a day or a sixth of the authority's life is cut off.
    pub ttl: Option<Duration>,
}

/// An X.509-SVID for a key that the caller has.
#[derive(Clone, Debug)]
pub struct MintedX509 {
    /// The identity.
    pub id: SpiffeId,
    /// The leaf, then intermediates up to but without the authority in the bundle.
    pub chain: Vec<CertificateDer<'static>>,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// The serial number, hexadecimal.
    pub serial: String,
}

/// Why something is never minted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotMintable {
    /// Another authority's to sign. The words are SPIRE's, and clients see them.
    #[error("\"{id}\" is not a member of trust domain \"{ours}\"")]
    ForeignTrustDomain {
        /// The identity.
        id: SpiffeId,
        /// Ours.
        ours: TrustDomain,
    },
    /// It names the trust domain and no workload.
    #[error("\"{id}\" is not a workload in trust domain \"{ours}\"; path is empty")]
    NoPath {
        /// The identity.
        id: SpiffeId,
        /// Ours.
        ours: TrustDomain,
    },
    /// It belongs to the infrastructure.
    #[error("\"{id}\" is not a workload in trust domain \"{ours}\"; path is in the reserved namespace")]
    Reserved {
        /// The identity.
        id: SpiffeId,
        /// Ours.
        ours: TrustDomain,
    },
    /// A DNS name is none, or is there twice.
    #[error("{0}")]
    DnsName(String),
    /// There are too many DNS names.
    #[error("there are {0} DNS names, more than 100")]
    TooManyDnsNames(usize),
    /// The key is of no kind that we certify, or is none.
    #[error("the public key is not one on P-256, P-384 or P-521, of Ed25519, or of RSA with 2048 to 8192 bits")]
    PublicKey,
}

impl Issuer {
    /// Signs and records an X.509-SVID for a key of the caller's.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn mint_x509(&self, wanted: &MintX509) -> Result<MintedX509, IssueError> {
        self.check_workload_id(&wanted.spiffe_id)?;
        if wanted.dns_names.len() > MAX_DNS_NAMES {
            return Err(NotMintable::TooManyDnsNames(wanted.dns_names.len()).into());
        }
        check_dns_names(&wanted.dns_names).map_err(|problem| NotMintable::DnsName(problem.to_string()))?;
        let public_key = parse_public_key(&wanted.public_key).ok_or(NotMintable::PublicKey)?;
        let now = self.ports.clock.now();
        let ttl = wanted.ttl.unwrap_or(self.config.x509_svid_ttl).min(self.ports.authority.longest_svid());
        let request = LeafRequest { spiffe_id: &wanted.spiffe_id, dns_names: &wanted.dns_names, ttl };
        let leaf = self.ports.authority.certify(&request, &public_key, now)?;
        self.record(&wanted.spiffe_id, "", &leaf, now)?;
        Ok(MintedX509 {
            id: wanted.spiffe_id.clone(),
            chain: vec![leaf.certificate],
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            serial: leaf.serial.to_string(),
        })
    }

    /// Signs and records a JWT-SVID. It is never handed out twice.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn mint_jwt(&self, wanted: &MintJwt) -> Result<JwtSvid, IssueError> {
        self.check_workload_id(&wanted.spiffe_id)?;
        check_audience(&wanted.audience)?;
        let ttl = wanted.ttl.unwrap_or(self.config.jwt_svid_ttl);
        let (spiffe_id, audience) = (&wanted.spiffe_id, &*wanted.audience);
        let request = Wanted { spiffe_id, entry_id: "", audience, ttl, jti: None };
        let signed = self.sign_jwt(&request, self.ports.clock.now())?;
        Ok(JwtSvid {
            id: spiffe_id.clone(),
            entry_id: Arc::from(""),
            hint: String::new(),
            token: signed.token,
            issued_at: signed.issued_at,
            not_after: signed.not_after,
        })
    }

    fn check_workload_id(&self, id: &SpiffeId) -> Result<(), NotMintable> {
        let ours = self.ports.authority.trust_domain();
        let names = || (id.clone(), ours.clone());
        if id.trust_domain() != ours {
            let (id, ours) = names();
            return Err(NotMintable::ForeignTrustDomain { id, ours });
        }
        if id.path().is_empty() {
            let (id, ours) = names();
            return Err(NotMintable::NoPath { id, ours });
        }
        if id.path().split('/').nth(1) == Some("spire") {
            let (id, ours) = names();
            return Err(NotMintable::Reserved { id, ours });
        }
        Ok(())
    }
}

/// The key in `der`, if it is spelled as it should be, is one, and of a kind that verifiers of X.509-SVIDs know.
fn parse_public_key(der: &[u8]) -> Option<SubjectPublicKeyInfo> {
    // Knows each kind's numbers and one spelling of each; takes more kinds than we do.
    jwk_of(der).ok()?;
    // That a point is on its curve only the cryptography library can tell.
    let verifiers: [&'static dyn VerificationAlgorithm; 5] = [
        &ECDSA_P256_SHA256_ASN1,
        &ECDSA_P384_SHA384_ASN1,
        &ECDSA_P521_SHA512_ASN1,
        &ED25519,
        &RSA_PKCS1_2048_8192_SHA256,
    ];
    let is_one = verifiers.into_iter().any(|verifier| ParsedPublicKey::new(verifier, der).is_ok());
    if is_one { SubjectPublicKeyInfo::from_der(der).ok() } else { None }
}
