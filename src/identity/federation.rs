//! Federation: the bundles of other trust domains, and where they are to be had.
//!
//! Foreign bundles stand beside our own in the one set of [`Bundles`] that everyone reads, so that whoever verifies or
//! hands out bundles sees a change at once. Who federates with whom is for registration entries to say.

mod check;
mod delete;
mod fetched;
mod follow;
#[cfg(test)]
pub(crate) mod memory;
mod poll;
mod relationship;
mod source;
mod stale;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;
use tokio::sync::Mutex;

pub use self::check::BundleProblem;
pub use self::delete::{BundleUse, DeleteMode};
pub use self::fetched::{Taken, read_document};
pub use self::poll::{Age, PeerEvents, PeerFailure, PeerState, PollConfig, PollPorts, Poller, RefreshError};
pub use self::relationship::{EndpointProfile, EndpointUrl, EndpointUrlError, Relationship};
pub use self::source::{BundleAnswer, BundleSource, FetchError};
pub use self::store::{Federated, FederationFuture, FederationStore, FederationStoreError, FederationWrite};

use self::check::checked;
use self::stale::Ages;
use super::bundle::{Bundle, Bundles};
use crate::foundation::watched::{Snapshot, Watched};

/// How many foreign bundles, and how many relationships, there may be.
const MAX_TRUST_DOMAINS: usize = 1024;

/// The highest sequence that is fetched: what every reader of JSON can tell from its neighbours (RFC 7493 section 2.2).
const MAX_SEQUENCE: u64 = (1 << 53) - 1;

/// How often a change is tried again that lost a race against another process.
const TRIES: usize = 5;

/// The relationships, by the other trust domain.
pub type Relationships = BTreeMap<TrustDomain, Arc<Relationship>>;

/// Whom our trust domain federates with: kept in the store, read from memory.
#[derive(Debug)]
pub struct Federation {
    trust_domain: TrustDomain,
    store: Arc<dyn FederationStore>,
    /// Ours is in there too, and not ours to touch.
    bundles: Arc<Watched<Bundles>>,
    relationships: Watched<Relationships>,
    /// Those of the relationships that the configuration has, and which are changed there.
    configured: Relationships,
    ages: Ages,
    /// The number of the last change that is in memory; held while there is a write.
    sequence: Mutex<u64>,
}

/// Why something was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FederationError {
    /// It is about our own trust domain, whose bundle is the authority's.
    #[error("`{0}` is this trust domain itself")]
    Ourselves(TrustDomain),
    /// There is one already.
    #[error("there is one for `{0}` already")]
    Exists(TrustDomain),
    /// There is none.
    #[error("there is none for `{0}`")]
    Unknown(TrustDomain),
    /// The configuration has it, and nothing else changes it.
    #[error("the relationship with `{0}` stands in the configuration, and is changed there")]
    Configured(TrustDomain),
    /// What was fetched is older than what is held: somebody may want a key back that was revoked.
    #[error("the bundle of `{trust_domain}` has the sequence {given}, and {held} is held already")]
    Older {
        /// Whose.
        trust_domain: TrustDomain,
        /// The sequence of the bundle that is held.
        held: u64,
        /// That of the one that was fetched.
        given: u64,
    },
    /// What was fetched has no sequence, and what is held has: it may be from before there were any.
    #[error("the bundle of `{trust_domain}` came without a sequence, and {held} is held already")]
    Unnumbered {
        /// Whose.
        trust_domain: TrustDomain,
        /// The sequence of the bundle that is held.
        held: u64,
    },
    /// No publisher counts so far: whoever served it once would keep everyone from what its true owner serves later.
    #[error("the bundle of `{0}` has a sequence above {MAX_SEQUENCE}")]
    Sequence(TrustDomain),
    /// The bundle is empty because it could not be fetched for too long, so no part of it can be changed.
    #[error("the bundle of `{0}` could not be fetched for so long that it is not believed: set it whole")]
    Stale(TrustDomain),
    /// There are as many as there may be.
    #[error("there are {MAX_TRUST_DOMAINS} already, which is the limit")]
    TooMany,
    /// The bundle can't be trusted as it is.
    #[error(transparent)]
    Bundle(#[from] BundleProblem),
    /// Entries need the bundle.
    #[error(transparent)]
    InUse(#[from] BundleUse),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] FederationStoreError),
}

impl Federation {
    /// What the store holds, put beside our own bundle in `bundles`.
    ///
    /// # Errors
    /// [`FederationStoreError`].
    pub async fn load(
        trust_domain: TrustDomain,
        store: Arc<dyn FederationStore>,
        bundles: Arc<Watched<Bundles>>,
    ) -> Result<Self, FederationStoreError> {
        let federation = Self {
            trust_domain,
            store,
            bundles,
            relationships: Watched::new(Relationships::new()),
            configured: Relationships::new(),
            ages: Ages::default(),
            sequence: Mutex::new(0),
        };
        federation.reload(&mut *federation.sequence.lock().await).await?;
        Ok(federation)
    }

    /// With the relationships of the configuration too, in place of those with the same trust domains that are kept.
    #[must_use]
    pub fn with_configured(mut self, configured: Relationships) -> Self {
        self.relationships.update(|known| Some(known.clone().into_iter().chain(configured.clone()).collect()));
        self.configured = configured;
        self
    }

    /// Whether we have a bundle of `trust_domain`, so that an entry may federate with it.
    pub fn knows(&self, trust_domain: &TrustDomain) -> bool {
        self.bundle(trust_domain).is_some()
    }

    /// The bundle of another trust domain.
    pub fn bundle(&self, trust_domain: &TrustDomain) -> Option<Arc<Bundle>> {
        self.bundles.load().get(trust_domain).filter(|bundle| self.is_foreign(bundle)).cloned()
    }

    /// All bundles of others, sorted by trust domain.
    pub fn bundles(&self) -> Vec<Arc<Bundle>> {
        self.bundles.load().iter().filter(|bundle| self.is_foreign(bundle)).cloned().collect()
    }

    /// The relationships now.
    pub fn relationships(&self) -> Arc<Snapshot<Relationships>> {
        self.relationships.load()
    }

    /// Whether the configuration has a relationship with `trust_domain`.
    pub fn is_configured(&self, trust_domain: &TrustDomain) -> bool {
        self.configured.contains_key(trust_domain)
    }

    /// Keeps the first bundle of another trust domain.
    ///
    /// # Errors
    /// [`FederationError`]; then nothing was changed.
    pub async fn create_bundle(&self, bundle: Bundle) -> Result<Arc<Bundle>, FederationError> {
        let bundle = self.foreign(bundle)?;
        let given = Some(bundle.trust_domain.clone());
        let created = self.write(move |known, _| match known.get(&bundle.trust_domain) {
            Some(_) => Err(FederationError::Exists(bundle.trust_domain.clone())),
            None => Ok((Arc::clone(&bundle), vec![put(known, &bundle)?])),
        });
        self.after(created.await?, given).await
    }

    /// Keeps a bundle of another trust domain, in place of the one that may be there.
    ///
    /// # Errors
    /// [`FederationError`]; then nothing was changed.
    pub async fn set_bundle(&self, bundle: Bundle) -> Result<Arc<Bundle>, FederationError> {
        let bundle = self.foreign(bundle)?;
        let given = Some(bundle.trust_domain.clone());
        let set = self.write(move |known, _| Ok((Arc::clone(&bundle), vec![put(known, &bundle)?])));
        self.after(set.await?, given).await
    }

    /// Keeps what `change` makes of the bundle of another trust domain; it is asked again if another process changed the
    /// bundle meanwhile.
    ///
    /// # Errors
    /// [`FederationError`]; then nothing was changed.
    pub async fn update_bundle(
        &self,
        trust_domain: TrustDomain,
        change: impl Fn(&mut Bundle) + Send + Sync + 'static,
    ) -> Result<Arc<Bundle>, FederationError> {
        self.not_ourselves(&trust_domain)?;
        if self.is_stale(&trust_domain) {
            return Err(FederationError::Stale(trust_domain));
        }
        self.write(move |known, _| {
            let bundle = known.get(&trust_domain).ok_or_else(|| FederationError::Unknown(trust_domain.clone()))?;
            let mut changed = Bundle::clone(bundle);
            change(&mut changed);
            let changed = Arc::new(checked(changed)?);
            Ok((Arc::clone(&changed), vec![put(known, &changed)?]))
        })
        .await
    }

    /// Keeps a first relationship with another trust domain, and the bundle to begin with, if there is one.
    ///
    /// # Errors
    /// [`FederationError`]; then nothing was changed.
    pub async fn create_relationship(
        &self,
        relationship: Relationship,
        bundle: Option<Bundle>,
    ) -> Result<Arc<Relationship>, FederationError> {
        self.not_ourselves(&relationship.trust_domain)?;
        self.not_configured(&relationship.trust_domain)?;
        let (relationship, bundle) = (Arc::new(relationship), bundle.map(|bundle| self.foreign(bundle)).transpose()?);
        let given = bundle.as_ref().map(|bundle| bundle.trust_domain.clone());
        let created = self.write(move |known, relationships| {
            if relationships.contains_key(&relationship.trust_domain) {
                return Err(FederationError::Exists(relationship.trust_domain.clone()));
            }
            if relationships.len() >= MAX_TRUST_DOMAINS {
                return Err(FederationError::TooMany);
            }
            let mut writes = vec![FederationWrite::PutRelationship(Arc::clone(&relationship))];
            writes.extend(bundle.as_ref().map(|bundle| put(known, bundle)).transpose()?);
            Ok((Arc::clone(&relationship), writes))
        });
        self.after(created.await?, given).await
    }

    /// Keeps what `change` makes of the relationship with another trust domain, and the bundle, if there is one.
    ///
    /// # Errors
    /// [`FederationError`]; then nothing was changed.
    pub async fn update_relationship(
        &self,
        trust_domain: TrustDomain,
        change: impl Fn(&mut Relationship) + Send + Sync + 'static,
        bundle: Option<Bundle>,
    ) -> Result<Arc<Relationship>, FederationError> {
        self.not_configured(&trust_domain)?;
        let bundle = bundle.map(|bundle| self.foreign(bundle)).transpose()?;
        let given = bundle.as_ref().map(|bundle| bundle.trust_domain.clone());
        let updated = self.write(move |known, relationships| {
            let relationship =
                relationships.get(&trust_domain).ok_or_else(|| FederationError::Unknown(trust_domain.clone()))?;
            let mut changed = Relationship::clone(relationship);
            change(&mut changed);
            let changed = Arc::new(changed);
            let mut writes = vec![FederationWrite::PutRelationship(Arc::clone(&changed))];
            writes.extend(bundle.as_ref().map(|bundle| put(known, bundle)).transpose()?);
            Ok((changed, writes))
        });
        self.after(updated.await?, given).await
    }

    /// Ends the relationship with another trust domain. Its bundle stays: entries may need it.
    ///
    /// # Errors
    /// [`FederationError`]; then nothing was changed.
    pub async fn delete_relationship(&self, trust_domain: TrustDomain) -> Result<(), FederationError> {
        self.not_configured(&trust_domain)?;
        self.write(move |_, relationships| {
            if relationships.contains_key(&trust_domain) {
                Ok(((), vec![FederationWrite::DeleteRelationship(trust_domain.clone())]))
            } else {
                Err(FederationError::Unknown(trust_domain.clone()))
            }
        })
        .await
    }

    /// Takes over what other processes did.
    ///
    /// # Errors
    /// [`FederationStoreError`]; what is known stays.
    pub async fn refresh(&self) -> Result<(), FederationStoreError> {
        self.catch_up(&mut *self.sequence.lock().await).await
    }

    fn is_foreign(&self, bundle: &Bundle) -> bool {
        bundle.trust_domain != self.trust_domain
    }

    fn not_ourselves(&self, trust_domain: &TrustDomain) -> Result<(), FederationError> {
        if *trust_domain == self.trust_domain {
            return Err(FederationError::Ourselves(trust_domain.clone()));
        }
        Ok(())
    }

    fn not_configured(&self, trust_domain: &TrustDomain) -> Result<(), FederationError> {
        if self.is_configured(trust_domain) {
            return Err(FederationError::Configured(trust_domain.clone()));
        }
        Ok(())
    }

    /// `done`, once the bundle that was `given` with it is believed, however old the one before was.
    async fn after<T>(&self, done: T, given: Option<TrustDomain>) -> Result<T, FederationError> {
        if let Some(trust_domain) = given {
            self.ages.renew(&trust_domain);
            self.believe(&trust_domain).await?;
        }
        Ok(done)
    }

    /// `bundle`, if it is another's and fit.
    fn foreign(&self, bundle: Bundle) -> Result<Arc<Bundle>, FederationError> {
        self.not_ourselves(&bundle.trust_domain)?;
        Ok(Arc::new(checked(bundle)?))
    }

    /// Makes the change that `plan` makes of what is known. If it is dropped half-way, it may be in the store and not yet in
    /// memory, where the next look at the store brings it.
    async fn write<T>(
        &self,
        plan: impl Fn(&Bundles, &Relationships) -> Result<(T, Vec<FederationWrite>), FederationError>,
    ) -> Result<T, FederationError> {
        let mut sequence = self.sequence.lock().await;
        self.catch_up(&mut sequence).await?;
        for _try in 1..TRIES {
            match self.try_write(&mut sequence, &plan).await {
                Err(FederationError::Store(FederationStoreError::Raced)) => self.reload(&mut sequence).await?,
                done => return done,
            }
        }
        self.try_write(&mut sequence, &plan).await
    }

    async fn try_write<T>(
        &self,
        sequence: &mut u64,
        plan: &impl Fn(&Bundles, &Relationships) -> Result<(T, Vec<FederationWrite>), FederationError>,
    ) -> Result<T, FederationError> {
        let (value, writes) = plan(&self.bundles.load(), &self.relationships.load())?;
        if writes.is_empty() {
            return Ok(value);
        }
        *sequence = self.store.apply(*sequence, &writes).await?;
        self.bundles.update(|known| {
            let after = |known: &Bundles, write| self.written(known, write);
            writes.iter().fold(None, |changed, write| after(changed.as_ref().unwrap_or(known), write).or(changed))
        });
        self.relationships.update(|known| {
            let mut changed = known.clone();
            for write in &writes {
                match write {
                    FederationWrite::PutRelationship(relationship) => {
                        changed.insert(relationship.trust_domain.clone(), Arc::clone(relationship));
                    }
                    FederationWrite::DeleteRelationship(trust_domain) => {
                        changed.remove(trust_domain);
                    }
                    FederationWrite::PutBundle(_) | FederationWrite::DeleteBundle(_) => {}
                }
            }
            (changed != *known).then_some(changed)
        });
        Ok(value)
    }

    /// What `write` makes of `bundles`, if anything.
    fn written(&self, bundles: &Bundles, write: &FederationWrite) -> Option<Bundles> {
        match write {
            FederationWrite::PutBundle(bundle) => bundles.with(self.ages.believed(Bundle::clone(bundle))),
            FederationWrite::DeleteBundle(trust_domain) => bundles.without(trust_domain),
            FederationWrite::PutRelationship(_) | FederationWrite::DeleteRelationship(_) => None,
        }
    }

    async fn catch_up(&self, sequence: &mut u64) -> Result<(), FederationStoreError> {
        if self.store.sequence().await? != *sequence {
            self.reload(sequence).await?;
        }
        Ok(())
    }

    async fn reload(&self, sequence: &mut u64) -> Result<(), FederationStoreError> {
        let federated = self.store.load().await?;
        let ours = |trust_domain: &TrustDomain| *trust_domain == self.trust_domain;
        let mut wanted: BTreeMap<_, _> =
            federated.bundles.into_iter().map(|bundle| (bundle.trust_domain.clone(), bundle)).collect();
        wanted.retain(|trust_domain, _| !ours(trust_domain));
        self.bundles.update(|known| {
            let gone = known
                .iter()
                .map(|bundle| &bundle.trust_domain)
                .filter(|name| !ours(name) && !wanted.contains_key(name));
            let kept = gone.fold(None, |changed: Option<Bundles>, name| {
                changed.as_ref().unwrap_or(known).without(name).or(changed)
            });
            wanted.into_values().map(|bundle| self.ages.believed(bundle)).fold(kept, |changed, bundle| {
                let trust_domain = bundle.trust_domain.clone();
                let after = changed.as_ref().unwrap_or(known).with(bundle);
                if after.is_some() && known.get(&trust_domain).is_some() {
                    // Another process put it there.
                    self.ages.renew(&trust_domain);
                }
                after.or(changed)
            })
        });
        let relationships: Relationships = federated
            .relationships
            .into_iter()
            .map(|relationship| (relationship.trust_domain.clone(), Arc::new(relationship)))
            .chain(self.configured.clone())
            .collect();
        self.relationships.update(|known| (relationships != *known).then_some(relationships));
        *sequence = federated.sequence;
        Ok(())
    }
}

/// The write that keeps `bundle`, if there is room for it.
fn put(known: &Bundles, bundle: &Arc<Bundle>) -> Result<FederationWrite, FederationError> {
    // One of those known is ours.
    if known.get(&bundle.trust_domain).is_none() && known.iter().count() > MAX_TRUST_DOMAINS {
        return Err(FederationError::TooMany);
    }
    Ok(FederationWrite::PutBundle(Arc::clone(bundle)))
}

#[cfg(test)]
mod tests;
