//! The open loop: how long an answer takes at a load that the server has not chosen.
//!
//! Each question has a moment at which it is to be sent, drawn before anything is known of the answers, and its latency
//! counts from that moment. So a server that stops for a second makes all questions of that second slow, and not only
//! the one that it was asked when it stopped (Tene's "coordinated omission").

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::pacer::Pacer;
use super::{Measured, Plan, Shared, cpu_of, mark};
use crate::account::Mark;
use crate::client::Client;
use crate::random::Random;
use crate::{Failure, clock};

/// How many questions may be without an answer; with more, the server does not keep up and nothing is to be learnt.
const BACKLOG: usize = 20_000;

/// How long to wait at the end for what is still under way.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(plan: &Plan, shared: &Rc<Shared>, clients: &[Client], rate: f64) -> Result<Measured, Failure> {
    let pacer = Pacer::new()?;
    let mut schedule = Schedule { next: clock::now(), mean: 1.0 / rate.max(0.001), random: Random::new(2) };
    let mut asking = JoinSet::new();
    let warm = schedule.next + plan.warm_up;
    let end = warm + plan.duration;
    let mut started: Option<(Mark, Mark)> = None;
    let mut intended = 0;
    for turn in 0_usize.. {
        let moment = schedule.following();
        if moment >= warm && started.is_none() {
            started = Some(mark(plan)?);
        }
        if moment >= end || asking.len() > BACKLOG {
            break;
        }
        pacer.wait_until(moment).await?;
        while asking.try_join_next().is_some() {}
        let counts = moment >= warm;
        intended += u64::from(counts);
        let Some(client) = clients.get(turn % clients.len().max(1)) else { break };
        ask(&mut asking, shared, client.clone(), moment, counts);
    }
    pacer.wait_until(end).await?;
    let ended = mark(plan)?;
    let grace = clock::now() + GRACE;
    while !asking.is_empty() && clock::now() < grace {
        drop(tokio::time::timeout(Duration::from_millis(100), asking.join_next()).await);
    }
    shared.stop.set(true);
    let completed = shared.tally.borrow().counted;
    let (before, mine) = started.map_or_else(|| mark(plan), Ok)?;
    Ok(Measured {
        seconds: plan.duration.as_secs_f64(),
        completed,
        before,
        after: ended.0,
        generator_cpu: cpu_of(&mine, &ended.1)?,
        intended: Some((intended, intended.saturating_sub(completed))),
    })
}

fn ask(asking: &mut JoinSet<()>, shared: &Rc<Shared>, mut client: Client, moment: Instant, counts: bool) {
    let shared = Rc::clone(shared);
    asking.spawn_local(async move {
        if counts {
            shared.tally.borrow_mut().late_by(moment.elapsed());
        }
        if shared.ask(&mut client).await.is_some() && counts {
            shared.tally.borrow_mut().took(moment.elapsed());
        }
    });
}

/// The moments at which questions are to be sent: a Poisson process, the same in every run.
struct Schedule {
    next: Instant,
    /// Seconds between two.
    mean: f64,
    random: Random,
}

impl Schedule {
    fn following(&mut self) -> Instant {
        let gap = -self.mean * (1.0 - self.random.unit()).ln();
        self.next += Duration::from_secs_f64(gap);
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_keeps_its_rate_and_is_the_same_every_time() {
        let began = clock::now();
        let schedule = || Schedule { next: began, mean: 0.001, random: Random::new(2) };
        let (mut one, mut other) = (schedule(), schedule());
        let mut last = began;
        for _ in 0..100_000 {
            last = one.following();
            assert_eq!(last, other.following());
        }
        let seconds = (last - began).as_secs_f64();
        assert!((99.0..101.0).contains(&seconds), "{seconds}");
    }
}
