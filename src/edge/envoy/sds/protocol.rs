//! What the two protocols of a stream, state of the world and incremental, have in common for the one who drives them.

use std::sync::Arc;

use super::SdsConfig;
use super::secret::{self, Missing};
use super::subscriptions::Subscriptions;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{self, Entropy, EntropyError};
use crate::foundation::telemetry::printable;
use crate::identity::issue::Identities;

/// How many secrets one stream may ask for. Envoy asks for one a stream.
const MAX_NAMES: usize = 100;

/// The longest name, in bytes: that of the longest SPIFFE ID.
const MAX_NAME_BYTES: usize = 2048;

/// How much of a client's own words goes into a log line, in bytes.
const MAX_SHOWN_BYTES: usize = 512;

/// One stream's side of a protocol, as a machine without I/O: requests and identities go in, verdicts and responses
/// come out.
pub(super) trait Protocol: Send {
    /// What the client sends.
    type Request: Send;
    /// What it gets.
    type Response: Send;

    /// A stream on which nothing was said yet.
    fn new(config: Arc<SdsConfig>) -> Self;

    /// Takes in a request.
    fn hear(&mut self, request: &Self::Request) -> Result<Verdict, RequestError>;

    /// What the client asks for.
    fn subscriptions(&self) -> &Subscriptions;

    /// What there is to send to a client that is entitled to `identities` at `now`.
    fn answer(
        &mut self,
        identities: &Identities,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Answer<Self::Response>, EntropyError>;
}

/// A request that breaks the protocol.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum RequestError {
    /// It asks for something other than secrets.
    #[error("only secrets are served here, not `{0}`")]
    TypeUrl(String),
    /// It asks for too many.
    #[error("a stream may name at most {MAX_NAMES} secrets, not {0}")]
    TooManyNames(usize),
    /// A name is too long to be one.
    #[error("the name of a secret may have at most {MAX_NAME_BYTES} bytes, not {0}")]
    LongName(usize),
}

/// What a request said of a response.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing: there was none, or this was said before.
    None,
    /// It was accepted.
    Accepted,
    /// It was rejected, for this reason in the client's words.
    Rejected(String),
    /// The request is about a response that is not the one to speak of.
    Stale,
}

/// Something about a subscribed name that an operator wants to know.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Notice {
    /// It can't be answered, and was not before.
    Unanswered(String, Missing),
    /// An SVID that the client holds is no longer granted; it keeps it.
    Withdrawn(String, Missing),
    /// A bundle or a credential that the client holds is gone and was replaced by an empty one.
    Emptied(String),
}

/// What is to be sent, and what is worth saying.
#[derive(Debug)]
pub(super) struct Answer<R> {
    /// The response, if anything is new to the client.
    pub(super) response: Option<R>,
    /// The names for which the stream has to end; nothing is sent then.
    pub(super) refused: Vec<String>,
    /// Each told once, until it changes.
    pub(super) notices: Vec<Notice>,
}

/// Whether a request for `type_url` that leads to a stream with `count` names, of them `names` new, is served here.
pub(super) fn check<'a>(
    type_url: &str,
    count: usize,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<(), RequestError> {
    if !type_url.is_empty() && type_url != secret::type_url() {
        return Err(RequestError::TypeUrl(shown(type_url)));
    }
    if count > MAX_NAMES {
        return Err(RequestError::TooManyNames(count));
    }
    match names.into_iter().map(String::len).find(|length| *length > MAX_NAME_BYTES) {
        Some(length) => Err(RequestError::LongName(length)),
        None => Ok(()),
    }
}

/// A nonce that no earlier response had.
pub(super) fn nonce(entropy: &dyn Entropy) -> Result<String, EntropyError> {
    Ok(hex::encode(entropy::random::<4>(entropy)?))
}

/// The reason for a rejection, in the client's words.
pub(super) fn rejected(words: &str) -> Verdict {
    Verdict::Rejected(shown(words))
}

/// `text`, fit for a log line or an error message.
pub(super) fn shown(text: &str) -> String {
    printable(text, MAX_SHOWN_BYTES)
}
