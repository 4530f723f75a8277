//! The use case that every workload-facing edge shares: who is calling, and what is it entitled to now.

mod refusals;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_spiffe::SpiffeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use self::refusals::Refusals;
use super::attest::attestors::Attestors;
use super::attest::container::Containers;
use super::attest::unix::{AttestError, UnixAttestor};
use super::attest::{Attested, Caller};
use super::bundle::Bundle;
use super::foreign::ForeignIdentities;
use super::issue::{Changes, Identities, IssueError, Issuer, JwtSvid};
use crate::evidence::Backlog;
use crate::foundation::clock::Clock;
use crate::server::UnixPeer;

/// How many callers are identified at once, so that a change that concerns every stream does not take every thread.
const MAX_IDENTIFYING: usize = 16;

/// How many of them may be of one user, whose executables may take long to digest.
const MAX_OF_ONE_USER: usize = 4;

/// From how many users on those are forgotten who wait for nothing.
const MANY_USERS: usize = 64;

/// Attests callers and hands out their identities.
#[derive(Debug)]
pub struct Workloads {
    issuer: Arc<Issuer>,
    attestor: Arc<UnixAttestor>,
    /// Those who know more than the base, and where their containers are seen.
    others: Option<(Attestors, Containers)>,
    turns: Turns,
    refusals: Option<Refusals>,
}

/// Who may look now.
#[derive(Debug)]
struct Turns {
    all: Semaphore,
    by_user: Mutex<HashMap<u32, Arc<Semaphore>>>,
}

/// Why nothing can be handed out. The causes are for the log alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// It can't be said who the caller is.
    #[error("the caller could not be attested: {0}")]
    NotAttested(#[from] AttestError),
    /// It can be said, but nothing could be issued.
    #[error("nothing could be issued: {0}")]
    NotIssued(#[from] IssueError),
    /// The work was given up, as happens when the process ends.
    #[error("the process is stopping")]
    Stopping,
}

impl Workloads {
    /// Hands out what `issuer` issues to callers whom `attestor` attests.
    pub fn new(issuer: Arc<Issuer>, attestor: Arc<UnixAttestor>) -> Self {
        Self { issuer, attestor, others: None, turns: Turns::new(), refusals: None }
    }

    /// Asks `others` too about every caller; `containers` says which one a caller is in.
    #[must_use]
    pub fn with_attestors(self, others: Attestors, containers: Containers) -> Self {
        Self { others: Some((others, containers)).filter(|(others, _)| !others.is_empty()), ..self }
    }

    /// The same, but callers that get nothing are on record.
    #[must_use]
    pub fn with_record(self, backlog: Backlog, clock: Arc<dyn Clock>) -> Self {
        Self { refusals: Some(Refusals::new(backlog, clock)), ..self }
    }

    /// What is true of `peer` now: of one process, from the first look at it to the last.
    ///
    /// Those who know more than the base are asked between two looks, for they know a process only by its number, and may
    /// take their time. If the second look does not find what the first found, nothing is said at all.
    ///
    /// # Errors
    /// [`IdentifyError::NotAttested`], [`IdentifyError::Stopping`].
    pub async fn attest(&self, peer: &UnixPeer) -> Result<Attested, IdentifyError> {
        let Some((others, containers)) = &self.others else { return Ok(self.look(peer, None).await?.0) };
        let (mut attested, caller) = self.look(peer, Some(containers)).await?;
        // No turn is held here: a daemon that hangs must not keep those waiting whom it does not concern.
        let (selectors, failures) = others.attest(&caller).await;
        let (again, same) = self.look(peer, Some(containers)).await?;
        if again != attested || same.container != caller.container {
            return Err(AttestError::Changed.into());
        }
        attested.selectors.extend(selectors);
        attested.failures = failures;
        Ok(attested)
    }

    /// What `peer` is entitled to now; nothing, if no entry fits it.
    ///
    /// # Errors
    /// [`IdentifyError`].
    pub async fn identities(&self, peer: &UnixPeer) -> Result<Identities, IdentifyError> {
        self.identify(peer).await.map(|(_attested, identities)| identities)
    }

    /// What is true of `peer` now, and what it is entitled to for that.
    ///
    /// # Errors
    /// [`IdentifyError`].
    pub async fn identify(&self, peer: &UnixPeer) -> Result<(Attested, Identities), IdentifyError> {
        let found = self.entitled(peer).await;
        self.recorded(peer, found, |identities| identities.svids.is_empty())
    }

    async fn entitled(&self, peer: &UnixPeer) -> Result<(Attested, Identities), IdentifyError> {
        let attested = self.attest(peer).await?;
        let _turn = self.turns.take(peer.uid).await?;
        let issuer = Arc::clone(&self.issuer);
        let both = tokio::task::spawn_blocking(move || issuer.identities(&attested).map(|found| (attested, found)));
        Ok(both.await.map_err(|_cancelled| IdentifyError::Stopping)??)
    }

    /// What was found, once it is on record if it is nothing.
    fn recorded<T>(
        &self,
        peer: &UnixPeer,
        found: Result<(Attested, T), IdentifyError>,
        is_nothing: impl FnOnce(&T) -> bool,
    ) -> Result<(Attested, T), IdentifyError> {
        match (&self.refusals, &found) {
            (Some(refusals), Ok((attested, granted))) if is_nothing(granted) => refusals.no_entry(peer, attested),
            (Some(refusals), Err(error)) => refusals.failed(peer, error),
            _ => {}
        }
        found
    }

    /// Tokens of `peer` for `audience`, one for each of its identities or for `only` that one; none, if no entry grants it.
    ///
    /// # Errors
    /// [`IdentifyError`].
    pub async fn jwt_svids(
        &self,
        peer: &UnixPeer,
        audience: &[String],
        only: Option<&SpiffeId>,
    ) -> Result<Vec<JwtSvid>, IdentifyError> {
        let found = self.tokens(peer, audience, only).await;
        self.recorded(peer, found, Vec::is_empty).map(|(_attested, tokens)| tokens)
    }

    async fn tokens(
        &self,
        peer: &UnixPeer,
        audience: &[String],
        only: Option<&SpiffeId>,
    ) -> Result<(Attested, Vec<JwtSvid>), IdentifyError> {
        let attested = self.attest(peer).await?;
        let (issuer, audience, only) = (Arc::clone(&self.issuer), audience.to_vec(), only.cloned());
        let both = tokio::task::spawn_blocking(move || {
            issuer.jwt_svids(&attested, &audience, only.as_ref()).map(|tokens| (attested, tokens))
        });
        Ok(both.await.map_err(|_cancelled| IdentifyError::Stopping)??)
    }

    /// What is true of `peer` now, and the bundles that it may verify others by, ours first; none, if no entry fits it.
    /// Issues nothing.
    ///
    /// # Errors
    /// [`IdentifyError::NotAttested`], [`IdentifyError::Stopping`].
    pub async fn bundles(&self, peer: &UnixPeer) -> Result<(Attested, Vec<Arc<Bundle>>), IdentifyError> {
        let attested = self.attest(peer).await?;
        let bundles = self.issuer.bundles(&attested);
        Ok((attested, bundles))
    }

    /// The bundle of our own trust domain.
    pub fn own_bundle(&self) -> Option<Arc<Bundle>> {
        self.issuer.own_bundle()
    }

    /// What the identities of other trust domains may be now.
    pub fn foreign(&self) -> Arc<ForeignIdentities> {
        self.issuer.foreign()
    }

    /// Wakes when what callers are entitled to may have changed.
    pub fn changes(&self) -> Changes {
        self.issuer.changes()
    }

    /// What the base says of `peer` now, and the container that it is in. The base looks last: so the number was the
    /// process's own when the container was read by it.
    async fn look(
        &self,
        peer: &UnixPeer,
        containers: Option<&Containers>,
    ) -> Result<(Attested, Caller), IdentifyError> {
        let _turn = self.turns.take(peer.uid).await?;
        let (attestor, with_sha256) = (Arc::clone(&self.attestor), self.issuer.wants_sha256());
        let (peer, containers) = (peer.clone(), containers.cloned());
        let look = move || {
            let container = containers.map_or(Ok(None), |containers| containers.of(peer.pid));
            let attested = attestor.attest(&peer, with_sha256)?;
            Ok((attested, Caller { peer, container }))
        };
        let looked: Result<_, AttestError> =
            tokio::task::spawn_blocking(look).await.map_err(|_cancelled| IdentifyError::Stopping)?;
        Ok(looked?)
    }
}

impl Turns {
    fn new() -> Self {
        Self { all: Semaphore::new(MAX_IDENTIFYING), by_user: Mutex::default() }
    }

    /// A turn for `user`, who waits for the user's own first: nobody waits for more than one turn of each other user.
    async fn take(&self, user: u32) -> Result<(OwnedSemaphorePermit, SemaphorePermit<'_>), IdentifyError> {
        let own = self.of(user).acquire_owned().await.map_err(|_closed| IdentifyError::Stopping)?;
        let all = self.all.acquire().await.map_err(|_closed| IdentifyError::Stopping)?;
        Ok((own, all))
    }

    fn of(&self, user: u32) -> Arc<Semaphore> {
        let mut users = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() > MANY_USERS {
            users.retain(|_user, turns| Arc::strong_count(turns) > 1);
        }
        Arc::clone(users.entry(user).or_insert_with(|| Arc::new(Semaphore::new(MAX_OF_ONE_USER))))
    }
}

#[cfg(test)]
pub(crate) mod tests;
