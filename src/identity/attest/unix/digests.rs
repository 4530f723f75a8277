//! Digests of executables, remembered for as long as their files do not change.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use moka::sync::Cache;
use nix::sys::statfs::{FUSE_SUPER_MAGIC, fstatfs};

use crate::foundation::clock::{Clock, Timestamp};

/// How many digests are remembered.
const REMEMBERED: u64 = 1024;

/// A file that changed less than this ago may change again within the same tick of the kernel's clock, and would then
/// look unchanged. (Some file systems count in whole seconds.)
const SETTLED: Duration = Duration::from_secs(2);

/// The digests of executables.
pub(super) struct Digests {
    size_limit: u64,
    clock: Arc<dyn Clock>,
    known: Cache<Version, Arc<str>>,
}

/// One content of one file. The times are whole seconds and the nanoseconds within.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Digests {
    pub(super) fn new(size_limit: u64, clock: Arc<dyn Clock>) -> Self {
        Self { size_limit, clock, known: Cache::new(REMEMBERED) }
    }

    /// The SHA-256 of `file` in hexadecimal; `None` if it is too large, or of a file system that is not to be trusted.
    pub(super) fn of(&self, file: &File) -> io::Result<Option<Arc<str>>> {
        let version = Version::of(&file.metadata()?);
        // Whoever serves a FUSE file system chooses what each reader sees, the times in `version` included.
        if version.size > self.size_limit || fstatfs(file)?.filesystem_type() == FUSE_SUPER_MAGIC {
            return Ok(None);
        }
        if let Some(digest) = self.known.get(&version) {
            return Ok(Some(digest));
        }
        let Some(digest) = sha256(file, self.size_limit)? else { return Ok(None) };
        if version.settled(self.clock.now()) && Version::of(&file.metadata()?) == version {
            self.known.insert(version, Arc::clone(&digest));
        }
        Ok(Some(digest))
    }

    #[cfg(test)]
    pub(super) fn remembers(&self, file: &File) -> bool {
        self.known.contains_key(&Version::of(&file.metadata().unwrap()))
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digests").field("size_limit", &self.size_limit).finish_non_exhaustive()
    }
}

impl Version {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    fn settled(&self, now: Timestamp) -> bool {
        let (seconds, nanos) = self.changed;
        let changed = Timestamp::from_unix_seconds(seconds).after(Duration::from_nanos(nanos.try_into().unwrap_or(0)));
        now.since(changed) > SETTLED
    }
}

fn sha256(file: &File, size_limit: u64) -> io::Result<Option<Arc<str>>> {
    let mut hasher = Context::new(&SHA256);
    // One byte more than allowed shows a file that grew after its size was taken.
    let mut content = file.take(size_limit.saturating_add(1));
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hasher.update(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if content.limit() == 0 {
        return Ok(None);
    }
    Ok(Some(hex::encode(hasher.finish()).into()))
}
