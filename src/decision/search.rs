//! Searches in `AuthZEN`'s shape (Authorization API 1.0, section 8): a question with one part left open, and all that
//! can stand there so that [`Authorizer::evaluate`] would answer allow. Subjects and resources are those that are
//! stored, actions those of the schema.
//!
//! How they are found is written in [`policy::search`](super::policy); here is what surrounds it: one record for each
//! page, appended before the page is given.

mod record;

use std::borrow::Cow;
use std::sync::Arc;

use self::record::Answer;
use super::authorize::Authorizer;
use super::caller::Asker;
use super::query::{Action, Entity, Overlay, Properties};
use crate::evidence::{DecisionId, Edge, Record, Taken};

/// How much one page may cost, in units of about a tenth of a microsecond: a look at one name is one, to put the question
/// about it some ten, and one that Cedar itself has to answer a thousand.
const MOST_WORK: usize = 10_000_000;

/// The part of the question that is left open, and the others.
#[derive(Clone, Debug)]
pub enum Sought<'a> {
    /// Who may do `action` to `resource`?
    Subjects {
        /// The type of subject.
        kind: Cow<'a, str>,
        /// What the caller says of each of them. What is stored comes first, unless `overlay` covers the name.
        properties: Properties<'a>,
        /// Which of that comes before what is stored.
        overlay: Overlay,
        /// What they would do.
        action: Action<'a>,
        /// To what.
        resource: Entity<'a>,
    },
    /// To what may `subject` do `action`?
    Resources {
        /// Who.
        subject: Entity<'a>,
        /// What they would do.
        action: Action<'a>,
        /// The type of resource.
        kind: Cow<'a, str>,
        /// What the caller says of each of them. What is stored comes first, unless `overlay` covers the name.
        properties: Properties<'a>,
        /// Which of that comes before what is stored.
        overlay: Overlay,
    },
    /// What may `subject` do to `resource`? Without any action properties.
    Actions {
        /// Who.
        subject: Entity<'a>,
        /// To what.
        resource: Entity<'a>,
    },
}

/// A search for one page of names.
#[derive(Clone, Debug)]
pub struct Search<'a> {
    /// What is sought.
    pub sought: Sought<'a>,
    /// Under which circumstances.
    pub context: Properties<'a>,
    /// Only names after this one, in the order of their bytes. It need not be a name itself.
    pub after: Option<String>,
    /// The most names that are wanted.
    pub limit: usize,
}

/// Some of the names, without a gap between them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Page {
    /// Ids, or names of actions, ascending in the order of their bytes. It can be fewer than were wanted though there
    /// are more, but then it is at least one: the page after its last name goes on from there.
    pub names: Vec<String>,
    /// Whether there may be more after the last of them.
    pub more: bool,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// All that one page may cost was spent, and nothing was found.
    #[error(
        "the search takes too much work: after {MOST_WORK} steps nothing was found; ask for something more specific"
    )]
    TooMuchWork,
    /// The page could not be recorded.
    #[error("the search could not be recorded")]
    Unrecorded,
    /// No policy lets the caller search for this.
    #[error("the caller may not search for this")]
    CallerNotPermitted,
    /// A fault of ours that has no better name.
    #[error("the search failed")]
    Internal,
}

impl SearchError {
    /// The name in answers, metrics and records.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooMuchWork => "too_much_work",
            Self::Unrecorded => "audit_unavailable",
            Self::CallerNotPermitted => "caller_not_permitted",
            Self::Internal => "internal",
        }
    }
}

/// The answer to a search.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name: that of its record.
    pub id: DecisionId,
    /// The page.
    pub result: Result<Page, SearchError>,
    /// Its record. It may be told once that is durable: [`Found::settled`].
    pub taken: Taken,
}

impl Found {
    /// The answer as it may be told: once its record is as durable as the operator wants it, or an error instead.
    pub async fn settled(mut self) -> Self {
        if std::mem::take(&mut self.taken).durable().await.is_err() {
            self.result = Err(SearchError::Unrecorded);
        }
        self
    }
}

impl Authorizer {
    /// Answers a search. It takes up to a second of CPU and never waits: not for an async thread. A type, an id or an
    /// action that nobody knows is no error: nothing is found.
    pub fn search(&self, search: &Search<'_>, by: Asker<'_>) -> Found {
        let mut question = self.begin(Edge::Authzen);
        let Some(id) = question.id else {
            return Found { id: DecisionId::NIL, result: Err(SearchError::Internal), taken: Taken::NOW };
        };
        let policies = Arc::clone(&question.policies);
        let asked = search.query();
        let admission = self.may_search(by, &asked, &mut question);
        let result = match &admission {
            // What a question about one of them becomes depends on the request that it describes.
            Ok(()) if self.maps(&asked) => Ok(Page::default()),
            Ok(()) => policies.search(search, MOST_WORK, &self.ports.leaves.foreign()),
            Err(_) => Err(SearchError::CallerNotPermitted),
        };
        let took = self.ports.clock.elapsed().saturating_sub(question.started);
        let answer = Answer { id, time: question.now, policies: &policies, result: &result, took };
        let mut record = record::record(search, &answer, by);
        record::add_admission(&mut record, &question.errors_of_admission, admission.err().as_ref());
        if let Some(recording) = &self.recording {
            record.context_digest = recording.blinded(id, record.context_digest);
        }
        let (result, taken) = match self.ports.audit.append(Record::Search(Box::new(record))) {
            Ok(taken) => (result, taken),
            Err(error) => {
                tracing::error!(decision_id = %id, "a search was not recorded, so it is an error: {error}");
                (Err(SearchError::Unrecorded), Taken::NOW)
            }
        };
        self.metrics.searched(search.kind(), result.as_ref().map_or_else(SearchError::name, |_| "found"), took);
        Found { id, result, taken }
    }
}

#[cfg(test)]
mod tests;
