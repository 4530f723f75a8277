//! Deleting a foreign bundle that registration entries may need.

use portcullis_spiffe::TrustDomain;

use super::{Federation, FederationError, FederationWrite};
use crate::foundation::clock::Timestamp;
use crate::identity::registry::{Change, EntryProblem, EntrySource, EntryTerms, Registry, RegistryError};

/// What becomes of the entries that federate with a trust domain whose bundle is deleted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DeleteMode {
    /// If there is one, the bundle stays.
    #[default]
    Restrict,
    /// They no longer federate with it.
    Dissociate,
    /// They are deleted too.
    Delete,
}

/// Why a bundle can't be deleted yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleUse {
    /// Entries federate with its trust domain.
    #[error("cannot delete bundle; federated with {0} registration entries")]
    Entries(usize),
    /// Entries of the configuration do.
    #[error(
        "cannot delete bundle; federated with {0} registration entries of the configuration, which only it can change"
    )]
    ConfiguredEntries(usize),
    /// An entry could not be changed.
    #[error("cannot delete bundle; registration entry could not be changed: {0}")]
    Entry(#[from] EntryProblem),
    /// The registry failed.
    #[error("cannot delete bundle; registration entries could not be changed: {0}")]
    Registry(#[from] RegistryError),
}

impl Federation {
    /// Forgets the bundle of another trust domain. The entries that federate with it are seen to first, so that at worst
    /// nobody uses a bundle that is still there; one that is made meanwhile gets nothing from a domain without bundle.
    ///
    /// # Errors
    /// [`FederationError`]; then the bundle is still there.
    pub async fn delete_bundle(
        &self,
        trust_domain: TrustDomain,
        mode: DeleteMode,
        registry: &Registry,
        now: Timestamp,
    ) -> Result<(), FederationError> {
        self.not_ourselves(&trust_domain)?;
        self.refresh().await?;
        if !self.knows(&trust_domain) {
            return Err(FederationError::Unknown(trust_domain));
        }
        release(&trust_domain, mode, registry, now).await?;
        let gone = trust_domain.clone();
        self.write(move |bundles, _| match bundles.get(&gone) {
            Some(_) => Ok(((), vec![FederationWrite::DeleteBundle(gone.clone())])),
            None => Err(FederationError::Unknown(gone.clone())),
        })
        .await?;
        // The next one is not old.
        self.ages.forget(&trust_domain);
        Ok(())
    }
}

/// Sees to it that no entry federates with `trust_domain`.
async fn release(
    trust_domain: &TrustDomain,
    mode: DeleteMode,
    registry: &Registry,
    now: Timestamp,
) -> Result<(), BundleUse> {
    registry.refresh().await?;
    let entries = registry.load();
    let using: Vec<_> = entries.iter().filter(|entry| entry.terms.federates_with.contains(trust_domain)).collect();
    if using.is_empty() {
        return Ok(());
    }
    if mode == DeleteMode::Restrict {
        return Err(BundleUse::Entries(using.len()));
    }
    let configured = using.iter().filter(|entry| entry.source == EntrySource::Config).count();
    if configured > 0 {
        return Err(BundleUse::ConfiguredEntries(configured));
    }
    let change = |id: String| match mode {
        DeleteMode::Delete => Change::Delete { id },
        DeleteMode::Restrict | DeleteMode::Dissociate => {
            let trust_domain = trust_domain.clone();
            let dissociate = move |terms: &mut EntryTerms| {
                terms.federates_with.remove(&trust_domain);
            };
            Change::Update { id, change: Box::new(dissociate) }
        }
    };
    let changes = using.iter().map(|entry| change(entry.id.to_string())).collect();
    for result in registry.apply(EntrySource::Api, changes, now).await? {
        match result {
            // Another process was faster.
            Ok(_) | Err(EntryProblem::Unknown) => {}
            Err(problem) => return Err(problem.into()),
        }
    }
    Ok(())
}
