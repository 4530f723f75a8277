//! Trust bundles: per trust domain, the authorities whose signatures we accept (SPIFFE Trust Domain and Bundle, 4).

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;
use rustls_pki_types::CertificateDer;

/// The authorities of one trust domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle {
    /// Whose they are.
    pub trust_domain: TrustDomain,
    /// Their certificates, oldest first. Empty means that every SVID of the domain is untrusted.
    pub x509_authorities: Vec<CertificateDer<'static>>,
    /// `spiffe_sequence`: grows whenever the contents change, also across restarts.
    pub sequence: u64,
}

/// The bundles of our own trust domain and of those we federate with. Held in a
/// [`Watched`](crate::foundation::watched::Watched), so that everything derived from it can be told to be stale.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bundles(BTreeMap<TrustDomain, Arc<Bundle>>);

impl Bundles {
    /// These bundles; a later one of the same trust domain replaces an earlier.
    pub fn new(bundles: impl IntoIterator<Item = Bundle>) -> Self {
        Self(bundles.into_iter().map(|bundle| (bundle.trust_domain.clone(), Arc::new(bundle))).collect())
    }

    /// The bundle of `trust_domain`, which alone may vouch for its identities.
    pub fn get(&self, trust_domain: &TrustDomain) -> Option<&Arc<Bundle>> {
        self.0.get(trust_domain)
    }

    /// All of them, sorted by trust domain.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Bundle>> {
        self.0.values()
    }
}
