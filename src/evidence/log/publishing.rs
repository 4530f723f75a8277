//! The thread that makes tiles and checkpoints of the journal.
//!
//! One process at a time does this: while one takes over from another, the newer one waits until the older one is done, which
//! publishes what both write.
//! If it fails, it is tried again for as long as it takes; the journal has the entries meanwhile, and no answer waits
//! for this.

use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use portcullis_tlog::note::VerifierKey;
use rustix::process::setpriority_process;

use super::journal::{Journal, Reader};
use super::key::Signer;
use super::tree::Tree;
use super::{Durability, LogConfig, LogError, LogKey, Shared, directory};
use crate::foundation::clock::Clock;

/// How often a lock that another process holds, or what failed, is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// For how long it rests between two looks for something new, and between two tiles. What it makes tiles of at a time is little then: it
/// holds a processor for less than the scheduler lets anyone have one who is not disturbed, which is milliseconds, and whoever
/// writes the journal or answers waits for it as long.
const REST: Duration = Duration::from_millis(1);

/// After so long without having seen all that is there, it does not rest between tiles any more.
const HURRY: Duration = Duration::from_millis(20);

/// How much this thread gives way to those that answer, which else wait for milliseconds while it hashes; see `nice(2)`. On Linux
/// each thread has its own.
const NICE: i32 = 5;

/// The name of the lock, below the log's directory, that the process has which publishes.
const LOCK: &str = "lock";

/// The name of the notice while it fails.
const NOTICE: &str = "audit_log";

/// What the thread that publishes hears of the one that writes.
pub(super) struct News {
    written: Receiver<()>,
    over: Receiver<()>,
}

/// The other end: dropped, it says that nothing more will be written.
pub(super) struct Teller {
    written: SyncSender<()>,
    _over: Sender<()>,
}

/// Both ends.
pub(super) fn news() -> (Teller, News) {
    let ((written, heard), (open, over)) = (sync_channel(1), channel());
    (Teller { written, _over: open }, News { written: heard, over })
}

impl Teller {
    /// There is something new. Wakes nobody who does not wait for that.
    pub(super) fn tell(&self) {
        // What was told and not heard yet is the same news; and who publishes may have ended before, if the end came.
        let _heard = self.written.try_send(());
    }
}

impl News {
    /// `false` at the end, which ends it at once.
    fn wait(&self, pause: Pause) -> bool {
        let (rest, idle) = match pause {
            Pause::For(pause) => (pause, Duration::ZERO),
            Pause::UntilNews(most) => (REST.min(most), most.saturating_sub(REST)),
        };
        let is_over = |told| told == Err(RecvTimeoutError::Disconnected);
        !is_over(self.over.recv_timeout(rest)) && (idle.is_zero() || !is_over(self.written.recv_timeout(idle)))
    }
}

/// When to look again.
#[derive(Clone, Copy, Debug)]
enum Pause {
    /// After this.
    For(Duration),
    /// Once there is something new, after a [`REST`] at least and this at most.
    UntilNews(Duration),
}

/// What the thread works with.
pub(super) struct Publisher {
    directory: PathBuf,
    origin: String,
    verifier: VerifierKey,
    signer: Signer,
    every: Duration,
    durability: Durability,
    clock: Arc<dyn Clock>,
}

/// The tree, and where the journal goes on.
struct Work {
    tree: Tree,
    reader: Reader,
    last: Duration,
    /// Whether the next segment's file could not be made ready.
    has_no_room: bool,
    _lock: File,
}

impl Publisher {
    pub(super) fn new(config: &LogConfig, key: &LogKey, clock: Arc<dyn Clock>) -> Result<Self, LogError> {
        let (directory, origin) = (config.directory.clone(), config.origin.clone());
        let (verifier, signer) = (key.verifier(&origin)?, key.signer(&origin)?);
        // Found out later, nothing would ever be published.
        directory::open_to_append(&directory.join(LOCK))?;
        Ok(Self {
            directory,
            origin,
            verifier,
            signer,
            every: config.checkpoint_every,
            durability: config.durability,
            clock,
        })
    }

    /// The work, if no other process is at it.
    fn begin(&self) -> Result<Option<Work>, LogError> {
        let path = self.directory.join(LOCK);
        let lock = directory::open_to_append(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(LogError::at(&path)(error)),
        }
        let mut tree = Tree::open(&self.directory, &self.origin, &self.verifier)?;
        if tree.size() == 0 {
            // Before the first tile there is a checkpoint, so that tiles without one are always a loss.
            tree.publish(&self.signer, self.clock.now())?;
        }
        let reader = Reader::of_synced(&self.directory.join(super::JOURNAL), tree.size())?;
        let last = self.clock.elapsed().saturating_sub(self.every);
        Ok(Some(Work { tree, reader, last, has_no_room: false, _lock: lock }))
    }

    /// Takes in what is new, and publishes it if it is time, or if `now`.
    fn go_on(&self, work: &mut Work, shared: &Shared, now: bool) -> Result<(), LogError> {
        let begun = self.clock.elapsed();
        while let Some(batch) = work.reader.batch()? {
            let mut entries = batch.entries();
            while work.tree.append(&mut entries)? {
                if !now && self.clock.elapsed().saturating_sub(begun) < HURRY {
                    thread::sleep(REST);
                }
            }
        }
        let elapsed = self.clock.elapsed();
        let is_due = now || elapsed.saturating_sub(work.last) >= self.every;
        if is_due && work.tree.published() < work.tree.size() {
            work.tree.publish(&self.signer, self.clock.now())?;
            work.last = elapsed;
            shared.published(work.tree.size());
        }
        if is_due {
            // Even if nothing is new: entries that were pruned may be what is old.
            Journal::forget(&self.directory.join(super::JOURNAL), work.tree.published())?;
        }
        self.prepare(work);
        Ok(())
    }

    /// Makes room for what will be written, if answers wait for that. The journal goes on without, if need be.
    fn prepare(&self, work: &mut Work) {
        if self.durability == Durability::Group {
            return;
        }
        let prepared = Journal::prepare(&self.directory.join(super::JOURNAL), &work.reader);
        if let Err(error) = &prepared
            && !work.has_no_room
        {
            tracing::warn!("no room is made in the journal beforehand: {error}");
        }
        work.has_no_room = prepared.is_err();
    }

    /// Until there is something new, or until it is time for a checkpoint; and if nothing waits for one, not for long either: another
    /// process tells us nothing.
    fn pause(&self, work: &Work) -> Pause {
        let waits = work.tree.published() < work.tree.size();
        let since = if waits { self.clock.elapsed().saturating_sub(work.last) } else { Duration::ZERO };
        Pause::UntilNews(self.every.saturating_sub(since))
    }
}

/// Starts the thread. It ends after whoever tells it `news` is gone, and drops `ending` then.
pub(super) fn start(shared: Arc<Shared>, publisher: Publisher, news: News, ending: Sender<()>) -> Result<(), LogError> {
    let work = move || {
        if let Err(error) = setpriority_process(None, NICE) {
            tracing::debug!(%error, "tiles are made no less urgently than answers");
        }
        if catch_unwind(AssertUnwindSafe(|| publish_all(&shared, &publisher, &news))).is_err() {
            shared.ended("the publishing thread panicked");
        }
        drop(ending);
    };
    thread::Builder::new().name("audit-publish".into()).spawn(work).map(drop).map_err(LogError::Thread)
}

fn publish_all(shared: &Shared, publisher: &Publisher, news: &News) {
    let mut work = None;
    let mut is_last = false;
    loop {
        let (worked, pause) = attempt(shared, publisher, &mut work, is_last);
        if is_last {
            return;
        }
        is_last = !news.wait(pause);
        if !worked {
            // What failed in the middle is begun anew, from what is on the disk.
            work = None;
        }
    }
}

/// Says whether it went well, and when to look again.
fn attempt(shared: &Shared, publisher: &Publisher, work: &mut Option<Work>, is_last: bool) -> (bool, Pause) {
    let done = match work {
        Some(_) => Ok(()),
        None => publisher.begin().map(|begun| *work = begun),
    };
    let done = done.and_then(|()| work.as_mut().map_or(Ok(()), |work| publisher.go_on(work, shared, is_last)));
    match (done, &work) {
        (Ok(()), Some(work)) => {
            shared.readiness.clear_notice(NOTICE);
            (true, publisher.pause(work))
        }
        (Ok(()), None) => (true, Pause::For(RETRY)),
        (Err(error), _) => {
            shared.metrics.publish_failures.inc();
            shared.readiness.notice(NOTICE, error.to_string());
            tracing::error!("no checkpoint could be made: {error}");
            (false, Pause::For(publisher.every.max(RETRY)))
        }
    }
}
