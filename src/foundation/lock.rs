//! One process at a time: an advisory lock on a file, for the moments in which a rolling restart has two of us.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a lock that another holds is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(20);

/// How often it is tried before giving up: 15 seconds in all, far more than any holder needs.
const TRIES: u32 = 750;

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The operating system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has held it for too long; it probably hangs.
    #[error("`{path}` is locked by another process (fuser {path} tells which)")]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
}

/// The lock, held until dropped. The kernel frees it too when the process dies in whatever way.
#[derive(Debug)]
#[must_use = "the lock is held only while this lives"]
pub struct FileLock(#[expect(dead_code, reason = "it is held for its descriptor, whose closing frees the lock")] File);

impl FileLock {
    /// Waits for the lock on `path`, which is made if it is missing and never removed. Locks of one process exclude
    /// each other too.
    ///
    /// # Errors
    /// [`LockError`].
    pub async fn acquire(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(RETRY_EVERY).await,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        Err(LockError::Busy { path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_holder_waits_for_the_first_and_gives_up_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = FileLock::acquire(&path).await.unwrap();
        assert!(matches!(FileLock::acquire(&path).await, Err(LockError::Busy { .. })));
        let (second, ()) = tokio::join!(FileLock::acquire(&path), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(held);
        });
        drop(second.unwrap());
    }
}
