//! The port by which processes tell each other which tokens for one use were used: what each of them remembers by itself
//! ([`IssuerRules::single_use`](super::IssuerRules::single_use)) would let a token be used once at each.

use std::fmt;

use super::{TokenError, VerifiedToken};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::{Digest, Hasher};
use crate::identity::svid::jwt;

/// The store behind the port failed: whether the token was used is not known.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct UsesError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A future that the port returns, so that it can be a trait object.
pub type UsesFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, UsesError>> + Send + 'a>>;

/// Where the processes of one trust domain keep which tokens were used.
pub trait UseStore: fmt::Debug + Send + Sync {
    /// Keeps durably, until `end`, that the token of this name was used. Says whether it is the first use: of several that are made
    /// at once, by whichever processes, one is. Forgets what ended before `now`.
    fn take(&self, name: Digest, end: Timestamp, now: Timestamp) -> UsesFuture<'_, bool>;
}

impl VerifiedToken {
    /// What no other token is called: a digest of who issued it and its `jti`.
    ///
    /// # Errors
    /// [`TokenError`] if it has no `jti` that is a text.
    pub fn name(&self) -> Result<Digest, TokenError> {
        let id = self.claims.get("jti").ok_or(jwt::TokenError::Missing("jti"))?;
        let id = id.as_str().ok_or(jwt::TokenError::Malformed("jti"))?;
        let mut hasher = Hasher::new();
        hasher.field(self.issuer.as_bytes()).field(id.as_bytes());
        Ok(hasher.finish())
    }
}

#[cfg(test)]
pub(crate) mod memory {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Keeps uses as long as it lives; can be made to fail.
    #[derive(Debug, Default)]
    pub(crate) struct MemoryUses {
        used: Mutex<BTreeMap<[u8; 32], Timestamp>>,
        pub(crate) fails: AtomicBool,
    }

    impl UseStore for MemoryUses {
        fn take(&self, name: Digest, end: Timestamp, now: Timestamp) -> UsesFuture<'_, bool> {
            Box::pin(async move {
                if self.fails.load(Ordering::SeqCst) {
                    return Err(UsesError("the database is away".into()));
                }
                let mut used = self.used.lock().unwrap();
                used.retain(|_, end| *end > now);
                Ok(used.insert(*name.as_bytes(), end).is_none())
            })
        }
    }
}
