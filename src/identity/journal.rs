//! The port that the authority's public state is kept behind: what must survive a restart and is not a secret.

use std::fmt;

use portcullis_spiffe::TrustDomain;

use crate::foundation::clock::Timestamp;

#[cfg(test)]
pub(super) mod memory;

/// One X.509 authority that we made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorityEntry {
    /// Its subject key id, hexadecimal: also names the sealed key.
    pub id: String,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What the journal holds of one trust domain, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Journaled {
    /// The authorities that are in the bundle, oldest first.
    pub authorities: Vec<AuthorityEntry>,
    /// The sequence of the bundle that consists of exactly these; 0 if there never was one.
    pub sequence: u64,
}

/// A failure of the store behind the port.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct JournalError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A future that a port returns, so that the port can be a trait object.
pub type JournalFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// Where the authority writes what it did. An authority is in the journal, durably, before it signs anything. Every
/// change moves the bundle's sequence forward in the same transaction, so that no two states ever share a number.
pub trait AuthorityJournal: fmt::Debug + Send + Sync {
    /// The authorities of `trust_domain` and the sequence that belongs to them, read as one.
    fn read<'a>(&'a self, trust_domain: &'a TrustDomain) -> JournalFuture<'a, Journaled>;

    /// Adds an authority. Adding one that is or was there changes nothing. Returns the sequence.
    fn add_authority<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        authority: &'a AuthorityEntry,
    ) -> JournalFuture<'a, u64>;

    /// Takes an expired authority out of the bundle for good. Doing so twice changes nothing. Returns the sequence.
    fn retire_authority<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        id: &'a str,
        now: Timestamp,
    ) -> JournalFuture<'a, u64>;
}
