//! Private keys, of authorities and of workloads. They come from AWS-LC's own generator, which has no injection point.

use std::fmt;

use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding,
};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm};

use crate::foundation::secret::Secret;

/// The length of a subject key id: the leading bytes of a SHA-256 (RFC 7093 section 2, method 1).
const KEY_ID_LENGTH: usize = 20;

/// A kind of key that we make, by the names that SPIRE gives them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 4096 bits.
    Rsa4096,
}

impl KeyType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EcP256, Self::EcP384, Self::Rsa2048, Self::Rsa4096];

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa4096 => "rsa-4096",
        }
    }
}

/// A digest that is signed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Hash {
    /// 256 bits.
    #[default]
    Sha256,
    /// 384 bits.
    Sha384,
    /// 512 bits.
    Sha512,
}

/// A private key. AWS-LC holds it and wipes its memory when it is dropped; `Debug` shows its kind.
pub(super) enum SigningKey {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl SigningKey {
    /// A new key. Takes seconds for a long RSA key.
    pub(super) fn generate(key_type: KeyType) -> Result<Self, Unspecified> {
        Ok(match key_type {
            KeyType::EcP256 => Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?),
            KeyType::EcP384 => Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)?),
            KeyType::Rsa2048 => Self::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?),
            KeyType::Rsa4096 => Self::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa4096)?),
        })
    }

    /// The key in a PKCS#8 document, of whatever kind it is.
    pub(super) fn from_pkcs8(document: &[u8]) -> Result<Self, KeyRejected> {
        let p256 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document).map(Self::P256);
        let p384 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, document).map(Self::P384);
        let rsa = || rsa::KeyPair::from_pkcs8(document).map(Self::Rsa);
        p256().or_else(|_other| p384()).or_else(|_other| rsa())
    }

    /// The key as a PKCS#8 document.
    pub(super) fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, Unspecified> {
        Ok(Secret::new(match self {
            Self::P256(key) | Self::P384(key) => key.to_pkcs8v1()?.as_ref().to_vec(),
            Self::Rsa(key) => AsDer::<Pkcs8V1Der<'_>>::as_der(key)?.as_ref().to_vec(),
        }))
    }

    /// The key's id in certificates, tokens and file names, raw.
    pub(super) fn id(&self) -> Vec<u8> {
        key_id(&self.subject_public_key_info())
    }

    /// A signature over `message`. An RSA key signs by PKCS#1 v1.5 with `hash`; one on a curve with the digest of its
    /// own length, as ASN.1.
    pub(super) fn sign_with(&self, message: &[u8], hash: Hash) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::P256(key) => Ok(key.sign_digest(&digest(&digest::SHA256, message))?.as_ref().to_vec()),
            Self::P384(key) => Ok(key.sign_digest(&digest(&digest::SHA384, message))?.as_ref().to_vec()),
            Self::Rsa(key) => {
                let (padding, algorithm): (&'static dyn RsaEncoding, _) = match hash {
                    Hash::Sha256 => (&RSA_PKCS1_SHA256, &digest::SHA256),
                    Hash::Sha384 => (&RSA_PKCS1_SHA384, &digest::SHA384),
                    Hash::Sha512 => (&RSA_PKCS1_SHA512, &digest::SHA512),
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(padding, &digest(algorithm, message), &mut signature)?;
                Ok(signature)
            }
        }
    }
}

/// The subject key id of a `SubjectPublicKeyInfo` in DER.
pub(super) fn key_id(public_key_info: &[u8]) -> Vec<u8> {
    digest(&digest::SHA256, public_key_info).as_ref().iter().take(KEY_ID_LENGTH).copied().collect()
}

impl PublicKeyData for SigningKey {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::P256(key) | Self::P384(key) => key.public_key().as_ref(),
            Self::Rsa(key) => key.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::P256(_) => &PKCS_ECDSA_P256_SHA256,
            Self::P384(_) => &PKCS_ECDSA_P384_SHA384,
            Self::Rsa(_) => &PKCS_RSA_SHA256,
        }
    }
}

impl rcgen::SigningKey for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign_with(message, Hash::Sha256).map_err(|Unspecified| rcgen::Error::RingUnspecified)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::Rsa(_) => "RSA",
        })
    }
}
