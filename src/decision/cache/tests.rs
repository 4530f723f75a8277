use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::decision::policy::Effect;
use crate::decision::policy::fixture::question;
use crate::foundation::watched::Watched;

const TTL: Duration = Duration::from_secs(10);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn permit(expires_at: Timestamp) -> CachedDecision {
    let evaluation = Evaluation { effect: Effect::Permit, policies: Arc::new(["p".into()]), errors: Arc::new([]) };
    CachedDecision { evaluation, expires_at }
}

fn epochs() -> (Epoch, Epoch) {
    let watched = Watched::new(());
    (watched.load().epoch(), watched.replace(()))
}

fn key() -> CacheKey {
    let (first, _) = epochs();
    CacheKey::of(&question().digest(), first, first, None)
}

/// Decides and says whether it was computed.
fn decide(cache: &DecisionCache, now: Timestamp, not_after: Timestamp) -> (Timestamp, CacheState, bool) {
    let mut computed = false;
    let (decision, state) = cache.decide(key(), now, || {
        computed = true;
        Ok::<_, String>(permit(not_after))
    });
    (decision.unwrap().expires_at, state, computed)
}

#[test]
fn a_decision_is_found_until_its_time_by_the_callers_clock() {
    let cache = DecisionCache::new(100, TTL);
    assert_eq!(decide(&cache, at(0), Timestamp::MAX), (at(10), CacheState::Miss, true));
    assert_eq!(decide(&cache, at(9), Timestamp::MAX), (at(10), CacheState::Hit, false));
    assert_eq!(decide(&cache, at(10), Timestamp::MAX), (at(20), CacheState::Miss, true));
    assert_eq!(decide(&cache, at(19), Timestamp::MAX), (at(20), CacheState::Hit, false));
}

#[test]
fn a_cached_permit_ends_with_the_certificate_behind_it() {
    let cache = DecisionCache::new(100, TTL);
    assert_eq!(decide(&cache, at(0), at(3)), (at(3), CacheState::Miss, true));
    assert_eq!(decide(&cache, at(2), at(3)), (at(3), CacheState::Hit, false));
    assert_eq!(decide(&cache, at(3), at(60)), (at(13), CacheState::Miss, true));
}

#[test]
fn without_capacity_or_time_nothing_is_kept() {
    for cache in [DecisionCache::new(0, TTL), DecisionCache::new(100, Duration::ZERO)] {
        for _ in 0..3 {
            let (_, state, computed) = decide(&cache, at(0), Timestamp::MAX);
            assert_eq!((state, computed), (CacheState::Miss, true));
        }
    }
}

#[test]
fn an_error_is_not_kept() {
    let cache = DecisionCache::new(100, TTL);
    for attempt in 0..3 {
        let (answer, state) = cache.decide(key(), at(0), || Err::<CachedDecision, _>(attempt));
        assert_eq!((answer.unwrap_err(), state), (attempt, CacheState::Miss));
    }
    assert!(cache.is_empty());
    assert_eq!(decide(&cache, at(0), Timestamp::MAX).1, CacheState::Miss);
}

/// Many threads at once: `stale` says whether an expired decision is there before.
fn computations_of_many(stale: bool) -> (usize, usize) {
    const THREADS: usize = 16;
    let cache = DecisionCache::new(100, TTL);
    if stale {
        decide(&cache, at(0), Timestamp::MAX);
    }
    let (computed, hits, barrier) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                let (decision, found) = cache.decide(key(), at(100), || {
                    computed.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(50));
                    Ok::<_, String>(permit(Timestamp::MAX))
                });
                assert_eq!(decision.unwrap().expires_at, at(110));
                hits.fetch_add(usize::from(found == CacheState::Hit), Ordering::SeqCst);
            });
        }
    });
    (computed.into_inner(), hits.into_inner())
}

#[test]
fn of_many_that_ask_at_once_one_computes_also_when_what_was_there_has_expired() {
    for _ in 0..10 {
        assert_eq!(computations_of_many(false), (1, 15));
        assert_eq!(computations_of_many(true), (1, 15));
    }
}

#[test]
fn every_epoch_and_the_leaf_are_part_of_the_key() {
    let (first, second) = epochs();
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    let keys = [
        CacheKey::of(&question().digest(), first, first, None),
        CacheKey::of(&question().digest(), second, first, None),
        CacheKey::of(&question().digest(), first, second, None),
        CacheKey::of(&question().digest(), first, first, Some(&one)),
        CacheKey::of(&question().digest(), first, first, Some(&other)),
    ];
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert_eq!(keys[0], CacheKey::of(&question().digest(), first, first, None));
}

proptest! {
    #[test]
    fn what_is_found_is_what_was_put_under_that_question(ids in prop::collection::vec("[a-c]{0,2}", 1..40)) {
        let cache = DecisionCache::new(100, TTL);
        let (first, _) = epochs();
        for id in ids {
            let mut query = question();
            query.subject.properties.insert("id".to_owned(), json!(id));
            let key = CacheKey::of(&query.digest(), first, first, None);
            let (decision, _) = cache.decide(key, at(0), || {
                let mut decision = permit(Timestamp::MAX);
                decision.evaluation.policies = Arc::new([id.as_str().into()]);
                Ok::<_, String>(decision)
            });
            prop_assert_eq!(&*decision.unwrap().evaluation.policies[0], id.as_str());
        }
    }
}
