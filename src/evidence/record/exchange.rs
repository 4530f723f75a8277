//! The record of an exchange of tokens (RFC 8693): who wanted which token on whose behalf, by what, and what came of it. No token
//! is in it, only digests and names.

use std::borrow::Cow;

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{Actor, DecisionId, Outcome};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// A token that was shown and verified.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
#[cbor(map)]
pub struct ExchangedToken {
    /// SHA-256 of it in compact form.
    #[n(0)]
    pub token: Digest,
    /// Who issued it.
    #[n(1)]
    pub issuer: String,
    /// Its `jti`, if it has one.
    #[n(2)]
    pub jti: Option<String>,
}

/// A token was exchanged, or was not.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct ExchangeRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// The SPIFFE ID of the client, proved.
    #[n(1)]
    pub client: String,
    /// Whether there is a new token.
    #[n(2)]
    pub outcome: Outcome,
    /// Why, in a word of a fixed list; see `docs/delegation.md`.
    #[n(3)]
    pub reason: Cow<'static, str>,
    /// Whom the new token is about, or would have been.
    #[n(4)]
    pub subject: Option<Actor>,
    /// Who acts in it, the current one first.
    #[n(5)]
    pub actors: Vec<Actor>,
    /// What was shown and verified: the subject's token, then the actor's.
    #[n(6)]
    pub inputs: Vec<ExchangedToken>,
    /// What kind was wanted.
    #[n(7)]
    pub wanted: Cow<'static, str>,
    /// For whom.
    #[n(8)]
    pub audience: Option<String>,
    /// With which scope, if one was named.
    #[n(9)]
    pub requested: Option<String>,
    /// The scope of the new token; empty if there is none.
    #[n(10)]
    pub scope: String,
    /// The decisions on it, one for each scope.
    #[n(11)]
    pub decisions: Vec<DecisionId>,
    /// SHA-256 of the new token in compact form.
    #[n(12)]
    pub token: Option<Digest>,
    /// Its `jti`.
    #[n(13)]
    pub jti: Option<String>,
    /// Its `txn`.
    #[n(14)]
    pub transaction: Option<String>,
    /// The `kid` of the authority that signed it.
    #[n(15)]
    pub authority: Option<String>,
    /// Until when it is good.
    #[n(16)]
    pub not_after: Option<Timestamp>,
    /// The client's own name for its request.
    #[n(17)]
    pub request_id: Option<String>,
}
