//! Join tokens: one-time passwords that a node proves with that it was let in.

mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::{IdError, SpiffeId, TrustDomain};

pub use self::store::{JoinTokenFuture, JoinTokenStore, JoinTokenStoreError};

use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::entropy::{Entropy, EntropyError, random};
use crate::foundation::secret::Secret;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 255;

/// The join tokens of one trust domain. Only digests of them are kept: a token is a password, and whoever reads the
/// database or a copy of it is not to join with what is there. A plain SHA-256 is enough, as those of our making have
/// 122 random bits; one that its author made up is as hard to guess as its author made it.
#[derive(Debug)]
pub struct JoinTokens {
    trust_domain: TrustDomain,
    store: Arc<dyn JoinTokenStore>,
    entropy: Arc<dyn Entropy>,
}

/// A new token. This is the only time that it can be read.
pub struct JoinToken {
    /// The token itself.
    pub value: Secret<String>,
    /// From when on it is void.
    pub expires_at: Timestamp,
    /// Who a node that joins with it will be. Names the token.
    pub agent_id: SpiffeId,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Why a token is not made or not accepted. Never shows it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinTokenError {
    /// It can't stand in the SPIFFE ID of the node that joins with it.
    #[error("a join token has 1 to 255 letters, digits, `.`, `-` and `_`, and is not `.` or `..`")]
    Form,
    /// It would be void from the start.
    #[error("ttl is required, you must provide one")]
    NoTtl,
    /// There is such a token, used or not.
    #[error("the join token exists already")]
    Exists,
    /// It was never made, is used or has expired. Which of these, a stranger is not told.
    #[error("the join token is not valid")]
    Void,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] JoinTokenStoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl JoinTokens {
    /// The tokens of `trust_domain`.
    pub fn new(trust_domain: TrustDomain, store: Arc<dyn JoinTokenStore>, entropy: Arc<dyn Entropy>) -> Self {
        Self { trust_domain, store, entropy }
    }

    /// Makes a token that is good for `ttl`, of this value or one of our making. Forgets those that have expired.
    ///
    /// # Errors
    /// [`JoinTokenError`].
    pub async fn create(
        &self,
        value: Option<String>,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<JoinToken, JoinTokenError> {
        if ttl.is_zero() {
            return Err(JoinTokenError::NoTtl);
        }
        let value = Secret::new(match value {
            Some(value) => value,
            None => uuid::Builder::from_random_bytes(random(&*self.entropy)?).into_uuid().to_string(),
        });
        let agent_id = self.agent_id(value.expose()).ok_or(JoinTokenError::Form)?;
        let expires_at = now.after(ttl);
        let added = self.store.add(&self.trust_domain, Digest::of(value.expose().as_bytes()), expires_at, now).await?;
        if added { Ok(JoinToken { value, expires_at, agent_id }) } else { Err(JoinTokenError::Exists) }
    }

    /// Uses up a token: of all that try, one succeeds. Says who joined.
    ///
    /// # Errors
    /// [`JoinTokenError`].
    pub async fn redeem(&self, value: &str, now: Timestamp) -> Result<SpiffeId, JoinTokenError> {
        let agent_id = self.agent_id(value).ok_or(JoinTokenError::Void)?;
        let redeemed = self.store.redeem(&self.trust_domain, Digest::of(value.as_bytes()), now).await?;
        if redeemed { Ok(agent_id) } else { Err(JoinTokenError::Void) }
    }

    /// The ID of a node that joins with this token, as SPIRE makes it.
    fn agent_id(&self, value: &str) -> Option<SpiffeId> {
        let fits = value.len() <= MAX_TOKEN && !value.contains('/');
        let id: Result<SpiffeId, IdError> =
            format!("spiffe://{}/spire/agent/join_token/{value}", self.trust_domain).parse();
        id.ok().filter(|_| fits)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;
    use crate::foundation::entropy::SystemEntropy;

    const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
    const MINUTE: Duration = Duration::from_mins(1);

    /// Expiry, and whether it is used.
    #[derive(Debug, Default)]
    struct Memory(Mutex<HashMap<Digest, (Timestamp, bool)>>);

    impl JoinTokenStore for Memory {
        fn add<'a>(
            &'a self,
            _: &'a TrustDomain,
            digest: Digest,
            expires_at: Timestamp,
            now: Timestamp,
        ) -> JoinTokenFuture<'a, bool> {
            let mut kept = self.0.lock().unwrap();
            kept.retain(|_, (expires_at, _)| now < *expires_at);
            let added = !kept.contains_key(&digest);
            kept.entry(digest).or_insert((expires_at, false));
            Box::pin(async move { Ok(added) })
        }

        fn redeem<'a>(&'a self, _: &'a TrustDomain, digest: Digest, now: Timestamp) -> JoinTokenFuture<'a, bool> {
            let mut kept = self.0.lock().unwrap();
            let redeemed = kept
                .get_mut(&digest)
                .is_some_and(|(expires_at, used)| now < *expires_at && !std::mem::replace(used, true));
            Box::pin(async move { Ok(redeemed) })
        }
    }

    fn tokens() -> (Arc<Memory>, JoinTokens) {
        let store = Arc::new(Memory::default());
        let entropy = Arc::new(SystemEntropy::new());
        (Arc::clone(&store), JoinTokens::new("example.org".parse().unwrap(), store, entropy))
    }

    #[tokio::test]
    async fn a_token_is_good_once_until_it_expires() {
        let (_, tokens) = tokens();
        let token = tokens.create(None, MINUTE, NOW).await.unwrap();
        assert_eq!(token.expires_at, NOW.after(MINUTE));
        let value = token.value.expose().as_str();
        assert_eq!(token.agent_id.as_str(), format!("spiffe://example.org/spire/agent/join_token/{value}"));
        assert!(matches!(tokens.redeem("another", NOW).await, Err(JoinTokenError::Void)));
        assert_eq!(tokens.redeem(value, NOW).await.unwrap(), token.agent_id);
        assert!(matches!(tokens.redeem(value, NOW).await, Err(JoinTokenError::Void)));
        let token = tokens.create(Some("mine".into()), MINUTE, NOW).await.unwrap();
        assert!(matches!(tokens.redeem("mine", token.expires_at).await, Err(JoinTokenError::Void)));
    }

    #[tokio::test]
    async fn nothing_of_a_token_is_kept_or_printed() {
        let (store, tokens) = tokens();
        let token = tokens.create(Some("hunter2".into()), MINUTE, NOW).await.unwrap();
        assert!(!format!("{store:?} {tokens:?} {token:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_token_that_can_name_no_node_is_refused() {
        let (_, tokens) = tokens();
        for value in ["", ".", "..", "a b/c", "a/b", "ä", "a\0", &"a".repeat(256)] {
            let made = tokens.create(Some(value.into()), MINUTE, NOW).await;
            assert!(matches!(made, Err(JoinTokenError::Form)), "{value}");
        }
        assert!(matches!(tokens.create(None, Duration::ZERO, NOW).await, Err(JoinTokenError::NoTtl)));
        tokens.create(Some("once".into()), MINUTE, NOW).await.unwrap();
        assert!(matches!(tokens.create(Some("once".into()), MINUTE, NOW).await, Err(JoinTokenError::Exists)));
        tokens.create(Some("once".into()), MINUTE, NOW.after(MINUTE)).await.unwrap();
    }
}
