//! Entities in files: one JSON array, or all those of a directory (every `*.json` that is not hidden), read as one state and
//! read again when something changes. Events of the file system make it quick, and looking now and then makes it sure.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use notify::RecommendedWatcher;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::catalog::Applied;
use super::intake::Intake;
use super::progress::Unseen;
use super::source::{EntitySource, Extent, SourceError, SourceFuture};
use super::watched::EntityStore;
use crate::decision::policy::PolicySet;
use crate::decision::policy::source::FileStamp;
use crate::decision::policy::watch::arm;

/// The most that the files may hold together, in bytes: some million entities.
const TOTAL_LIMIT: u64 = 4 << 30;
/// How often files that change while they are read are read again.
const ATTEMPTS: usize = 10;
/// How long to wait in between.
const PAUSE: Duration = Duration::from_millis(20);
/// How long after the first event the files are read: an editor and Kubernetes both make several changes at once.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// A file or a directory of entities.
#[derive(Debug)]
pub struct EntityFiles {
    path: PathBuf,
    poll: Duration,
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// What was last read well; `None` if it has to be read whatever it looks like.
    stamps: Option<Stamps>,
}

type Stamps = Vec<(PathBuf, FileStamp)>;
type Documents = Vec<(Arc<str>, Vec<u8>)>;

impl EntityFiles {
    /// Those at `path`, which is looked at every `poll`, even without any event.
    pub fn new(path: PathBuf, poll: Duration) -> Self {
        Self { path, poll, changed: Arc::default(), watcher: None, stamps: None }
    }

    async fn take(&mut self, whole: bool, intake: &mut Intake) -> Result<Extent, SourceError> {
        let known = self.stamps.take().filter(|_| !whole);
        let (path, changed, watcher) = (self.path.clone(), Arc::clone(&self.changed), self.watcher.take());
        let work = spawn_blocking(move || {
            if known.is_some() && known == look(&path).ok() {
                return (watcher, Ok((known, None)));
            }
            // Watched before it is read, so that no change falls between; anew each time, because a directory may have
            // been deleted and made again, which leaves the old watch without anything to see.
            drop(watcher);
            let watcher = arm(watched(&path), changed);
            (watcher, read(&path).map(|(stamps, documents)| (Some(stamps), Some(documents))))
        });
        let fault = |_panic| SourceError::Unavailable("reading the files failed within".to_owned());
        let (watcher, result) = work.await.map_err(fault)?;
        self.watcher = watcher;
        let (stamps, documents) = result.map_err(SourceError::Unavailable)?;
        let extent = match documents {
            Some(documents) => {
                intake.documents(documents).await?;
                Extent::Whole
            }
            None => Extent::Nothing,
        };
        self.stamps = stamps;
        Ok(extent)
    }
}

impl EntitySource for EntityFiles {
    fn read<'a>(&'a mut self, whole: bool, intake: &'a mut Intake) -> SourceFuture<'a, Extent> {
        Box::pin(self.take(whole, intake))
    }

    fn wait(&mut self) -> SourceFuture<'_, ()> {
        Box::pin(async {
            if timeout(self.poll, self.changed.notified()).await.is_ok() {
                // Equal stamps can hide a change within one tick of the file system's clock.
                self.stamps = None;
                sleep(DEBOUNCE).await;
            }
            Ok(())
        })
    }
}

/// What of the files at `path` would be taken by the schema of `policies`, and what refused.
///
/// # Errors
/// [`SourceError`]: they can't be read, or one is no JSON array.
pub fn check(path: &Path, policies: &PolicySet) -> Result<Applied, SourceError> {
    let store = EntityStore::of_types(policies.types(), [path.to_string_lossy().into()]);
    let mut intake = Intake::new(store.readers().borrow().clone(), Arc::new(Unseen));
    let (_stamps, documents) = read(path).map_err(SourceError::Unavailable)?;
    for (name, bytes) in documents {
        intake.document(&name, &bytes)?;
    }
    store.apply(0, intake, Extent::Whole).map_err(|outdated| SourceError::Unavailable(outdated.to_string()))
}

/// The directory to watch: of a file that in which it stands, for Kubernetes swaps a link there.
fn watched(path: &Path) -> &Path {
    if path.is_dir() {
        return path;
    }
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The files as they look now, sorted by name.
fn look(path: &Path) -> Result<Stamps, String> {
    let mut stamps = Vec::new();
    if path.is_dir() {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        for entry in fs::read_dir(path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            let ours = !name.starts_with('.') && path.extension().is_some_and(|extension| extension == "json");
            if ours && !path.is_dir() {
                stamps.push((path.clone(), stamp(&path)?));
            }
        }
        stamps.sort_by(|(a, _), (b, _)| a.cmp(b));
    } else {
        stamps.push((path.to_owned(), stamp(path)?));
    }
    let total = stamps.iter().map(|(_, stamp)| stamp.size()).fold(0, u64::saturating_add);
    if total > TOTAL_LIMIT {
        return Err(format!("{}: the files hold {total} bytes, more than {TOTAL_LIMIT}", path.display()));
    }
    Ok(stamps)
}

fn stamp(path: &Path) -> Result<FileStamp, String> {
    let metadata = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if metadata.is_file() {
        Ok(FileStamp::of(&metadata))
    } else {
        Err(format!("{}: not a regular file", path.display()))
    }
}

/// All files in one state.
fn read(path: &Path) -> Result<(Stamps, Documents), String> {
    let mut refusal = format!("{}: the files keep changing while they are read", path.display());
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        match read_once(path) {
            Ok(Some(read)) => return Ok(read),
            Ok(None) => {}
            // While Kubernetes takes a key away, its link points nowhere for a moment.
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn read_once(path: &Path) -> Result<Option<(Stamps, Documents)>, String> {
    let stamps = look(path)?;
    let documents: Result<Documents, String> = stamps
        .iter()
        .map(|(path, stamp)| {
            let name = path.to_string_lossy();
            let bytes = read_file(path, stamp.size()).map_err(|error| format!("{name}: {error}"))?;
            Ok((Arc::from(name), bytes))
        })
        .collect();
    let documents = documents?;
    Ok((look(path)? == stamps).then_some((stamps, documents)))
}

fn read_file(path: &Path, size: u64) -> io::Result<Vec<u8>> {
    // Without waiting, lest a FIFO that took the place of the file holds the reader for ever.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(size.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
