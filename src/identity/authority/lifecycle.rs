//! What happens to authorities after they were made, by themselves and at an operator's wish.
//!
//! Of each kind at most one is prepared and one is active; those that were active are old until they expire. Only the
//! prepared one can be activated, only an old one tainted, only a tainted one revoked: so whatever an operator does,
//! there is a signer, and nothing that is trusted and in use is cut off unannounced.
//!
//! Every change is recorded, then taken by the journal in one transaction, then shown in the bundle, then acted upon.

use std::sync::Arc;

use super::rotation::{Due, Standing, Term};
use super::signers::Outline;
use super::{Authority, AuthorityError, AuthorityKind, AuthorityStage};
use crate::evidence::{AuthorityChange, AuthorityChangeRecord, Initiator, Record};
use crate::foundation::clock::Timestamp;
use crate::identity::journal::{AuthorityEntry, JournalStep, Journaled};

/// How many things can be due at one moment, at most: all that the journal has of a kind may have expired.
const MAX_DUE: usize = 1000;

/// An authority, as operators see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorityState {
    /// Its subject key id, hexadecimal; of one that signs JWT-SVIDs also the `kid`.
    pub id: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Whether it is tainted.
    pub tainted: bool,
}

/// The places of one kind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AuthoritySlots {
    /// The one that signs.
    pub active: Option<AuthorityState>,
    /// The one that will.
    pub prepared: Option<AuthorityState>,
    /// The last one that did. There may be older ones in the bundle.
    pub old: Option<AuthorityState>,
}

/// Why an authority can't be changed as an operator wishes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// No id was given.
    #[error("no authority ID provided")]
    NoId,
    /// None in the bundle has this id.
    #[error("there is no authority of that id")]
    Unknown,
    /// The active one can be neither tainted nor revoked: prepare and activate another one first.
    #[error("authority {0} is active; activate another one first")]
    Active(String),
    /// Only the prepared one can be activated.
    #[error("authority {id} is {}; only a prepared one can be activated", .stage.name())]
    NotPrepared {
        /// The authority.
        id: String,
        /// What it is: active or old.
        stage: AuthorityStage,
    },
    /// Only an old one can be tainted or revoked.
    #[error("authority {0} is prepared; only an old one can be tainted and revoked")]
    NotOld(String),
    /// It is tainted already.
    #[error("authority {0} is tainted already")]
    AlreadyTainted(String),
    /// Only a tainted one can be revoked.
    #[error("authority {0} is not tainted; taint it first, so that what it signed is replaced before it is refused")]
    NotTainted(String),
}

impl Authority {
    /// The places of `kind`, as they are in memory: as of the last change or maintenance.
    pub fn slots(&self, kind: AuthorityKind) -> AuthoritySlots {
        let outlines = self.signers.load().outlines(kind);
        let last = |stage| {
            let all = outlines.iter().filter(|one| one.standing.stage == stage);
            all.max_by_key(|one| one.superseded_at).map(Outline::state)
        };
        AuthoritySlots {
            active: last(AuthorityStage::Active),
            prepared: last(AuthorityStage::Prepared),
            old: last(AuthorityStage::Old),
        }
    }

    /// Makes an authority that is to be activated later. One that is prepared already leaves the bundle: it never signed.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn prepare(&self, kind: AuthorityKind, now: Timestamp) -> Result<AuthorityState, AuthorityError> {
        let _one_process = self.lock().await?;
        self.settle(now).await?;
        let id = self.make(kind, AuthorityStage::Prepared, Initiator::Operator, now).await?;
        self.refresh(now).await?;
        Ok(self.find(kind, &id)?.state())
    }

    /// Lets the prepared authority `id` sign from now on; the one that did until now is old.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn activate(
        &self,
        kind: AuthorityKind,
        id: &str,
        now: Timestamp,
    ) -> Result<AuthorityState, AuthorityError> {
        let _one_process = self.lock().await?;
        self.settle(now).await?;
        let found = self.find(kind, id)?;
        if found.standing.stage != AuthorityStage::Prepared {
            return Err(LifecycleError::NotPrepared { id: id.to_owned(), stage: found.standing.stage }.into());
        }
        self.hand_over(kind, &found, Initiator::Operator, now).await?;
        self.refresh(now).await?;
        Ok(self.find(kind, id)?.state())
    }

    /// Taints the old authority `id`: what it signed is replaced at once.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn taint(&self, kind: AuthorityKind, id: &str, now: Timestamp) -> Result<AuthorityState, AuthorityError> {
        let _one_process = self.lock().await?;
        self.settle(now).await?;
        let found = self.find_old(kind, id)?;
        if found.standing.tainted {
            return Err(LifecycleError::AlreadyTainted(id.to_owned()).into());
        }
        let record = found.record(kind, AuthorityChange::Taint, Initiator::Operator, now);
        self.commit(&[JournalStep::Taint(id)], vec![record], now).await?;
        self.refresh(now).await?;
        Ok(self.find(kind, id)?.state())
    }

    /// Revokes the old, tainted authority `id`: it leaves the bundle at once, so that what it signed is refused, and its
    /// key is destroyed. Returns its last state.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn revoke(
        &self,
        kind: AuthorityKind,
        id: &str,
        now: Timestamp,
    ) -> Result<AuthorityState, AuthorityError> {
        let _one_process = self.lock().await?;
        self.settle(now).await?;
        let found = self.find_old(kind, id)?;
        if !found.standing.tainted {
            return Err(LifecycleError::NotTainted(id.to_owned()).into());
        }
        self.remove(kind, &found, AuthorityChange::Revoke, Initiator::Operator, now).await?;
        self.refresh(now).await?;
        Ok(found.state())
    }

    /// Does what the dates call for, under the lock. Returns when they will call for something else.
    pub(super) async fn settle(&self, now: Timestamp) -> Result<Timestamp, AuthorityError> {
        let mut next = Timestamp::MAX;
        self.refresh(now).await?;
        for kind in AuthorityKind::ALL {
            next = next.min(self.settle_kind(kind, now).await?);
        }
        Ok(next)
    }

    async fn settle_kind(&self, kind: AuthorityKind, now: Timestamp) -> Result<Timestamp, AuthorityError> {
        for _ in 0..MAX_DUE {
            let plan = self.signers.load().plan(kind, now);
            let Some(due) = plan.due else { return Ok(plan.next) };
            let outlines = self.signers.load().outlines(kind);
            match due {
                Due::Expire(index) | Due::Activate(index) => {
                    let Some(one) = outlines.get(index) else { break };
                    if matches!(due, Due::Expire(_)) {
                        self.remove(kind, one, AuthorityChange::Expire, Initiator::Schedule, now).await?;
                    } else {
                        self.hand_over(kind, one, Initiator::Schedule, now).await?;
                    }
                }
                Due::Prepare => {
                    self.make(kind, AuthorityStage::Prepared, Initiator::Schedule, now).await?;
                }
                Due::Begin => {
                    refuse_if_clock_is_behind(&outlines, now)?;
                    self.make(kind, AuthorityStage::Active, Initiator::Schedule, now).await?;
                }
            }
            self.refresh(now).await?;
        }
        Ok(now)
    }

    /// Takes over what the journal has.
    pub(super) async fn refresh(&self, now: Timestamp) -> Result<(), AuthorityError> {
        let journaled = self.ports.journal.read(self.trust_domain()).await?;
        self.publish(self.load(&journaled, now)?, journaled.sequence, now);
        Ok(())
    }

    /// Takes note that keys ended with an earlier process, where that is how they are kept: an authority without its key
    /// can't sign, but what it signed stays trusted until it expires.
    pub(super) async fn disown(&self, known: &Journaled, now: Timestamp) -> Result<(), AuthorityError> {
        let mut steps = Vec::new();
        for entry in &known.authorities {
            match entry.stage() {
                AuthorityStage::Active if self.custody.find(&entry.id)?.is_none() => {
                    steps.push(JournalStep::Supersede(&entry.id));
                }
                AuthorityStage::Prepared if self.custody.find(&entry.id)?.is_none() => {
                    steps.push(JournalStep::Remove(&entry.id));
                }
                _ => {}
            }
        }
        if steps.is_empty() { Ok(()) } else { self.commit(&steps, Vec::new(), now).await }
    }

    /// A new authority in place of the one that has `stage`, durable: first its key, then its entry.
    async fn make(
        &self,
        kind: AuthorityKind,
        stage: AuthorityStage,
        by: Initiator,
        now: Timestamp,
    ) -> Result<String, AuthorityError> {
        let key_type = match kind {
            AuthorityKind::X509 => self.config.key_type,
            AuthorityKind::Jwt => self.config.jwt_key_type,
        };
        let (custody, entropy) = (self.custody.clone(), Arc::clone(&self.ports.entropy));
        let made = tokio::task::spawn_blocking(move || custody.make(key_type, &*entropy)).await;
        let (id, key) = made.map_err(|_cancelled| AuthorityError::Crypto)??;
        let (public, validity) = match kind {
            AuthorityKind::X509 => self.self_signed(&key, now)?,
            AuthorityKind::Jwt => self.jwt_public(&key, now),
        };

        let mut entry = AuthorityEntry::new(id.clone(), public, now);
        entry.activated_at = (stage == AuthorityStage::Active).then_some(now);
        let standing = Standing { stage, tainted: false, term: Term { created_at: now, validity } };
        let made = Outline { id: id.as_str().into(), standing, superseded_at: None };
        let outlines = self.signers.load().outlines(kind);
        let replaced: Vec<_> = outlines.iter().filter(|one| one.standing.stage == AuthorityStage::Prepared).collect();
        let superseded = outlines.iter().filter(|one| one.standing.stage == stage && stage == AuthorityStage::Active);
        let mut steps: Vec<_> = replaced.iter().map(|one| JournalStep::Remove(&one.id)).collect();
        steps.extend(superseded.map(|one| JournalStep::Supersede(&one.id)));
        steps.push(JournalStep::Add(&entry));
        let mut records: Vec<_> =
            replaced.iter().map(|one| one.record(kind, AuthorityChange::Discard, by, now)).collect();
        records.push(made.record(kind, AuthorityChange::Prepare, by, now));
        if stage == AuthorityStage::Active {
            records.push(made.record(kind, AuthorityChange::Activate, by, now));
        }
        self.commit(&steps, records, now).await?;
        for one in replaced {
            self.destroy_key(&one.id);
        }
        Ok(id)
    }

    /// Lets `prepared` sign in place of the one that is active.
    async fn hand_over(
        &self,
        kind: AuthorityKind,
        prepared: &Outline,
        by: Initiator,
        now: Timestamp,
    ) -> Result<(), AuthorityError> {
        let outlines = self.signers.load().outlines(kind);
        let active = outlines.iter().find(|one| one.standing.stage == AuthorityStage::Active);
        let mut steps: Vec<_> = active.map(|one| JournalStep::Supersede(&one.id)).into_iter().collect();
        steps.push(JournalStep::Activate(&prepared.id));
        self.commit(&steps, vec![prepared.record(kind, AuthorityChange::Activate, by, now)], now).await
    }

    /// Takes `one` out of the bundle, then removes its key, which no one needs any more.
    async fn remove(
        &self,
        kind: AuthorityKind,
        one: &Outline,
        change: AuthorityChange,
        by: Initiator,
        now: Timestamp,
    ) -> Result<(), AuthorityError> {
        self.commit(&[JournalStep::Remove(&one.id)], vec![one.record(kind, change, by, now)], now).await?;
        self.destroy_key(&one.id);
        Ok(())
    }

    /// Records the changes and only then makes them.
    async fn commit(
        &self,
        steps: &[JournalStep<'_>],
        records: Vec<AuthorityChangeRecord>,
        now: Timestamp,
    ) -> Result<(), AuthorityError> {
        for record in &records {
            self.ports.audit.append(Record::AuthorityChange(Box::new(record.clone())))?.durable().await?;
        }
        self.ports.journal.apply(self.trust_domain(), steps, now).await?;
        for AuthorityChangeRecord { kind, authority, change, by, .. } in &records {
            let (kind, change, by) = (kind.name(), change.name(), by.name());
            tracing::info!(%authority, kind, change, by, "an authority changed");
        }
        Ok(())
    }

    pub(super) fn destroy_key(&self, id: &str) {
        if let Err(error) = self.custody.destroy(id) {
            tracing::warn!(authority = %id, %error, "the key of an authority that left the bundle can't be removed");
        }
    }

    pub(super) fn find(&self, kind: AuthorityKind, id: &str) -> Result<Outline, LifecycleError> {
        if id.is_empty() {
            return Err(LifecycleError::NoId);
        }
        let outlines = self.signers.load().outlines(kind);
        outlines.into_iter().find(|one| *one.id == *id).ok_or(LifecycleError::Unknown)
    }

    fn find_old(&self, kind: AuthorityKind, id: &str) -> Result<Outline, LifecycleError> {
        let found = self.find(kind, id)?;
        match found.standing.stage {
            AuthorityStage::Active => Err(LifecycleError::Active(id.to_owned())),
            AuthorityStage::Prepared => Err(LifecycleError::NotOld(id.to_owned())),
            AuthorityStage::Old => Ok(found),
        }
    }
}

impl Outline {
    fn state(&self) -> AuthorityState {
        let Standing { tainted, term, .. } = self.standing;
        AuthorityState { id: self.id.to_string(), not_after: term.validity.not_after, tainted }
    }

    fn record(
        &self,
        kind: AuthorityKind,
        change: AuthorityChange,
        by: Initiator,
        time: Timestamp,
    ) -> AuthorityChangeRecord {
        let not_after = self.standing.term.validity.not_after;
        AuthorityChangeRecord { time, kind, authority: self.id.to_string(), change, by, not_after }
    }
}

/// A clock that was reset must not lead to a new authority beside one that will be valid again once it is right.
fn refuse_if_clock_is_behind(outlines: &[Outline], now: Timestamp) -> Result<(), AuthorityError> {
    match outlines.iter().find(|one| now < one.standing.term.validity.not_before) {
        Some(future) => {
            let not_before = future.standing.term.validity.not_before;
            Err(AuthorityError::ClockBehind { id: future.id.clone(), not_before, now })
        }
        None => Ok(()),
    }
}
