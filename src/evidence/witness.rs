//! Witnesses (C2SP tlog-witness): whoever cosigns a log's checkpoint vouches that the log has only grown since the last
//! one. A log that shows one history to some and another to others, or that was cut back, has to show the same to its
//! witnesses, who find it out.
//!
//! Here are both sides. `ask` has others cosign our log; `book` is what we keep of the logs that we cosign. Two gateways
//! that do both watch each other.

mod alarms;
mod ask;
mod book;
mod key;
mod metrics;
mod peer;

use futures_util::future::BoxFuture;

pub use self::ask::{AskConfig, Asked};
pub use self::book::{Book, BookError, Declined};
pub use self::key::WitnessKey;
pub use self::metrics::WitnessMetrics;
pub use self::peer::Peer;

/// What a witness is told by, which is HTTP.
pub trait WitnessPort: std::fmt::Debug + Send + Sync {
    /// Sends the body of an `add-checkpoint` request and returns the answer, whatever it is.
    ///
    /// # Errors
    /// Why there is none.
    fn send(&self, body: String) -> BoxFuture<'_, Result<Reply, String>>;
}

/// An answer of a witness.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The content type, if it says one.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests;
