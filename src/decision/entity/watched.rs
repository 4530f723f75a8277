//! The entities that are in force, from all sources together: readers take a snapshot and never wait, whatever is being
//! written; each change of any entity is a new epoch.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::catalog::{Applied, Catalog, SourceIndex};
use super::intake::Intake;
use super::record::RecordReader;
use super::source::Extent;
use super::store::Entities;
use crate::decision::policy::PolicySet;
use crate::decision::schema::SchemaTypes;
use crate::foundation::watched::{Epoch, Snapshot, Watched};

/// All entities, and how to change them.
#[derive(Debug)]
pub struct EntityStore {
    catalog: Mutex<Catalog>,
    current: Watched<Entities>,
    /// How records are read by the schema that is in force. A new one means that all sources are read again.
    readers: watch::Sender<Arc<RecordReader>>,
}

impl EntityStore {
    /// A store without entities. The sources have these names, and where two have the same entity, that of the first
    /// counts.
    pub fn new(policies: &PolicySet, sources: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self::of_types(policies.types(), sources)
    }

    pub(in crate::decision) fn of_types(types: &Arc<SchemaTypes>, sources: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            catalog: Mutex::new(Catalog::new(sources)),
            current: Watched::new(Entities::default()),
            readers: watch::Sender::new(Arc::new(RecordReader::new(Arc::clone(types)))),
        }
    }

    /// The entities as they are now, with their epoch.
    pub fn load(&self) -> Arc<Snapshot<Entities>> {
        self.current.load()
    }

    /// Wakes after each change.
    pub fn subscribe(&self) -> watch::Receiver<Epoch> {
        self.current.subscribe()
    }

    /// Has all sources read again if the schema of `policies` is another than before. Until each was, its entities are
    /// those that fitted the schema before; one that does not fit any more fails to evaluate where a policy reads it.
    pub fn adopt(&self, policies: &PolicySet) {
        self.adopt_types(policies.types());
    }

    pub(in crate::decision) fn adopt_types(&self, types: &Arc<SchemaTypes>) {
        self.readers.send_if_modified(|reader| {
            let changed = !reader.reads_by(types);
            if changed {
                *reader = Arc::new(RecordReader::new(Arc::clone(types)));
            }
            changed
        });
    }

    /// How records are read, and when that changes.
    pub fn readers(&self) -> watch::Receiver<Arc<RecordReader>> {
        self.readers.subscribe()
    }

    /// Puts what a reading brought in force. Blocks while another does, and on the CPU: microseconds for a change,
    /// seconds for a million entities.
    pub fn apply(&self, source: SourceIndex, intake: Intake, extent: Extent) -> Applied {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = catalog.apply(source, intake, extent);
        if applied.changed {
            self.current.replace(catalog.snapshot());
        }
        applied
    }
}
