//! P-256 keys, of authorities and of workloads. They come from AWS-LC's own generator, which has no injection point.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};

use crate::foundation::secret::Secret;

/// The length of a subject key id: the leading bytes of a SHA-256 (RFC 7093 section 2, method 1).
const KEY_ID_LENGTH: usize = 20;

/// A private key. AWS-LC holds it and wipes its memory when it is dropped; `Debug` shows the public half.
#[derive(Debug)]
pub(super) struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    /// A new key.
    pub(super) fn generate() -> Result<Self, Unspecified> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self)
    }

    /// The key in a PKCS#8 document.
    pub(super) fn from_pkcs8(document: &[u8]) -> Result<Self, KeyRejected> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document).map(Self)
    }

    /// The key as a PKCS#8 document.
    pub(super) fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, Unspecified> {
        Ok(Secret::new(self.0.to_pkcs8v1()?.as_ref().to_vec()))
    }

    /// The key's id in certificates and file names, raw.
    pub(super) fn id(&self) -> Vec<u8> {
        key_id(&self.subject_public_key_info())
    }
}

/// The subject key id of a `SubjectPublicKeyInfo` in DER.
pub(super) fn key_id(public_key_info: &[u8]) -> Vec<u8> {
    digest(&SHA256, public_key_info).as_ref().iter().take(KEY_ID_LENGTH).copied().collect()
}

impl PublicKeyData for SigningKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign_digest(&digest(&SHA256, message));
        Ok(signature.map_err(|Unspecified| rcgen::Error::RingUnspecified)?.as_ref().to_vec())
    }
}
