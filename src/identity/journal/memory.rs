//! A journal for tests that can fail at the worst moments. The real ones are held to `store::contract`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::identity::revocation::SerialNumber;

/// Where the next change goes wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// As if the process died before the transaction was committed.
    BeforeCommit,
    /// As if it died after.
    AfterCommit,
}

/// Clones share their contents, as processes share a database.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryJournal(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    domains: BTreeMap<TrustDomain, Domain>,
    fault: Fault,
}

#[derive(Clone, Debug, Default)]
struct Domain {
    /// With whether it has left the bundle.
    authorities: Vec<(AuthorityEntry, bool)>,
    revoked: BTreeMap<(String, SerialNumber), RevokedLeaf>,
    sequence: u64,
}

impl Domain {
    fn take(&mut self, step: JournalStep<'_>, now: Timestamp) -> Result<(), StaleStep> {
        let at = Some(now);
        match step {
            JournalStep::Add(entry) => {
                let known = self.authorities.iter().any(|(known, _)| known.id == entry.id);
                let taken = |(known, gone): &(AuthorityEntry, bool)| {
                    let is_unique = known.stage() != AuthorityStage::Old;
                    !gone && is_unique && known.kind() == entry.kind() && known.stage() == entry.stage()
                };
                if known || self.authorities.iter().any(taken) {
                    return Err(StaleStep(entry.id.clone()));
                }
                self.authorities.push((entry.clone(), false));
                self.authorities.sort_by(|(a, _), (b, _)| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
                Ok(())
            }
            JournalStep::Activate(id) => {
                self.find(id, |entry| entry.stage() == AuthorityStage::Prepared)?.0.activated_at = at;
                Ok(())
            }
            JournalStep::Supersede(id) => {
                self.find(id, |entry| entry.stage() == AuthorityStage::Active)?.0.superseded_at = at;
                Ok(())
            }
            JournalStep::Taint(id) => {
                self.find(id, |entry| entry.tainted_at.is_none())?.0.tainted_at = at;
                Ok(())
            }
            JournalStep::Remove(id) => {
                self.find(id, |_entry| true)?.1 = true;
                self.revoked.retain(|(authority, _), _| authority != id);
                Ok(())
            }
            JournalStep::Revoke(leaf) => {
                self.find(&leaf.authority, |entry| entry.kind() == AuthorityKind::X509)?;
                let key = (leaf.authority.clone(), leaf.serial.clone());
                if self.revoked.insert(key, RevokedLeaf::clone(leaf)).is_some() {
                    return Err(StaleStep(leaf.authority.clone()));
                }
                Ok(())
            }
        }
    }

    fn find(
        &mut self,
        id: &str,
        is_fit: impl Fn(&AuthorityEntry) -> bool,
    ) -> Result<&mut (AuthorityEntry, bool), StaleStep> {
        let found = self.authorities.iter_mut().find(|(entry, gone)| entry.id == id && !gone && is_fit(entry));
        found.ok_or_else(|| StaleStep(id.to_owned()))
    }
}

impl MemoryJournal {
    pub(crate) fn fail_next(&self, fault: Fault) {
        self.0.lock().unwrap().fault = fault;
    }
}

impl AuthorityJournal for MemoryJournal {
    fn read<'a>(&'a self, trust_domain: &'a TrustDomain) -> JournalFuture<'a, Journaled> {
        Box::pin(async move {
            let domain = self.0.lock().unwrap().domains.get(trust_domain).cloned().unwrap_or_default();
            let authorities = domain.authorities.into_iter().filter(|(_, gone)| !gone).map(|(a, _)| a).collect();
            let mut revoked: Vec<_> = domain.revoked.into_values().collect();
            revoked.sort_by_key(|leaf| leaf.revoked_at);
            Ok(Journaled { authorities, revoked, sequence: domain.sequence })
        })
    }

    fn has_left<'a>(&'a self, trust_domain: &'a TrustDomain, id: &'a str) -> JournalFuture<'a, bool> {
        Box::pin(async move {
            let state = self.0.lock().unwrap();
            let mut known = state.domains.get(trust_domain).into_iter().flat_map(|domain| &domain.authorities);
            Ok(known.any(|(entry, gone)| entry.id == id && *gone))
        })
    }

    fn apply<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        steps: &'a [JournalStep<'a>],
        now: Timestamp,
    ) -> JournalFuture<'a, u64> {
        Box::pin(async move {
            let mut state = self.0.lock().unwrap();
            let fault = std::mem::take(&mut state.fault);
            let mut changed = state.domains.get(trust_domain).cloned().unwrap_or_default();
            for step in steps {
                changed.take(*step, now).map_err(|stale| JournalError(stale.into()))?;
            }
            changed.sequence += u64::from(steps.iter().any(JournalStep::is_public));
            let sequence = changed.sequence;
            if fault != Fault::BeforeCommit {
                state.domains.insert(trust_domain.clone(), changed);
            }
            if fault == Fault::None { Ok(sequence) } else { Err(JournalError("injected".into())) }
        })
    }
}
