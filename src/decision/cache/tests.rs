use std::cell::Cell;

use super::*;
use crate::decision::policy::{Effect, Epochs};
use crate::foundation::digest::Digest;
use crate::foundation::watched::{Epoch, Watched};

const TTL: Duration = Duration::from_secs(80);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

/// A key of these parts.
fn key(epoch: u64, rules: &[u64], read: &str) -> CacheKey {
    let mut key = CacheKey::new(7);
    key.number(epoch);
    key.begin_rules();
    for rule in rules {
        key.number(*rule);
    }
    key.begin_reads();
    key.text(read);
    key
}

/// A question of these words, after so many purges.
fn exact(words: &str, purges: u64) -> Exact {
    let epochs = Epochs { policies: Epoch::default(), bundles: Epoch::default() };
    Exact { digest: Digest::of(words.as_bytes()), epochs, purges }
}

fn evaluation(name: &str) -> Evaluation {
    Evaluation { effect: Effect::Permit, policies: Arc::new([name.into()]), errors: Arc::new([]), guidance: None }
}

/// A cache that counts what it evaluates.
struct Counted {
    cache: DecisionCache,
    evaluated: Cell<usize>,
}

impl Counted {
    fn new(capacity: u64, ttl: Duration) -> Self {
        Self { cache: DecisionCache::new(capacity, ttl, Arc::default()), evaluated: Cell::new(0) }
    }

    fn ask(&self, key: &CacheKey, now: Timestamp, not_after: Timestamp, keep: Option<Duration>) -> Lookup {
        let fresh = || {
            self.evaluated.set(self.evaluated.get() + 1);
            Fresh { evaluation: evaluation("p"), cacheable: true }
        };
        let (told, lookup) = self.cache.decide(key, exact("", 0), now, not_after, keep, fresh);
        assert_eq!(told, evaluation("p"));
        lookup
    }

    fn simply(&self, now: i64) -> Lookup {
        self.ask(&key(1, &[1], "x"), at(now), Timestamp::MAX, None)
    }
}

#[test]
fn a_decision_is_found_until_its_time_by_the_callers_clock() {
    let counted = Counted::new(100, TTL);
    assert_eq!(counted.simply(0), Lookup::Miss(MissCause::New));
    assert_eq!(counted.simply(69), Lookup::Hit);
    assert_eq!(counted.simply(80), Lookup::Miss(MissCause::Expired));
    assert_eq!((counted.simply(81), counted.evaluated.get()), (Lookup::Hit, 2));
}

#[test]
fn shortly_before_its_end_one_caller_makes_it_anew() {
    let counted = Counted::new(100, TTL);
    counted.simply(0);
    assert_eq!(counted.simply(70), Lookup::Refreshed);
    assert_eq!((counted.simply(71), counted.simply(139)), (Lookup::Hit, Lookup::Hit), "it lives anew from there");
    assert_eq!((counted.simply(140), counted.evaluated.get()), (Lookup::Refreshed, 3));
}

#[test]
fn of_many_that_see_it_due_one_makes_it_anew() {
    let cache = DecisionCache::new(100, TTL, Arc::default());
    let fresh = || Fresh { evaluation: evaluation("p"), cacheable: true };
    let ask = |now, fresh: &dyn Fn() -> Fresh| {
        cache.decide(&key(1, &[1], "x"), exact("", 0), at(now), Timestamp::MAX, None, fresh).1
    };
    ask(0, &fresh);
    let during = || {
        assert_eq!(ask(75, &fresh), Lookup::Hit, "somebody is at it");
        fresh()
    };
    assert_eq!(ask(75, &during), Lookup::Refreshed);
}

#[test]
fn a_cached_permit_ends_with_the_certificate_behind_it() {
    let counted = Counted::new(100, TTL);
    let ask = |now, not_after| counted.ask(&key(1, &[1], "x"), at(now), at(not_after), None);
    assert_eq!(ask(0, 8), Lookup::Miss(MissCause::New));
    assert_eq!(ask(6, 8), Lookup::Hit);
    assert_eq!(ask(8, 600), Lookup::Miss(MissCause::Expired));
    assert_eq!((ask(7, 8), ask(77, 600)), (Lookup::Hit, Lookup::Hit));
}

#[test]
fn a_policy_can_say_less_than_the_cache_and_not_more() {
    let counted = Counted::new(100, TTL);
    let ask = |now, keep| counted.ask(&key(1, &[1], "x"), at(now), Timestamp::MAX, Some(Duration::from_secs(keep)));
    ask(0, 8);
    assert_eq!((ask(6, 8), ask(8, 800)), (Lookup::Hit, Lookup::Miss(MissCause::Expired)));
    assert_eq!((ask(70, 800), ask(88, 800)), (Lookup::Hit, Lookup::Miss(MissCause::Expired)));
}

#[test]
fn without_capacity_or_time_nothing_is_kept() {
    for counted in [Counted::new(0, TTL), Counted::new(100, Duration::ZERO)] {
        assert!(!counted.cache.is_on());
        for _ in 0..3 {
            assert_eq!(counted.simply(0), Lookup::Miss(MissCause::Never));
        }
        assert_eq!((counted.evaluated.get(), counted.cache.len()), (3, 0));
    }
}

#[test]
fn what_is_no_function_of_its_key_is_not_kept_and_ends_what_was() {
    let cache = DecisionCache::new(100, TTL, Arc::default());
    let ask = |now, cacheable| {
        let fresh = || Fresh { evaluation: evaluation("p"), cacheable };
        cache.decide(&key(1, &[1], "x"), exact("", 0), at(now), Timestamp::MAX, None, fresh).1
    };
    assert_eq!((ask(0, false), ask(1, false)), (Lookup::Miss(MissCause::Error), Lookup::Miss(MissCause::Error)));
    assert_eq!((ask(2, true), ask(3, true)), (Lookup::Miss(MissCause::New), Lookup::Hit));
    assert_eq!((ask(75, false), ask(76, true)), (Lookup::Refreshed, Lookup::Miss(MissCause::Evicted)));
}

#[test]
fn what_is_too_long_is_not_kept() {
    let counted = Counted::new(100, TTL);
    let long = key(1, &[1], &"x".repeat(LONGEST_KEY));
    for _ in 0..2 {
        assert_eq!(counted.ask(&long, at(0), Timestamp::MAX, None), Lookup::Miss(MissCause::Long));
    }
    assert_eq!((counted.evaluated.get(), counted.cache.len()), (2, 0));
}

#[test]
fn the_cause_of_a_miss_is_the_part_of_the_key_that_changed() {
    let counted = Counted::new(100, TTL);
    let ask = |key: &CacheKey| counted.ask(key, at(0), Timestamp::MAX, None);
    assert_eq!(ask(&key(1, &[1, 2], "x")), Lookup::Miss(MissCause::New));
    assert_eq!(ask(&key(1, &[1, 2], "y")), Lookup::Miss(MissCause::Input));
    assert_eq!(ask(&key(1, &[1, 3], "y")), Lookup::Miss(MissCause::Policies));
    assert_eq!(ask(&key(2, &[1, 3], "y")), Lookup::Miss(MissCause::Epoch));
    assert_eq!(ask(&key(2, &[1, 3], "y")), Lookup::Hit);
    counted.cache.decisions.as_ref().unwrap().invalidate_all();
    assert_eq!(ask(&key(2, &[1, 3], "y")), Lookup::Miss(MissCause::Evicted));
}

#[test]
fn the_same_words_have_the_same_answer_until_it_is_due_or_anything_else_changed() {
    let cache = DecisionCache::new(100, TTL, Arc::default());
    let fresh = || Fresh { evaluation: evaluation("p"), cacheable: true };
    let asked = exact("a", 0);
    assert_eq!(cache.again(&asked, at(0)), None);
    cache.decide(&key(1, &[1], "x"), asked, at(0), Timestamp::MAX, None, fresh);
    assert_eq!(cache.again(&asked, at(69)), Some(evaluation("p")));
    assert_eq!(cache.again(&asked, at(70)), None, "the large cache is to make it anew");
    let next = Watched::new(());
    next.replace(());
    let epoch = next.load().epoch();
    for other in [
        exact("b", 0),
        exact("a", 1),
        Exact { epochs: Epochs { policies: epoch, ..asked.epochs }, ..asked },
        Exact { epochs: Epochs { bundles: epoch, ..asked.epochs }, ..asked },
    ] {
        assert_eq!(cache.again(&other, at(1)), None, "{other:?}");
        // It is told from the first even in the same place.
        cache.decide(&key(2, &[1], "x"), other, at(0), Timestamp::MAX, None, || Fresh {
            evaluation: evaluation("q"),
            cacheable: true,
        });
        assert_eq!(cache.again(&other, at(1)), Some(evaluation("q")));
        cache.decide(&key(1, &[1], "x"), asked, at(0), Timestamp::MAX, None, fresh);
    }
}

#[test]
fn what_may_not_be_kept_is_not_known_again_and_what_is_asked_often_is_asked_of_the_large_cache_now_and_then() {
    let cache = DecisionCache::new(100, TTL, Arc::default());
    let asked = exact("a", 0);
    let decide = |cacheable| {
        let fresh = || Fresh { evaluation: evaluation("p"), cacheable };
        cache.decide(&key(1, &[1], "x"), asked, at(0), Timestamp::MAX, None, fresh).1
    };
    decide(false);
    assert_eq!(cache.again(&asked, at(0)), None);
    decide(true);
    let in_a_row = (0..1000).take_while(|_| cache.again(&asked, at(0)).is_some()).count();
    assert!((2..1000).contains(&in_a_row), "{in_a_row}");
    assert_eq!(decide(true), Lookup::Hit);
    assert!(cache.again(&asked, at(0)).is_some());
}

#[test]
fn many_names_to_purge_become_a_purge_of_all() {
    let purges = Purges::default();
    let number = |policy: &str| {
        let mut key = CacheKey::new(0);
        purges.enter(&mut key, ("User", "alice"), std::iter::once(policy));
        key.as_bytes().to_vec()
    };
    let untouched = number("other");
    (0..10_000).for_each(|id| purges.purge(Purge::Policy(id.to_string())));
    assert_eq!(number("other"), untouched);
    let named = number("9999");
    purges.purge(Purge::Policy("one too many".to_owned()));
    assert!(number("other") != untouched && number("9999") != named, "nothing that was purged comes back");
}
