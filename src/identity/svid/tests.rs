mod leaves;
pub(in crate::identity) mod mint;
mod presented;
mod revoked;
mod server;
mod verifier;
