//! Follows the policy directory: a change that compiles is put in place at once, one that does not leaves the last good
//! set deciding and is told. Events of the file system make it quick, and looking every few seconds makes it sure. What is
//! good has a gate to pass before it decides, and is tried again until it does.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::PolicySet;
use super::problem::{LoadError, Problem};
use super::source::{Sources, Stamp};
use crate::decision::entity::Awaited;
use crate::foundation::digest::Digest;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::watched::{Snapshot, Watched};

/// How long after the first event the files are read: an editor and Kubernetes both make several changes at once.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How soon what the gate did not let pass is tried again.
pub(in crate::decision) const RETRY: Duration = Duration::from_millis(250);

/// What has to happen before policies decide: they are on record.
pub trait PolicyGate: fmt::Debug + Send + Sync {
    /// `next` decides as soon as this has returned, unless it fails. Others wait meanwhile, so it must not block.
    ///
    /// # Errors
    /// Why it must not decide now. It is tried again.
    fn enter(&self, next: &Snapshot<PolicySet>) -> Result<(), String>;
}

/// Who wants to know what becomes of the directory. Called from the watching task, so it must not block for long.
pub trait PolicyEvents: Send + Sync + 'static {
    /// These files are good, and decide as soon as this has returned, unless it fails: so whatever decides can be kept
    /// first. Called from a thread of its own, so it may block.
    ///
    /// # Errors
    /// Why they must not decide.
    fn accepted(&self, _files: &Sources) -> Result<(), String> {
        Ok(())
    }

    /// New files are in place and decide from now on.
    fn loaded(&self, current: &Snapshot<PolicySet>);

    /// The files as they are now were refused, or wait for entities that fit them; `kept` still decides. Told once for as
    /// long as the error stays the same.
    fn refused(&self, kept: &Snapshot<PolicySet>, error: &LoadError);

    /// The files as they are now are good, and the gate does not let them pass; `kept` still decides. Told once for as long
    /// as the error stays the same; what comes of it follows.
    fn held_back(&self, kept: &Snapshot<PolicySet>, error: &LoadError);

    /// After a refusal, the files are again those that decide.
    fn recovered(&self, current: &Snapshot<PolicySet>);
}

/// Where policies are put in force.
pub trait PolicyTarget: Send + Sync + 'static {
    /// What decides now.
    fn current(&self) -> Arc<Snapshot<PolicySet>>;

    /// Has these decide: from now on, or from when every entity of every source fits their schema and the gate lets them
    /// pass. Blocks for as long as it takes to compare the entities.
    fn put(&self, policies: PolicySet);

    /// What that which was put waits for, if it does not decide yet.
    fn awaited(&self) -> watch::Receiver<Option<Vec<Awaited>>>;

    /// Tries again what was put and only the gate kept out. Blocks as [`Self::put`] does.
    fn retry(&self);

    /// Has what was put and does not decide yet never decide. Blocks as [`Self::put`] does.
    fn withdraw(&self);
}

impl PolicyTarget for Watched<PolicySet> {
    fn current(&self) -> Arc<Snapshot<PolicySet>> {
        self.load()
    }

    fn put(&self, policies: PolicySet) {
        self.replace(policies);
    }

    fn awaited(&self) -> watch::Receiver<Option<Vec<Awaited>>> {
        watch::channel(None).1
    }

    fn retry(&self) {}

    fn withdraw(&self) {}
}

/// Follows `directory` until the drain starts; `target` holds what was loaded from it before. It is looked at every
/// `poll` even without any event: not every file system has them, and a link may lead out of what is watched.
pub async fn watch(
    directory: PathBuf,
    target: Arc<dyn PolicyTarget>,
    events: Arc<dyn PolicyEvents>,
    poll: Duration,
    signal: ShutdownSignal,
) {
    Follower::new(directory, target, events).run(poll, signal).await;
}

struct Follower {
    directory: PathBuf,
    target: Arc<dyn PolicyTarget>,
    events: Arc<dyn PolicyEvents>,
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// The state that was last read well; `None` if the files have to be read whatever they look like.
    stamp: Option<Stamp>,
    /// What was last told to be wrong.
    refused: Option<LoadError>,
    /// The files as they are now, if they are good and wait for entities that fit them.
    waiting: Option<Digests>,
}

/// Which policies, and which entities of the directory.
type Digests = (Digest, Digest);

impl Follower {
    fn new(directory: PathBuf, target: Arc<dyn PolicyTarget>, events: Arc<dyn PolicyEvents>) -> Self {
        Self {
            directory,
            target,
            events,
            changed: Arc::default(),
            watcher: None,
            stamp: None,
            refused: None,
            waiting: None,
        }
    }

    async fn run(mut self, poll: Duration, mut signal: ShutdownSignal) {
        let (changed, mut awaited) = (Arc::clone(&self.changed), self.target.awaited());
        let mut overdue = false;
        loop {
            tokio::select! {
                () = signal.draining() => return,
                () = self.follow() => {}
            }
            let still = awaited.borrow_and_update().clone();
            let is_held_back = self.settle(still, overdue);
            tokio::select! {
                () = signal.draining() => return,
                () = sleep(RETRY), if is_held_back => self.retry().await,
                Ok(()) = awaited.changed(), if self.waiting.is_some() => {}
                // Either an event came, or it is time to look.
                woken = timeout(poll, changed.notified()) => {
                    overdue = woken.is_err() && self.waiting.is_some();
                    if woken.is_ok() {
                        // Events within the pause are one change; those after it wake the next round.
                        sleep(DEBOUNCE).await;
                        self.stamp = None;
                    }
                },
            }
        }
    }

    /// Reads the directory if it has changed, and puts what is there in place.
    async fn follow(&mut self) {
        let (directory, changed) = (self.directory.clone(), Arc::clone(&self.changed));
        let (stamp, watcher) = (self.stamp.clone(), self.watcher.take());
        let read = spawn_blocking(move || {
            if stamp.is_some() && stamp == Stamp::of(&directory).ok() {
                return (watcher, None);
            }
            // Watched before it is read, so that no change falls between; anew each time, because the directory may
            // have been deleted and made again, which leaves the old watch without anything to see.
            drop(watcher);
            let watcher = arm(&directory, changed);
            (watcher, Some(Sources::read(&directory)))
        });
        match read.await {
            Ok((watcher, None)) => self.watcher = watcher,
            Ok((watcher, Some(read))) => {
                self.watcher = watcher;
                self.take(read).await;
            }
            Err(_panic) => self.refuse(LoadError::fault(&self.directory)),
        }
    }

    async fn take(&mut self, read: Result<Sources, LoadError>) {
        let sources = match read {
            Ok(sources) => sources,
            Err(error) => {
                self.stamp = None;
                self.withdraw().await;
                return self.refuse(error);
            }
        };
        self.stamp = Some(sources.stamp().clone());
        let digests = (sources.policy_digest(), sources.entity_digest());
        if self.waiting.is_some_and(|waiting| waiting != digests) {
            self.withdraw().await;
        }
        // Only now, for until it was withdrawn it may have been put in place.
        let current = self.target.current();
        if digests == (current.policy_digest(), current.entity_digest()) {
            let (waited, refused) = (self.waiting.take().is_some(), self.refused.take().is_some());
            if waited {
                self.events.loaded(&current);
            } else if refused {
                self.events.recovered(&current);
            }
            return;
        }
        if self.waiting.is_none() {
            let (target, events) = (Arc::clone(&self.target), Arc::clone(&self.events));
            let put = move || {
                let policies = current.recompile(&sources)?;
                let refused = |why| LoadError::single(Problem::new(sources.directory(), why));
                events.accepted(&sources).map_err(refused)?;
                target.put(policies);
                Ok(())
            };
            match spawn_blocking(put).await {
                Ok(Ok(())) => self.waiting = Some(digests),
                Ok(Err(error)) => self.refuse(error),
                Err(_panic) => self.refuse(LoadError::fault(&self.directory)),
            }
        }
    }

    /// Tells what became of that which was put: it decides, or waits for something that is wrong, or has waited for long.
    /// Says whether only the gate keeps it out.
    fn settle(&mut self, awaited: Option<Vec<Awaited>>, overdue: bool) -> bool {
        if self.waiting.is_none() {
            return false;
        }
        let Some(awaited) = awaited else {
            (self.waiting, self.refused) = (None, None);
            self.events.loaded(&self.target.current());
            return false;
        };
        let is_wrong = |awaited: &Awaited| matches!(awaited, Awaited::Source { why: Some(_), .. });
        let is_held_back = awaited.iter().any(|awaited| matches!(awaited, Awaited::Gate(_)));
        if is_held_back {
            let error = LoadError::waiting(&self.directory, &awaited);
            if self.refused.as_ref() != Some(&error) {
                self.events.held_back(&self.target.current(), &error);
                self.refused = Some(error);
            }
        } else if overdue || awaited.iter().any(is_wrong) {
            self.refuse(LoadError::waiting(&self.directory, &awaited));
        }
        is_held_back
    }

    async fn retry(&self) {
        let target = Arc::clone(&self.target);
        // If even that fails, it is tried again.
        let _tried = spawn_blocking(move || target.retry()).await;
    }

    async fn withdraw(&mut self) {
        if self.waiting.take().is_some() {
            let target = Arc::clone(&self.target);
            if spawn_blocking(move || target.withdraw()).await.is_err() {
                self.refuse(LoadError::fault(&self.directory));
            }
        }
    }

    fn refuse(&mut self, error: LoadError) {
        if self.refused.as_ref() != Some(&error) {
            self.events.refused(&self.target.current(), &error);
            self.refused = Some(error);
        }
    }
}

/// Watches the directory, and its parent for when the directory itself is replaced. If that fails there is still the
/// look every few seconds.
pub(in crate::decision) fn arm(directory: &Path, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let followed = directory.clone();
    let handler = move |event: notify::Result<notify::Event>| {
        // An error may stand for lost events.
        if event.map_or(true, |event| matters(&event, &followed)) {
            changed.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(handler).ok()?;
    let itself = watcher.watch(&directory, RecursiveMode::NonRecursive);
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let above = watcher.watch(parent, RecursiveMode::NonRecursive);
    (itself.is_ok() || above.is_ok()).then_some(watcher)
}

/// Whether an event can be a change of the directory: our own reading and the directory's neighbours are not.
fn matters(event: &notify::Event, directory: &Path) -> bool {
    let change = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    change
        && (event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(|path| path.starts_with(directory)))
}

#[cfg(test)]
mod tests;
