//! What keeping tokens needs of others.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use portcullis_spiffe::SpiffeId;

use super::Target;
use super::answer::{Granted, Refusal};
use crate::evidence::AppendError;
use crate::foundation::clock::Timestamp;
use crate::foundation::secret::Secret;
use crate::identity::issue::{IssueError, Issuer};

/// What a server said.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// The HTTP status.
    pub status: u16,
    /// How long it wants to be left alone, if it says so in seconds.
    pub retry_after: Option<Duration>,
    /// The body, of bounded length.
    pub body: Secret<Vec<u8>>,
}

/// An address where tokens are to be had.
pub trait TokenEndpoint: fmt::Debug + Send + Sync {
    /// Sends a form. It ends in bounded time.
    ///
    /// # Errors
    /// Why there is no answer, with nothing in it of what was sent.
    fn post(&self, form: Secret<String>) -> BoxFuture<'_, Result<TokenAnswer, String>>;
}

/// Who speaks for workloads.
pub trait Assertions: fmt::Debug + Send + Sync {
    /// A recorded token that names `client` to `audience` alone, and was never shown before.
    ///
    /// # Errors
    /// [`IssueError`].
    fn sign(&self, client: &SpiffeId, audience: &str) -> Result<Secret<String>, IssueError>;

    /// Whether an entry grants that identity now.
    fn grants(&self, client: &SpiffeId) -> bool;
}

impl Assertions for Issuer {
    fn sign(&self, client: &SpiffeId, audience: &str) -> Result<Secret<String>, IssueError> {
        self.assertion(client, audience).map(|svid| svid.token)
    }

    fn grants(&self, client: &SpiffeId) -> bool {
        self.grants(client)
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObtainError {
    /// There is nothing to show.
    #[error("there is no client assertion: {0}")]
    Assertion(#[from] IssueError),
    /// Nobody answered.
    #[error("{0}")]
    Unreachable(String),
    /// The server refused, or its answer is of no use.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be recorded, so it was thrown away.
    #[error("the token can't be recorded: {0}")]
    Record(#[from] AppendError),
}

/// Who is told how it goes.
pub trait OutboundEvents: fmt::Debug + Send + Sync {
    /// There is a new token, good until then.
    fn obtained(&self, target: &Target, granted: &Granted, not_after: Timestamp);

    /// There is none; whether there is still an earlier one.
    fn failed(&self, target: &Target, error: &ObtainError, is_held: bool);

    /// The token that there was is at its end, or its client is nobody any more, and nobody has it now.
    fn ended(&self, target: &Target);
}
