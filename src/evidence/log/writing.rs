//! The thread that writes the journal: all that waits at a time, one sync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::journal::Journal;
use super::publishing::Teller;
use super::queue::Waiting;
use super::{Durability, LogError, Shared};

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// Starts the thread. It tells `news` of what is written, and drops it and `ending` when it ends.
pub(super) fn start(shared: Arc<Shared>, journal: Journal, news: Teller, ending: Sender<()>) -> Result<(), LogError> {
    let work = move || {
        if catch_unwind(AssertUnwindSafe(|| write_all(&shared, journal, &news))).is_err() {
            shared.ended("the writing thread panicked");
        }
        shared.progress.send_modify(|progress| progress.is_over = true);
        drop((news, ending));
    };
    thread::Builder::new().name("audit".into()).spawn(work).map(drop).map_err(LogError::Thread)
}

fn write_all(shared: &Shared, mut journal: Journal, news: &Teller) {
    let mut emptied = Waiting::default();
    while let Some(entries) = shared.queue.take(emptied) {
        if !write(shared, &mut journal, &entries) {
            shared.metrics.lost.inc_by(u64::try_from(entries.count).unwrap_or(u64::MAX));
            shared.queue.settle(&entries);
            return;
        }
        // Only now, so that what was accepted is always in the queue or among the entries.
        shared.queue.settle(&entries);
        let count = u64::try_from(entries.count).unwrap_or(u64::MAX);
        shared.progress.send_modify(|progress| progress.durable = progress.durable.saturating_add(count));
        shared.metrics.written.inc_by(count);
        shared.metrics.batches.inc();
        news.tell();
        emptied = entries;
        if shared.config.durability == Durability::Group {
            shared.queue.gather(shared.config.sync_every);
        }
    }
}

/// Writes the entries, however often it takes: their answers may have been given. `false` if the end comes first.
fn write(shared: &Shared, journal: &mut Journal, entries: &Waiting) -> bool {
    let count = u32::try_from(entries.count).unwrap_or(u32::MAX);
    loop {
        let appended = shared.health.watch(|| journal.append(count, &entries.bytes));
        shared.metrics.torn.inc_by(journal.take_torn());
        match appended {
            Ok(first) => {
                shared.metrics.taken.written(first.saturating_add(u64::from(count)));
                shared.health.recovered();
                return true;
            }
            Err(error) => shared.health.failed(error.to_string()),
        }
        if shared.queue.is_closed() {
            return false;
        }
        thread::sleep(RETRY);
    }
}
