//! What someone may do. Every edge asks here, and [`authorize`] is the one place where the line
//! request → principal → cache → Cedar → decision → record is written.

pub mod authorize;
pub mod cache;
pub mod check;
pub mod mapping;
pub mod policy;
pub mod query;
pub mod request;

pub use authorize::{Authorizer, Reason, Verdict};
pub use check::{Check, HttpAttributes};
pub use query::{Action, Entity, Query};
