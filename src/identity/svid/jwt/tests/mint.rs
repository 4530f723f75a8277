//! Tokens of any kind, good and bad, and bundles to verify them by.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::identity::bundle::{Bundle, JwtAuthority};

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key pair and the algorithm it signs with.
pub(super) struct Key {
    pub(super) algorithm: &'static str,
    /// `SubjectPublicKeyInfo`, DER.
    pub(super) public_key: Vec<u8>,
    sign: Sign,
}

impl Key {
    pub(super) fn p256() -> Self {
        Self::ecdsa("ES256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(super) fn ecdsa(algorithm: &'static str, signing: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let public_key = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        Self { algorithm, public_key, sign: Box::new(sign) }
    }

    pub(super) fn rsa(algorithm: &'static str, encoding: &'static dyn RsaEncoding) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public_key = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        Self { algorithm, public_key, sign: Box::new(sign) }
    }

    pub(super) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public_key = pair.public_key().as_der().unwrap().as_ref().to_vec();
        Self { algorithm: "EdDSA", public_key, sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()) }
    }

    pub(super) fn all_kinds() -> Vec<Self> {
        vec![
            Self::p256(),
            Self::ecdsa("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING),
            Self::ecdsa("ES512", &ECDSA_P521_SHA512_FIXED_SIGNING),
            Self::rsa("RS256", &RSA_PKCS1_SHA256),
            Self::rsa("RS384", &RSA_PKCS1_SHA384),
            Self::rsa("RS512", &RSA_PKCS1_SHA512),
            Self::rsa("PS256", &RSA_PSS_SHA256),
            Self::rsa("PS384", &RSA_PSS_SHA384),
            Self::rsa("PS512", &RSA_PSS_SHA512),
        ]
    }

    /// A key that signs in another way, under the same public key.
    pub(super) fn but_signing(self, sign: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        Self { sign: Box::new(sign), ..self }
    }
}

/// A token of these parts, signed.
pub(super) fn token(header: &Value, claims: &Value, key: &Key) -> String {
    token_of_texts(&header.to_string(), &claims.to_string(), key)
}

/// A token of these texts, whatever they are, signed.
pub(super) fn token_of_texts(header: &str, claims: &str, key: &Key) -> String {
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
    let signature = (key.sign)(signed.as_bytes());
    format!("{signed}.{}", encode(&signature))
}

pub(super) fn joined(header: &[u8], claims: &[u8], signature: &[u8]) -> String {
    format!("{}.{}.{}", encode(header), encode(claims), encode(signature))
}

pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `object` with a member set.
pub(super) fn with(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut object = object.clone();
    object[name] = value.into();
    object
}

pub(super) fn bundle<'a>(trust_domain: &str, keys: impl IntoIterator<Item = (&'a str, &'a Key)>) -> Arc<Bundle> {
    let authority = |(key_id, key): (&str, &Key)| JwtAuthority {
        key_id: key_id.to_owned(),
        public_key: key.public_key.clone(),
        expires_at: None,
        tainted: false,
    };
    let mut bundle = Bundle::of_x509(trust_domain.parse().unwrap(), [], 1);
    bundle.jwt_authorities = keys.into_iter().map(authority).collect();
    Arc::new(bundle)
}
