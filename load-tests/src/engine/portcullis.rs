//! Portcullis's engine: what a Check pays for when the cache misses.

use std::path::Path;

use portcullis::decision::mapping;
use portcullis::decision::policy::{Effect, PolicySet};
use portcullis::decision::query::Query;

use super::{Asked, Decide};
use crate::Failure;

/// Loads a policy directory; returns how many policies are in it, and who answers.
pub(super) fn load(directory: &Path, asked: &[Asked]) -> Result<(usize, Decide), Failure> {
    let policies = PolicySet::load(directory).map_err(|error| Failure::new(directory.display(), error))?;
    let queries: Vec<_> = asked.iter().map(query).collect::<Result<_, _>>()?;
    let count = policies.len();
    let decide = move |number: usize| {
        let query = queries.get(number).ok_or_else(|| Failure::new(number, "no such question"))?;
        let evaluation = policies.evaluate(query).map_err(|error| Failure::new(number, error))?;
        Ok(evaluation.effect == Effect::Permit)
    };
    Ok((count, Box::new(decide)))
}

fn query(asked: &Asked) -> Result<Query<'static>, Failure> {
    let read = serde_json::from_value(asked.question.clone());
    let mut query = read.map_err(|error| Failure::new(&asked.question, error))?;
    mapping::complete(&mut query).map_err(|refusal| Failure::new(&asked.question, refusal.detail()))?;
    Ok(query)
}
