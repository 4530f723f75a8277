//! What a client wants: a token for a token (RFC 8693 section 2.1).

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::identity::authority::DelegatedKind;

/// The kinds of token that are known here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenType {
    /// An access token.
    AccessToken,
    /// An ID token of `OpenID` Connect. It is taken, and never issued.
    IdToken,
    /// A JWT without further meaning; to be issued, a JWT-SVID.
    Jwt,
    /// A transaction token.
    TransactionToken,
}

/// There is no such kind here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the kind of token is not known here")]
pub struct UnknownTokenType;

/// A token that is shown, and what it is said to be.
#[derive(Clone, Copy)]
pub struct ShownToken<'r> {
    /// In compact form.
    pub token: &'r str,
    /// What it is said to be.
    pub kind: TokenType,
}

/// A token that is wanted.
#[derive(Clone, Debug)]
pub struct ExchangeRequest<'r> {
    /// On whose behalf.
    pub subject: ShownToken<'r>,
    /// Who acts, if the client says so by a token, too.
    pub actor: Option<ShownToken<'r>>,
    /// Which kind.
    pub wanted: TokenType,
    /// For whom.
    pub audience: Option<&'r str>,
    /// With which scope; without one, that of the subject's token.
    pub scope: Option<&'r str>,
    /// The circumstances of a transaction: `rctx`.
    pub request_context: Option<Map<String, Value>>,
    /// What a transaction is about: `tctx`.
    pub request_details: Option<Map<String, Value>>,
    /// The client's own name for its request.
    pub request_id: Option<&'r str>,
    /// The trace that it belongs to, as the client says.
    pub traceparent: Option<&'r str>,
}

impl TokenType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AccessToken, Self::IdToken, Self::Jwt, Self::TransactionToken];

    /// The name on the wire (RFC 8693 section 3, draft-ietf-oauth-transaction-tokens).
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            Self::TransactionToken => "urn:ietf:params:oauth:token-type:txn_token",
        }
    }

    /// The last part of that, as records and policies have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::IdToken => "id_token",
            Self::Jwt => "jwt",
            Self::TransactionToken => "txn_token",
        }
    }

    /// What is signed for it; nothing for what is never issued.
    pub(super) const fn signed(self) -> Option<DelegatedKind> {
        match self {
            Self::AccessToken => Some(DelegatedKind::AccessToken),
            Self::IdToken => None,
            Self::Jwt => Some(DelegatedKind::JwtSvid),
            Self::TransactionToken => Some(DelegatedKind::TransactionToken),
        }
    }
}

impl FromStr for TokenType {
    type Err = UnknownTokenType;

    fn from_str(uri: &str) -> Result<Self, UnknownTokenType> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri).ok_or(UnknownTokenType)
    }
}

/// Without the token: who has it may be whom it names.
impl fmt::Debug for ShownToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShownToken").field("kind", &self.kind).finish_non_exhaustive()
    }
}
