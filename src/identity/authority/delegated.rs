//! Tokens that were exchanged for others, signed with the key that signs JWT-SVIDs. Their types keep them apart: what reads
//! JWT-SVIDs refuses the other two (RFC 8725 section 3.11).

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Authority, AuthorityError, SignedToken};
use crate::foundation::clock::Timestamp;
use crate::foundation::secret::Secret;
use crate::identity::jwt::JWT;

/// What kind of token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DelegatedKind {
    /// An access token (RFC 9068).
    AccessToken,
    /// A JWT-SVID: whoever shows it is whom it names, so nobody acts in it for another.
    JwtSvid,
    /// A transaction token (draft-ietf-oauth-transaction-tokens).
    TransactionToken,
}

/// A token, signed.
#[derive(Clone, Debug)]
pub struct DelegatedToken {
    /// In compact form.
    pub token: Secret<String>,
    /// Who signed: its `kid`.
    pub authority: Arc<str>,
    /// `exp`.
    pub not_after: Timestamp,
}

#[derive(Serialize)]
struct Signed<'a> {
    #[serde(flatten)]
    claims: &'a Map<String, Value>,
    iat: u64,
    exp: u64,
}

impl DelegatedKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AccessToken, Self::JwtSvid, Self::TransactionToken];

    /// The `typ` of its header.
    pub const fn typ(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::JwtSvid => JWT,
            Self::TransactionToken => "txntoken+jwt",
        }
    }
}

impl Authority {
    /// Signs `claims`, good from `now` to `not_after` at most, both cut to whole seconds. They have neither `iat` nor `exp`.
    ///
    /// # Errors
    /// [`AuthorityError`], if there is nobody to sign or no second left.
    pub fn sign_delegated(
        &self,
        kind: DelegatedKind,
        claims: &Map<String, Value>,
        not_after: Timestamp,
        now: Timestamp,
    ) -> Result<DelegatedToken, AuthorityError> {
        let signed = |iat, exp| Signed { claims, iat, exp };
        let token = self.sign_typed(kind.typ(), not_after.since(now), now, signed)?;
        let SignedToken { token, authority, not_after, .. } = token;
        Ok(DelegatedToken { token, authority, not_after })
    }
}
