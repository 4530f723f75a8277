//! On whose behalf: a token is exchanged for another that says who acts for whom, and grants no more than the first
//! (RFC 8693; transaction tokens: draft-ietf-oauth-transaction-tokens); and tokens of others are got for workloads of ours, by
//! [`outbound`] and [`cloud`].
//!
//! [`Exchange`] is the use case, in one line: verify what is shown → who acts → which scope → what the policies grant → sign →
//! record. Whatever the new token says of anybody was verified; its scope is never wider, and its end never later, than that of any
//! token that went in and says so.

mod account;
mod chain;
mod client;
pub mod cloud;
mod error;
mod exchange;
mod grant;
mod input;
mod metrics;
mod mint;
pub mod outbound;
mod request;
mod scope;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

pub use self::client::{Client, ClientError, Clients, Credentials};
pub use self::error::{ErrorCode, ExchangeError};
pub use self::exchange::{Exchange, Exchanged, Ports};
pub use self::grant::Grants;
pub use self::metrics::ExchangeMetrics;
pub use self::request::{ExchangeRequest, ShownToken, TokenType, UnknownTokenType};

/// The kind of an actor that the configuration says nothing else of (draft-mcguinness-oauth-actor-profile).
pub const SERVICE: &str = "service";

/// What may be exchanged for what.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// `iss` of the new tokens.
    pub issuer: Arc<str>,
    /// Ours; the audience of transaction tokens.
    pub trust_domain: TrustDomain,
    /// For whom tokens are made, and which workloads each of these is: they may exchange what was made for it.
    pub audiences: BTreeMap<String, BTreeSet<SpiffeId>>,
    /// All scopes that there are.
    pub scopes: BTreeSet<String>,
    /// What tokens without a `scope` grant, by their issuer. Of others they grant nothing.
    pub unscoped: BTreeMap<String, BTreeSet<String>>,
    /// Issuers, by their names, whose tokens may be exchanged by others than who acts in them.
    pub forwarded: BTreeSet<String>,
    /// What kind of actor workloads are, where it is not [`SERVICE`].
    pub profiles: BTreeMap<SpiffeId, String>,
    /// How long a new token lives at most.
    pub max_ttl: Duration,
    /// The most actors of one chain, up to [`MAX_ACTORS`](crate::identity::delegation::MAX_ACTORS).
    pub max_actors: usize,
    /// Whether new tokens are bound to the client's certificate (RFC 8705 section 3.1).
    pub bind_to_certificate: bool,
}

#[cfg(test)]
pub(crate) mod tests;
