use std::time::Duration;

use proptest::prelude::*;

use super::*;

const START: u64 = 1_700_000_000;
const LIFE: u64 = 1200;

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_nanos((START + second) * 1_000_000_000)
}

/// An authority made `made` seconds after the start.
fn term(made: u64) -> Term {
    let validity = Validity { not_before: at(made).before(Duration::from_secs(10)), not_after: at(made + LIFE) };
    Term { created_at: at(made), validity }
}

fn rules(terms: &[Term], second: u64) -> (Option<usize>, bool, Timestamp) {
    let Plan { signer, prepare, next } = plan(terms, at(second));
    (signer, prepare, next)
}

#[test]
fn an_authority_is_alone_for_half_of_its_life() {
    assert_eq!(rules(&[], 0), (None, true, at(0)));
    assert_eq!(rules(&[term(0)], 0), (Some(0), false, at(600)));
    assert_eq!(rules(&[term(0)], 599), (Some(0), false, at(600)));
    assert!(rules(&[term(0)], 600).1);
}

#[test]
fn the_next_one_signs_from_five_sixths_on_and_the_first_stays_trusted_until_it_expires() {
    let terms = [term(0), term(600)];
    assert_eq!(rules(&terms, 600), (Some(0), false, at(1000)));
    assert_eq!(rules(&terms, 999), (Some(0), false, at(1000)));
    // The expiry of the first is the next step: it then leaves the bundle.
    assert_eq!(rules(&terms, 1000), (Some(1), false, at(1200)));
    assert_eq!(rules(&terms, 1199), (Some(1), false, at(1200)));
    assert!(rules(&terms, 1200).1);
    assert_eq!(rules(&terms, 1200).0, Some(1));
}

#[test]
fn a_late_successor_is_trusted_for_a_while_before_it_signs() {
    // Made at 1010, after 5/6: it waits a twelfth of the life, but not beyond 11/12.
    assert_eq!(term(0).hand_over_at(&term(900)), at(1000));
    assert_eq!(term(0).hand_over_at(&term(910)), at(1010));
    assert_eq!(term(0).hand_over_at(&term(1010)), at(1100));
    assert_eq!(rules(&[term(0), term(1150)], 1150).0, Some(1));
}

#[test]
fn an_expired_or_future_authority_never_signs() {
    assert_eq!(rules(&[term(0)], 1200), (None, true, at(1200)));
    assert_eq!(rules(&[term(0), term(1500)], 1300).0, None);
    assert_eq!(rules(&[term(0), term(1500)], 1490).0, Some(1));
    assert_eq!(rules(&[term(0), term(10), term(20)], 1205).0, Some(2));
}

proptest! {
    /// However irregularly maintenance comes: whoever signs is valid, and there is a signer after each maintenance.
    #[test]
    fn there_is_always_a_valid_signer_that_was_made_before(pauses in prop::collection::vec(0..3 * LIFE, 1..40)) {
        let (mut terms, mut second) = (Vec::new(), 0);
        for pause in pauses {
            second += pause;
            if rules(&terms, second).1 {
                terms.push(term(second));
            }
            let (signer, prepare, next) = rules(&terms, second);
            let signer = terms[signer.unwrap()];
            prop_assert!(!prepare);
            prop_assert!(signer.is_valid(at(second)));
            prop_assert!(next > at(second));
        }
    }

    /// Maintenance that comes when it was asked for publishes every successor a third of a life before it signs.
    #[test]
    fn punctual_maintenance_publishes_long_before_it_signs(checks in prop::collection::vec(1..LIFE, 1..40)) {
        let (mut terms, mut now, mut last) = (vec![term(0)], at(0), 0);
        for check in checks {
            let until = now.after(Duration::from_secs(check));
            while now < until {
                let Plan { signer, prepare, next } = plan(&terms, now);
                if prepare {
                    terms.push(term(now.unix_seconds() - START));
                    continue;
                }
                let signer = signer.unwrap();
                if signer != last {
                    prop_assert_eq!(signer, last + 1);
                    prop_assert!(now.since(terms[signer].created_at) >= Duration::from_secs(LIFE / 3));
                    last = signer;
                }
                now = next.min(until);
            }
        }
    }
}
