//! A token taken apart: header, claims and signature, each read strictly and none of it believed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::TokenError;
use crate::foundation::clock::Timestamp;
use crate::foundation::json;
use crate::foundation::telemetry::printable;

/// How much of a token's own words an error repeats, in bytes.
const SHOWN: usize = 64;

/// The three parts, decoded.
pub(in crate::identity) struct Parts<'a> {
    pub(in crate::identity) header: Vec<u8>,
    pub(in crate::identity) claims: Vec<u8>,
    pub(in crate::identity) signature: Vec<u8>,
    /// What the signature is over: the first two parts as they stand in the token.
    pub(in crate::identity) signed: &'a str,
}

/// The header of a JWT-SVID.
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) key_id: String,
}

/// The claims of a JWT-SVID, and those that we want of any token.
pub(in crate::identity) struct Claims {
    pub(in crate::identity) subject: String,
    pub(in crate::identity) audience: Vec<String>,
    pub(in crate::identity) expires_at: Timestamp,
    pub(in crate::identity) not_before: Option<Timestamp>,
    pub(in crate::identity) issued_at: Option<Timestamp>,
    /// All of them, these included; `aud` is a list.
    pub(in crate::identity) all: Map<String, Value>,
}

impl<'a> Parts<'a> {
    /// Each byte of a token has one spelling: the decoder refuses padding, white space and left-over bits.
    pub(in crate::identity) fn parse(token: &'a str) -> Result<Self, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::NotCompact)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::NotCompact)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_reason| TokenError::NotCompact);
        Ok(Self { header: decode(header)?, claims: decode(claims)?, signature: decode(signature)?, signed })
    }
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        let mut header = object("header", bytes)?;
        let algorithm = match header.remove("alg") {
            Some(Value::String(name)) => printable(&name, SHOWN),
            _ => return Err(TokenError::Malformed("alg")),
        };
        let key_id = match header.remove("kid") {
            None => return Err(TokenError::NoKeyId),
            Some(Value::String(key_id)) if key_id.is_empty() => return Err(TokenError::NoKeyId),
            Some(Value::String(key_id)) => key_id,
            Some(_) => return Err(TokenError::Malformed("kid")),
        };
        match header.remove("typ") {
            None => {}
            Some(Value::String(name)) if matches!(name.as_str(), "JWT" | "JOSE") => {}
            Some(Value::String(name)) => return Err(TokenError::Type(printable(&name, SHOWN))),
            Some(_) => return Err(TokenError::Malformed("typ")),
        }
        match header.keys().next() {
            Some(name) => Err(TokenError::HeaderParameter(printable(name, SHOWN))),
            None => Ok(Self { algorithm, key_id }),
        }
    }
}

impl Claims {
    pub(in crate::identity) fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        let mut all = object("payload", bytes)?;
        let subject = match all.get("sub") {
            None => return Err(TokenError::Missing("sub")),
            Some(Value::String(subject)) => subject.clone(),
            Some(_) => return Err(TokenError::Malformed("sub")),
        };
        let audience = audience(all.get("aud"))?;
        all.insert(String::from("aud"), audience.iter().cloned().collect());
        Ok(Self {
            subject,
            audience,
            expires_at: moment(&all, "exp")?.ok_or(TokenError::Missing("exp"))?,
            not_before: moment(&all, "nbf")?,
            issued_at: moment(&all, "iat")?,
            all,
        })
    }
}

pub(in crate::identity) fn object(part: &'static str, bytes: &[u8]) -> Result<Map<String, Value>, TokenError> {
    match json::read(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(TokenError::NotAnObject(part)),
        Err(reason) => Err(TokenError::Json { part, reason }),
    }
}

/// One name or a list of names (RFC 7519 section 4.1.3); an empty list is for nobody.
fn audience(claim: Option<&Value>) -> Result<Vec<String>, TokenError> {
    let names = match claim {
        None => return Err(TokenError::Missing("aud")),
        Some(Value::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
    };
    let name = |name: &Value| name.as_str().map(str::to_owned).ok_or(TokenError::Malformed("aud"));
    match names.iter().map(name).collect::<Result<Vec<_>, _>>()? {
        names if names.is_empty() => Err(TokenError::Missing("aud")),
        names => Ok(names),
    }
}

/// A `NumericDate` (RFC 7519 section 2): seconds since 1970, perhaps with a fraction.
fn moment(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let since = match (value.as_u64(), value.as_f64()) {
        (Some(seconds), _) => Some(Duration::from_secs(seconds)),
        (None, Some(seconds)) => Duration::try_from_secs_f64(seconds).ok(),
        (None, None) => None,
    };
    let since = since.ok_or(TokenError::Malformed(name))?;
    Ok(Some(Timestamp::default().after(since)))
}
