//! The service behind the gate, over entries in memory. What is expected is what SPIRE 1.15 answered to the same, but
//! where a test says otherwise.

mod batches;
mod lists;

use prost::Message;
use tonic::service::Routes;

use super::super::tests::{Desk, clock, now};
use super::*;
use crate::foundation::entropy::SystemEntropy;
use crate::identity::registry::memory::MemoryRegistry;
use crate::identity::registry::{ConfiguredEntry, EntryTerms};
use crate::identity::selector::Selector;
use types::Spiffeid;

const AGENT: &str = "/spire/agent/portcullis";

/// A service with one entry of the configuration, `configured`.
async fn desk() -> Desk {
    let trust_domain: TrustDomain = "example.org".parse().unwrap();
    let store = Arc::new(MemoryRegistry::default());
    let registry = Registry::open(trust_domain.clone(), store, Arc::new(SystemEntropy::new())).await.unwrap();
    let terms = EntryTerms::new(
        "spiffe://example.org/configured".parse().unwrap(),
        "spiffe://example.org/spire/agent/portcullis".parse().unwrap(),
        [Selector::new("unix", "uid:1")].into(),
    );
    registry.reconcile(vec![ConfiguredEntry { id: "configured".into(), terms }], now()).await.unwrap();
    let service = EntryService::new(trust_domain, Arc::new(registry), clock());
    Desk::new(Routes::default().add_service(service.into_server()))
}

#[expect(clippy::unnecessary_wraps, reason = "as messages have it")]
fn id(path: &str) -> Option<Spiffeid> {
    Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() })
}

fn selector(text: &str) -> types::Selector {
    let (kind, value) = text.split_once(':').unwrap();
    types::Selector { r#type: kind.into(), value: value.into() }
}

/// An entry for `/name` with the id `name`.
fn entry(name: &str, selectors: &[&str]) -> types::Entry {
    types::Entry {
        id: name.into(),
        spiffe_id: id(&format!("/{name}")),
        parent_id: id(AGENT),
        selectors: selectors.iter().map(|text| selector(text)).collect(),
        ..types::Entry::default()
    }
}

impl Desk {
    async fn entry<Q: Message, A: Message + Default>(&self, method: &str, question: &Q) -> Result<A, Status> {
        self.call(&format!("spire.api.server.entry.v1.Entry/{method}"), question).await
    }

    async fn create(&self, entries: Vec<types::Entry>) -> Vec<batch_create_entry_response::Result> {
        let question = BatchCreateEntryRequest { entries, output_mask: None };
        self.entry::<_, BatchCreateEntryResponse>("BatchCreateEntry", &question).await.unwrap().results
    }

    async fn update(&self, entry: types::Entry, input_mask: Option<EntryMask>) -> batch_update_entry_response::Result {
        let question = BatchUpdateEntryRequest { entries: vec![entry], input_mask, output_mask: None };
        let answer: BatchUpdateEntryResponse = self.entry("BatchUpdateEntry", &question).await.unwrap();
        let [result] = answer.results.try_into().unwrap();
        result
    }

    async fn get(&self, id: &str) -> Result<types::Entry, Status> {
        self.entry("GetEntry", &GetEntryRequest { id: id.into(), output_mask: None }).await
    }
}

fn told(status: Option<&types::Status>) -> (i32, &str) {
    let status = status.unwrap();
    (status.code, &status.message)
}
