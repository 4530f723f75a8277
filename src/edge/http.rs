//! What is served over plain HTTP: decisions for those who ask in `AuthZEN`, and the process's own state for those who
//! run it.

pub mod authzen;
pub mod operations;

mod failure;
pub mod receipts;
mod request_id;
