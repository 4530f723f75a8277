//! Tokens for calls to services outside: an OAuth 2.0 client-credentials grant (RFC 6749 section 4.4) whose client shows no
//! secret but a JWT-SVID, as a client assertion (RFC 7521 section 4.2, draft-ietf-oauth-spiffe-client-auth section 3.1).
//!
//! One [`Keeper`] a target asks for its token, records it, and renews it before its end. [`Tokens`] has what there is now, each
//! for those alone whom the target names. A token that can't be renewed is gone at its end, and so is one whose client no
//! entry grants any more: nobody is handed a stale one.

pub mod answer;
mod keeper;
pub mod port;
mod request;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_spiffe::SpiffeId;

pub use self::answer::{Granted, Refusal};
pub use self::keeper::{Keeper, Ports};
pub use self::port::{Assertions, ObtainError, OutboundEvents, TokenAnswer, TokenEndpoint};
pub use self::request::form;
pub use self::tokens::Tokens;

/// What the name of a target's credential begins with, where Envoy asks for it.
pub const PREFIX: &str = "outbound/";

/// A service outside, and who may call it as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name, unique.
    pub name: Arc<str>,
    /// Where tokens are to be had, as it is recorded.
    pub endpoint: String,
    /// Whose JWT-SVID is the assertion: of our own trust domain.
    pub client: SpiffeId,
    /// The name by which the server knows that client, if it is not its SPIFFE ID.
    pub client_id: Option<String>,
    /// To whom the assertion is addressed: the issuer identifier of the server.
    pub audience: String,
    /// How the server is told what the assertion is.
    pub assertion_type: AssertionType,
    /// What the token is to allow, if that is said.
    pub scope: Option<String>,
    /// For which service it is, if that is said (RFC 8707).
    pub resource: Option<String>,
    /// Who may have the token.
    pub workloads: BTreeSet<SpiffeId>,
}

/// What kind of client assertion a JWT-SVID is said to be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AssertionType {
    /// A JWT-SVID, verified by the bundle of its trust domain.
    #[default]
    Spiffe,
    /// Any JWT (RFC 7523 section 2.2), for servers that know only that; its issuer is our `OpenID` provider.
    Bearer,
}

impl AssertionType {
    /// `client_assertion_type`.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Spiffe => "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe",
            Self::Bearer => "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
    }
}

#[cfg(test)]
mod tests;
