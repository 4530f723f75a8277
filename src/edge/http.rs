//! What is served over plain HTTP: decisions for those who ask in `AuthZEN`, cosignatures for other logs, and the
//! process's own state for those who run it.

pub mod authzen;
pub mod operations;
pub mod witness;

mod failure;
mod request_id;
