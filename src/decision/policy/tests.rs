//! Tests of the whole: random worlds of schema, policies, entities and questions.

mod dice;
mod equality;
mod expression;
mod keys;
mod world;
