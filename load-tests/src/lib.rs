//! The programs of `make load`, and what they share: questions in every wire format that is measured, a client that sends
//! them in a closed or an open loop and checks each answer, and what the kernel says of the servers meanwhile.
//!
//! `load-tests/README.md` says what is measured, and how to read it.

pub mod account;
pub mod address;
pub mod client;
pub mod clock;
pub mod engine;
pub mod load;
pub mod peer;
pub mod question;
pub mod random;
pub mod template;
pub mod wire;

/// Why a program of the load tests gave up, for a person to read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// Says what was tried and what came of it.
    pub fn new(tried: impl std::fmt::Display, came: impl std::fmt::Display) -> Self {
        Self(format!("{tried}: {came}"))
    }
}
