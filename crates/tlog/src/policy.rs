//! Whom a verifier of checkpoints believes.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::note::{KeyName, VerifiedSignature, VerifierKey, VerifyError};

/// A log, its keys, and the witnesses of whom enough must have seen the same tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    origin: String,
    log: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
    quorum: usize,
}

/// Why something can't be a policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Nobody could sign for the log.
    #[error("there is no key of the log")]
    NoKey,
    /// Who holds a key twice would count twice: an Ed25519 cosignature is not bound to the name of the key.
    #[error("the keys `{0}` and `{1}` are the same")]
    SameKey(KeyName, KeyName),
    /// No checkpoint could ever have so many cosignatures.
    #[error("{quorum} of {witnesses} witnesses must have cosigned")]
    Quorum {
        /// How many must have.
        quorum: usize,
        /// How many there are.
        witnesses: usize,
    },
}

/// A checkpoint that satisfies a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedCheckpoint<'a> {
    /// What the log says.
    pub checkpoint: &'a Checkpoint,
    /// The signatures of the log.
    pub log: Vec<VerifiedSignature<'a>>,
    /// The cosignatures of witnesses, which may be more than the quorum.
    pub witnesses: Vec<VerifiedSignature<'a>>,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UntrustedError {
    /// It is that of another log.
    #[error("the checkpoint is of the log {found:?} and not of {expected:?}")]
    Origin {
        /// Whose it is.
        found: String,
        /// Whose it must be.
        expected: String,
    },
    /// The log has not signed it, or a signature of the log is wrong.
    #[error("the signature of the log: {0}")]
    Log(VerifyError),
    /// A witness's cosignature is wrong.
    #[error("the cosignature of a witness: {0}")]
    Witness(VerifyError),
    /// Too few witnesses have cosigned.
    #[error("{found} witnesses have cosigned the checkpoint, {needed} must have")]
    Quorum {
        /// How many have.
        found: usize,
        /// How many must have.
        needed: usize,
    },
    /// It says that the empty tree has another root than it has.
    #[error("the checkpoint of the empty tree has another root than that")]
    EmptyRoot,
}

impl Policy {
    /// Believes the log with this origin if one of the keys of `log` has signed and witnesses with `quorum` names have
    /// cosigned. Two keys with one name are one witness.
    pub fn new(
        origin: &str,
        log: Vec<VerifierKey>,
        witnesses: Vec<VerifierKey>,
        quorum: usize,
    ) -> Result<Self, PolicyError> {
        if log.is_empty() {
            return Err(PolicyError::NoKey);
        }
        let mut known = BTreeMap::new();
        for key in log.iter().chain(&witnesses) {
            if let Some(other) = known.insert(key.bytes(), key.name()) {
                return Err(PolicyError::SameKey(other.clone(), key.name().clone()));
            }
        }
        let names = witnesses.iter().map(VerifierKey::name).collect::<BTreeSet<_>>().len();
        if quorum > names {
            return Err(PolicyError::Quorum { quorum, witnesses: names });
        }
        Ok(Self { origin: origin.to_owned(), log, witnesses, quorum })
    }

    /// Believes the log alone.
    pub fn log_only(origin: &str, key: VerifierKey) -> Self {
        Self { origin: origin.to_owned(), log: vec![key], witnesses: Vec::new(), quorum: 0 }
    }

    /// Checks a checkpoint. A wrong signature in the name of any key of the policy makes it fail, needed or not.
    pub fn verify<'a>(&'a self, signed: &'a SignedCheckpoint) -> Result<VerifiedCheckpoint<'a>, UntrustedError> {
        let checkpoint = signed.unverified();
        if checkpoint.origin() != self.origin {
            let (found, expected) = (checkpoint.origin().to_owned(), self.origin.clone());
            return Err(UntrustedError::Origin { found, expected });
        }
        let log = signed.verify(&self.log).map_err(UntrustedError::Log)?;
        let witnesses = match signed.verify(&self.witnesses) {
            Ok(witnesses) => witnesses,
            Err(VerifyError::Unknown) => Vec::new(),
            Err(wrong) => return Err(UntrustedError::Witness(wrong)),
        };
        let names: BTreeSet<_> = witnesses.iter().map(|cosignature| cosignature.key.name()).collect();
        if names.len() < self.quorum {
            return Err(UntrustedError::Quorum { found: names.len(), needed: self.quorum });
        }
        if !checkpoint.head().is_possible() {
            return Err(UntrustedError::EmptyRoot);
        }
        Ok(VerifiedCheckpoint { checkpoint, log, witnesses })
    }
}

#[cfg(test)]
mod tests;
