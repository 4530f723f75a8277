//! Bundles that are too old to be believed. They are kept, and those that everyone reads are empty in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_spiffe::TrustDomain;

use super::{EndpointProfile, Federation, FederationStoreError, Relationship};
use crate::identity::bundle::{Bundle, Bundles};

/// What is known of the age of bundles.
#[derive(Debug, Default)]
pub(super) struct Ages(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The bundles that are too old, as they are kept.
    aside: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// Whose bundles somebody else than the poller put in place since it asked last: an operator, or another process.
    renewed: BTreeSet<TrustDomain>,
}

impl Ages {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bundle of `trust_domain` that is kept, if it is too old.
    pub(super) fn aside(&self, trust_domain: &TrustDomain) -> Option<Arc<Bundle>> {
        self.lock().aside.get(trust_domain).cloned()
    }

    /// What is held of `trust_domain` is as new as this moment.
    pub(super) fn renew(&self, trust_domain: &TrustDomain) {
        self.lock().renewed.insert(trust_domain.clone());
    }

    /// Forgets that what is held of `trust_domain` is too old; says whether it was.
    pub(super) fn forget(&self, trust_domain: &TrustDomain) -> bool {
        self.lock().aside.remove(trust_domain).is_some()
    }

    /// `bundle`, which is in the store, as it is believed: with nobody in it, if it is the one that is too old. Another one in its
    /// place is not.
    pub(super) fn believed(&self, bundle: Bundle) -> Bundle {
        let mut state = self.lock();
        let Some(aside) = state.aside.get(&bundle.trust_domain) else { return bundle };
        // As it was read then: what can't be an authority is in neither.
        let read = Bundles::new([bundle.clone()]);
        if read.get(&bundle.trust_domain) == Some(aside) {
            return bundle.emptied();
        }
        state.aside.remove(&bundle.trust_domain);
        state.renewed.insert(bundle.trust_domain.clone());
        bundle
    }
}

impl Federation {
    /// Whether nobody is believed by the bundle of `trust_domain` that is held, because it is too old.
    pub fn is_stale(&self, trust_domain: &TrustDomain) -> bool {
        self.ages.aside(trust_domain).is_some()
    }

    /// Whose bundles somebody else than the poller put in place since this was asked last.
    pub(super) fn take_renewed(&self) -> BTreeSet<TrustDomain> {
        std::mem::take(&mut self.ages.lock().renewed)
    }

    /// Believes nobody by the bundle of `trust_domain`, until it is fetched again or another is put in its place. Says whether
    /// there is one that was believed before.
    pub(super) fn distrust(&self, trust_domain: &TrustDomain) -> bool {
        let mut was_believed = false;
        self.bundles.update(|known| {
            let held = known.get(trust_domain)?;
            let mut state = self.ages.lock();
            if state.aside.contains_key(trust_domain) {
                return None;
            }
            state.aside.insert(trust_domain.clone(), Arc::clone(held));
            was_believed = true;
            known.with(Bundle::clone(held).emptied())
        });
        was_believed
    }

    /// Believes what is held again.
    pub(super) async fn believe(&self, trust_domain: &TrustDomain) -> Result<(), FederationStoreError> {
        if self.ages.forget(trust_domain) {
            self.reload(&mut *self.sequence.lock().await).await?;
        }
        Ok(())
    }

    /// What the endpoint of `relationship` is verified by: the bundle of its own trust domain alone, however old. Who has
    /// its key serves the newer one, and an endpoint that serves its own domain could never come back otherwise.
    pub(super) fn verified_by(&self, relationship: &Relationship) -> Bundles {
        let EndpointProfile::Spiffe(id) = &relationship.profile else { return Bundles::default() };
        let aside = self.ages.aside(id.trust_domain());
        let bundle = aside.or_else(|| self.bundles.load().get(id.trust_domain()).cloned());
        Bundles::new(bundle.map(|bundle| Bundle::clone(&bundle)))
    }
}
