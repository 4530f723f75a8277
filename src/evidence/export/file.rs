//! The audit file: append-only, 0600, whole lines only.
//!
//! Two processes may write it at a time, while one takes over from the other, so each append holds the file's lock and
//! first looks whether the end is whole: the neighbour may have been killed in the middle of a line.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::SinkError;
use crate::foundation::files::{PrivateFileError, private_directory};

/// How much is read at a time when looking for the last newline.
const STEP: u64 = 64 << 10;

/// An open audit file.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// Which file it is, by device and inode, to notice that the path came to name another. `None` for a FIFO or a
    /// device, which has no end to repair and can't be rotated or synced.
    identity: Option<(u64, u64)>,
    /// What every line begins with, and so the file.
    start: &'static [u8],
}

impl AuditFile {
    /// Opens the file, or creates it in a private directory that must exist, and repairs its end.
    pub(super) fn open(path: &Path, start: &'static [u8]) -> Result<Self, SinkError> {
        let failed = |source| SinkError::Io { path: path.to_owned(), source };
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
            return Ok(Self { path: path.to_owned(), file, identity: None, start });
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::metadata(directory).map_err(|source| SinkError::Io { path: directory.to_owned(), source })?;
        private_directory(directory)?;
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let expected = nix::unistd::geteuid().as_raw();
        if metadata.uid() != expected {
            let owner = metadata.uid();
            return Err(PrivateFileError::NotOurs { path: path.to_owned(), owner, expected }.into());
        }
        if metadata.mode() & 0o077 != 0 {
            // Whoever rotates logs may have made it looser, and decisions must not stop for that.
            file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        }
        let opened = Self { path: path.to_owned(), file, identity: Some((metadata.dev(), metadata.ino())), start };
        if !opened.begins_with_a_record().map_err(failed)? {
            return Err(SinkError::Foreign(path.to_owned()));
        }
        opened.locked(Self::mend).map_err(failed)?;
        // The new name must survive a crash as well as what is written under it.
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok(opened)
    }

    /// Appends whole lines, to a new file if the path no longer names this one.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        if self.was_rotated() {
            self.sync()?;
            tracing::info!(path = %self.path.display(), "the audit file was rotated, beginning a new one");
            *self = Self::open(&self.path, self.start)?;
        }
        let written = match self.identity {
            None => (&self.file).write_all(lines),
            Some(_) => self.locked(|opened| {
                opened.mend()?;
                (&opened.file).write_all(lines).inspect_err(|_| {
                    // A full disk lets a part of a line in. The error is what counts if that can't be undone.
                    let _mended = opened.mend();
                })
            }),
        };
        written.map_err(|source| self.failed(source))
    }

    /// Waits until what was appended is on the disk.
    pub(super) fn sync(&self) -> Result<(), SinkError> {
        match self.identity {
            None => Ok(()),
            Some(_) => self.file.sync_data().map_err(|source| self.failed(source)),
        }
    }

    fn failed(&self, source: io::Error) -> SinkError {
        SinkError::Io { path: self.path.clone(), source }
    }

    fn was_rotated(&self) -> bool {
        self.identity.is_some_and(|ours| {
            !fs::metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == ours)
        })
    }

    fn locked<T>(&self, work: impl FnOnce(&Self) -> io::Result<T>) -> io::Result<T> {
        while let Err(error) = self.file.lock() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let done = work(self);
        self.file.unlock()?;
        done
    }

    fn begins_with_a_record(&self) -> io::Result<bool> {
        let mut start = vec![0; self.start.len()];
        let length = self.file.read_at(&mut start, 0)?;
        Ok(self.start.iter().zip(start).take(length).all(|(expected, found)| *expected == found))
    }

    /// Sees to it that the file ends in a newline. A last line without one is what a killed writer left: if it is whole,
    /// it gets its newline; if not, it was never synced, and is cut off, since no reader could make sense of it.
    fn mend(&self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let start = self.last_line(length)?;
        if start == length {
            return Ok(());
        }
        if self.holds_an_object(start, length)? {
            (&self.file).write_all(b"\n")?;
            tracing::warn!(path = %self.path.display(), "the last record had no newline, and got it");
        } else {
            self.file.set_len(start)?;
            let bytes = length - start;
            tracing::warn!(path = %self.path.display(), bytes, "cut off a record that was left unfinished");
        }
        self.file.sync_data()
    }

    /// Where the last line begins: right after the last newline within the first `length` bytes.
    fn last_line(&self, length: u64) -> io::Result<u64> {
        let mut end = length;
        while end > 0 {
            // Most often the last byte is a newline, and reading more than that one would be waste.
            let begin = if end == length { end - 1 } else { end.saturating_sub(STEP) };
            if let Some(at) = self.read(begin, end)?.iter().rposition(|byte| *byte == b'\n') {
                return Ok(begin + u64::try_from(at).unwrap_or(0) + 1);
            }
            end = begin;
        }
        Ok(0)
    }

    fn holds_an_object(&self, begin: u64, end: u64) -> io::Result<bool> {
        Ok(serde_json::from_slice::<Map<String, Value>>(&self.read(begin, end)?).is_ok())
    }

    fn read(&self, begin: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(end - begin).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, begin)?;
        Ok(bytes)
    }
}
