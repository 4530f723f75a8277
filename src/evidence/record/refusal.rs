//! The record of a caller that got no identity.

use std::borrow::Cow;

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::foundation::clock::Timestamp;

/// Somebody asked for identities and got none.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct RefusalRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// Why: `no_entry`, `not_attested` or `not_issued`.
    #[n(1)]
    pub reason: Cow<'static, str>,
    /// Effective user of the calling process.
    #[n(2)]
    pub uid: u32,
    /// The calling process, in our PID namespace; 0 if it is in one that we can't see.
    #[n(3)]
    pub pid: i32,
    /// What was known of it, as selectors: the first of them, in order.
    #[n(4)]
    pub selectors: Vec<String>,
    /// What went wrong, if anything did. Sanitised.
    #[n(5)]
    pub error: Option<String>,
    /// How many of this user were refused for this reason since the record before, this one included.
    #[n(6)]
    pub count: u64,
}
