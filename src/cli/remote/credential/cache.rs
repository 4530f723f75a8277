//! What was printed, kept for who asks for the same: in a file of mode 0600 in a directory that nobody else may enter, under
//! the digest of all that it depends on. Whoever reads it has just been given the SVID that it was had with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use zeroize::{Zeroize as _, Zeroizing};

use super::super::console::Failure;
use super::Environment;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::{Digest, Hasher};
use crate::foundation::files::{PrivateFileError, private_directory, read_private, write_private};
use crate::foundation::lock::FileLock;

/// What is nearer to its end is not used any more, but no more than a third of its life is lost so.
const MARGIN: Duration = Duration::from_mins(10);

/// Where one answer is kept.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    name: Digest,
}

/// What was printed.
#[derive(Deserialize, Serialize)]
struct Kept {
    /// Seconds since 1970.
    obtained: u64,
    /// Seconds since 1970.
    ends: u64,
    text: String,
}

impl Cache {
    /// The place of what depends on `parts`; `None` if the environment names no directory of the user's, or one that nothing can
    /// be kept in.
    pub(super) fn open(environment: &Environment, parts: &[&str]) -> Result<Option<Self>, Failure> {
        let named = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || named("HOME").map(|home| home.join(".cache"));
        let Some(above) = named("XDG_RUNTIME_DIR").or_else(|| named("XDG_CACHE_HOME")).or_else(home) else {
            return Ok(None);
        };
        match Self::within(&above.join("portcullis/credentials"), parts) {
            Ok(cache) => Ok(Some(cache)),
            Err(PrivateFileError::Io { .. }) => Ok(None),
            Err(error) => Err(Failure::of("credentials can't be kept", error)),
        }
    }

    /// The place in `directory` of what depends on `parts`.
    pub(super) fn within(directory: &Path, parts: &[&str]) -> Result<Self, PrivateFileError> {
        private_directory(directory)?;
        let mut hasher = Hasher::new();
        for part in parts {
            hasher.field(part.as_bytes());
        }
        Ok(Self { directory: directory.to_owned(), name: hasher.finish() })
    }

    /// Keeps others from asking for the same meanwhile.
    pub(super) async fn lock(&self, within: Duration) -> Result<FileLock, Failure> {
        let path = self.path("lock");
        let locked = timeout(within, FileLock::acquire(&path)).await;
        let late = |_elapsed| Failure::new("another process asks for the same, and does not come to an end");
        locked.map_err(late)?.map_err(|error| Failure::of("credentials can't be kept", error))
    }

    /// What is kept, if it is good for a while. What can't be read is none.
    pub(super) fn load(&self, now: Timestamp) -> Option<Zeroizing<String>> {
        let bytes = read_private(&self.path("json")).ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        let margin = MARGIN.as_secs().min(kept.ends.saturating_sub(kept.obtained) / 3);
        let now = now.unix_seconds();
        (kept.obtained <= now && now + margin < kept.ends).then(|| Zeroizing::new(kept.text))
    }

    /// Keeps `text`, which was obtained at one time and is good until another.
    pub(super) fn keep(&self, text: &str, obtained: Timestamp, ends: Timestamp) -> Result<(), Failure> {
        let mut kept = Kept { obtained: obtained.unix_seconds(), ends: ends.unix_seconds(), text: text.to_owned() };
        let failed = |error: &dyn std::fmt::Display| Failure::of("credentials can't be kept", error);
        let bytes = serde_json::to_vec(&kept).map(Zeroizing::new);
        kept.text.zeroize();
        let bytes = bytes.map_err(|error| failed(&error))?;
        write_private(&self.path("json"), &bytes).map_err(|error| failed(&error))
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name))
    }
}
