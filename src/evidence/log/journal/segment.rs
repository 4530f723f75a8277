//! One file of the journal: batches, and after them perhaps room for others, which is all zeros.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::batch::{HEAD, Head, MARK};
use super::spare;
use crate::evidence::log::{LogError, directory};

/// How much is read at a time when looking for what follows damage.
const STEP: usize = 1 << 20;

/// A segment, to append to.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    first: u64,
    /// Up to where its batches are known to be whole.
    length: u64,
    /// Whether what comes after them was looked at, all of it. Who writes in this very boot of the machine begins with a head; what
    /// a failure of power leaves may begin with zeros.
    is_searched: bool,
}

/// Why a batch was not appended.
#[derive(Debug)]
pub(super) struct NotAppended {
    pub(super) error: LogError,
    /// Whether it may be there nevertheless.
    pub(super) is_left: bool,
}

/// How far the batches of a segment go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scan {
    /// To its end.
    End {
        /// The number of the next entry.
        next: u64,
        /// How many bytes of an unfinished batch were cut off.
        torn: u64,
    },
    /// To its end, and another segment goes on.
    Sealed {
        /// The number of the next entry, which is the other's first.
        next: u64,
    },
}

impl Segment {
    /// Where the segment that begins with this entry is.
    pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
        directory.join(format!("{first:020}.journal"))
    }

    /// The first entries of all segments that there are, ascending.
    pub(super) fn numbers(directory: &Path) -> Result<Vec<u64>, LogError> {
        let entries = fs::read_dir(directory).map_err(LogError::at(directory))?;
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(LogError::at(directory))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".journal"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The one with the highest numbers.
    pub(super) fn last(directory: &Path) -> Result<Option<Self>, LogError> {
        Self::numbers(directory)?.last().map_or(Ok(None), |first| Self::open(directory, *first))
    }

    /// The one that begins with this entry, if there is one.
    pub(super) fn open(directory: &Path, first: u64) -> Result<Option<Self>, LogError> {
        let path = Self::path(directory, first);
        match directory::open_existing(&path)? {
            Some(file) => Ok(Some(Self { path, file, first, length: 0, is_searched: false })),
            None => Ok(None),
        }
    }

    /// A new one, with room if some is [prepared](spare::prepare).
    pub(super) fn create(directory: &Path, first: u64) -> Result<Self, LogError> {
        let path = Self::path(directory, first);
        spare::take(directory, &path)?;
        let file = directory::open_to_write(&path)?;
        directory::sync(directory)?;
        Ok(Self { path, file, first, length: 0, is_searched: true })
    }

    /// The number of its first entry.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// How long its batches are, in bytes.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Appends a batch and syncs; takes it back if that fails.
    pub(super) fn append(&mut self, head: &[u8], entries: &[u8]) -> Result<(), NotAppended> {
        let begin = self.length + u64::try_from(head.len()).unwrap_or(0);
        // The head first: who finds zeros in its place may take it that nothing was begun.
        let written = self.file.write_all_at(head, self.length).and_then(|()| self.file.write_all_at(entries, begin));
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // A full disk lets a part in. The error is what counts if that can't be undone.
            let is_left = self.file.set_len(self.length).is_err();
            return Err(NotAppended { error: LogError::at(&self.path)(error), is_left });
        }
        self.length = begin + u64::try_from(entries.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Says, once, that another segment goes on with entry `next`: [`Self::scan`] finds it as it finds that of another process.
    pub(super) fn seal(&mut self, next: u64) -> Result<(), LogError> {
        let Some(seal) = Head::of(next, 0, &[]) else { return Ok(()) };
        let known = self.length;
        let sealed = self.append(&seal.to_bytes(), &[]).map_err(|failed| failed.error);
        self.length = known;
        sealed
    }

    /// Takes back a batch that was left right after what is known. `false` if another process has appended after it, and so
    /// found it whole: then it is there for good. What another process has put in its place stays.
    pub(super) fn take_back(&self, head: &Head) -> Result<bool, LogError> {
        let end = self.file.metadata().map_err(LogError::at(&self.path))?.len();
        let left = self.length + u64::try_from(HEAD).unwrap_or(0) + u64::from(head.length);
        if end < self.length {
            return Ok(true);
        }
        let is_followed = !is_blank(&self.read(left, HEAD)?);
        match self.batch(end)? {
            Some(found) if found != *head => return Ok(true),
            Some(_) if is_followed => return Ok(false),
            // What that is, [`Self::scan`] says.
            None if is_followed => return Ok(true),
            _ => {}
        }
        let undone = self.file.set_len(self.length).and_then(|()| self.file.sync_data());
        undone.map(|()| true).map_err(LogError::at(&self.path))
    }

    /// Looks at what was appended since the last time, beginning with entry `next`, and cuts off a batch that was left
    /// unfinished. That it was removed is a failure unless another segment goes on: then nothing in it was wanted any more.
    pub(super) fn scan(&mut self, mut next: u64) -> Result<Scan, LogError> {
        let metadata = self.file.metadata().map_err(LogError::at(&self.path))?;
        let (end, is_removed) = (metadata.len(), metadata.nlink() == 0);
        if end < self.length && !is_removed {
            return Err(LogError::Damaged { path: self.path.clone(), offset: end });
        }
        while self.length < end {
            let head = match self.batch(end)? {
                Some(head) => head,
                None if is_removed => break,
                None => return self.cut(end).map(|torn| Scan::End { next, torn }),
            };
            if head.first != next {
                let (path, offset) = (self.path.clone(), self.length);
                return Err(LogError::OutOfOrder { path, offset, found: head.first, expected: next });
            }
            next = head.end();
            if head.is_seal() {
                // Not passed: if the other segment can't be opened now, this is where to look again.
                return Ok(Scan::Sealed { next });
            }
            self.length += u64::try_from(HEAD).unwrap_or(0) + u64::from(head.length);
        }
        if is_removed { Err(LogError::Removed(self.path.clone())) } else { Ok(Scan::End { next, torn: 0 }) }
    }

    /// The whole batch at `length`, if there is one.
    fn batch(&self, end: u64) -> Result<Option<Head>, LogError> {
        let Some(head) = Head::parse(&self.read(self.length, HEAD)?) else { return Ok(None) };
        let begin = self.length + u64::try_from(HEAD).unwrap_or(0);
        if begin.saturating_add(u64::from(head.length)) > end {
            return Ok(None);
        }
        let entries = self.read(begin, usize::try_from(head.length).unwrap_or(usize::MAX))?;
        Ok(head.fits(&entries).then_some(head))
    }

    /// Cuts off a batch that was left unfinished, if there is one. Says how much that was.
    fn cut(&mut self, end: u64) -> Result<u64, LogError> {
        if self.is_searched && is_blank(&self.read(self.length, HEAD)?) {
            return Ok(0);
        }
        let torn = self.filled(end)? - self.length;
        if torn > 0 {
            self.refuse_if_more_follows(end)?;
            let cut = self.file.set_len(self.length).and_then(|()| self.file.sync_data());
            cut.map_err(LogError::at(&self.path))?;
            tracing::warn!(path = %self.path.display(), bytes = torn, "cut off a batch that was left unfinished");
        }
        self.is_searched = true;
        Ok(torn)
    }

    /// Where the zeros begin that go to the end; not before the end of what is known.
    fn filled(&self, end: u64) -> Result<u64, LogError> {
        let (mut at, mut filled) = (self.length, self.length);
        while at < end {
            let window = self.read(at, STEP)?;
            if let Some(last) = window.iter().rposition(|byte| *byte != 0) {
                filled = at + u64::try_from(last).unwrap_or(0) + 1;
            }
            at += u64::try_from(STEP).unwrap_or(u64::MAX);
        }
        Ok(filled)
    }

    /// What a crash leaves unfinished is the last batch. If another follows, what is here was synced once.
    fn refuse_if_more_follows(&self, end: u64) -> Result<(), LogError> {
        let mut at = self.length + 1;
        while at < end {
            let window = self.read(at, STEP + HEAD)?;
            let heads = window.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
            for (place, _) in heads {
                if window.get(place..).and_then(Head::parse).is_some() {
                    return Err(LogError::Damaged { path: self.path.clone(), offset: self.length });
                }
            }
            at += u64::try_from(STEP).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// As many of `length` bytes as there are.
    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, LogError> {
        read_at(&self.file, offset, length).map_err(LogError::at(&self.path))
    }
}

#[cfg(test)]
impl Segment {
    pub(super) fn make_read_only(&mut self, path: &Path) {
        self.file = File::open(path).unwrap();
    }
}

/// Whether there is nothing here, or room.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// As many of `length` bytes at `offset` as there are.
pub(super) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let filled = read_into(&mut bytes, file, offset, length)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// The same, in place of what `buffer` begins with, which grows if need be. Says how many they are.
pub(super) fn read_into(buffer: &mut Vec<u8>, file: &File, offset: u64, length: usize) -> io::Result<usize> {
    let left = file.metadata()?.len().saturating_sub(offset);
    let wanted = length.min(usize::try_from(left).unwrap_or(usize::MAX));
    buffer.resize(buffer.len().max(wanted), 0);
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..wanted).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + u64::try_from(filled).unwrap_or(0)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
