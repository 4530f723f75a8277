//! The port that the authorities' public state is kept behind: what must survive a restart and is not a secret.

use std::fmt;

use portcullis_spiffe::TrustDomain;

use super::revocation::RevokedLeaf;
use crate::evidence::AuthorityKind;
use crate::foundation::clock::Timestamp;

#[cfg(test)]
pub(crate) mod memory;

/// One authority that we made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorityEntry {
    /// Its subject key id, hexadecimal: also names the sealed key.
    pub id: String,
    /// What others know of it.
    pub public: AuthorityPublic,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it signs or, if it does no longer, when it began to.
    pub activated_at: Option<Timestamp>,
    /// When another took its place.
    pub superseded_at: Option<Timestamp>,
    /// Since when its key is not trusted to be ours alone.
    pub tainted_at: Option<Timestamp>,
}

/// What others know of an authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthorityPublic {
    /// Of one that signs X.509-SVIDs.
    X509 {
        /// DER.
        certificate: Vec<u8>,
    },
    /// Of one that signs JWT-SVIDs.
    Jwt {
        /// `SubjectPublicKeyInfo`, DER.
        public_key: Vec<u8>,
        /// Until when it is valid.
        expires_at: Timestamp,
    },
}

/// Which of the places an authority holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthorityStage {
    /// It is in the bundle and will sign.
    Prepared,
    /// It signs.
    Active,
    /// It signs no more, and is in the bundle for what it did sign.
    Old,
}

impl AuthorityStage {
    /// The name in errors and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Old => "old",
        }
    }
}

impl AuthorityEntry {
    /// One that was made at `created_at` and nothing happened to yet.
    pub const fn new(id: String, public: AuthorityPublic, created_at: Timestamp) -> Self {
        Self { id, public, created_at, activated_at: None, superseded_at: None, tainted_at: None }
    }

    /// What it signs.
    pub const fn kind(&self) -> AuthorityKind {
        match self.public {
            AuthorityPublic::X509 { .. } => AuthorityKind::X509,
            AuthorityPublic::Jwt { .. } => AuthorityKind::Jwt,
        }
    }

    /// Which place it holds.
    pub const fn stage(&self) -> AuthorityStage {
        match (self.activated_at, self.superseded_at) {
            (None, _) => AuthorityStage::Prepared,
            (Some(_), None) => AuthorityStage::Active,
            (Some(_), Some(_)) => AuthorityStage::Old,
        }
    }
}

/// What the journal holds of one trust domain, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Journaled {
    /// The authorities that are in the bundle, oldest first.
    pub authorities: Vec<AuthorityEntry>,
    /// The leaves that they signed and that were revoked, oldest first.
    pub revoked: Vec<RevokedLeaf>,
    /// The sequence of the bundle that consists of exactly these; 0 if there never was one.
    pub sequence: u64,
}

/// One thing that happens to an authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JournalStep<'a> {
    /// It enters the bundle. None of its id was there before.
    Add(&'a AuthorityEntry),
    /// It was prepared and is active from now on.
    Activate(&'a str),
    /// It was active and is old from now on.
    Supersede(&'a str),
    /// It is tainted from now on.
    Taint(&'a str),
    /// It leaves the bundle for good, and what it revoked is forgotten.
    Remove(&'a str),
    /// It revokes a leaf that it signed and did not revoke yet.
    Revoke(&'a RevokedLeaf),
}

impl JournalStep<'_> {
    /// Whether the bundle shows a difference.
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::Add(_) | Self::Taint(_) | Self::Remove(_) | Self::Revoke(_))
    }
}

/// A failure of the store behind the port.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct JournalError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The journal's authorities are not as a step needs them: someone else wrote in between.
#[derive(Debug, thiserror::Error)]
#[error("authority {0} is not in the state that was expected; another process may have changed it")]
pub struct StaleStep(pub String);

/// A future that a port returns, so that the port can be a trait object.
pub type JournalFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// Where the authority writes what it did. An authority is in the journal, durably, before it signs anything. Of each
/// kind at most one is prepared and at most one is active. Every change of the bundle moves its sequence forward in the
/// same transaction, so that no two contents ever share a number.
pub trait AuthorityJournal: fmt::Debug + Send + Sync {
    /// The authorities of `trust_domain` and the sequence that belongs to them, read as one.
    fn read<'a>(&'a self, trust_domain: &'a TrustDomain) -> JournalFuture<'a, Journaled>;

    /// Whether the authority `id` was in the bundle once and has left it.
    fn has_left<'a>(&'a self, trust_domain: &'a TrustDomain, id: &'a str) -> JournalFuture<'a, bool>;

    /// Takes these steps at `now`, in this order, all or none. One that its authority is not in the state for is a
    /// failure that [`StaleStep`] is the cause of. Returns the sequence.
    fn apply<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        steps: &'a [JournalStep<'a>],
        now: Timestamp,
    ) -> JournalFuture<'a, u64>;
}
