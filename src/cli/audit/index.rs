//! The index that searches use, if there is one.

use std::path::{Path, PathBuf};

use portcullis_tlog::checkpoint::SignedCheckpoint;
use tokio::runtime::{Builder, Runtime};

use super::{AuditError, Exit, LogArgs, Output, unproven};
use crate::evidence::log::LogReader;
use crate::evidence::search::{Place, SearchIndex as _, Wanted, checked, follow};
use crate::store::AuditIndex;

/// The name of the index beside the log.
const FILE: &str = "search.sqlite";

/// How many numbers are asked for at a time.
const PAGE: u32 = 4096;

/// An index that is open.
pub(super) struct Open {
    runtime: Runtime,
    index: AuditIndex,
}

/// Brings the index up to the checkpoint.
pub(super) fn run(
    log: &LogArgs,
    file: Option<&Path>,
    rebuild: bool,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let Some(place) = place(log)? else {
        return Err(AuditError::Unproven(format!("`{}` has no checkpoint", log.log.display())));
    };
    let path = file.map_or_else(|| beside(log), Path::to_owned);
    if rebuild && file.is_none() {
        // Whatever it has become: it is ours.
        forget(&path)?;
    }
    let open = Open::at(&path)?;
    let Open { runtime, index } = &open;
    let size = place.head.size;
    let done = runtime.block_on(async {
        if rebuild {
            index.clear().await?;
        }
        follow(index, &LogReader::new(&log.log), place).await
    });
    let new = done.map_err(unproven)?;
    Ok(output.print(&format!("{}: {size} entries, {new} of them new\n", path.display())))
}

/// The index to search by: the one that is named, or that beside the log if it is there.
pub(super) fn to_search_by(log: &LogArgs, file: Option<&Path>) -> Result<Option<Open>, AuditError> {
    match file {
        Some(path) if path.exists() => Open::at(path).map(Some),
        Some(path) => Err(AuditError::Usage(format!("`{}` is not there: make it with `audit index`", path.display()))),
        None => Some(beside(log)).filter(|path| path.exists()).map(|path| Open::at(&path)).transpose(),
    }
}

/// Removes an index with what belongs to it.
fn forget(path: &Path) -> Result<(), AuditError> {
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(AuditError::Usage(format!("`{}`: {error}", Path::new(&name).display())));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Open {
    fn at(path: &Path) -> Result<Self, AuditError> {
        let failed = |error: &dyn std::fmt::Display| AuditError::Usage(format!("`{}`: {error}", path.display()));
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(failed(&"not a regular file"));
        }
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let index = runtime.block_on(AuditIndex::open(path)).map_err(|error| failed(&error))?;
        Ok(Self { runtime, index })
    }

    /// How many entries of the log it has.
    pub(super) fn reach(&self, log: &LogArgs) -> Result<u64, AuditError> {
        let Some(place) = place(log)? else { return Ok(0) };
        let known = self.runtime.block_on(checked(&self.index, &LogReader::new(&log.log), &place));
        Ok(known.map_err(unproven)?.map_or(0, |known| known.head.size))
    }

    /// The numbers of the next entries from `from` on that have what is wanted; none if there are no more.
    pub(super) fn next(&self, wanted: &Wanted, from: u64) -> Result<Vec<u64>, AuditError> {
        self.runtime.block_on(self.index.find(wanted, from, PAGE)).map_err(unproven)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.runtime.block_on(self.index.close());
    }
}

fn beside(log: &LogArgs) -> PathBuf {
    log.log.join(FILE)
}

/// What is under the checkpoint.
fn place(log: &LogArgs) -> Result<Option<Place>, AuditError> {
    let place = |signed: SignedCheckpoint| {
        let checkpoint = signed.unverified();
        Place { origin: checkpoint.origin().to_string(), head: *checkpoint.head() }
    };
    Ok(log.believed()?.map(place))
}
