//! Attestation: what can be said of a caller without asking it.
//!
//! [`unix`] is the base: it says that there is a process, and that it is the one that called. Others add to it what they
//! know of that process, behind the port [`WorkloadAttestor`].

pub mod attestors;
pub mod container;
pub mod unix;

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;

use self::container::{Container, ContainerError};
use super::selector::Selector;
use crate::server::UnixPeer;

/// What attestation found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attested {
    /// The process id, for logs.
    pub pid: i32,
    /// All that is true of the process.
    pub selectors: BTreeSet<Selector>,
    /// Who could not say what they may know. Their selectors are not there, which can only ever grant less.
    pub failures: Vec<AttestorFailure>,
}

/// An attestor that has nothing to say about a caller it should know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttestorFailure {
    /// The type of the selectors that are missing, e.g. `docker`.
    pub attestor: &'static str,
    /// Why, fit for a log.
    pub reason: String,
}

/// A process that called, and is known to live.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The process.
    pub peer: UnixPeer,
    /// The container that it is in.
    pub container: Result<Option<Container>, ContainerError>,
}

/// Answers of a [`WorkloadAttestor`]: values of selectors.
pub type AttestFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<String>, AttestorError>> + Send + 'a>>;

/// The port to those who know more about a process than the kernel.
///
/// It may rely on the process being the caller as long as it is asked: the whole attestation is thrown away if the
/// process ended or became another before all have answered. An attestor that a process is no concern of, such as that of
/// a container manager for a process in no container, finds nothing, which is no error.
pub trait WorkloadAttestor: fmt::Debug + Send + Sync {
    /// The type of its selectors, e.g. `docker`.
    fn kind(&self) -> &'static str;

    /// What it knows of `caller` now: the values of its selectors, e.g. `label:app:web`. It is given up after a while by
    /// whoever asks.
    fn attest<'a>(&'a self, caller: &'a Caller) -> AttestFuture<'a>;
}

/// Why an attestor could not say what it may know.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestorError {
    /// It can't be said which container the caller is in.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Whoever knows did not say, or said what can't be understood.
    #[error("{0}")]
    Daemon(String),
}
