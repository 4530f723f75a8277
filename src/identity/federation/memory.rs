//! A store of the federation in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use portcullis_spiffe::TrustDomain;

use super::{Federated, FederationFuture, FederationStore, FederationStoreError, FederationWrite, Relationship};
use crate::identity::bundle::Bundle;

/// Keeps one trust domain's federation as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct MemoryFederation(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sequence: u64,
    bundles: BTreeMap<TrustDomain, Bundle>,
    relationships: BTreeMap<TrustDomain, Relationship>,
}

impl MemoryFederation {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }
}

impl FederationStore for MemoryFederation {
    fn load(&self) -> FederationFuture<'_, Federated> {
        Box::pin(async {
            let kept = self.kept();
            Ok(Federated {
                bundles: kept.bundles.values().cloned().collect(),
                relationships: kept.relationships.values().cloned().collect(),
                sequence: kept.sequence,
            })
        })
    }

    fn sequence(&self) -> FederationFuture<'_, u64> {
        Box::pin(async { Ok(self.kept().sequence) })
    }

    fn apply<'a>(&'a self, expected: u64, writes: &'a [FederationWrite]) -> FederationFuture<'a, u64> {
        Box::pin(async move {
            let mut kept = self.kept();
            if kept.sequence != expected {
                return Err(FederationStoreError::Raced);
            }
            for write in writes {
                match write {
                    FederationWrite::PutBundle(bundle) => {
                        kept.bundles.insert(bundle.trust_domain.clone(), Bundle::clone(bundle));
                    }
                    FederationWrite::DeleteBundle(trust_domain) => drop(kept.bundles.remove(trust_domain)),
                    FederationWrite::PutRelationship(relationship) => {
                        kept.relationships.insert(relationship.trust_domain.clone(), Relationship::clone(relationship));
                    }
                    FederationWrite::DeleteRelationship(trust_domain) => drop(kept.relationships.remove(trust_domain)),
                }
            }
            kept.sequence += 1;
            Ok(kept.sequence)
        })
    }

    fn wait(&self) -> FederationFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
