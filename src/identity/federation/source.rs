//! The port that bundles of others come through.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::Relationship;
use crate::identity::bundle::Bundles;

/// Why there is no document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// A document's bytes, at the most [`MAX_DOCUMENT_BYTES`](portcullis_spiffe::bundle::MAX_DOCUMENT_BYTES).
pub type BundleAnswer<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send + 'a>>;

/// Asks bundle endpoints.
pub trait BundleSource: fmt::Debug + Send + Sync {
    /// The document that the endpoint of `relationship` serves. The server has proved itself as the relationship's
    /// profile says; if that is by an SVID, then by `bundles`, which has the latest of its trust domain, so that an
    /// endpoint that serves its own is followed when its authority changes (SPIFFE Federation 5.2.2).
    ///
    /// It need not end by itself: who asks drops it when it takes too long.
    fn fetch<'a>(&'a self, relationship: &'a Relationship, bundles: Arc<Bundles>) -> BundleAnswer<'a>;
}
