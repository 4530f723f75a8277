//! The record of a search: one for each page, whatever was looked at to find it.

use std::borrow::Cow;

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{DecisionId, Edge};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::Epoch;

/// Which part of the question was left open.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SearchKind {
    /// Who may do it.
    #[n(0)]
    Subject,
    /// To what.
    #[n(1)]
    Resource,
    /// What may be done.
    #[n(2)]
    Action,
}

impl SearchKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Subject, Self::Resource, Self::Action];

    /// The name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Resource => "resource",
            Self::Action => "action",
        }
    }
}

/// A page of a search.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct SearchRecord<'a> {
    /// The page's name, as that of a decision.
    #[n(0)]
    pub decision_id: DecisionId,
    /// When it was made.
    #[n(1)]
    pub time: Timestamp,
    /// Which wire asked.
    #[n(2)]
    pub edge: Edge,
    /// What was sought.
    #[n(3)]
    pub sought: SearchKind,
    /// Whom it was about, as `Type::"id"`; if subjects were sought, only their type.
    #[b(4)]
    pub principal: Cow<'a, str>,
    /// What they would do; empty if actions were sought.
    #[b(5)]
    pub action: Cow<'a, str>,
    /// To what, as `Type::"id"`; if resources were sought, only their type.
    #[b(6)]
    pub resource: Cow<'a, str>,
    /// SHA-256 over everything else that could enter the answer.
    #[n(7)]
    pub context_digest: Digest,
    /// The name after which the page begins; `None` for the first.
    #[b(8)]
    pub after: Option<Cow<'a, str>>,
    /// The most that were wanted.
    #[n(9)]
    pub limit: usize,
    /// How many names the page has.
    #[n(10)]
    pub found: usize,
    /// Whether there may be more after it.
    #[n(11)]
    pub more: bool,
    /// Why there is no page, if there is none.
    #[b(12)]
    pub error: Option<Cow<'a, str>>,
    /// SHA-256 over the policy set, schema included, that decided.
    #[n(13)]
    pub policy_digest: Digest,
    /// SHA-256 over the entities of the policy directory.
    #[n(14)]
    pub entity_digest: Digest,
    /// Which load of policies and entities, counted since the process started.
    #[n(15)]
    pub policy_epoch: Epoch,
    /// From the decoded question to the answer, in microseconds.
    #[n(16)]
    pub latency_us: u64,
    /// The caller's own name for its request (`x-request-id`), sanitised, if it gave one.
    #[b(17)]
    pub request_id: Option<Cow<'a, str>>,
    /// Who put the question, as in decisions.
    #[b(18)]
    pub caller: Option<Cow<'a, str>>,
    /// The ids of the policies that refused the caller, if any did.
    #[n(19)]
    pub policies: Option<Vec<String>>,
    /// Which policies failed when it was asked whether the caller may search, as `id: message`, if any did.
    #[n(20)]
    pub policy_errors: Option<Vec<String>>,
}
