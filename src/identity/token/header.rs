//! The header of a token (RFC 7515 section 4), read strictly and not believed.

use serde_json::Value;

use super::TokenError;
use crate::foundation::telemetry::printable;
use crate::identity::svid::jwt;
use crate::identity::svid::jwt::parts::object;

/// The type of a token that names none, as [`Header::check_kind`] has it.
pub(super) const JWT: &str = "jwt";

/// How much of a token's own words an error repeats, in bytes.
const SHOWN: usize = 64;

/// Parameters that bring a key or say where one is, that make other parameters count, or that make the payload something
/// else than claims. Most verifiers that were fooled followed one of these. All others mean nothing here, as the standard
/// wants it (section 4).
const REFUSED: [&str; 9] = ["crit", "jwk", "jku", "x5c", "x5u", "b64", "enc", "zip", "cty"];

/// What is said of how a token is signed.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: String,
    /// Never empty.
    pub(super) key_id: Option<String>,
    pub(super) kind: Option<String>,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        let mut header = object("header", bytes)?;
        if let Some(name) = REFUSED.into_iter().find(|name| header.contains_key(*name)) {
            return Err(TokenError::HeaderParameter(name));
        }
        let mut text = |name: &'static str| match header.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(jwt::TokenError::Malformed(name)),
        };
        let algorithm = text("alg")?.ok_or(jwt::TokenError::Malformed("alg"))?;
        Ok(Self { algorithm, key_id: text("kid")?, kind: text("typ")? })
    }

    /// Its type, in the one spelling that [`kind`] gives it. Refuses one that is none of `wanted`; a token that names none
    /// is a `JWT`.
    pub(super) fn check_kind(&self, wanted: &[String]) -> Result<String, TokenError> {
        let shown = self.kind.as_deref().unwrap_or(JWT);
        let read = kind(shown);
        if wanted.iter().any(|wanted| kind(wanted) == read) {
            return Ok(read);
        }
        Err(TokenError::Type(printable(shown, SHOWN)))
    }
}

/// A type in lower case, and without the first part of a media type, which may be left out (RFC 7515 section 4.1.9).
fn kind(text: &str) -> String {
    text.to_ascii_lowercase().trim_start_matches("application/").to_owned()
}
