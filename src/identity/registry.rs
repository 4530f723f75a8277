//! Registration entries: which workload, told by its selectors, gets which identity. The shape is SPIRE's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::selector::Selector;
use crate::foundation::watched::Watched;

/// One registration entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its name, unique.
    pub id: Arc<str>,
    /// The identity it grants.
    pub spiffe_id: SpiffeId,
    /// Who may hand it out. Until there are remote agents this process is the only one.
    pub parent_id: Option<SpiffeId>,
    /// A workload must have all of these.
    pub selectors: BTreeSet<Selector>,
    /// How long an X.509-SVID lives; the authority's default if `None`.
    pub x509_svid_ttl: Option<Duration>,
    /// DNS names that go into the certificate beside the URI.
    pub dns_names: Vec<String>,
    /// Foreign trust domains whose bundles the workload gets.
    pub federates_with: BTreeSet<TrustDomain>,
    /// A word for the workload to tell several identities apart.
    pub hint: String,
}

/// All entries, in the order in which a workload that matches several gets them: that of the configuration.
pub type Registry = Watched<Vec<Arc<Entry>>>;

/// The entries that grant something to a workload with `selectors`, in order.
pub fn entitled<'a>(entries: &'a [Arc<Entry>], selectors: &BTreeSet<Selector>) -> Vec<&'a Arc<Entry>> {
    entries.iter().filter(|entry| !entry.selectors.is_empty() && entry.selectors.is_subset(selectors)).collect()
}
