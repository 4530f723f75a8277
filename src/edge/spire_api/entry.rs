//! `spire.api.server.entry.v1.Entry`: registration entries, found, made, changed and deleted.

mod filter;
mod patch;
pub(super) mod wire;

use std::sync::Arc;

use futures_util::stream::BoxStream;
use portcullis_spiffe::TrustDomain;
use portcullis_spiffe_api::spire::api::server::entry::v1::entry_server::{Entry as EntryApi, EntryServer};
use portcullis_spiffe_api::spire::api::server::entry::v1::{
    BatchCreateEntryRequest, BatchCreateEntryResponse, BatchDeleteEntryRequest, BatchDeleteEntryResponse,
    BatchUpdateEntryRequest, BatchUpdateEntryResponse, CountEntriesRequest, CountEntriesResponse,
    GetAuthorizedEntriesRequest, GetAuthorizedEntriesResponse, GetEntryRequest, ListEntriesRequest,
    ListEntriesResponse, SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse, batch_create_entry_response,
    batch_delete_entry_response, batch_update_entry_response,
};
use portcullis_spiffe_api::spire::api::types::{self, EntryMask};
use tonic::{Code, Request, Response, Status, Streaming};

use self::filter::Filter;
use self::patch::Patch;
use super::{Call, MAX_MESSAGE_BYTES, page, status};
use crate::foundation::clock::Clock;
use crate::identity::registry::{Change, Entry, EntryProblem, EntrySource, Registry, RegistryError};

/// The service.
#[derive(Clone, Debug)]
pub struct EntryService {
    trust_domain: TrustDomain,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
}

/// What became of each change, in their order.
type Made = Vec<Result<Arc<Entry>, EntryProblem>>;

impl EntryService {
    /// A service over the entries of `registry`, which are of `trust_domain`.
    pub fn new(trust_domain: TrustDomain, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { trust_domain, registry, clock }
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> EntryServer<Self> {
        EntryServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<Made, Status> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        self.registry.apply(EntrySource::Api, changes, self.clock.now()).await.map_err(|error| unavailable(&error))
    }

    /// Why `patch` can't be made, in so far as the registry does not tell itself.
    fn check_update(&self, id: &str, patch: &Patch) -> Result<(), types::Status> {
        let mut terms = match self.registry.load().get(id) {
            Some(entry) => entry.terms.clone(),
            // For the registry to tell.
            None => return Ok(()),
        };
        patch.apply(&mut terms);
        patch::check_stored(&terms).map_err(|fault| not_converted(&fault))
    }
}

#[tonic::async_trait]
impl EntryApi for EntryService {
    type SyncAuthorizedEntriesStream = BoxStream<'static, Result<SyncAuthorizedEntriesResponse, Status>>;

    async fn count_entries(
        &self,
        request: Request<CountEntriesRequest>,
    ) -> Result<Response<CountEntriesResponse>, Status> {
        let filter = Filter::of_count(request.into_inner().filter, &self.trust_domain)?;
        let count = self.registry.load().iter().filter(|entry| filter.holds(entry)).count();
        Ok(Response::new(CountEntriesResponse { count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let request = request.into_inner();
        let filter = Filter::of_list(request.filter, &self.trust_domain)?;
        let entries = self.registry.load();
        let fitting = entries.iter().filter(|entry| filter.holds(entry));
        let page = page::take(fitting, |entry| (entry.rank, &entry.id), request.page_size, &request.page_token)
            .map_err(|fault| status::invalid("failed to list entries", fault))?;
        let mask = request.output_mask.as_ref();
        let entries = page.items.into_iter().map(|entry| wire::masked(entry, mask)).collect();
        Ok(Response::new(ListEntriesResponse { entries, next_page_token: page.next }))
    }

    async fn get_entry(&self, request: Request<GetEntryRequest>) -> Result<Response<types::Entry>, Status> {
        let (call, request) = Call::open(request)?;
        if request.id.is_empty() {
            return Err(Status::invalid_argument("missing ID"));
        }
        call.concerns([request.id.clone()]);
        let entries = self.registry.load();
        let entry = entries.get(&request.id).ok_or_else(|| Status::not_found("entry not found"))?;
        Ok(Response::new(wire::masked(entry, request.output_mask.as_ref())))
    }

    async fn batch_create_entry(
        &self,
        request: Request<BatchCreateEntryRequest>,
    ) -> Result<Response<BatchCreateEntryResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.entries.len())?;
        let mask = request.output_mask;
        let patches: Vec<_> = request.entries.into_iter().map(|entry| self.to_create(entry)).collect();
        let wanted = patches.iter().flatten().map(|(subject, _)| subject.clone());
        call.changing(wanted).await?;
        let mut refused = Vec::with_capacity(patches.len());
        let changes = sift(patches.into_iter().map(|patch| patch.map(|(_, change)| change)), &mut refused);
        let made = self.apply(changes).await?;
        call.changed(subjects(&made));
        let results = merge(
            refused,
            made,
            |made| created(made, mask.as_ref()),
            |refusal| batch_create_entry_response::Result { status: Some(refusal), entry: None },
        );
        Ok(Response::new(BatchCreateEntryResponse { results }))
    }

    async fn batch_update_entry(
        &self,
        request: Request<BatchUpdateEntryRequest>,
    ) -> Result<Response<BatchUpdateEntryResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.entries.len())?;
        call.changing(request.entries.iter().map(|entry| entry.id.clone())).await?;
        let (input, output) = (request.input_mask, request.output_mask);
        let mut refused = Vec::with_capacity(request.entries.len());
        let changes = request.entries.into_iter().map(|entry| self.to_update(entry, input.as_ref()));
        let changes = sift(changes, &mut refused);
        let made = self.apply(changes).await?;
        call.changed(subjects(&made));
        let results = merge(
            refused,
            made,
            |made| updated(made, output.as_ref()),
            |refusal| batch_update_entry_response::Result { status: Some(refusal), entry: None },
        );
        Ok(Response::new(BatchUpdateEntryResponse { results }))
    }

    async fn batch_delete_entry(
        &self,
        request: Request<BatchDeleteEntryRequest>,
    ) -> Result<Response<BatchDeleteEntryResponse>, Status> {
        let (call, BatchDeleteEntryRequest { ids }) = Call::open(request)?;
        status::check_batch(ids.len())?;
        call.changing(ids.iter().cloned()).await?;
        let mut refused = Vec::with_capacity(ids.len());
        let changes = sift(ids.iter().map(|id| to_delete(id)), &mut refused);
        let made = self.apply(changes).await?;
        call.changed(made.iter().flatten().map(|entry| entry.id.to_string()));
        let statuses = merge(refused, made, deleted, |refusal| refusal);
        let results = ids.into_iter().zip(statuses);
        let results = results.map(|(id, status)| batch_delete_entry_response::Result { status: Some(status), id });
        Ok(Response::new(BatchDeleteEntryResponse { results: results.collect() }))
    }

    async fn get_authorized_entries(
        &self,
        _request: Request<GetAuthorizedEntriesRequest>,
    ) -> Result<Response<GetAuthorizedEntriesResponse>, Status> {
        Err(status::no_agents())
    }

    async fn sync_authorized_entries(
        &self,
        _request: Request<Streaming<SyncAuthorizedEntriesRequest>>,
    ) -> Result<Response<Self::SyncAuthorizedEntriesStream>, Status> {
        Err(status::no_agents())
    }
}

impl EntryService {
    /// What a new entry is called in the record before it has an id, and the change that makes it.
    fn to_create(&self, entry: types::Entry) -> Result<(String, Change), types::Status> {
        let id = Some(entry.id.clone()).filter(|id| !id.is_empty());
        let patch = Patch::read(entry, None, &self.trust_domain).map_err(|fault| not_converted(&fault))?;
        let terms = patch.into_terms().map_err(|fault| not_converted(&fault))?;
        patch::check_stored(&terms).map_err(|fault| not_converted(&fault))?;
        let subject = id.iter().map(|id| format!("{id}=")).chain([terms.spiffe_id.to_string()]).collect();
        Ok((subject, Change::Create { id, terms }))
    }

    fn to_update(&self, entry: types::Entry, mask: Option<&EntryMask>) -> Result<Change, types::Status> {
        let id = entry.id.clone();
        let patch = Patch::read(entry, mask, &self.trust_domain).map_err(|fault| not_converted(&fault))?;
        self.check_update(&id, &patch)?;
        Ok(Change::Update { id, change: Box::new(move |terms| patch.apply(terms)) })
    }
}

fn created(made: Result<Arc<Entry>, EntryProblem>, mask: Option<&EntryMask>) -> batch_create_entry_response::Result {
    let (status, entry) = match made {
        Ok(entry) => (status::item_ok(), Some(entry)),
        Err(EntryProblem::Similar(entry)) => (similar(), Some(entry)),
        Err(problem) => (refusal("failed to create entry", &problem), None),
    };
    let entry = entry.map(|entry| wire::masked(&entry, mask));
    batch_create_entry_response::Result { status: Some(status), entry }
}

fn to_delete(id: &str) -> Result<Change, types::Status> {
    if id.is_empty() {
        return Err(status::item(Code::InvalidArgument, "missing entry ID"));
    }
    Ok(Change::Delete { id: id.to_owned() })
}

fn updated(made: Result<Arc<Entry>, EntryProblem>, mask: Option<&EntryMask>) -> batch_update_entry_response::Result {
    let (status, entry) = match made {
        Ok(entry) => (status::item_ok(), Some(wire::masked(&entry, mask))),
        Err(EntryProblem::Unknown) => (status::item(Code::NotFound, "failed to update entry"), None),
        Err(problem) => (refusal("failed to update entry", &problem), None),
    };
    batch_update_entry_response::Result { status: Some(status), entry }
}

fn deleted(made: Result<Arc<Entry>, EntryProblem>) -> types::Status {
    match made {
        Ok(_) => status::item_ok(),
        Err(EntryProblem::Unknown) => status::item(Code::NotFound, "entry not found"),
        Err(problem) => refusal("failed to delete entry", &problem),
    }
}

/// Why an entry was not taken.
fn refusal(what: &str, problem: &EntryProblem) -> types::Status {
    let code = match problem {
        EntryProblem::Similar(_) | EntryProblem::DuplicateId => Code::AlreadyExists,
        EntryProblem::Unknown => Code::NotFound,
        EntryProblem::KeptByConfig => Code::FailedPrecondition,
        EntryProblem::Id(_) => Code::InvalidArgument,
        other => return not_converted(other),
    };
    status::item(code, format_args!("{what}: {problem}"))
}

fn not_converted(fault: &dyn std::fmt::Display) -> types::Status {
    status::item(Code::InvalidArgument, format_args!("failed to convert entry: {fault}"))
}

fn similar() -> types::Status {
    status::item(Code::AlreadyExists, "similar entry already exists")
}

/// No change of the batch was made. SPIRE says `Internal` to each; this a client may try again.
fn unavailable(error: &RegistryError) -> Status {
    tracing::error!(%error, "registration entries could not be changed");
    Status::unavailable("the entries could not be changed")
}

/// How made and changed entries are called in the record.
fn subjects(made: &Made) -> impl Iterator<Item = String> {
    made.iter().flatten().map(|entry| format!("{}={}", entry.id, entry.terms.spiffe_id))
}

/// The changes that can be tried; `refused` gets a place for each item, empty for those.
fn sift<T>(items: impl Iterator<Item = Result<T, types::Status>>, refused: &mut Vec<Option<types::Status>>) -> Vec<T> {
    let mut tried = Vec::new();
    for item in items {
        match item {
            Ok(change) => {
                tried.push(change);
                refused.push(None);
            }
            Err(status) => refused.push(Some(status)),
        }
    }
    tried
}

/// One result for each item, in their order.
fn merge<M, R>(
    refused: Vec<Option<types::Status>>,
    made: Vec<M>,
    mut of_made: impl FnMut(M) -> R,
    mut of_refused: impl FnMut(types::Status) -> R,
) -> Vec<R> {
    let mut made = made.into_iter();
    let results = refused.into_iter().map(|refusal| match refusal {
        Some(status) => of_refused(status),
        None => made.next().map_or_else(|| of_refused(status::item(Code::Internal, "not done")), &mut of_made),
    });
    results.collect()
}

#[cfg(test)]
mod tests;
