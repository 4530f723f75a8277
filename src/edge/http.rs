//! What is served over plain HTTP: decisions for those who ask in `AuthZEN`, what others need to trust us, cosignatures for other
//! logs, and the process's own state for those who run it.

pub mod authzen;
pub mod bundle;
pub mod oidc;
pub mod operations;
pub mod witness;

mod failure;
mod identifier;
mod published;
mod receipts;
mod request_id;
