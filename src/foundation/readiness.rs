//! What the process still waits for before it is ready, and what is wrong with it although it works.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// The process's readiness: the names that block it, and the notices that do not.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    blockers: BTreeMap<&'static str, String>,
    notices: BTreeMap<Cow<'static, str>, String>,
}

/// A readable copy of the state, as `/readyz` shows it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ReadinessReport {
    /// Whether nothing blocks.
    pub ready: bool,
    /// What blocks, by name, with why.
    pub blocked_by: BTreeMap<&'static str, String>,
    /// What is wrong but does not block, by name: a policy edit that did not load while the last good set decides.
    pub notices: BTreeMap<Cow<'static, str>, String>,
}

impl Readiness {
    /// Blocks readiness under `name` until the guard is dropped.
    pub fn block(&self, name: &'static str, why: impl Into<String>) -> Blocker {
        let why = why.into();
        self.0.send_modify(|state| {
            state.blockers.insert(name, why);
        });
        Blocker { name, readiness: self.clone() }
    }

    /// Shows a notice under `name`, in place of an earlier one.
    pub fn notice(&self, name: impl Into<Cow<'static, str>>, what: impl Into<String>) {
        let (name, what) = (name.into(), what.into());
        self.0.send_modify(|state| {
            state.notices.insert(name, what);
        });
    }

    /// Takes the notice under `name` away.
    pub fn clear_notice(&self, name: &str) {
        self.0.send_if_modified(|state| state.notices.remove(name).is_some());
    }

    /// What stands now.
    pub fn report(&self) -> ReadinessReport {
        let state = self.0.borrow();
        ReadinessReport {
            ready: state.blockers.is_empty(),
            blocked_by: state.blockers.clone(),
            notices: state.notices.clone(),
        }
    }

    /// Wakes its holder after each change of what [`Self::report`] says.
    pub fn changes(&self) -> ReadinessChanges {
        ReadinessChanges { changes: self.0.subscribe(), _readiness: self.clone() }
    }
}

/// Wakes its holder when the readiness changes.
#[derive(Debug)]
pub struct ReadinessChanges {
    changes: watch::Receiver<State>,
    /// Holds the sending side, without which every wait would end at once.
    _readiness: Readiness,
}

impl ReadinessChanges {
    /// Ends at the next change.
    pub async fn changed(&mut self) {
        let _the_sender_is_held = self.changes.changed().await;
    }
}

/// Holds readiness back while it lives.
#[derive(Debug)]
#[must_use = "readiness is blocked only while the guard lives"]
pub struct Blocker {
    name: &'static str,
    readiness: Readiness,
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.readiness.0.send_modify(|state| {
            state.blockers.remove(self.name);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocker_names_itself_until_dropped_and_a_notice_does_not_block() {
        let readiness = Readiness::default();
        let blocker = readiness.block("policies", "not loaded yet");
        readiness.notice("entities", "entities.json:3: bad");
        assert!(!readiness.report().ready);
        assert_eq!(readiness.report().blocked_by["policies"], "not loaded yet");
        drop(blocker);
        assert!(readiness.report().ready);
        assert_eq!(readiness.report().notices.len(), 1);
        readiness.clear_notice("entities");
        assert!(readiness.report().notices.is_empty());
    }

    #[tokio::test]
    async fn each_change_wakes_who_waits_for_one() {
        let readiness = Readiness::default();
        let mut changes = readiness.changes();
        let blocker = readiness.block("policies", "not loaded yet");
        changes.changed().await;
        drop(blocker);
        changes.changed().await;
        assert!(readiness.report().ready);
    }
}
