//! What is served over plain HTTP: decisions for those who ask in `AuthZEN`, tokens for tokens, what others need to trust us, cosignatures for other
//! logs, and the process's own state for those who run it.

pub mod authzen;
pub mod bundle;
pub mod oidc;
pub mod operations;
pub mod token;
pub mod turned_away;
pub mod witness;

mod body;
mod failure;
mod identifier;
mod published;
mod receipts;
mod request_id;
