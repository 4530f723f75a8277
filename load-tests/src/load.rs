//! Load of two kinds: a closed loop, in which each of a number of askers waits for its answer before it asks again, and an
//! open one, in which questions come when they come, whether or not earlier ones were answered.

mod closed;
mod open;
mod pacer;
mod report;
mod samples;
mod tally;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

pub use self::report::Report;
pub use self::samples::Samples;
use self::tally::Tally;
use crate::Failure;
use crate::account::Mark;
use crate::address::Address;
use crate::client::{Client, Identity};
use crate::question::Questions;
use crate::random::Random;
use crate::wire::{Prepared, Wire};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to ask.
    pub address: Address,
    /// As whom, if over mTLS.
    pub identity: Option<Identity>,
    /// In which format.
    pub wire: Wire,
    /// Over how many connections.
    pub connections: usize,
    /// How often questions come.
    pub pace: Pace,
    /// The first id of something that was never asked for, or `None` to ask for the same things again and again.
    pub first_item: Option<u64>,
    /// How long to ask before it counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub duration: Duration,
    /// The processes whose use of the machine is told.
    pub servers: Vec<u32>,
}

/// How often questions come.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As often as answers come: so many askers on each connection.
    Closed {
        /// Askers on each connection.
        streams: usize,
    },
    /// So many a second on average, at random moments (a Poisson process), whatever comes back.
    Open {
        /// Questions a second.
        rate: f64,
    },
}

/// What the tasks of one thread share.
struct Shared {
    prepared: Vec<Prepared>,
    order: Vec<usize>,
    first_item: Option<u64>,
    asked: Cell<u64>,
    tally: RefCell<Tally>,
    /// Whether what comes counts.
    counts: Cell<bool>,
    stop: Cell<bool>,
}

impl Shared {
    /// Whether every question was asked, and then half of them again, so that the first answers are there.
    fn all_were_asked(&self) -> bool {
        self.asked.get() > u64::try_from(self.order.len() * 3 / 2).unwrap_or(u64::MAX)
    }

    /// Asks the next question. The answer, right or wrong, is told to the tally; `Some` if there was one that is right.
    async fn ask(&self, client: &mut Client) -> Option<()> {
        let number = self.asked.replace(self.asked.get() + 1);
        let turn = usize::try_from(number).unwrap_or(0) % self.order.len();
        let which = self.order.get(turn).copied().unwrap_or(0);
        let prepared = self.prepared.get(which)?;
        let item = self.first_item.map_or_else(|| u64::try_from(which).unwrap_or(0), |first| first + number);
        let answer = client.ask(prepared, item, number).await;
        if answer.is_err() && self.stop.get() {
            return None; // cut off by us
        }
        self.tally.borrow_mut().told(prepared, answer)
    }
}

/// Carries the plan out on this thread, inside a `LocalSet`.
///
/// # Errors
/// [`Failure`] if nothing could be asked, or a server that is watched is gone. Wrong answers are in the [`Report`].
pub async fn run(plan: &Plan, asked: &Questions) -> Result<Report, Failure> {
    let prepared = plan.wire.prepare(asked);
    if plan.first_item.is_some() && !prepared.iter().all(Prepared::can_be_new) {
        return Err(Failure::new("asking something new each time", "a question has no `{item}` in its path"));
    }
    let mut order: Vec<_> = (0..prepared.len()).collect();
    Random::new(1).shuffle(&mut order);
    let shared = Rc::new(Shared {
        prepared,
        order,
        first_item: plan.first_item,
        asked: Cell::new(0),
        tally: RefCell::default(),
        counts: Cell::new(false),
        stop: Cell::new(false),
    });
    let mut tasks = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..plan.connections.max(1) {
        clients.push(Client::connect(&plan.address, plan.identity.as_ref(), plan.wire, &mut tasks).await?);
    }
    let measured = match plan.pace {
        Pace::Closed { streams } => closed::run(plan, &shared, &clients, streams, &mut tasks).await?,
        Pace::Open { rate } => open::run(plan, &shared, &clients, rate).await?,
    };
    shared.stop.set(true);
    tasks.abort_all();
    Report::new(plan, &shared, &measured)
}

/// The interval that counted, and what was used in it.
struct Measured {
    seconds: f64,
    completed: u64,
    before: Mark,
    after: Mark,
    generator_cpu: f64,
    /// Open loop: how many were to be sent, and how many had no answer at the end.
    intended: Option<(u64, u64)>,
}

/// Watches the servers and this process.
fn mark(plan: &Plan) -> Result<(Mark, Mark), Failure> {
    Ok((Mark::of(&plan.servers)?, Mark::of(&[std::process::id()])?))
}

fn cpu_of(before: &Mark, after: &Mark) -> Result<f64, Failure> {
    Ok(before.until(after)?.iter().map(|usage| usage.cpu_s).sum())
}
