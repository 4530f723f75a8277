//! What a bundle document says to its bytes: the members in the order that SPIRE writes them in.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use super::jwk::{Jwk, JwkError};
use super::key::PublicKey;
use super::{
    BundleDocument, BundleDocumentError, DocumentJwtAuthority, DocumentX509Authority, MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_KEYS, USE_JWT_SVID, USE_X509_SVID,
};

/// A JWK Set about to be written.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    keys: Vec<Jwk>,
    #[serde(rename = "spiffe_sequence", skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(rename = "spiffe_refresh_hint", skip_serializing_if = "Option::is_none")]
    refresh_hint: Option<u64>,
}

impl Document {
    /// All that the bundle has.
    pub(super) fn of_bundle(bundle: &BundleDocument) -> Result<Self, BundleDocumentError> {
        let mut keys = x509_keys(bundle)?;
        keys.extend(jwt_keys(bundle, Some(USE_JWT_SVID))?);
        Self { keys, sequence: bundle.sequence, refresh_hint: bundle.refresh_hint }.within_bounds()
    }

    /// The JWT keys alone, without SPIFFE's own members.
    pub(super) fn of_jwt_keys(bundle: &BundleDocument) -> Result<Self, BundleDocumentError> {
        Self { keys: jwt_keys(bundle, None)?, sequence: None, refresh_hint: None }.within_bounds()
    }

    /// The X.509 keys alone, without a hint.
    pub(super) fn of_x509_keys(bundle: &BundleDocument) -> Result<Self, BundleDocumentError> {
        Self { keys: x509_keys(bundle)?, sequence: bundle.sequence, refresh_hint: None }.within_bounds()
    }

    fn within_bounds(self) -> Result<Self, BundleDocumentError> {
        let count = self.keys.len();
        if count > MAX_DOCUMENT_KEYS { Err(BundleDocumentError::TooManyKeys(count)) } else { Ok(self) }
    }
}

fn x509_keys(bundle: &BundleDocument) -> Result<Vec<Jwk>, BundleDocumentError> {
    bundle.x509_authorities.iter().enumerate().map(|(index, authority)| x509_key(index, authority)).collect()
}

/// An X.509 authority's JWK (X509-SVID section 6.1).
fn x509_key(index: usize, authority: &DocumentX509Authority) -> Result<Jwk, BundleDocumentError> {
    let key = PublicKey::of_certificate(&authority.certificate).ok_or(BundleDocumentError::Certificate(index))?;
    let key = key.map_err(|reason| BundleDocumentError::X509Key { index, reason })?;
    let mut jwk = Jwk::from(&key);
    jwk.key_use = Some(USE_X509_SVID.to_owned());
    jwk.x5c = Some(vec![STANDARD.encode(&authority.certificate)]);
    Ok(jwk)
}

/// The JWT authorities' JWKs (JWT-SVID section 6.1).
fn jwt_keys(bundle: &BundleDocument, key_use: Option<&str>) -> Result<Vec<Jwk>, BundleDocumentError> {
    let mut key_ids = BTreeSet::new();
    let mut keys = Vec::new();
    for (index, authority) in bundle.jwt_authorities.iter().enumerate() {
        if authority.key_id.is_empty() {
            return Err(BundleDocumentError::NoKeyId(index));
        }
        if !key_ids.insert(&authority.key_id) {
            return Err(BundleDocumentError::DuplicateKeyId(index));
        }
        let jwk = jwt_key(authority, key_use).map_err(|reason| BundleDocumentError::JwtKey { index, reason })?;
        keys.push(jwk);
    }
    Ok(keys)
}

fn jwt_key(authority: &DocumentJwtAuthority, key_use: Option<&str>) -> Result<Jwk, JwkError> {
    let key = PublicKey::from_spki(&authority.public_key)?.into_jwt_key()?;
    let mut jwk = Jwk::from(&key);
    jwk.key_use = key_use.map(str::to_owned);
    jwk.kid = Some(authority.key_id.clone());
    Ok(jwk)
}

/// Without white space.
pub(super) fn compact(document: &Document) -> Result<String, BundleDocumentError> {
    let json = serde_json::to_vec(document).map_err(|_reason| BundleDocumentError::Unwritable)?;
    text(json)
}

/// Indented by four spaces.
pub(super) fn indented(document: &Document) -> Result<String, BundleDocumentError> {
    let mut json = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut json, PrettyFormatter::with_indent(b"    "));
    document.serialize(&mut writer).map_err(|_reason| BundleDocumentError::Unwritable)?;
    text(json)
}

fn text(json: Vec<u8>) -> Result<String, BundleDocumentError> {
    if json.len() > MAX_DOCUMENT_BYTES {
        return Err(BundleDocumentError::TooLarge(json.len()));
    }
    String::from_utf8(json).map_err(|_reason| BundleDocumentError::Unwritable)
}
