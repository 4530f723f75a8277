//! All attestors beside the base, asked at once: each has its time, and none makes another fail.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::time::timeout;

use super::{AttestorFailure, Caller, WorkloadAttestor};
use crate::foundation::clock::Clock;
use crate::foundation::telemetry::{Registry, Seldom, printable};
use crate::identity::selector::Selector;

/// How often the failures of one attestor are logged.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// How much of a reason is kept.
const MAX_REASON: usize = 512;

/// What attestors count.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    failures: Family<AttestorLabels, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AttestorLabels {
    attestor: &'static str,
}

impl Metrics {
    /// The metrics, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Callers that were attested without what this attestor may know of them";
        registry.register("portcullis_attestor_failures", help, metrics.failures.clone());
        metrics
    }
}

/// The attestors beside the base.
#[derive(Debug)]
pub struct Attestors {
    members: Vec<Member>,
    deadline: Duration,
    clock: Arc<dyn Clock>,
}

struct Member {
    attestor: Arc<dyn WorkloadAttestor>,
    failures: Counter,
    log: Seldom,
}

impl Attestors {
    /// `attestors`, each of which has until `deadline` to say what it knows of a caller.
    pub fn new(
        attestors: Vec<Arc<dyn WorkloadAttestor>>,
        deadline: Duration,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let member = |attestor: Arc<dyn WorkloadAttestor>| {
            let labels = AttestorLabels { attestor: attestor.kind() };
            let failures = metrics.failures.get_or_create_owned(&labels);
            Member { attestor, failures, log: Seldom::every(LOG_PAUSE) }
        };
        Self { members: attestors.into_iter().map(member).collect(), deadline, clock }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What they know of `caller`, and who could not say.
    pub(crate) async fn attest(&self, caller: &Caller) -> (BTreeSet<Selector>, Vec<AttestorFailure>) {
        let answers = join_all(self.members.iter().map(|member| self.ask(member, caller))).await;
        let (mut selectors, mut failures) = (BTreeSet::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok(found) => selectors.extend(found),
                Err(failure) => failures.push(failure),
            }
        }
        (selectors, failures)
    }

    async fn ask(&self, member: &Member, caller: &Caller) -> Result<Vec<Selector>, AttestorFailure> {
        let kind = member.attestor.kind();
        let reason = match timeout(self.deadline, member.attestor.attest(caller)).await {
            Ok(Ok(found)) => return Ok(found.into_iter().map(|value| Selector::new(kind, value)).collect()),
            Ok(Err(error)) => printable(&error.to_string(), MAX_REASON),
            Err(_elapsed) => format!("there was no answer within {:?}", self.deadline),
        };
        member.failures.inc();
        if let Some(withheld) = member.log.admit(self.clock.elapsed()) {
            let pid = caller.peer.pid;
            tracing::warn!(attestor = kind, pid, %reason, withheld, "a caller is attested without what this attestor may know");
        }
        Err(AttestorFailure { attestor: kind, reason })
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.attestor.fmt(f)
    }
}
