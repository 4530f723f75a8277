//! Delegations that count no more: kept in the store, read from memory. Whoever verifies a token asks here on every request,
//! so what is revoked is refused from the next one on, whatever was cached.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::names::aliases;
use super::{
    Delegation, DelegationError, Party, Revocation, RevocationStore, RevocationStoreError, Revoked, RevokedKind,
};
use crate::foundation::clock::Timestamp;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::watched::Watched;
use crate::identity::token::VerifiedToken;

/// The most revocations that are kept at a time. All are in the memory of every process.
pub const MAX_REVOCATIONS: usize = 10_000;

/// How long a store that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// What is revoked in one trust domain.
#[derive(Debug)]
pub struct Revocations {
    store: Arc<dyn RevocationStore>,
    known: Watched<Known>,
    /// The number of the last change that is in memory; held while there is a change.
    sequence: Mutex<u64>,
}

/// Why something was not revoked, or not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// There are as many as there may be.
    #[error("there are {MAX_REVOCATIONS} revocations already, which is the limit; revoke who stands behind the tokens")]
    TooMany,
    /// It would be over before it began.
    #[error("{0} is over already")]
    Over(Timestamp),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] RevocationStoreError),
}

/// All of them, by kind and name.
#[derive(Clone, Default)]
struct Known {
    tokens: Names,
    members: Names,
}

type Names = HashMap<String, Vec<Revocation>>;

impl Revocations {
    /// What `store` holds.
    ///
    /// # Errors
    /// [`RevocationStoreError`].
    pub async fn load(store: Arc<dyn RevocationStore>) -> Result<Self, RevocationStoreError> {
        let this = Self { store, known: Watched::new(Known::default()), sequence: Mutex::new(0) };
        this.reload(&mut *this.sequence.lock().await).await?;
        Ok(this)
    }

    /// Whether what a token delegates counts no more at `now`: the token itself was revoked, or anybody that its chain rests
    /// on.
    pub fn is_revoked(&self, delegation: &Delegation, now: Timestamp) -> bool {
        let known = self.known.load();
        let issuers = [delegation.subject.issuer.as_deref(), delegation.named_issuer.as_deref()];
        delegation.id.as_deref().is_some_and(|id| known.has_token(id, issuers, now))
            || delegation.members().any(|party| reach(&known.members, &party.subject, party.issuer.as_deref(), now))
    }

    /// Whether any chain counts no more at `now` that somebody is in.
    pub fn is_member_revoked(&self, party: &Party, now: Timestamp) -> bool {
        reach(&self.known.load().members, &party.subject, party.issuer.as_deref(), now)
    }

    /// The same of a token that delegates nothing: it is its subject's own.
    ///
    /// # Errors
    /// [`DelegationError::Aliases`] if it can't be told under which names its subject may be revoked.
    pub fn is_token_revoked(&self, token: &VerifiedToken, now: Timestamp) -> Result<bool, DelegationError> {
        let (known, issuer) = (self.known.load(), Some(&*token.issuer));
        let text = |name: &str| token.claims.get(name).and_then(Value::as_str);
        let aliases = aliases(token)?;
        let mut names = aliases.iter().map(|party| (&*party.subject, party.issuer.as_deref()));
        Ok(text("jti").is_some_and(|id| known.has_token(id, [issuer, text("iss")], now))
            || reach(&known.members, &token.subject, issuer, now)
            || names.any(|(name, issuer)| reach(&known.members, name, issuer, now)))
    }

    /// Revokes it from `now` until `until`, or until it is restored: kept, then in force, and only then does this end. One that
    /// is revoked already gets this end.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(
        &self,
        revoked: Revoked,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Revocation, RevokeError> {
        if let Some(over) = until.filter(|until| *until <= now) {
            return Err(RevokeError::Over(over));
        }
        let mut sequence = self.sequence.lock().await;
        let known = self.known.load();
        if known.find(&revoked).is_none() && known.iter().filter(|known| known.holds(now)).count() >= MAX_REVOCATIONS {
            return Err(RevokeError::TooMany);
        }
        let revocation = Revocation { revoked, revoked_at: now, until };
        let change = self.store.put(&revocation, now).await?;
        self.known.update(|known| Some(known.with(revocation.clone(), now)));
        see(&mut sequence, change);
        tracing::info!(revoked = %revocation.revoked, "a delegation is revoked");
        Ok(revocation)
    }

    /// Takes a revocation back, as another process may have made it a moment ago. Says whether there was one.
    ///
    /// # Errors
    /// [`RevocationStoreError`].
    pub async fn restore(&self, revoked: &Revoked) -> Result<bool, RevocationStoreError> {
        let mut sequence = self.sequence.lock().await;
        self.reload(&mut sequence).await?;
        if self.known.load().find(revoked).is_none() {
            return Ok(false);
        }
        let change = self.store.delete(revoked).await?;
        self.known.update(|known| Some(known.without(revoked)));
        see(&mut sequence, change);
        tracing::info!(%revoked, "a delegation is revoked no more");
        Ok(true)
    }

    /// Those that count at `now`, oldest first.
    pub fn list(&self, now: Timestamp) -> Vec<Revocation> {
        let known = self.known.load();
        let mut all: Vec<Revocation> = known.iter().filter(|known| known.holds(now)).cloned().collect();
        all.sort_by(|a, b| (a.revoked_at, &a.revoked).cmp(&(b.revoked_at, &b.revoked)));
        all
    }

    /// Takes over what other processes do as they do it, until the drain starts. What is known stays in force all the
    /// while, whether or not the store can be reached.
    pub async fn follow(&self, mut signal: ShutdownSignal) {
        tokio::select! {
            () = signal.draining() => {}
            () = self.follow_store() => {}
        }
    }

    async fn follow_store(&self) {
        let mut failing = false;
        loop {
            match self.followed().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("revocations of delegations are followed again");
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "revocations of delegations can't be followed; those that are known hold");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn followed(&self) -> Result<(), RevocationStoreError> {
        self.store.wait().await?;
        let mut sequence = self.sequence.lock().await;
        if self.store.sequence().await? == *sequence {
            return Ok(());
        }
        self.reload(&mut sequence).await
    }

    async fn reload(&self, sequence: &mut u64) -> Result<(), RevocationStoreError> {
        let kept = self.store.load().await?;
        // Nobody else writes: whoever calls this holds the sequence.
        self.known.replace(kept.revocations.into_iter().collect());
        *sequence = kept.sequence;
        Ok(())
    }
}

/// Goes on to the change of this number, if there was no other in between: that is still to be read.
fn see(sequence: &mut u64, change: u64) {
    if change == sequence.saturating_add(1) {
        *sequence = change;
    }
}

fn reach(names: &Names, name: &str, issuer: Option<&str>, now: Timestamp) -> bool {
    names.get(name).is_some_and(|known| known.iter().any(|revocation| revocation.reaches(issuer, now)))
}

impl Known {
    fn names(&self, kind: RevokedKind) -> &Names {
        match kind {
            RevokedKind::Token => &self.tokens,
            RevokedKind::Member => &self.members,
        }
    }

    /// Whether the token of this name is revoked, by whom it is known to be issued or by whom it says so itself: an operator has
    /// either from a record.
    fn has_token(&self, id: &str, issuers: [Option<&str>; 2], now: Timestamp) -> bool {
        issuers.into_iter().flatten().any(|issuer| reach(&self.tokens, id, Some(issuer), now))
    }

    fn find(&self, revoked: &Revoked) -> Option<&Revocation> {
        self.names(revoked.kind()).get(revoked.name())?.iter().find(|known| known.revoked == *revoked)
    }

    fn iter(&self) -> impl Iterator<Item = &Revocation> {
        RevokedKind::ALL.into_iter().flat_map(|kind| self.names(kind).values().flatten())
    }

    /// With this one, and without those that are over.
    fn with(&self, revocation: Revocation, now: Timestamp) -> Self {
        let others = self.without(&revocation.revoked);
        let holding: Vec<Revocation> = others.iter().filter(|known| known.holds(now)).cloned().collect();
        holding.into_iter().chain([revocation]).collect()
    }

    fn without(&self, revoked: &Revoked) -> Self {
        self.iter().filter(|known| known.revoked != *revoked).cloned().collect()
    }
}

impl FromIterator<Revocation> for Known {
    fn from_iter<I: IntoIterator<Item = Revocation>>(revocations: I) -> Self {
        let mut known = Self::default();
        for revocation in revocations {
            let names = match revocation.revoked.kind() {
                RevokedKind::Token => &mut known.tokens,
                RevokedKind::Member => &mut known.members,
            };
            names.entry(revocation.revoked.name().to_owned()).or_default().push(revocation);
        }
        known
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} revocations", self.iter().count())
    }
}

#[cfg(test)]
mod tests;
