//! Tests of the whole: random worlds of schema, policies, entities and questions.

mod canonical;
mod dice;
mod equality;
mod expression;
mod keys;
pub(super) mod search;
mod world;
