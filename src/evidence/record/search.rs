//! The record of a search: one for each page, whatever was looked at to find it.

use std::borrow::Cow;

use serde::Serialize;

use super::{DecisionId, Edge};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::Epoch;

/// Which part of the question was left open.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchKind {
    /// Who may do it.
    Subject,
    /// To what.
    Resource,
    /// What may be done.
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
#[derive(Clone, Debug, Serialize)]
pub struct SearchRecord<'a> {
    /// The page's name, as that of a decision.
    pub decision_id: DecisionId,
    /// When it was made.
    pub time: Timestamp,
    /// Which wire asked.
    pub edge: Edge,
    /// What was sought.
    pub sought: SearchKind,
    /// Whom it was about, as `Type::"id"`; if subjects were sought, only their type.
    pub principal: Cow<'a, str>,
    /// What they would do; empty if actions were sought.
    pub action: Cow<'a, str>,
    /// To what, as `Type::"id"`; if resources were sought, only their type.
    pub resource: Cow<'a, str>,
    /// SHA-256 over everything else that could enter the answer.
    pub context_digest: Digest,
    /// The name after which the page begins; `None` for the first.
    pub after: Option<Cow<'a, str>>,
    /// The most that were wanted.
    pub limit: usize,
    /// How many names the page has.
    pub found: usize,
    /// Whether there may be more after it.
    pub more: bool,
    /// Why there is no page, if there is none.
    pub error: Option<&'static str>,
    /// SHA-256 over the policy set, schema included, that decided.
    pub policy_digest: Digest,
    /// SHA-256 over the entities of the policy directory.
    pub entity_digest: Digest,
    /// Which load of policies and entities, counted since the process started.
    pub policy_epoch: Epoch,
    /// From the decoded question to the answer, in microseconds.
    pub latency_us: u64,
    /// The caller's own name for its request (`x-request-id`), sanitised, if it gave one.
    pub request_id: Option<Cow<'a, str>>,
}
