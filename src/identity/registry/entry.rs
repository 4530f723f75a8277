//! One registration entry. The model is SPIRE's whole, so that its clients find every field that they wrote.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use crate::foundation::clock::Timestamp;
use crate::foundation::digest::{Digest, Hasher};
use crate::identity::selector::Selector;

/// A registration entry, as the registry keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its name, unique: 1 to 255 letters, digits, `.`, `-` and `_`.
    pub id: Arc<str>,
    /// What it grants, to whom.
    pub terms: EntryTerms,
    /// How often it was changed; 0 when new.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who keeps it.
    pub source: EntrySource,
    /// Its place among the entries: a workload that fits several gets them in this order, so that its first identity does
    /// not change when a further entry is made (spire#745). Entries of the configuration come first, in its order.
    pub rank: u64,
}

/// Who keeps an entry: no other may change it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EntrySource {
    /// `identity.entries`: entries are made, changed and deleted to be what stands there.
    Config,
    /// The admin API.
    Api,
}

/// What an entry says: all that its author decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntryTerms {
    /// The identity it grants.
    pub spiffe_id: SpiffeId,
    /// Who may hand it out: an agent, or an alias of agents; `/spire/server` makes the entry such an alias itself.
    pub parent_id: SpiffeId,
    /// A workload must have all of these. Never empty.
    pub selectors: BTreeSet<Selector>,
    /// How long an X.509-SVID lives, at most; the default if `None`.
    pub x509_svid_ttl: Option<Duration>,
    /// How long a JWT-SVID lives, at most; the default if `None`.
    pub jwt_svid_ttl: Option<Duration>,
    /// Foreign trust domains whose bundles the workload gets.
    pub federates_with: BTreeSet<TrustDomain>,
    /// Whether the identity may use the admin API over the network, where there is one.
    pub admin: bool,
    /// Whether the identity is a server that may ask for an authority of its own.
    pub downstream: bool,
    /// From when on the entry grants nothing.
    pub expires_at: Option<Timestamp>,
    /// DNS names that go into the certificate beside the URI, in this order.
    pub dns_names: Vec<String>,
    /// Whether the SVID is for a store of secrets and not for workloads that ask.
    pub store_svid: bool,
    /// A word for the workload to tell several identities apart.
    pub hint: String,
    /// Tunables that SPIRE keeps apart.
    pub additional: Option<AdditionalAttributes>,
}

/// An entry that the configuration asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfiguredEntry {
    /// Its name.
    pub id: Arc<str>,
    /// What it says.
    pub terms: EntryTerms,
}

/// `additional_attributes` of an entry.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AdditionalAttributes {
    /// An agent need not have the SVID ready before it is asked for.
    pub disable_x509_svid_prefetch: bool,
    /// Every JWT-SVID gets a `jti` of its own, and none is handed out twice.
    pub jwt_svid_include_jti: bool,
}

impl EntryTerms {
    /// Terms without any option: `spiffe_id` for workloads with `selectors`.
    pub fn new(spiffe_id: SpiffeId, parent_id: SpiffeId, selectors: BTreeSet<Selector>) -> Self {
        Self {
            spiffe_id,
            parent_id,
            selectors,
            x509_svid_ttl: None,
            jwt_svid_ttl: None,
            federates_with: BTreeSet::new(),
            admin: false,
            downstream: false,
            expires_at: None,
            dns_names: Vec::new(),
            store_svid: false,
            hint: String::new(),
            additional: None,
        }
    }

    /// A digest of what is granted to whom: of the identity, the parent and the selectors. No two entries share one.
    pub fn grant(&self) -> Digest {
        let mut hasher = Hasher::new();
        hasher.field(self.spiffe_id.as_str().as_bytes()).field(self.parent_id.as_str().as_bytes());
        for selector in &self.selectors {
            hasher.field(selector.kind().as_bytes()).field(selector.value().as_bytes());
        }
        hasher.finish()
    }
}

impl Entry {
    /// Whether it grants anything at `now`.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.terms.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether it grants an identity to workloads, and is neither an alias of agents nor meant for a store.
    pub fn is_for_workloads(&self) -> bool {
        !self.is_alias() && !self.terms.store_svid
    }

    /// Whether it gives agents a further name, under which they may be a parent, and no workload an identity.
    pub fn is_alias(&self) -> bool {
        self.terms.parent_id.path() == "/spire/server"
    }
}
