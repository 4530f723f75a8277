//! What a decision's record says beside the decision itself: who acts for whom, which trace it belongs to, and the fields
//! of the question that the operator wants kept, in plain or as a commitment.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Serialize, Serializer};

use crate::foundation::digest::Digest;

/// One who acts for another: of a token's claim `act` (RFC 8693 section 4.1), the outermost first.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
#[cbor(map)]
pub struct Actor {
    /// Its `sub`.
    #[n(0)]
    pub subject: String,
    /// Its `iss`, if the claim names one.
    #[n(1)]
    pub issuer: Option<String>,
}

/// What a token says of itself, beside who issued it.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
#[cbor(map)]
pub struct TokenClaims {
    /// Whom it is about: its `sub`.
    #[n(0)]
    pub subject: String,
    /// Its own name, `jti`, if it has one.
    #[n(1)]
    pub id: Option<String>,
    /// The transaction that it is of, `txn`, if it is of one.
    #[n(2)]
    pub transaction: Option<String>,
}

/// A trace (W3C Trace Context, section 3.2.2.3). Displays and serialises as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct TraceId(pub(super) [u8; 16]);

impl TraceId {
    /// The trace of a `traceparent`; `None` unless it is exactly as the standard has it. What a later version appends is
    /// not looked at.
    pub fn of_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.splitn(5, '-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (version, _) = (number::<1>(version)?, number::<1>(flags)?);
        let (trace, parent) = (number::<16>(trace)?, number::<8>(parent)?);
        let is_final = version == [0];
        let fits = version != [0xff] && !(is_final && parts.next().is_some());
        (fits && trace != [0; 16] && parent != [0; 8]).then_some(Self(trace))
    }
}

/// So many bytes, in lower-case hexadecimal digits and nothing else.
fn number<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let is_lower = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    (is_lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(bytes)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        // The buffer is as long as it must be, and what is in it is ASCII.
        let _infallible = hex::encode_to_slice(self.0, &mut digits);
        f.write_str(str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A field of the question that is kept: in plain, or as a commitment that can be opened later.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
#[cbor(map)]
pub struct Field {
    /// Which: `context.` or `header.` and its name; `request` and `context_digest` are those of the whole question.
    #[n(0)]
    pub name: String,
    /// The value, as JSON.
    #[n(1)]
    pub value: Option<String>,
    /// What a value that is not here is committed to by; see [`crate::evidence::disclosure`].
    #[n(2)]
    pub commitment: Option<Digest>,
    /// The value, for whoever has the gateway's disclosure key.
    #[n(3)]
    pub sealed: Option<Sealed>,
}

/// An encrypted value. Serialises in hexadecimal.
#[derive(Clone, Eq, PartialEq)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sealed bytes", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it_or_not_at_all() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let read = |text: &str| TraceId::of_traceparent(text).map(|trace| trace.to_string());
        assert_eq!(read(&format!("00-{trace}-b7ad6b7169203331-01")).as_deref(), Some(trace));
        assert_eq!(read(&format!("01-{trace}-b7ad6b7169203331-01-what-comes")).as_deref(), Some(trace));
        for wrong in [
            String::new(),
            trace.to_owned(),
            format!("00-{trace}-b7ad6b7169203331"),
            format!("00-{trace}-b7ad6b7169203331-01-more"),
            format!("00-{trace}-b7ad6b7169203331-01-"),
            format!("ff-{trace}-b7ad6b7169203331-01"),
            format!("0-{trace}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
            format!("00-{trace}-B7AD6B7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{trace}-b7ad6b7169203331-1"),
            format!("00-{trace}-b7ad6b7169203331-0g"),
            format!(" 00-{trace}-b7ad6b7169203331-01"),
            format!("00-{trace}-b7ad6b7169203331-01 "),
            format!("00-{trace}--01"),
            format!("00–{trace}-b7ad6b7169203331-01"),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }
}
