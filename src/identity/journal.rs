//! The port that the authority's public state is kept behind: what must survive a restart and is not a secret.

use std::fmt;

use portcullis_spiffe::TrustDomain;

use crate::foundation::clock::Timestamp;

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

/// A failure of the store behind the port.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct JournalError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A future that a port returns, so that the port can be a trait object.
pub type JournalFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// Where the authority writes what it did. An authority is in the journal, durably, before it signs anything.
pub trait AuthorityJournal: fmt::Debug + Send + Sync {
    /// The authorities of `trust_domain`, oldest first.
    fn authorities<'a>(&'a self, trust_domain: &'a TrustDomain) -> JournalFuture<'a, Vec<AuthorityEntry>>;

    /// Adds an authority and moves the domain's bundle sequence forward, in one transaction. Adding one that is
    /// there already changes nothing. Returns the sequence.
    fn add_authority<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        authority: &'a AuthorityEntry,
    ) -> JournalFuture<'a, u64>;

    /// The sequence of the domain's bundle; 0 if it has none yet.
    fn bundle_sequence<'a>(&'a self, trust_domain: &'a TrustDomain) -> JournalFuture<'a, u64>;
}
