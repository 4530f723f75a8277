//! The closed loop: what a server can do at most. Its latencies say how long its own queue is and little else.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Measured, Plan, Shared, cpu_of, mark};
use crate::client::Client;
use crate::{Failure, clock};

/// How much longer than planned the warm-up may last.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn run(
    plan: &Plan,
    shared: &Rc<Shared>,
    clients: &[Client],
    streams: usize,
    tasks: &mut JoinSet<()>,
) -> Result<Measured, Failure> {
    for client in clients {
        for _ in 0..streams.max(1) {
            let (mut client, shared) = (client.clone(), Rc::clone(shared));
            tasks.spawn_local(async move {
                while !shared.stop.get() {
                    let began = clock::now();
                    let right = shared.ask(&mut client).await.is_some();
                    if shared.counts.get() && right {
                        shared.tally.borrow_mut().took(began.elapsed());
                    }
                    if !right {
                        // A broken connection must not become a busy loop.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
    }
    tokio::time::sleep(plan.warm_up).await;
    // What is asked again and again must have been asked before it counts.
    let patience = clock::now() + PATIENCE;
    while plan.first_item.is_none() && !shared.all_were_asked() && clock::now() < patience {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (before, mine) = mark(plan)?;
    let began = clock::now();
    shared.counts.set(true);
    tokio::time::sleep(plan.duration).await;
    shared.counts.set(false);
    let seconds = began.elapsed().as_secs_f64();
    let (after, mine_after) = mark(plan)?;
    let completed = shared.tally.borrow().counted;
    Ok(Measured { seconds, completed, before, after, generator_cpu: cpu_of(&mine, &mine_after)?, intended: None })
}
