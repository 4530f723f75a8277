use std::time::Duration;

use proptest::prelude::*;

use super::AuthorityStage::{Active, Old, Prepared};
use super::*;

const START: u64 = 1_700_000_000;
const LIFE: u64 = 1200;

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_nanos((START + second) * 1_000_000_000)
}

/// When an authority lives that was made `made` seconds after the start.
fn term(made: u64) -> Term {
    let validity = Validity { not_before: at(made).before(Duration::from_secs(10)), not_after: at(made + LIFE) };
    Term { created_at: at(made), validity }
}

fn one(stage: AuthorityStage, made: u64) -> Standing {
    Standing { stage, tainted: false, term: term(made) }
}

fn tainted(stage: AuthorityStage, made: u64) -> Standing {
    Standing { tainted: true, ..one(stage, made) }
}

fn rules(authorities: &[Standing], second: u64) -> (Option<usize>, Option<Due>, Timestamp) {
    let Plan { signer, due, next } = plan(authorities, at(second));
    (signer, due, next)
}

/// Does to `authorities` what is due.
fn perform(authorities: &mut Vec<Standing>, due: Due, second: u64) {
    let supersede = |authorities: &mut Vec<Standing>| {
        authorities.iter_mut().filter(|one| one.stage == Active).for_each(|one| one.stage = Old);
    };
    match due {
        Due::Expire(index) => drop(authorities.remove(index)),
        Due::Activate(index) => {
            supersede(authorities);
            authorities[index].stage = Active;
        }
        Due::Prepare => authorities.push(one(Prepared, second)),
        Due::Begin => {
            supersede(authorities);
            authorities.retain(|one| one.stage != Prepared);
            authorities.push(one(Active, second));
        }
    }
}

#[test]
fn an_authority_is_alone_for_half_of_its_life() {
    assert_eq!(rules(&[], 0), (None, Some(Due::Begin), at(0)));
    assert_eq!(rules(&[one(Active, 0)], 0), (Some(0), None, at(600)));
    assert_eq!(rules(&[one(Active, 0)], 599), (Some(0), None, at(600)));
    assert_eq!(rules(&[one(Active, 0)], 600), (Some(0), Some(Due::Prepare), at(600)));
}

#[test]
fn the_next_one_signs_from_five_sixths_on_and_the_first_stays_trusted_until_it_expires() {
    let both = [one(Active, 0), one(Prepared, 600)];
    assert_eq!(rules(&both, 600), (Some(0), None, at(1000)));
    assert_eq!(rules(&both, 999), (Some(0), None, at(1000)));
    assert_eq!(rules(&both, 1000), (Some(1), Some(Due::Activate(1)), at(1000)));
    // The expiry of the first is the next step: it then leaves the bundle.
    let both = [one(Old, 0), one(Active, 600)];
    assert_eq!(rules(&both, 1000), (Some(1), None, at(1200)));
    assert_eq!(rules(&both, 1199), (Some(1), None, at(1200)));
    assert_eq!(rules(&both, 1200), (Some(1), Some(Due::Expire(0)), at(1200)));
}

#[test]
fn a_late_successor_is_trusted_for_a_while_before_it_signs() {
    // Made at 1010, after 5/6: it waits a twelfth of the life, but not beyond 11/12.
    assert_eq!(term(0).hand_over_at(&term(900)), at(1000));
    assert_eq!(term(0).hand_over_at(&term(910)), at(1010));
    assert_eq!(term(0).hand_over_at(&term(1010)), at(1100));
    assert_eq!(rules(&[one(Active, 0), one(Prepared, 1150)], 1150).1, Some(Due::Activate(1)));
}

#[test]
fn an_expired_or_future_authority_never_signs() {
    assert_eq!(rules(&[one(Active, 0)], 1200), (None, Some(Due::Expire(0)), at(1200)));
    assert_eq!(rules(&[one(Active, 1500)], 1300).0, None);
    assert_eq!(rules(&[one(Active, 1500)], 1490).0, Some(0));
    assert_eq!(rules(&[one(Active, 0), one(Prepared, 700)], 1205).0, Some(1));
}

#[test]
fn after_a_clock_was_set_back_an_old_one_signs_until_the_active_one_is_valid() {
    let both = [one(Old, 0), one(Active, 600)];
    assert_eq!(rules(&both, 100), (Some(0), None, at(590)));
    assert_eq!(rules(&both, 590).0, Some(1));
}

#[test]
fn a_tainted_one_never_signs() {
    assert_eq!(rules(&[tainted(Old, 0), one(Active, 600)], 100).0, None);
    // No operator can bring these about.
    assert_eq!(rules(&[one(Old, 0), tainted(Active, 600)], 700).1, Some(Due::Begin));
    assert_eq!(rules(&[tainted(Active, 600)], 700).1, Some(Due::Begin));
    assert_eq!(rules(&[one(Active, 0), tainted(Prepared, 600)], 1100).0, Some(0));
}

proptest! {
    /// However irregularly maintenance comes: whoever signs is valid and active, and there is a signer after each.
    #[test]
    fn there_is_always_a_valid_signer_that_was_made_before(pauses in prop::collection::vec(0..3 * LIFE, 1..40)) {
        let (mut authorities, mut second) = (Vec::new(), 0);
        for pause in pauses {
            second += pause;
            while let Some(due) = rules(&authorities, second).1 {
                perform(&mut authorities, due, second);
            }
            let (signer, _, next) = rules(&authorities, second);
            let signer = authorities[signer.unwrap()];
            prop_assert!(signer.stage == Active && signer.can_sign(at(second)));
            prop_assert!(authorities.iter().filter(|one| one.stage == Active).count() == 1);
            prop_assert!(authorities.iter().filter(|one| one.stage == Prepared).count() <= 1);
            prop_assert!(next > at(second));
        }
    }

    /// Maintenance that comes when it was asked for publishes every successor a third of a life before it signs.
    #[test]
    fn punctual_maintenance_publishes_long_before_it_signs(checks in prop::collection::vec(1..LIFE, 1..40)) {
        let (mut authorities, mut now) = (vec![one(Active, 0)], at(0));
        for check in checks {
            let until = now.after(Duration::from_secs(check));
            while now < until {
                let Plan { signer, due, next } = plan(&authorities, now);
                if let Some(due) = due {
                    prop_assert!(due != Due::Begin);
                    perform(&mut authorities, due, now.unix_seconds() - START);
                    continue;
                }
                let signer = authorities[signer.unwrap()].term;
                prop_assert!(signer == term(0) || now.since(signer.created_at) >= Duration::from_secs(LIFE / 3));
                now = next.min(until);
            }
        }
    }
}
