//! What one reading of a source brings: the entities that are right, and of each of the others where it stands and what
//! is wrong with it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use tokio::task::spawn_blocking;

use super::document::{DocumentError, Elements};
use super::progress::Progress;
use super::reading::{Readers, Reading};
use super::record::{RecordError, RecordReader};
use super::sharing::Sharing;
use super::store::Node;
use super::uid::Uid;
use crate::decision::policy::problem::Position;
use crate::foundation::json;
use crate::foundation::telemetry::printable;

/// How many refused records of one source are kept; the rest is only counted.
pub(super) const MOST_KEPT: usize = 1_000;
/// How much of one message is kept, in bytes.
const MESSAGE_LIMIT: usize = 1024;
/// After how many records the progress is told.
const STRIDE: u64 = 1_000;

/// Where a record stands.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Location {
    /// A file, an URL or a table.
    pub document: Arc<str>,
    /// Where in a file.
    pub position: Option<Position>,
}

/// An entity, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) node: Node,
    pub(super) location: Location,
}

/// A record that was left out. Displays as `file.json:3:5: the entity … `.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Refused {
    /// Where it stands.
    pub location: Location,
    /// Why.
    pub error: RecordError,
}

/// Why a document is no good as a whole.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// It is no JSON array.
    #[error("{document}:{error}")]
    Document {
        /// Its name.
        document: Arc<str>,
        /// Where it goes wrong.
        error: DocumentError,
    },
    /// It is no text.
    #[error("{0}: not UTF-8")]
    Text(Arc<str>),
    /// Reading it failed within.
    #[error("reading failed within")]
    Fault,
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The entity's type.
    pub kind: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its attributes, a JSON object.
    pub attributes: &'a str,
    /// Its tags, a JSON object.
    pub tags: &'a str,
    /// Its parents, a JSON array.
    pub parents: &'a str,
}

/// Takes what a source has.
#[derive(Debug)]
pub struct Intake {
    /// By the schema in force.
    pub(super) current: Reading,
    /// By the schema that is to be.
    next: Option<Reading>,
    sharing: Sharing,
    progress: Arc<dyn Progress>,
    taken: u64,
}

impl Intake {
    /// For records of the schemas that `readers` read by.
    pub fn new(readers: Readers, progress: Arc<dyn Progress>) -> Self {
        let (current, next) = (Reading::new(readers.current), readers.next.map(Reading::new));
        Self { current, next, sharing: Sharing::default(), progress, taken: 0 }
    }

    /// What it brings by these schemas, if it was read by them.
    pub(super) fn by(
        self,
        current: &Arc<RecordReader>,
        next: Option<&Arc<RecordReader>>,
    ) -> (Option<Reading>, Option<Reading>) {
        let mut readings: Vec<_> = std::iter::once(self.current).chain(self.next).collect();
        let mut by = |reader: &Arc<RecordReader>| {
            let place = readings.iter().position(|reading| reading.is_by(reader))?;
            Some(readings.swap_remove(place))
        };
        (by(current), next.and_then(by))
    }

    /// How much will come, as far as the source knows.
    pub fn expect(&self, records: u64) {
        self.progress.expect(records);
    }

    /// Takes the elements of JSON arrays, each with its name. Parses on a thread that may block.
    ///
    /// # Errors
    /// [`IntakeError`]: one of them is no array; what came before it was taken.
    pub async fn documents(&mut self, documents: Vec<(Arc<str>, Vec<u8>)>) -> Result<(), IntakeError> {
        let readers = Readers::only(Arc::clone(self.current.reader()));
        let mut own = std::mem::replace(self, Self::new(readers, Arc::clone(&self.progress)));
        let work = spawn_blocking(move || {
            let result = documents.into_iter().try_for_each(|(name, bytes)| own.document(&name, &bytes));
            (own, result)
        });
        let (own, result) = work.await.map_err(|_panic| IntakeError::Fault)?;
        *self = own;
        result
    }

    /// Takes the elements of one JSON array. Blocks for as long as it takes to parse.
    ///
    /// # Errors
    /// [`IntakeError`]: it is no array; what came before the mistake was taken.
    pub fn document(&mut self, name: &Arc<str>, bytes: &[u8]) -> Result<(), IntakeError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IntakeError::Text(Arc::clone(name)))?;
        let mut elements = Elements::of(text);
        while let Some(element) = elements.next() {
            let (position, text) =
                element.map_err(|error| IntakeError::Document { document: Arc::clone(name), error })?;
            let location = Location { document: Arc::clone(name), position: Some(position) };
            let record = json::read(text.as_bytes()).map_err(RecordError::unnamed);
            self.take(location, &record);
            if self.taken.is_multiple_of(STRIDE) {
                self.guess(elements.offset(), bytes.len());
            }
        }
        Ok(())
    }

    /// Takes a row of the table `name`.
    pub fn row(&mut self, name: &Arc<str>, row: Row<'_>) {
        let location = Location { document: Arc::clone(name), position: None };
        self.take(location, &row.record());
    }

    /// Takes it that an entity is not there any more.
    pub fn delete(&mut self, kind: &str, id: &str) {
        let uid = Uid::new(kind.into(), id);
        if let Some(next) = &mut self.next {
            next.deleted.push(uid.clone());
        }
        self.current.deleted.push(uid);
    }

    fn take(&mut self, location: Location, record: &Result<Json, RecordError>) {
        let read = self.current.read(record, &mut self.sharing);
        match &mut self.next {
            None => self.current.take(location, read),
            Some(next) => match (read, next.read(record, &mut self.sharing)) {
                (Ok(Some(node)), Err(error)) => {
                    self.current.take(location.clone(), Ok(Some(node)));
                    next.object(location, error);
                }
                // What it was before stands until the schema is in force that it is written for.
                (Err(error), Ok(Some(node))) => {
                    self.current.disputed.extend(error.uid().cloned());
                    next.take(location, Ok(Some(node)));
                }
                (now, then) => {
                    self.current.take(location.clone(), now);
                    next.take(location, then);
                }
            },
        }
        self.taken += 1;
        if self.taken.is_multiple_of(STRIDE) {
            self.progress.reached(self.taken);
        }
    }

    /// From how far a document was read to how many records there will be.
    fn guess(&self, read: usize, all: usize) {
        let (read, all) = (u64::try_from(read).unwrap_or(u64::MAX), u64::try_from(all).unwrap_or(u64::MAX));
        self.progress.expect(self.taken.saturating_mul(all) / read.max(1));
    }
}

impl Row<'_> {
    fn record(&self) -> Result<Json, RecordError> {
        let uid = Uid::new(self.kind.into(), self.id);
        let column = |name: &str, text: &str| {
            json::read(text.as_bytes()).map_err(|error| RecordError::of(&uid, format!("the column `{name}`: {error}")))
        };
        let mut record = Map::new();
        record.insert("uid".to_owned(), serde_json::json!({"type": self.kind, "id": self.id}));
        record.insert("attrs".to_owned(), column("attrs", self.attributes)?);
        record.insert("tags".to_owned(), column("tags", self.tags)?);
        record.insert("parents".to_owned(), column("parents", self.parents)?);
        Ok(Json::Object(record))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.document, MESSAGE_LIMIT))?;
        self.position.map_or(Ok(()), |position| write!(f, ":{position}"))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, printable(&self.error.to_string(), MESSAGE_LIMIT))
    }
}

#[cfg(test)]
mod tests;
