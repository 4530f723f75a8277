//! The gateway's own X.509-SVID, for what it serves itself: issued, recorded, renewed and replaced as those of workloads
//! are, without an entry that anybody else could be entitled by.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;

use super::{IssueError, Issuer, Slot, Svid};
use crate::foundation::clock::Timestamp;
use crate::identity::registry::{Entry, EntrySource, EntryTerms};

/// Who the gateway is, and the SVID that it has for it.
#[derive(Debug)]
pub struct OwnIdentity {
    entry: Arc<Entry>,
    slot: Slot,
}

impl OwnIdentity {
    /// The gateway as `spiffe_id`, of its own trust domain, and under `dns_names`; with SVIDs that live for `ttl`, or as long
    /// as those of others.
    pub fn new(spiffe_id: SpiffeId, dns_names: Vec<String>, ttl: Option<Duration>) -> Self {
        let plain = EntryTerms::new(spiffe_id.clone(), spiffe_id, BTreeSet::new());
        let terms = EntryTerms { x509_svid_ttl: ttl, dns_names, ..plain };
        let entry = Entry {
            id: Arc::from(""),
            terms,
            revision: 0,
            created_at: Timestamp::default(),
            source: EntrySource::Config,
            rank: 0,
        };
        Self { entry: Arc::new(entry), slot: Slot::default() }
    }

    /// The identity.
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.entry.terms.spiffe_id
    }
}

impl Issuer {
    /// The SVID of `own`: the one in place if it is good and not due for renewal, else a new one.
    ///
    /// # Errors
    /// [`IssueError`]; a renewal that fails is none while the SVID in place is good.
    pub fn own_svid(&self, own: &OwnIdentity) -> Result<Arc<Svid>, IssueError> {
        self.svid(&own.slot, &own.entry, self.ports.clock.now())
    }
}
