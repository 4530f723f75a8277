//! A bundle document's bytes to what they say.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::jwk::Jwk;
use super::key::PublicKey;
use super::{
    BundleDocument, BundleDocumentError, DocumentJwtAuthority, DocumentX509Authority, MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_KEYS, MEMBER_KEYS, MEMBER_REFRESH_HINT, MEMBER_SEQUENCE, USE_JWT_SVID, USE_X509_SVID,
};

/// Reads a document.
pub(super) fn document(json: &[u8]) -> Result<BundleDocument, BundleDocumentError> {
    if json.len() > MAX_DOCUMENT_BYTES {
        return Err(BundleDocumentError::TooLarge(json.len()));
    }
    let members = Members::read(json)?;
    let mut document = BundleDocument {
        sequence: members.integer(MEMBER_SEQUENCE)?,
        refresh_hint: members.integer(MEMBER_REFRESH_HINT)?,
        ..BundleDocument::default()
    };
    for (index, element) in members.keys()?.into_iter().enumerate() {
        // What is no proper JWK is passed over: see `BundleDocument::parse`.
        let Ok(jwk) = serde_json::from_str::<Jwk>(element.get()) else { continue };
        match jwk.key_use.as_deref() {
            Some(USE_X509_SVID) => add_x509_authority(&mut document, &jwk),
            Some(USE_JWT_SVID) => add_jwt_authority(&mut document, index, &jwk)?,
            _ => {}
        }
    }
    Ok(document)
}

fn add_x509_authority(document: &mut BundleDocument, jwk: &Jwk) {
    let Some(certificate) = certificate_of(jwk) else { return };
    if document.x509_authorities.iter().all(|earlier| earlier.certificate != certificate) {
        document.x509_authorities.push(DocumentX509Authority { certificate, tainted: false });
    }
}

/// The first certificate of `x5c` (X509-SVID section 6.2), if it is one and its key is the JWK's (RFC 7517 section
/// 4.7). Some publishers leave the key's own members out; then only `kty` must fit.
fn certificate_of(jwk: &Jwk) -> Option<Vec<u8>> {
    let certificate = STANDARD.decode(jwk.x5c.as_ref()?.first()?).ok()?;
    let certified = PublicKey::of_certificate(&certificate)?.ok()?;
    let fits = if jwk.has_key_members() { jwk.key() == Ok(certified) } else { jwk.kty == Jwk::from(&certified).kty };
    fits.then_some(certificate)
}

fn add_jwt_authority(document: &mut BundleDocument, index: usize, jwk: &Jwk) -> Result<(), BundleDocumentError> {
    let Some(key_id) = jwk.kid.as_ref().filter(|kid| !kid.is_empty()) else { return Ok(()) };
    let Some(public_key) = jwk.key().and_then(PublicKey::into_jwt_key).and_then(|key| key.to_spki()).ok() else {
        return Ok(());
    };
    match document.jwt_authorities.iter().find(|earlier| earlier.key_id == *key_id) {
        Some(earlier) if earlier.public_key == public_key => {}
        Some(_) => return Err(BundleDocumentError::DuplicateKeyId(index)),
        None => {
            let key_id = key_id.clone();
            document.jwt_authorities.push(DocumentJwtAuthority { key_id, public_key, tainted: false });
        }
    }
    Ok(())
}

/// The members of the outer object, each once, their values not yet looked at.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn read(json: &'a [u8]) -> Result<Self, BundleDocumentError> {
        let members: Self = serde_json::from_slice(json)
            .map_err(|reason| BundleDocumentError::NotAnObject { line: reason.line(), column: reason.column() })?;
        let mut seen = BTreeSet::new();
        match members.0.iter().find(|(name, _)| !seen.insert(name)) {
            // An error must not be as long as a hostile document wants it to be.
            Some((name, _)) => Err(BundleDocumentError::DuplicateMember(name.chars().take(64).collect())),
            None => Ok(members),
        }
    }

    fn find(&self, wanted: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.get())
    }

    fn integer(&self, name: &'static str) -> Result<Option<u64>, BundleDocumentError> {
        let read = |value| serde_json::from_str(value).map_err(|_reason| BundleDocumentError::NotAnInteger(name));
        self.find(name).map(read).transpose()
    }

    fn keys(&self) -> Result<Vec<&'a RawValue>, BundleDocumentError> {
        let value = self.find(MEMBER_KEYS).ok_or(BundleDocumentError::NoKeys)?;
        let keys: Vec<_> = serde_json::from_str(value).map_err(|_reason| BundleDocumentError::KeysNotAnArray)?;
        if keys.len() > MAX_DOCUMENT_KEYS { Err(BundleDocumentError::TooManyKeys(keys.len())) } else { Ok(keys) }
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
