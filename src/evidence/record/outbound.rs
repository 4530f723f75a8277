//! The record of a token that was asked for at an authorization server of others. The token itself is in no record: who has
//! it is whom it speaks for.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Outcome;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// A token of others was asked for.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct OutboundRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// The name of the target in the configuration.
    #[n(1)]
    pub target: String,
    /// The SPIFFE ID of the client that the token is for.
    #[n(2)]
    pub spiffe_id: String,
    /// Where it was asked.
    #[n(3)]
    pub endpoint: String,
    /// Given, refused by the server, or failed otherwise.
    #[n(4)]
    pub outcome: Outcome,
    /// Why there is none. Sanitised: most of it is the server's words.
    #[n(5)]
    pub error: Option<String>,
    /// SHA-256 of the client assertion, which has an issuance record of its own; `None` if there was none to show.
    #[n(6)]
    pub assertion: Option<Digest>,
    /// SHA-256 of the token.
    #[n(7)]
    pub token: Option<Digest>,
    /// Its scope, if the server says so.
    #[n(8)]
    pub scope: Option<String>,
    /// Until when it is handed out.
    #[n(9)]
    pub not_after: Option<Timestamp>,
}
