//! The Access Evaluations API (Authorization API 1.0, section 7): many questions in one request, with defaults for what
//! they share.

use serde::Serialize;
use serde_json::{Map, Value};

use super::super::failure::Failure;
use super::Evaluate;
use super::answer::Decision;
use super::options::Semantic;
use super::question::{Members, QuestionError, query};

/// What an item that lacks it takes from the top level, each whole (section 7.1.1).
const SHARED: [&str; 4] = ["subject", "action", "resource", "context"];

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
    /// `items` with the defaults that `members` have for them.
    pub(super) fn new(mut members: Members<'_>, items: Vec<Value>, semantic: Semantic) -> Self {
        let defaults = SHARED.iter().filter_map(|key| Some(((*key).to_owned(), members.take(key)?))).collect();
        Self { semantic, defaults, items }
    }

    /// Has `pdp` answer one question after another, as far as the semantic goes. Others get their turn between two.
    ///
    /// # Errors
    /// The answer to give if one of them could not be decided through a fault of ours: then there is no telling what
    /// the rest would have been worth.
    pub(super) async fn put<E: Evaluate>(
        self,
        pdp: &E,
        request_id: Option<&str>,
        with_context: bool,
    ) -> Result<Decisions, Failure> {
        let mut evaluations = Vec::with_capacity(self.items.len());
        for item in self.items {
            let decision = match complete(item, &self.defaults).and_then(query) {
                Ok(query) => Decision::of(&pdp.evaluate(query, request_id), with_context)?,
                Err(fault) => {
                    let verdict = pdp.refuse("an item of a batch that is no question", request_id);
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
        Ok(Decisions { evaluations })
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
