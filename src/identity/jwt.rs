//! Writing tokens: JSON Web Signatures in their compact form (RFC 7515 section 7.1). JWT-SVIDs have the header and the claims
//! that the JWT-SVID standard (sections 2 and 3) and SPIRE's tokens have, and no others.

use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use x509_parser::asn1_rs::{FromDer as _, Integer, Sequence};

/// How a token is signed (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// RSA, PKCS#1 v1.5, with SHA-256.
    RS256,
    /// The same with SHA-384.
    RS384,
    /// The same with SHA-512.
    RS512,
}

/// The whole header: the standard forbids any other parameter.
#[derive(Debug, Serialize)]
struct Header<'a> {
    alg: Algorithm,
    kid: &'a str,
    typ: &'static str,
}

/// The whole payload, in the order that SPIRE writes it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Claims<'a> {
    /// Always a list, also of one.
    pub(super) aud: &'a [String],
    /// Seconds since 1970.
    pub(super) exp: u64,
    /// Seconds since 1970.
    pub(super) iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<&'a str>,
    pub(super) sub: &'a str,
}

/// The type of JWT-SVIDs.
pub(super) const JWT: &str = "JWT";

/// What is signed: header and payload.
pub(super) fn signing_input(
    algorithm: Algorithm,
    (kid, typ): (&str, &'static str),
    claims: &impl Serialize,
) -> Result<String, serde_json::Error> {
    let header = serde_json::to_vec(&Header { alg: algorithm, kid, typ })?;
    let payload = serde_json::to_vec(claims)?;
    Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload)))
}

/// The token, of what was signed and its signature as [`Algorithm::encode`] has it.
pub(super) fn token(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl Algorithm {
    /// A signature in the form of JOSE: that of ECDSA is two numbers of fixed width (RFC 7518 section 3.4), where
    /// certificates have ASN.1.
    pub(super) fn encode(self, signature: Vec<u8>) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::ES256 => fixed_width(&signature, 32),
            Self::ES384 => fixed_width(&signature, 48),
            Self::RS256 | Self::RS384 | Self::RS512 => Ok(signature),
        }
    }
}

/// The two numbers of an `ECDSA-Sig-Value` (RFC 3279 section 2.2.3), each of `width` bytes.
fn fixed_width(asn1: &[u8], width: usize) -> Result<Vec<u8>, Unspecified> {
    let (_rest, sequence) = Sequence::from_der(asn1).map_err(|_malformed| Unspecified)?;
    let (rest, r) = Integer::from_der(&sequence.content).map_err(|_malformed| Unspecified)?;
    let (_rest, s) = Integer::from_der(rest).map_err(|_malformed| Unspecified)?;
    let mut fixed = Vec::with_capacity(2 * width);
    for number in [r.as_ref(), s.as_ref()] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let digits = number.get(zeros..).unwrap_or_default();
        let padding = width.checked_sub(digits.len()).ok_or(Unspecified)?;
        fixed.resize(fixed.len() + padding, 0);
        fixed.extend_from_slice(digits);
    }
    Ok(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_signature_get_their_full_width() {
        let asn1 = [0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 7];
        assert_eq!(fixed_width(&asn1, 4).unwrap(), [0, 0, 0x80, 1, 0, 0, 0, 7]);
        assert!(fixed_width(&asn1, 1).is_err(), "a number that is too long");
        assert!(fixed_width(&asn1[..9], 4).is_err(), "cut short");
    }

    #[test]
    fn header_and_claims_are_those_of_spire() {
        let audience = ["x".to_owned(), "y".to_owned()];
        let claims = Claims {
            aud: &audience,
            exp: 1_795_325_378,
            iat: 1_795_325_348,
            iss: None,
            jti: None,
            sub: "spiffe://example.org/m",
        };
        let input = signing_input(Algorithm::ES256, ("bNYdMfxXUT6dhbTw96Vd8DJlnZy9Vg97", JWT), &claims).unwrap();
        // What SPIRE 1.15 signed for `jwt mint -spiffeID spiffe://example.org/m -audience x -audience y -ttl 30s`.
        assert_eq!(
            input,
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImJOWWRNZnhYVVQ2ZGhiVHc5NlZkOERKbG5aeTlWZzk3IiwidHlwIjoiSldUIn0.\
             eyJhdWQiOlsieCIsInkiXSwiZXhwIjoxNzk1MzI1Mzc4LCJpYXQiOjE3OTUzMjUzNDgsInN1YiI6InNwaWZmZTovL2V4YW1wbGUub3JnL20ifQ"
        );
    }
}
