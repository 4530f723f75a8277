//! The canonical request: what is left of a request's untrusted text once everything that can be read in two ways has
//! been refused. Pure code of our own, and no URL parser anywhere: those resolve, guess and repair, and whoever repairs
//! differently from the backend can be talked into allowing what the backend does not serve under that name.
//!
//! It says nothing about who asks, nor what they may do.

#[cfg(test)]
mod fuzz;
pub mod headers;
pub mod host;
pub mod http;
pub mod method;
pub mod path;

use std::fmt;

pub use self::headers::{HeaderError, Headers, Upgrade};
pub use self::host::{Host, HostError};
pub use self::http::{HttpRequest, Target};
pub use self::method::{Method, MethodError};
pub use self::path::{PathError, RequestPath};
use super::reason::Reason;
use crate::foundation::telemetry::printable;

/// How much of an offending text is worth repeating in a log line, in bytes.
const SHOWN: usize = 120;

/// A question that policies are never asked, because it can't be understood in exactly one way.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    reason: Reason,
    detail: String,
}

impl Refusal {
    /// `why` it is refused, about the text `input` that a peer sent.
    pub fn new(reason: Reason, why: impl fmt::Display, input: &str) -> Self {
        let why = printable(&why.to_string(), 2 * SHOWN);
        let detail = if input.is_empty() { why } else { format!("{why}: `{}`", printable(input, SHOWN)) };
        Self { reason, detail }
    }

    /// The reason for the answer.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// What exactly is wrong, bounded and fit for a log line. Not for the client.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}
