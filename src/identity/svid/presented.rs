//! How a proxy hands us a leaf: one PEM certificate, percent-encoded (`source.certificate` of an Envoy `CheckRequest`).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::LeafError;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const MARK: &[u8] = b"-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// The DER inside `presented`: exactly one block labelled `CERTIFICATE` (RFC 7468) and nothing but white space around
/// it, so that no two readers can take two certificates out of one text.
pub(super) fn der_of(presented: &str) -> Result<Vec<u8>, LeafError> {
    let text: Cow<'_, [u8]> = percent_decode_str(presented).into();
    // The decoder leaves a bad escape as it stands, and PEM has no percent sign.
    if text.contains(&b'%') {
        return Err(LeafError::PercentEncoding);
    }
    let body = text
        .trim_ascii()
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.strip_suffix(END))
        .and_then(|rest| rest.strip_prefix(b"\n").or_else(|| rest.strip_prefix(b"\r\n")))
        .ok_or(LeafError::Pem)?;
    if body.windows(MARK.len()).any(|window| window == MARK) {
        return Err(LeafError::SeveralBlocks);
    }
    let base64: Vec<u8> = body.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    STANDARD.decode(base64).map_err(|_reason| LeafError::Pem)
}
