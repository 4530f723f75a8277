//! A journal for tests that can fail at the worst moments. The real ones are held to `store::contract`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;

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
    authorities: Vec<(AuthorityEntry, bool)>,
    sequence: u64,
}

impl MemoryJournal {
    pub(crate) fn fail_next(&self, fault: Fault) {
        self.0.lock().unwrap().fault = fault;
    }

    /// Applies `change`, which says whether it changed anything.
    fn change(&self, domain: &TrustDomain, change: impl FnOnce(&mut Domain) -> bool) -> Result<u64, JournalError> {
        let mut state = self.0.lock().unwrap();
        let fault = std::mem::take(&mut state.fault);
        let mut changed = state.domains.get(domain).cloned().unwrap_or_default();
        if change(&mut changed) {
            changed.sequence += 1;
        }
        let sequence = changed.sequence;
        if fault != Fault::BeforeCommit {
            state.domains.insert(domain.clone(), changed);
        }
        if fault == Fault::None { Ok(sequence) } else { Err(JournalError("injected".into())) }
    }
}

impl AuthorityJournal for MemoryJournal {
    fn read<'a>(&'a self, trust_domain: &'a TrustDomain) -> JournalFuture<'a, Journaled> {
        Box::pin(async move {
            let domain = self.0.lock().unwrap().domains.get(trust_domain).cloned().unwrap_or_default();
            let authorities = domain.authorities.into_iter().filter(|(_, retired)| !retired).map(|(a, _)| a).collect();
            Ok(Journaled { authorities, sequence: domain.sequence })
        })
    }

    fn add_authority<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        authority: &'a AuthorityEntry,
    ) -> JournalFuture<'a, u64> {
        Box::pin(async move {
            self.change(trust_domain, |domain| {
                let new = domain.authorities.iter().all(|(known, _)| known.id != authority.id);
                domain.authorities.extend(new.then(|| (authority.clone(), false)));
                new
            })
        })
    }

    fn retire_authority<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        id: &'a str,
        _now: Timestamp,
    ) -> JournalFuture<'a, u64> {
        Box::pin(async move {
            self.change(trust_domain, |domain| {
                let found = domain.authorities.iter_mut().find(|(known, retired)| known.id == id && !retired);
                found.map(|(_, retired)| *retired = true).is_some()
            })
        })
    }
}
