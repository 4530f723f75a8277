//! Reads the journal while it is being written.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::batch::{HEAD, Head, split};
use super::segment::{Segment, is_blank, read_at, read_into};
use crate::evidence::log::{LogError, directory};

/// How much memory is kept for batches, in bytes; most are shorter.
const USUAL_BYTES: usize = 4 << 20;

/// Follows the journal from some entry on.
#[derive(Debug)]
pub(in crate::evidence::log) struct Reader {
    directory: PathBuf,
    /// The journal's lock, if only what is there for good is wanted.
    lock: Option<File>,
    /// The segment that is being read.
    at: Option<Cursor>,
    /// The number of the entry that is wanted next.
    next: u64,
    /// What was read last is at its beginning.
    buffer: Vec<u8>,
}

/// A place in a segment.
#[derive(Debug)]
struct Cursor {
    file: File,
    path: PathBuf,
    offset: u64,
}

/// Entries of the journal.
#[derive(Debug)]
pub(in crate::evidence::log) struct Batch<'r> {
    entries: &'r [u8],
    /// How many of them are not wanted.
    skip: usize,
}

impl Batch<'_> {
    /// The entries.
    pub(in crate::evidence::log) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        split(self.entries).flatten().skip(self.skip)
    }
}

impl Reader {
    /// Reads from entry `next` on.
    pub(in crate::evidence::log) fn new(directory: &Path, next: u64) -> Self {
        Self { directory: directory.to_owned(), lock: None, at: None, next, buffer: Vec::new() }
    }

    /// The same, but nothing whose sync may yet fail: it would be taken back then, and another process may put something else in its
    /// place.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub(in crate::evidence::log) fn of_synced(directory: &Path, next: u64) -> Result<Self, LogError> {
        let lock = directory::open_to_append(&super::lock_of(directory))?;
        Ok(Self { lock: Some(lock), ..Self::new(directory, next) })
    }

    /// The next whole batch, without those of its entries that are not wanted; `None` if there is none yet.
    ///
    /// # Errors
    /// [`LogError`].
    pub(in crate::evidence::log) fn batch(&mut self) -> Result<Option<Batch<'_>>, LogError> {
        self.buffer.truncate(USUAL_BYTES);
        self.buffer.shrink_to(USUAL_BYTES);
        loop {
            let cursor = match self.at.take() {
                Some(cursor) => Some(cursor),
                None => self.segment()?,
            };
            let Some(mut cursor) = cursor else { return Ok(None) };
            let (offset, found) = (cursor.offset, cursor.batch(&mut self.buffer, self.lock.as_ref())?);
            let Some(head) = found else {
                self.at = Some(cursor);
                return Ok(None);
            };
            if head.first > self.next {
                return Err(LogError::OutOfOrder { path: cursor.path, offset, found: head.first, expected: self.next });
            }
            if head.is_seal() {
                // The next one may be a moment away; until it is there, this one is read again.
                if Segment::open(&self.directory, head.first)?.is_none() {
                    return Ok(None);
                }
                self.next = self.next.max(head.first);
                continue;
            }
            self.at = Some(cursor);
            if head.end() > self.next {
                let first = std::mem::replace(&mut self.next, head.end());
                let skip = usize::try_from(first - head.first).unwrap_or(usize::MAX);
                let entries = self.buffer.get(..usize::try_from(head.length).unwrap_or(usize::MAX)).unwrap_or_default();
                return Ok(Some(Batch { entries, skip }));
            }
        }
    }

    /// How far the segment is read that is being read, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.at.as_ref().map_or(0, |cursor| cursor.offset)
    }

    /// The segment in which the next entry is or will be.
    fn segment(&self) -> Result<Option<Cursor>, LogError> {
        let numbers = Segment::numbers(&self.directory)?;
        let Some(first) = numbers.iter().rfind(|first| **first <= self.next) else {
            return match numbers.first() {
                Some(first) => Err(LogError::Missing { path: self.directory.clone(), from: self.next, to: *first }),
                None => Ok(None),
            };
        };
        let path = Segment::path(&self.directory, *first);
        Ok(directory::open_existing(&path)?.map(|file| Cursor { file, path, offset: 0 }))
    }
}

impl Cursor {
    /// The head of the batch here, if it is whole, with its entries at the beginning of `buffer`; goes on to the next one then. One
    /// that is not is still being written. With the `lock`, one that may yet be taken back counts as such.
    fn batch(&mut self, buffer: &mut Vec<u8>, lock: Option<&File>) -> Result<Option<Head>, LogError> {
        let failed = LogError::at(&self.path);
        let Some(head) = Head::parse(&read_at(&self.file, self.offset, HEAD).map_err(&failed)?) else {
            return Ok(None);
        };
        let begin = self.offset + u64::try_from(HEAD).unwrap_or(0);
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        let filled = read_into(buffer, &self.file, begin, length).map_err(&failed)?;
        if !buffer.get(..filled).is_some_and(|entries| head.fits(entries)) {
            return Ok(None);
        }
        let end = begin + u64::from(head.length);
        if let Some(lock) = lock
            && !self.is_settled(&head, end, lock)?
        {
            return Ok(None);
        }
        self.offset = end;
        Ok(Some(head))
    }

    /// Whether the batch here, which was whole a moment ago, is there for good: another was begun after it, or nobody is appending now
    /// and it is still there.
    fn is_settled(&self, head: &Head, end: u64, lock: &File) -> Result<bool, LogError> {
        let failed = LogError::at(&self.path);
        let read = |offset| read_at(&self.file, offset, HEAD).map_err(&failed);
        let is_there = || read(self.offset).map(|found| Head::parse(&found).as_ref() == Some(head));
        if !is_blank(&read(end)?) {
            // Unless that is of a longer one, which came in its place.
            return is_there();
        }
        match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let is_there = is_there();
        lock.unlock().map_err(&failed)?;
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Journal, lock_of, push};
    use super::*;

    #[test]
    fn a_longer_batch_that_came_in_the_place_of_one_is_not_taken_for_the_next() {
        let entries = |text: &str| {
            let mut entries = Vec::new();
            push(&mut entries, text.as_bytes());
            entries
        };
        let (short, long) = (entries("taken back"), entries(&"in its place ".repeat(10)));
        let (short_head, long_head) = (Head::of(0, 1, &short).unwrap(), Head::of(0, 1, &long).unwrap());
        for (there, is_short) in [(&short, true), (&long, false)] {
            let directory = tempfile::tempdir().unwrap();
            let mut journal = Journal::open(directory.path(), 0).unwrap();
            journal.append(1, there).unwrap();
            journal.append(1, &entries("the next")).unwrap();
            let lock = directory::open_to_append(&lock_of(directory.path())).unwrap();
            let cursor = Reader::new(directory.path(), 0).segment().unwrap().unwrap();
            for (head, is_there) in [(short_head, is_short), (long_head, !is_short)] {
                let end = u64::try_from(HEAD).unwrap() + u64::from(head.length);
                assert_eq!(cursor.is_settled(&head, end, &lock).unwrap(), is_there);
            }
        }
    }
}
