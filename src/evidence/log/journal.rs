//! The journal: every entry is here, synced, before it is anywhere else. One append, one sync, for all entries that wait
//! at a time; tiles and checkpoints are made of it afterwards.
//!
//! It is a directory of segments, each named by the number of its first entry. While a new process takes over from an old
//! one, both append; the lock decides whose batch comes first, and so which numbers its entries get. A batch is only
//! begun when the one before it is synced: so what is torn can only be the last batch, and damage that whole batches
//! follow is no accident of a crash.
//!
//! A segment may have room after its last batch, zeros that wait to be written over; see `spare`.

mod batch;
mod reader;
mod segment;
mod spare;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::batch::Head;
pub(super) use self::batch::push;
#[cfg(test)]
pub(super) use self::batch::split;
pub(super) use self::reader::Reader;
use self::segment::{Scan, Segment};
#[cfg(test)]
pub(super) use self::spare::prepare as make_room;
use super::LogError;

/// From this length on a segment is not added to, in bytes.
const LONG: u64 = 16 << 20;

/// How long a segment is that has room: batches are seldom longer than what is left then.
const ROOM: usize = 17 << 20;

/// The journal, to append to.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    lock: Arc<File>,
    segment: Segment,
    /// The number of the next entry.
    next: u64,
    /// How many bytes of an unfinished batch were cut off.
    torn: u64,
    /// A batch that may be in the segment although appending it failed: taking it back failed, too. Whoever appends it
    /// again must not have it there twice.
    doubtful: Option<Head>,
}

impl Journal {
    /// Opens the journal in `directory`, or begins it with entry `published`: so many are in the tree already.
    ///
    /// # Errors
    /// [`LogError`]: it is damaged, or entries are missing between the tree and it.
    pub(super) fn open(directory: &Path, published: u64) -> Result<Self, LogError> {
        super::directory::create(directory)?;
        let lock = Arc::new(super::directory::open_to_append(&lock_of(directory))?);
        let locked = Lock::take(&lock, directory)?;
        let segment = match Segment::last(directory)? {
            Some(segment) => segment,
            None => Segment::create(directory, published)?,
        };
        let mut journal =
            Self { directory: directory.to_owned(), next: segment.first(), lock, segment, torn: 0, doubtful: None };
        journal.catch_up()?;
        if let Some(first) = Segment::numbers(directory)?.first()
            && *first > published
        {
            return Err(LogError::Missing { path: directory.to_owned(), from: published, to: *first });
        }
        if journal.next < published {
            // All of these are in the tree, with a checkpoint; a file system lost them here.
            tracing::warn!(journal = journal.next, tree = published, "the journal ends before the tree, which goes on");
            journal.next = published;
            journal.segment = Segment::create(directory, published)?;
        }
        drop(locked);
        Ok(journal)
    }

    /// Appends `count` entries, each with its length before it, and syncs. Says which number the first of them got.
    ///
    /// # Errors
    /// [`LogError`]; then none of them is in the journal for good, as long as the same are appended again.
    pub(super) fn append(&mut self, count: u32, entries: &[u8]) -> Result<u64, LogError> {
        let _locked = Lock::take(&self.lock, &self.directory)?;
        if let Some(head) = self.doubtful {
            let is_followed = !self.segment.take_back(&head)?;
            self.doubtful = None;
            if is_followed && head.fits(entries) {
                self.catch_up()?;
                return Ok(head.first);
            }
        }
        self.catch_up()?;
        if self.segment.length() >= LONG {
            self.begin_another()?;
        }
        let first = self.next;
        let head = Head::of(first, count, entries)
            .ok_or_else(|| LogError::at(&self.directory)(io::Error::other("the batch is too long")))?;
        match self.segment.append(&head.to_bytes(), entries) {
            Ok(()) => {
                self.next = head.end();
                Ok(first)
            }
            Err(failed) => {
                self.doubtful = failed.is_left.then_some(head);
                Err(failed.error)
            }
        }
    }

    /// How many bytes of unfinished batches were cut off since the last time this was asked.
    pub(super) const fn take_torn(&mut self) -> u64 {
        std::mem::replace(&mut self.torn, 0)
    }

    /// Makes the file of the next segment ready, once it is foreseeable that one is needed: once entries are read from the latter
    /// half of a segment. One at a time may do this, and need not.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub(super) fn prepare(directory: &Path, reader: &Reader) -> Result<(), LogError> {
        if reader.offset() >= LONG / 2 { spare::prepare(directory, ROOM) } else { Ok(()) }
    }

    /// Removes the segments all of whose entries are below `size`, but for the last.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub(super) fn forget(directory: &Path, size: u64) -> Result<(), LogError> {
        let numbers = Segment::numbers(directory)?;
        for (number, next) in numbers.iter().zip(numbers.iter().skip(1)) {
            if *next <= size {
                let path = Segment::path(directory, *number);
                fs::remove_file(&path).map_err(LogError::at(&path))?;
            }
        }
        Ok(())
    }

    /// Removes all entries below `published` that are in segments with some below `pruned`, those being written as well: that goes on
    /// in a new one then, for whichever process writes next. What is in a segment with entries that are not published goes
    /// with the next [`Self::forget`]. A log that was copied may have no journal.
    ///
    /// # Errors
    /// [`LogError`].
    pub(super) fn clear(directory: &Path, pruned: u64, published: u64) -> Result<(), LogError> {
        if !directory.exists() {
            return Ok(());
        }
        if Segment::numbers(directory)?.last().is_some_and(|first| *first < pruned) {
            let mut journal = Self::open(directory, published)?;
            let _locked = Lock::take(&journal.lock, directory)?;
            journal.catch_up()?;
            // Another process may have gone on in a new one just now.
            if journal.segment.first() < pruned.min(journal.next) {
                journal.begin_another()?;
            }
        }
        Self::forget(directory, published)
    }

    /// Takes in what another process has appended, and cuts off what one left unfinished.
    fn catch_up(&mut self) -> Result<(), LogError> {
        loop {
            match self.segment.scan(self.next)? {
                Scan::End { next, torn } => {
                    self.next = next;
                    self.torn += torn;
                    return Ok(());
                }
                Scan::Sealed { next } => {
                    self.segment = self.segment_after(next)?;
                    self.next = self.segment.first();
                }
            }
        }
    }

    /// The segment that goes on with entry `next`, which is made if nobody has made it. Others may have filled and published it since,
    /// and it is removed: then it is the first that is left. To make it anew would give numbers twice.
    fn segment_after(&self, next: u64) -> Result<Segment, LogError> {
        loop {
            let first = Segment::numbers(&self.directory)?.into_iter().find(|first| *first >= next);
            let Some(first) = first else { return Segment::create(&self.directory, next) };
            // Else it was removed just now, which the last one never is.
            if let Some(segment) = Segment::open(&self.directory, first)? {
                return Ok(segment);
            }
        }
    }

    /// Ends the segment and goes on in the next. If that can't be made now, the seal is there, and whoever appends next
    /// makes it: it may be another process.
    pub(super) fn begin_another(&mut self) -> Result<(), LogError> {
        self.segment.seal(self.next)?;
        self.catch_up()
    }
}

/// Where the lock is of the journal in `directory`.
fn lock_of(directory: &Path) -> PathBuf {
    directory.join("lock")
}

/// The right to append, as long as this lives.
struct Lock(Arc<File>);

impl Lock {
    fn take(file: &Arc<File>, directory: &Path) -> Result<Self, LogError> {
        while let Err(error) = file.lock() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(LogError::at(directory)(error));
            }
        }
        Ok(Self(Arc::clone(file)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "the lock of the journal can't be let go");
        }
    }
}

#[cfg(test)]
mod tests;
