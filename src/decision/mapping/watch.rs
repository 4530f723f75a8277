//! Follows the files of a mapping, as policies are followed: a change that compiles and fits the schema is put in place at
//! once, one that does not leaves the last good routes in place and is told. When the schema changes, the routes are held
//! against it again. Routes that no longer fit stay where they are: what they make of requests is then denied, since a
//! question that does not fit the schema always is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::RecommendedWatcher;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::load::MappingFiles;
use super::routes::Mapping;
use crate::decision::policy::problem::Problem;
use crate::decision::policy::watch::{RETRY, arm};
use crate::decision::policy::{LoadError, PolicySet};
use crate::decision::schema::SchemaTypes;
use crate::foundation::digest::Digest;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::watched::{Snapshot, Watched};

/// How long after the first event the files are read: an editor and Kubernetes both make several changes at once.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Who wants to know what becomes of the files. Called from the watching task, so it must not block for long.
pub trait MappingEvents: Send + Sync + 'static {
    /// `next` is in place as soon as this has returned, unless it fails: so that it can be recorded first. Must not block.
    ///
    /// # Errors
    /// Why it must not be in place now. It is tried again.
    fn enter(&self, next: &Snapshot<Mapping>) -> Result<(), String>;

    /// The files as they are now are good, and must not be in place yet; `kept` still is. Told once for as long as the error
    /// stays the same; what comes of it follows.
    fn held_back(&self, kept: &Snapshot<Mapping>, error: &LoadError);

    /// New routes are in place.
    fn loaded(&self, current: &Snapshot<Mapping>);

    /// The files as they are now were refused; `kept` is still in place. Or, with `misfit`, they are in place but don't fit
    /// the schema that came after them. Told once for as long as the error stays the same.
    fn refused(&self, kept: &Snapshot<Mapping>, error: &LoadError, misfit: bool);

    /// After a refusal, the files are those in place and fit.
    fn recovered(&self, current: &Snapshot<Mapping>);
}

/// Follows `path` until the drain starts; `mapping` holds what was loaded from it before. It is looked at every `poll` even
/// without any event.
pub async fn watch(
    path: PathBuf,
    mapping: Arc<Watched<Mapping>>,
    policies: Arc<Watched<PolicySet>>,
    events: Arc<dyn MappingEvents>,
    poll: Duration,
    signal: ShutdownSignal,
) {
    let changed = Arc::default();
    let follower = Follower { path, mapping, policies, events, changed, judged: None, told: None, is_held_back: false };
    follower.run(poll, signal).await;
}

struct Follower {
    path: PathBuf,
    mapping: Arc<Watched<Mapping>>,
    policies: Arc<Watched<PolicySet>>,
    events: Arc<dyn MappingEvents>,
    changed: Arc<Notify>,
    /// Which files, under which schema, were last found good or bad.
    judged: Option<(Digest, Arc<SchemaTypes>)>,
    /// What was last told to be wrong.
    told: Option<LoadError>,
    /// Whether new routes are only to be let in.
    is_held_back: bool,
}

/// What came of a look.
enum Found {
    /// What is in place fits.
    Good,
    /// New routes that fit.
    New(Box<Mapping>),
    Bad(LoadError, bool),
}

impl Follower {
    async fn run(mut self, poll: Duration, mut signal: ShutdownSignal) {
        let mut schemas = self.policies.subscribe();
        loop {
            // Watched before it is read, so that no change falls between; anew each time, because what is watched may have
            // been deleted and made again.
            let watcher = self.watcher().await;
            self.look().await;
            tokio::select! {
                () = signal.draining() => return,
                () = self.next_schema(&mut schemas) => {}
                () = sleep(RETRY), if self.is_held_back => {}
                woken = timeout(poll, self.changed.notified()) => if woken.is_ok() {
                    // Events within the pause are one change; those after it wake the next round.
                    sleep(DEBOUNCE).await;
                }
            }
            drop(watcher);
        }
    }

    async fn watcher(&self) -> Option<RecommendedWatcher> {
        let (path, changed) = (self.path.clone(), Arc::clone(&self.changed));
        spawn_blocking(move || arm(&path, changed)).await.ok().flatten()
    }

    /// Ends when policies are in place whose schema is another than that which was last looked at. Every change of an
    /// entity makes new policies, too; these say nothing new here.
    async fn next_schema(&self, schemas: &mut tokio::sync::watch::Receiver<crate::foundation::watched::Epoch>) {
        loop {
            let types = Arc::clone(self.policies.load().types());
            if self.judged.as_ref().is_some_and(|(_, judged)| !Arc::ptr_eq(judged, &types)) {
                return;
            }
            if schemas.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn look(&mut self) {
        let (path, policies, current) = (self.path.clone(), self.policies.load(), self.mapping.load());
        let judged = self.judged.take();
        let types = Arc::clone(policies.types());
        let read = spawn_blocking(move || {
            let files = match MappingFiles::read(&path) {
                Ok(files) => files,
                Err(error) => return (None, Some(Found::Bad(error, false))),
            };
            let digest = files.digest();
            if judged.is_some_and(|(known, types)| known == digest && Arc::ptr_eq(&types, policies.types())) {
                return (Some(digest), None);
            }
            let found = if digest == current.digest() {
                current.fit(&policies).map_or_else(|error| Found::Bad(error, true), |()| Found::Good)
            } else {
                let compiled = Mapping::compile(&files).and_then(|new| new.fit(&policies).map(|()| new));
                compiled.map_or_else(|error| Found::Bad(error, false), |new| Found::New(Box::new(new)))
            };
            (Some(digest), Some(found))
        });
        let (digest, found) = read.await.unwrap_or_else(|_panic| {
            let fault = LoadError::single(Problem::new(&self.path, "reading the routes failed within"));
            (None, Some(Found::Bad(fault, false)))
        });
        // Files that could not be read are read again whatever they look like; the schema has been looked at all the same.
        self.judged = Some((digest.unwrap_or_else(|| Digest::of(b"")), types));
        if let Some(found) = found {
            self.tell(found);
        }
    }

    fn tell(&mut self, found: Found) {
        self.is_held_back = false;
        match found {
            Found::New(new) => match self.mapping.replace_after(*new, |next| self.events.enter(next)) {
                Ok(_epoch) => {
                    self.told = None;
                    self.events.loaded(&self.mapping.load());
                }
                Err(why) => self.hold_back(&why),
            },
            Found::Good => {
                if self.told.take().is_some() {
                    self.events.recovered(&self.mapping.load());
                }
            }
            Found::Bad(error, misfit) => {
                if self.told.as_ref() != Some(&error) {
                    self.events.refused(&self.mapping.load(), &error, misfit);
                    self.told = Some(error);
                }
            }
        }
    }

    fn hold_back(&mut self, why: &str) {
        // To be compiled again, whatever the files look like.
        (self.judged, self.is_held_back) = (None, true);
        let error = LoadError::single(Problem::new(&self.path, format!("the new routes wait: {why}")));
        if self.told.as_ref() != Some(&error) {
            self.events.held_back(&self.mapping.load(), &error);
            self.told = Some(error);
        }
    }
}

#[cfg(test)]
mod tests;
