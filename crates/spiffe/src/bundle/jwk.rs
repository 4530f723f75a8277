//! Public keys as JSON Web Keys (RFC 7517), and back.
//!
//! EC and RSA (RFC 7518 section 6), Ed25519 (RFC 8037) and ML-DSA (RFC 9964).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::key::{Curve, MlDsa, PublicKey};

/// A JSON Web Key that holds a public key. Serialises to its members, the absent ones left out.
///
/// What was deserialised has only been found to have each member once and of the right JSON type; whether there is a
/// key in it, [`public_key_of`] says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Jwk {
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub(super) key_use: Option<String>,
    pub(super) kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(rename = "pub", skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) x5c: Option<Vec<String>>,
    /// The private part of an EC, RSA or Ed25519 key: only whether it is there.
    #[serde(skip_serializing)]
    d: Option<IgnoredAny>,
    /// The private part of an ML-DSA key: only whether it is there.
    #[serde(rename = "priv", skip_serializing)]
    private: Option<IgnoredAny>,
}

/// Why a key has no JWK form here, or a JWK holds no key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JwkError {
    /// Not a `SubjectPublicKeyInfo`, not as DER wants it, or the key inside is not what its algorithm says.
    #[error("this is not a public key in DER")]
    Malformed,
    /// A kind of key, curve or algorithm that is not supported here.
    #[error("the key is not of a known kind")]
    UnknownKind,
    /// The kind of key is known, but signs no JWT-SVIDs (JWT-SVID section 2.1).
    #[error("the key is not of a kind that signs JWT-SVIDs")]
    NotForJwt,
    /// An RSA modulus of less than 2048 or more than 8192 bits.
    #[error("the RSA key has {0} bits, which is not between 2048 and 8192")]
    RsaSize(usize),
    /// An RSA modulus or exponent that no RSA key has: even, or an exponent of less than 3 or more than 32 bits.
    #[error("the RSA key has an impossible modulus or exponent")]
    RsaNumbers,
    /// A member that the kind of key needs is missing, not base64url without padding, or not of the right length.
    #[error("the member `{0}` is missing or malformed")]
    Member(&'static str),
    /// It shows a private key, which therefore is none any more.
    #[error("the JWK holds a private key")]
    Private,
}

/// A public key, given as a DER `SubjectPublicKeyInfo`, as a JWK with the members that its kind needs and no other.
///
/// # Errors
/// [`JwkError`]; compressed EC points are [`JwkError::Malformed`].
pub fn jwk_of(public_key: &[u8]) -> Result<Jwk, JwkError> {
    PublicKey::from_spki(public_key).map(|key| Jwk::from(&key))
}

/// The public key of a JWK as a DER `SubjectPublicKeyInfo`.
///
/// Whether an EC point lies on its curve is not checked: no signature verifies with one that does not.
///
/// # Errors
/// [`JwkError`].
pub fn public_key_of(jwk: &Jwk) -> Result<Vec<u8>, JwkError> {
    jwk.key()?.to_spki()
}

impl Jwk {
    /// Whether it has any member that only keys have, besides `kty`.
    pub(super) const fn has_key_members(&self) -> bool {
        self.crv.is_some()
            || self.x.is_some()
            || self.y.is_some()
            || self.n.is_some()
            || self.e.is_some()
            || self.public.is_some()
            || self.d.is_some()
            || self.private.is_some()
    }

    /// The key in it.
    pub(super) fn key(&self) -> Result<PublicKey, JwkError> {
        if self.d.is_some() || self.private.is_some() {
            return Err(JwkError::Private);
        }
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some(name)) => {
                let curve = Curve::named(name).ok_or(JwkError::UnknownKind)?;
                let x = decode("x", self.x.as_ref(), Some(curve.coordinate_bytes))?;
                let y = decode("y", self.y.as_ref(), Some(curve.coordinate_bytes))?;
                Ok(PublicKey::Ec { curve, x, y })
            }
            ("EC" | "OKP", None) => Err(JwkError::Member("crv")),
            ("RSA", _) => PublicKey::rsa(&decode("n", self.n.as_ref(), None)?, &decode("e", self.e.as_ref(), None)?),
            ("OKP", Some(ED25519)) => {
                decode("x", self.x.as_ref(), Some(PublicKey::ED25519_BYTES)).map(PublicKey::Ed25519)
            }
            ("AKP", _) => {
                let name = self.alg.as_deref().ok_or(JwkError::Member("alg"))?;
                let parameters = MlDsa::named(name).ok_or(JwkError::UnknownKind)?;
                let key = decode("pub", self.public.as_ref(), Some(parameters.key_bytes))?;
                Ok(PublicKey::MlDsa { parameters, key })
            }
            _ => Err(JwkError::UnknownKind),
        }
    }
}

const ED25519: &str = "Ed25519";

impl From<&PublicKey> for Jwk {
    fn from(key: &PublicKey) -> Self {
        match key {
            PublicKey::Ec { curve, x, y } => Self {
                kty: "EC".to_owned(),
                crv: Some(curve.name.to_owned()),
                x: Some(URL_SAFE_NO_PAD.encode(x)),
                y: Some(URL_SAFE_NO_PAD.encode(y)),
                ..Self::default()
            },
            PublicKey::Rsa { n, e } => Self {
                kty: "RSA".to_owned(),
                n: Some(URL_SAFE_NO_PAD.encode(n)),
                e: Some(URL_SAFE_NO_PAD.encode(e)),
                ..Self::default()
            },
            PublicKey::Ed25519(x) => Self {
                kty: "OKP".to_owned(),
                crv: Some(ED25519.to_owned()),
                x: Some(URL_SAFE_NO_PAD.encode(x)),
                ..Self::default()
            },
            PublicKey::MlDsa { parameters, key } => Self {
                kty: "AKP".to_owned(),
                alg: Some(parameters.name.to_owned()),
                public: Some(URL_SAFE_NO_PAD.encode(key)),
                ..Self::default()
            },
        }
    }
}

/// The bytes of a member, of that length if one is given.
fn decode(name: &'static str, value: Option<&String>, length: Option<usize>) -> Result<Vec<u8>, JwkError> {
    value
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .filter(|bytes| length.is_none_or(|length| bytes.len() == length))
        .ok_or(JwkError::Member(name))
}
