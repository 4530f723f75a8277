//! How many records a sink is given at a time. A message that failed is given again as it was, though more records have come
//! since, and by another process too: who gets it twice can tell by its id. One that the receiver will never take is halved, down to the record for
//! which it is refused; that one is passed over, lest it hold up all that follow. It is in the log either way.

use super::follow::Position;
use super::{Exported, Sink, SinkError};
use crate::evidence::log::{LogError, LogReader};
use crate::evidence::record::encoding;

/// The most records at a time: those of a bundle.
const MOST: usize = 256;

/// From how many bytes on a message gets no more records, as the log has them: as JSON they have about three times that.
const BYTES: usize = 256 << 10;

/// How many are given at a time.
#[derive(Debug)]
pub(super) struct Pace {
    /// At most so many.
    most: usize,
    /// The end of the message that failed, or was put down, which is given again.
    pub(super) end: Option<u64>,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Step {
    /// So many were given, and which is next.
    Given { count: u64, next: u64 },
    /// A record is refused for good.
    Skipped { index: u64, why: String },
}

impl Default for Pace {
    fn default() -> Self {
        Self { most: MOST, end: None }
    }
}

impl Pace {
    /// How many of these entries, of which the first is `first`, are given next: at least one, if there is one.
    fn count(&self, first: u64, entries: &[Vec<u8>]) -> usize {
        let lengths = entries.iter().scan(0_usize, |sum, entry| {
            let before = *sum;
            *sum = sum.saturating_add(entry.len());
            Some((before, *sum))
        });
        let fit = lengths.take_while(|(before, sum)| *before == 0 || *sum <= BYTES).count();
        let again = self.end.and_then(|end| usize::try_from(end.checked_sub(first)?).ok()).filter(|count| *count > 0);
        again.unwrap_or(self.most).min(fit)
    }

    /// It was taken, or passed over.
    fn went_on(&mut self) {
        *self = Self { most: self.most.saturating_mul(2).min(MOST), end: None };
    }

    /// So many were refused for good.
    fn refused(&mut self, count: usize) {
        *self = Self { most: (count / 2).max(1), end: None };
    }
}

/// Gives away all below `size`, and tells each step.
pub(super) fn give_all(
    reader: &LogReader,
    size: u64,
    (sink, position): (&mut impl Sink, &mut Position),
    tell: impl Fn(Step),
) -> Result<(), SinkError> {
    tell(Step::Given { count: 0, next: position.next });
    while position.next < size {
        let mut found = reader.entries(position.next, size)?;
        found.entries.truncate(position.pace.count(found.first, &found.entries));
        let count = found.entries.len();
        let next = found.first.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if count == 0 {
            let why = format!("entry {} is not there", found.first);
            return Err(LogError::Tree { path: reader.directory().to_owned(), why }.into());
        }
        let records = records(found.first, &found.entries)?;
        if sink.names_messages() {
            position.put_down(next)?;
        }
        match sink.give(&records) {
            Ok(()) => {
                position.pace.went_on();
                position.advance(next)?;
                tell(Step::Given { count: next - found.first, next });
            }
            Err(SinkError::Unacceptable(_)) if count > 1 => position.pace.refused(count),
            Err(SinkError::Unacceptable(why)) => {
                position.pace.went_on();
                position.advance(next)?;
                tell(Step::Skipped { index: found.first, why });
                tell(Step::Given { count: 0, next });
            }
            Err(error) => {
                position.pace.end = Some(next);
                return Err(error);
            }
        }
    }
    Ok(())
}

fn records(first: u64, entries: &[Vec<u8>]) -> Result<Vec<Exported<'_>>, SinkError> {
    let numbered = (first..).zip(entries);
    let read = numbered.map(|(index, bytes)| match encoding::read(bytes) {
        Ok(entry) => Ok(Exported { index, record: entry.record }),
        Err(source) => Err(SinkError::Record { index, source }),
    });
    read.collect()
}
