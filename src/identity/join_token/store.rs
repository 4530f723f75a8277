//! The port that join tokens are kept behind.

use std::fmt;

use portcullis_spiffe::TrustDomain;

use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// A failure of the store behind the port.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct JoinTokenStoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A future that the port returns, so that it can be a trait object.
pub type JoinTokenFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, JoinTokenStoreError>> + Send + 'a>>;

/// Where the digests of a trust domain's join tokens are kept.
pub trait JoinTokenStore: fmt::Debug + Send + Sync {
    /// Keeps a token until `expires_at`, durably, and forgets those that have expired at `now`. Says whether it did: not
    /// if the token is there, even used.
    fn add<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        digest: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> JoinTokenFuture<'a, bool>;

    /// Marks a token as used, durably. Says whether it did: once for each token that has not expired at `now`, whoever
    /// asks at the same time.
    fn redeem<'a>(&'a self, trust_domain: &'a TrustDomain, digest: Digest, now: Timestamp)
    -> JoinTokenFuture<'a, bool>;
}
