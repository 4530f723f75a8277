//! Reads entries of the log where anyone reads them: in its entry bundles.

use std::path::{Path, PathBuf};

use portcullis_tlog::bundle::{self, Bundle, BundleError};
use portcullis_tlog::tile::FULL_WIDTH;
use portcullis_tlog::walk::LogSource as _;

use super::journal::Reader;
use super::{CHECKPOINT, LogError, Tiles, directory};

/// The entries of the log in a directory. It only reads, so another process may be writing the log.
#[derive(Clone, Debug)]
pub struct LogReader {
    directory: PathBuf,
}

/// Some entries, one after another.
#[derive(Debug)]
pub struct Entries {
    /// The number of the first.
    pub first: u64,
    /// What they say, as bytes.
    pub entries: Vec<Vec<u8>>,
}

impl LogReader {
    /// That of the log in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where the log is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The entry `from` and those after it that are in the same bundle, of a log of `size` entries; none if there is no
    /// such entry.
    ///
    /// # Errors
    /// [`LogError`]: the bundle is gone or broken.
    pub fn entries(&self, from: u64, size: u64) -> Result<Entries, LogError> {
        let none = Entries { first: from, entries: Vec::new() };
        if from >= size {
            return Ok(none);
        }
        let width = u64::from(FULL_WIDTH);
        let (index, skip) = (from / width, usize::try_from(from % width).unwrap_or(0));
        let there = u16::try_from(size.saturating_sub(index.saturating_mul(width))).unwrap_or(FULL_WIDTH);
        let Some(name) = Bundle::new(index, there.min(FULL_WIDTH)) else { return Ok(none) };
        let tiles = Tiles(&self.directory);
        let bytes = tiles.bundle(name)?;
        let refused =
            |error: BundleError| LogError::Tree { path: self.directory.join(name.to_string()), why: error.to_string() };
        let read = bundle::parse(bytes.as_ref(), name.width()).map_err(refused)?;
        Ok(Entries { first: from, entries: read.into_iter().skip(skip).map(<[u8]>::to_vec).collect() })
    }

    /// Shows the entries that are on the disk and not among the first `size`. What is published meanwhile may not be shown.
    ///
    /// # Errors
    /// [`LogError`]: the journal is broken.
    pub fn unpublished(&self, size: u64, mut show: impl FnMut(&[u8])) -> Result<(), LogError> {
        let journal = self.directory.join("journal");
        if !journal.exists() {
            return Ok(());
        }
        let mut reader = Reader::new(&journal, size);
        loop {
            match reader.batch() {
                Ok(Some(batch)) => batch.entries().for_each(&mut show),
                Ok(None) | Err(LogError::Missing { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The checkpoint, as it is on the disk; `None` if there is none yet.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, LogError> {
        directory::read(&self.directory.join(CHECKPOINT))
    }
}
