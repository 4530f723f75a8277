//! Whom a verifier of checkpoints believes.

mod file;
mod quorum;

pub use self::file::{MAX_FILE_LENGTH, PolicyFileError, PolicyFileFault};

use std::collections::BTreeMap;

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::note::{KeyName, VerifiedSignature, VerifierKey, VerifyError};
use quorum::{Member, Quorum};

/// Logs, their keys, and the witnesses of whom enough must have seen the same tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// By origin.
    logs: BTreeMap<String, Vec<VerifierKey>>,
    witnesses: Vec<VerifierKey>,
    quorum: Quorum,
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
    #[error("the checkpoint is of the log {found:?} and not of `{expected}`")]
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
        /// How many have; of a quorum of groups, how many groups.
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
        let mut by_name = BTreeMap::<_, Vec<_>>::new();
        for (index, key) in witnesses.iter().enumerate() {
            by_name.entry(key.name()).or_default().push(Member::Witness(index));
        }
        let names = by_name.len();
        if quorum > names {
            return Err(PolicyError::Quorum { quorum, witnesses: names });
        }
        let quorum = Quorum::of_groups(quorum, by_name.into_values());
        Ok(Self { logs: BTreeMap::from([(origin.to_owned(), log)]), witnesses, quorum })
    }

    /// Believes the log alone.
    pub fn log_only(origin: &str, key: VerifierKey) -> Self {
        let logs = BTreeMap::from([(origin.to_owned(), vec![key])]);
        Self { logs, witnesses: Vec::new(), quorum: Quorum::none() }
    }

    /// The origins of the logs that it knows.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.logs.keys().map(String::as_str)
    }

    /// Checks a checkpoint. A wrong signature in the name of any key of the policy makes it fail, needed or not.
    pub fn verify<'a>(&'a self, signed: &'a SignedCheckpoint) -> Result<VerifiedCheckpoint<'a>, UntrustedError> {
        let checkpoint = signed.unverified();
        let Some(keys) = self.logs.get(checkpoint.origin()) else {
            let expected = self.origins().collect::<Vec<_>>().join("`, `");
            return Err(UntrustedError::Origin { found: checkpoint.origin().to_owned(), expected });
        };
        let log = signed.verify(keys).map_err(UntrustedError::Log)?;
        let witnesses = match signed.verify(&self.witnesses) {
            Ok(witnesses) => witnesses,
            Err(VerifyError::Unknown) => Vec::new(),
            Err(wrong) => return Err(UntrustedError::Witness(wrong)),
        };
        let has_cosigned = |index: usize| {
            let key = self.witnesses.get(index);
            witnesses.iter().any(|cosignature| Some(cosignature.key) == key)
        };
        let (found, needed) = self.quorum.count(has_cosigned);
        if found < needed {
            return Err(UntrustedError::Quorum { found, needed });
        }
        if !checkpoint.head().is_possible() {
            return Err(UntrustedError::EmptyRoot);
        }
        Ok(VerifiedCheckpoint { checkpoint, log, witnesses })
    }
}

#[cfg(test)]
mod tests;
