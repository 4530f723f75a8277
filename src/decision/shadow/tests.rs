use std::time::Duration;

use serde_json::json;

use super::*;
use crate::decision::policy::Effect;
use crate::decision::policy::fixture::{Directory, entity, question};
use crate::foundation::watched::Watched;

/// One permits, and the other fails of whoever has a level.
const POLICIES: &str = r#"
@id("all") permit(principal, action, resource);
@id("broken") permit(principal, action == Action::"read", resource)
when { principal has level && principal.level + 9223372036854775807 > 0 };
"#;
const FORBID: &str = "@id(\"none\") forbid(principal, action, resource);";

fn state(policies: &str) -> Arc<Snapshot<PolicySet>> {
    Watched::new(Directory::of(policies).load().unwrap()).load()
}

fn asked() -> Query<'static> {
    Query { subject: entity("User", "alice", json!({"level": 1})), ..question() }
}

/// A shadow whose queue only the test reads.
fn unheard(one_in: u64, places: usize) -> (Shadow, mpsc::Receiver<Sample>) {
    let (queue, samples) = mpsc::channel(places);
    let metrics = ShadowMetrics::new(&mut Registry::default());
    (Shadow { one_in: NonZeroU64::new(one_in).unwrap(), decisions: AtomicU64::new(0), queue, metrics }, samples)
}

fn count(metrics: &ShadowMetrics, outcome: Outcome) -> u64 {
    metrics.0.get_or_create_owned(&Labels { result: outcome.name() }).get()
}

/// What came of offering these, each with the policies that are said to have answered.
fn outcomes(offers: &[(&Query<'static>, &Arc<Snapshot<PolicySet>>, &Evaluation)]) -> [u64; 3] {
    let metrics = ShadowMetrics::new(&mut Registry::default());
    let shadow = Shadow::start(NonZeroU64::MIN, metrics.clone()).unwrap();
    for (query, policies, answered) in offers {
        shadow.offer(DecisionId::NIL, query, policies, answered);
    }
    loop {
        let counts = [Outcome::Same, Outcome::Different, Outcome::Refused].map(|outcome| count(&metrics, outcome));
        if counts.iter().sum::<u64>() == offers.len() as u64 {
            return counts;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_is_answered_is_what_plain_cedar_says() {
    let (old, new) = (state(POLICIES), state(&format!("{POLICIES}{FORBID}")));
    let (query, simple) = (asked(), question());
    let answers = [old.evaluate(&query).unwrap(), new.evaluate(&query).unwrap(), old.evaluate(&simple).unwrap()];
    assert!(!answers[0].errors.is_empty() && answers[2].errors.is_empty());
    let offers = [(&query, &old, &answers[0]), (&query, &new, &answers[1]), (&simple, &old, &answers[2])];
    assert_eq!(outcomes(&offers), [3, 0, 0]);
}

#[test]
fn other_words_for_an_error_are_no_difference_and_everything_else_is() {
    let (policies, query) = (state(POLICIES), asked());
    let answered = policies.evaluate(&query).unwrap();
    let outcome = |change: &dyn Fn(&mut Evaluation)| {
        let mut changed = answered.clone();
        change(&mut changed);
        outcomes(&[(&query, &policies, &changed)])
    };
    let ids = |ids: &[&str]| -> Arc<[Arc<str>]> { ids.iter().map(|id| Arc::from(*id)).collect() };
    assert_eq!(outcome(&|answer| answer.errors = ids(&["broken: it is"])), [1, 0, 0]);
    assert_eq!(outcome(&|answer| answer.effect = Effect::NoPermit), [0, 1, 0]);
    assert_eq!(outcome(&|answer| answer.policies = ids(&["broken"])), [0, 1, 0]);
    assert_eq!(outcome(&|answer| answer.policies = ids(&[])), [0, 1, 0]);
    assert_eq!(outcome(&|answer| answer.errors = ids(&[])), [0, 1, 0]);
    assert_eq!(outcome(&|answer| answer.errors = ids(&["broken"])), [0, 1, 0]);
    assert_eq!(outcome(&|answer| answer.errors = ids(&["broken: a", "broken: b"])), [0, 1, 0]);
    // Other policies than those that answered.
    assert_eq!(outcomes(&[(&query, &state(&format!("{POLICIES}{FORBID}")), &answered)]), [0, 1, 0]);
}

#[test]
fn a_question_that_cedar_cannot_be_asked_is_counted_too() {
    let policies = state(POLICIES);
    let answered = policies.evaluate(&asked()).unwrap();
    let mut query = asked();
    query.action.name = "fly".to_owned().into();
    assert_eq!(outcomes(&[(&query, &policies, &answered)]), [0, 0, 1]);
}

#[test]
fn a_full_queue_drops_and_does_not_wait() {
    let (shadow, mut samples) = unheard(1, 2);
    let (policies, query) = (state(POLICIES), asked());
    let answered = policies.evaluate(&query).unwrap();
    for _ in 0..5 {
        shadow.offer(DecisionId::NIL, &query, &policies, &answered);
    }
    assert_eq!(count(&shadow.metrics, Outcome::Dropped), 3);
    assert_eq!(std::iter::from_fn(|| samples.try_recv().ok()).count(), 2);
}

#[test]
fn one_of_each_so_many_is_taken() {
    let (shadow, mut samples) = unheard(3, QUEUE);
    let (policies, query) = (state(POLICIES), asked());
    let answered = policies.evaluate(&query).unwrap();
    for _ in 0..9 {
        shadow.offer(DecisionId::NIL, &query, &policies, &answered);
    }
    assert_eq!(std::iter::from_fn(|| samples.try_recv().ok()).count(), 3);
    assert_eq!(count(&shadow.metrics, Outcome::Dropped), 0);
}
