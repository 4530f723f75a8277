//! What one reading of a source brings, as one schema sees it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::catalog::SourceIndex;
use super::intake::{Located, Location, MOST_KEPT, Refused};
use super::record::{RecordError, RecordReader};
use super::sharing::Sharing;
use super::store::Node;
use super::uid::Uid;

/// By which schemas records are read.
#[derive(Clone, Debug)]
pub struct Readers {
    /// By that which is in force.
    pub(super) current: Arc<RecordReader>,
    /// By that which is to be in force once all entities fit it, if there is one.
    pub(super) next: Option<Arc<RecordReader>>,
    /// The sources that have to be read as a whole.
    pub(super) owed: BTreeSet<SourceIndex>,
}

/// What a source says, by one schema.
#[derive(Debug)]
pub(super) struct Reading {
    reader: Arc<RecordReader>,
    pub(super) located: Vec<Located>,
    pub(super) deleted: Vec<Uid>,
    pub(super) refused: Vec<Refused>,
    /// Refused beyond those.
    pub(super) omitted: usize,
    /// What this schema refuses and the other one takes.
    pub(super) disputed: Vec<Uid>,
}

impl Readers {
    /// By one schema alone.
    pub(in crate::decision) const fn only(current: Arc<RecordReader>) -> Self {
        Self { current, next: None, owed: BTreeSet::new() }
    }
}

impl Reading {
    pub(super) const fn new(reader: Arc<RecordReader>) -> Self {
        Self { reader, located: Vec::new(), deleted: Vec::new(), refused: Vec::new(), omitted: 0, disputed: Vec::new() }
    }

    pub(super) const fn reader(&self) -> &Arc<RecordReader> {
        &self.reader
    }

    /// Takes entities that were read before.
    pub(super) fn nodes(&mut self, name: &Arc<str>, nodes: impl Iterator<Item = Node>) {
        let location = Location { document: Arc::clone(name), position: None };
        self.located.extend(nodes.map(|node| Located { node, location: location.clone() }));
    }

    /// Whether it was read by `reader`.
    pub(super) fn is_by(&self, reader: &Arc<RecordReader>) -> bool {
        Arc::ptr_eq(&self.reader, reader)
    }

    /// All that it speaks of.
    pub(super) fn named(&self) -> HashSet<&Uid> {
        self.located.iter().map(|located| located.node.uid()).chain(&self.deleted).collect()
    }

    /// A record as its schema reads it.
    pub(super) fn read(
        &self,
        record: &Result<Json, RecordError>,
        sharing: &mut Sharing,
    ) -> Result<Option<Node>, RecordError> {
        record.as_ref().map_err(RecordError::clone).and_then(|json| self.reader.read(json, sharing))
    }

    /// Takes what became of a record.
    pub(super) fn take(&mut self, location: Location, read: Result<Option<Node>, RecordError>) {
        match read {
            Ok(Some(node)) => self.located.push(Located { node, location }),
            Ok(None) => {}
            Err(error) => {
                // Whatever it was before, it is not what the source says now.
                self.deleted.extend(error.uid().cloned());
                self.refuse(Refused { location, error });
            }
        }
    }

    /// Takes what became of a record that the schema in force takes, and this one, the next, does not. A type that this one
    /// does not know at all no policy of it can speak of, so nobody will miss what is of it.
    pub(super) fn object(&mut self, location: Location, error: RecordError) {
        self.disputed.extend(error.uid().filter(|uid| self.reader.knows(uid.kind())).cloned());
        self.take(location, Err(error));
    }

    pub(super) fn refuse(&mut self, refused: Refused) {
        if self.refused.len() < MOST_KEPT {
            self.refused.push(refused);
        } else {
            self.omitted += 1;
        }
    }
}
