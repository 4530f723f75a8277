//! A second opinion: of some decisions plain Cedar is asked too, on a thread of its own, and a difference is counted and
//! told. It comes after the answer and changes nothing of it.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, thread};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rustix::process::nice;
use tokio::sync::mpsc;

use super::policy::{Evaluation, PolicySet, Reference};
use super::query::Query;
use crate::evidence::DecisionId;
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Snapshot;

/// How many decisions may wait for their second opinion; a question can be large.
const QUEUE: usize = 32;
/// The least that a thread can claim of the processor beside others.
const LOWEST_PRIORITY: i32 = 19;
/// The stack of the thread, in bytes: as much as those have that decide.
const STACK: usize = 32 << 20;

/// What chooses the decisions and hands them over. The thread ends when this is dropped.
#[derive(Debug)]
pub struct Shadow {
    one_in: NonZeroU64,
    /// How many decisions there were.
    decisions: AtomicU64,
    queue: mpsc::Sender<Sample>,
    metrics: ShadowMetrics,
}

/// A decision to be made again.
#[derive(Debug)]
struct Sample {
    id: DecisionId,
    query: Query<'static>,
    /// What answered.
    policies: Arc<Snapshot<PolicySet>>,
    answered: Evaluation,
}

/// What came of a second opinion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Same,
    Different,
    /// Too many were waiting.
    Dropped,
    /// The question could not be put to Cedar.
    Refused,
}

/// The handles of its metrics.
#[derive(Clone, Debug)]
pub struct ShadowMetrics(Family<Labels, Counter>);

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Labels {
    result: &'static str,
}

impl Shadow {
    /// Starts the thread; of each `one_in` decisions one goes to it.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(one_in: NonZeroU64, metrics: ShadowMetrics) -> io::Result<Self> {
        let (queue, samples) = mpsc::channel(QUEUE);
        let counted = metrics.clone();
        thread::Builder::new().name("shadow".into()).stack_size(STACK).spawn(move || work(samples, &counted))?;
        Ok(Self { one_in, decisions: AtomicU64::new(0), queue, metrics })
    }

    /// How many decisions it was offered.
    #[cfg(test)]
    pub(super) fn offered(&self) -> u64 {
        self.decisions.load(Ordering::Relaxed)
    }

    /// Takes a decision into the sample if it is its turn. Never waits.
    pub(super) fn offer(
        &self,
        id: DecisionId,
        query: &Query<'_>,
        policies: &Arc<Snapshot<PolicySet>>,
        answered: &Evaluation,
    ) {
        if !self.decisions.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in.get()) {
            return;
        }
        match self.queue.try_reserve() {
            Ok(place) => place.send(Sample {
                id,
                query: query.clone().into_owned(),
                policies: Arc::clone(policies),
                answered: answered.clone(),
            }),
            Err(_full) => self.metrics.count(Outcome::Dropped),
        }
    }
}

/// Until nobody can hand over anything any more.
fn work(mut samples: mpsc::Receiver<Sample>, metrics: &ShadowMetrics) {
    if let Err(error) = nice(LOWEST_PRIORITY) {
        tracing::warn!("second opinions compete with decisions for the processor: {error}");
    }
    let mut reference = None;
    while let Some(sample) = samples.blocking_recv() {
        let outcome = catch_unwind(AssertUnwindSafe(|| sample.compare(&mut reference)));
        metrics.count(outcome.unwrap_or(Outcome::Refused));
    }
}

impl Sample {
    /// `known` is what was made for the sample before.
    fn compare(&self, known: &mut Option<Reference>) -> Outcome {
        let reference = match known.take().filter(|reference| reference.is_of(&self.policies)) {
            Some(reference) => Ok(reference),
            None => Reference::of(&self.policies),
        };
        let opinion = reference.and_then(|reference| known.insert(reference).evaluate(&self.policies, &self.query));
        match opinion {
            Ok(opinion) if opinion.agrees_with(&self.answered) => Outcome::Same,
            Ok(opinion) => {
                let answered = &self.answered;
                tracing::error!(decision_id = %self.id, ?answered, cedar = ?opinion, "plain Cedar decides otherwise");
                Outcome::Different
            }
            Err(why) => {
                tracing::warn!(decision_id = %self.id, "there is no second opinion: {why}");
                Outcome::Refused
            }
        }
    }
}

impl ShadowMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let evaluations = Family::default();
        registry.register("portcullis_shadow_evaluations", "Decisions put to plain Cedar too", evaluations.clone());
        for outcome in [Outcome::Same, Outcome::Different, Outcome::Dropped, Outcome::Refused] {
            drop(evaluations.get_or_create_owned(&Labels { result: outcome.name() }));
        }
        Self(evaluations)
    }

    fn count(&self, outcome: Outcome) {
        self.0.get_or_create_owned(&Labels { result: outcome.name() }).inc();
    }
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }
}

#[cfg(test)]
mod tests;
