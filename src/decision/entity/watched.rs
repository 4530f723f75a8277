//! The entities that are in force, from all sources together: readers take a snapshot and never wait, whatever is being
//! written; each change of any entity is a new epoch. Policies decide with the entities that are in their own set, so
//! that the two are always of one state; here is who puts them there.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::catalog::{Applied, Catalog, SourceIndex};
use super::intake::Intake;
use super::progress::Unseen;
use super::record::RecordReader;
use super::source::Extent;
use super::store::Entities;
use crate::decision::policy::{PolicySet, PolicyTarget};
use crate::decision::schema::SchemaTypes;
use crate::foundation::watched::{Epoch, Snapshot, Watched};

/// The place of the policy directory among the sources: what it has counts before all others.
const POLICY_DIRECTORY: SourceIndex = 0;

/// All entities, and how to change them.
#[derive(Debug)]
pub struct EntityStore {
    catalog: Mutex<Catalog>,
    current: Watched<Entities>,
    /// What decides, with these entities in it.
    policies: Option<Arc<Watched<PolicySet>>>,
    /// How records are read by the schema that is in force. A new one means that all sources are read again.
    readers: watch::Sender<Arc<RecordReader>>,
}

impl EntityStore {
    /// A store with the entities of the policy directory, which is the first of the sources. They have these names, and
    /// where two have the same entity, that of the first counts.
    pub fn new(policies: Arc<Watched<PolicySet>>, sources: impl IntoIterator<Item = Arc<str>>) -> Self {
        let current = policies.load();
        let mut store = Self::of_types(current.types(), sources);
        // They are in the set already, so nothing changes for those who decide.
        drop(store.apply(POLICY_DIRECTORY, store.intake(&current), Extent::Whole));
        store.policies = Some(policies);
        store
    }

    /// What the policy directory has.
    fn intake(&self, policies: &PolicySet) -> Intake {
        let mut intake = Intake::new(Arc::clone(&self.readers.borrow()), Arc::new(Unseen));
        intake.nodes(&"the policy directory".into(), policies.own_entities().iter().cloned());
        intake
    }

    pub(in crate::decision) fn of_types(types: &Arc<SchemaTypes>, sources: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            catalog: Mutex::new(Catalog::new(sources)),
            current: Watched::new(Entities::default()),
            policies: None,
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

    /// Has all sources read again if the schema is another than before. Until each was, its entities are those that fitted
    /// the schema before; one that does not fit any more fails to evaluate where a policy reads it.
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
            if let Some(policies) = &self.policies {
                policies.update(|set| Some(set.with_entities(catalog.snapshot())));
            }
        }
        applied
    }
}

/// Policies and entities, where they are put in force together.
#[derive(Debug)]
pub struct InForce {
    /// What decides.
    pub policies: Arc<Watched<PolicySet>>,
    /// Who puts the entities in it.
    pub entities: Arc<EntityStore>,
}

impl PolicyTarget for InForce {
    fn current(&self) -> Arc<Snapshot<PolicySet>> {
        self.policies.load()
    }

    /// The entities of the directory are in force from the same moment on as its policies.
    fn put(&self, policies: PolicySet) {
        self.entities.adopt_types(policies.types());
        let intake = self.entities.intake(&policies);
        let mut catalog = self.entities.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        if catalog.apply(POLICY_DIRECTORY, intake, Extent::Whole).changed {
            self.entities.current.replace(catalog.snapshot());
        }
        self.policies.replace(policies.with_entities(catalog.snapshot()));
    }
}
