//! The Access Evaluations API (Authorization API 1.0, section 7): many questions in one request, with defaults for what
//! they share.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::failure::Failure;
use super::answer::{self, Decision};
use super::asking::Asking;
use super::options::Semantic;
use super::question::{Members, QuestionError, query};
use super::{Evaluate, verdict};
use crate::decision::Reason;

/// What an item that lacks it takes from the top level, each whole (section 7.1.1).
const SHARED: [&str; 4] = ["subject", "action", "resource", "context"];

/// What the defaults may weigh together if every item takes them over, in bytes: a body of 1 MiB must not make a thousand
/// questions of 1 MiB.
const SHARED_BYTES: usize = 64 << 20;

/// Questions to be answered one after another.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) semantic: Semantic,
    /// Of [`SHARED`], what is there. It is not looked at until an item takes it over.
    defaults: Map<String, Value>,
    items: Vec<Value>,
}

/// The answer to a batch.
#[derive(Debug, Serialize)]
pub(super) struct Decisions {
    evaluations: Vec<Decision>,
}

impl Batch {
    /// `items`, of which there may be `most`, with the defaults that `members` have for them.
    ///
    /// # Errors
    /// The answer to give if that is too much.
    pub(super) fn new(
        mut members: Members<'_>,
        items: Vec<Value>,
        semantic: Semantic,
        most: usize,
    ) -> Result<Self, Failure> {
        let too_large = |message: String| Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message);
        if items.len() > most {
            return Err(too_large(format!("{} evaluations are more than {most}", items.len())));
        }
        let defaults: Map<_, _> =
            SHARED.iter().filter_map(|key| Some(((*key).to_owned(), members.take(key)?))).collect();
        let shared: usize = defaults.values().map(weight).sum();
        if shared.saturating_mul(items.len()) > SHARED_BYTES {
            return Err(too_large("what the evaluations share is too large for so many".to_owned()));
        }
        Ok(Self { semantic, defaults, items })
    }

    /// Has `pdp` answer one question after another, as far as the semantic goes. Others get their turn between two.
    ///
    /// # Errors
    /// The answer to give if one of them could not be decided through a fault of ours: then there is no telling what
    /// the rest would have been worth; or if who asks may ask none of those that are questions.
    pub(super) async fn put<E: Evaluate>(
        self,
        pdp: &E,
        asking: &Asking,
        with_context: bool,
    ) -> Result<Decisions, Failure> {
        let by = asking.by();
        let mut evaluations = Vec::with_capacity(self.items.len());
        let (mut asked, mut may_ask_any) = (false, false);
        for item in self.items {
            let decision = match complete(item, &self.defaults).and_then(query) {
                Ok(mut query) => {
                    asking.restrict(&mut query);
                    let verdict = verdict(pdp, query, by, with_context).await;
                    asked = true;
                    may_ask_any |= verdict.reason != Reason::CallerNotPermitted;
                    Decision::of_item(&verdict, with_context)?
                }
                Err(fault) => {
                    let verdict = pdp.refuse("an item of a batch that is no question", by).settled().await;
                    Decision::of_bad_item(&verdict, &fault, with_context)?
                }
            };
            let last = self.semantic.ends_with(decision.permits());
            evaluations.push(decision);
            if last {
                break;
            }
            tokio::task::yield_now().await;
        }
        if may_ask_any || !asked { Ok(Decisions { evaluations }) } else { Err(answer::not_permitted()) }
    }
}

/// About how many bytes it was as text. Its depth is bounded where it is read.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(text) => 2 + text.len(),
        Value::Array(values) => 2 + values.iter().map(|value| 1 + weight(value)).sum::<usize>(),
        Value::Object(members) => 2 + members.iter().map(|(name, value)| 4 + name.len() + weight(value)).sum::<usize>(),
    }
}

/// The item, with the defaults for what it lacks.
fn complete(item: Value, defaults: &Map<String, Value>) -> Result<Members<'static>, QuestionError> {
    let Value::Object(mut item) = item else {
        return Err(QuestionError::Wrong { member: "evaluations[]".to_owned(), expected: "an object" });
    };
    for (key, default) in defaults {
        if item.get(key).is_none_or(Value::is_null) {
            item.insert(key.clone(), default.clone());
        }
    }
    Ok(Members::new(item))
}
