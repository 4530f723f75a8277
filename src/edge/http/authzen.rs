//! `AuthZEN` over HTTP (Authorization API 1.0, sections 6 to 10): one question or many, what someone may do or who may
//! do something, and where all of that is served.
//!
//! A deny is 200 with `"decision":false`. Every other status means that there is no decision, and no body but that of a
//! 200 has a member `decision`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use portcullis_spiffe::SpiffeId;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

use self::access::Tenant;
use self::asking::Asking;
use self::batch::Batch;
use self::memory::Memory;
use self::options::{ContextPolicy, Semantic};
use self::question::{Members, QuestionError};
use super::body::Bodies;
use super::failure::{Failure, method_not_allowed, not_found, panicked};
use super::request_id::echo;
use crate::decision::search::{Found, Search};
use crate::decision::{Asker, Authorizer, Query, Reason, Verdict};
use crate::edge::receipts::{ReceiptOffer, ReceiptWanted};
use crate::evidence::{Edge, Outcome};

pub use self::access::Access;
pub use super::identifier::{Identifier, IdentifierError};
pub use metadata::Metadata;
pub use metrics::Metrics;

mod access;
mod answer;
mod asking;
mod batch;
mod memory;
mod metadata;
mod metrics;
mod options;
mod page;
mod question;
mod search;

#[cfg(test)]
mod tests;

/// The path of the Access Evaluation API (Authorization API 1.0, section 10.1).
pub const EVALUATION_PATH: &str = "/access/v1/evaluation";

/// The path of the Access Evaluations API.
pub const EVALUATIONS_PATH: &str = "/access/v1/evaluations";

/// The path of the Subject Search API.
pub const SUBJECT_SEARCH_PATH: &str = "/access/v1/search/subject";

/// The path of the Resource Search API.
pub const RESOURCE_SEARCH_PATH: &str = "/access/v1/search/resource";

/// The path of the Action Search API.
pub const ACTION_SEARCH_PATH: &str = "/access/v1/search/action";

/// How long an answer waits for its receipt at most.
const RECEIPT_WITHIN: Duration = Duration::from_secs(5);

/// How this API is served.
#[derive(Clone, Debug)]
pub struct AuthzenConfig {
    /// The longest body that is read, in bytes; a longer one is answered with 413.
    pub max_body_bytes: usize,
    /// The most questions in one batch; more are answered with 413.
    pub max_evaluations: usize,
    /// Requests whose body has been read and that are not answered yet; one more is answered with 429.
    pub max_concurrent_requests: usize,
    /// Searches at the same time; others wait for their turn.
    pub max_concurrent_searches: usize,
    /// The most results on one page of a search, and how many there are if the client sets no limit.
    pub max_page_size: usize,
    /// Whether a decision says why, in `context`. Off by default: policy ids tell a client about policies that it may
    /// have no business with (section 11.2), and some clients compare whole bodies.
    pub decision_context: bool,
    /// Whether a request may say otherwise, in `options.decision_context`.
    pub decision_context_on_request: bool,
    /// What is told of it under each URL by which clients know it, of which no two have the same path. One with a path is a
    /// tenant's: all is served under that path, too.
    pub metadata: Vec<Metadata>,
    /// What answers say of receipts to requests that ask for that, in `options.receipt`.
    pub receipts: Option<ReceiptOffer>,
}

impl Default for AuthzenConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_evaluations: 1000,
            max_concurrent_requests: 1024,
            max_concurrent_searches: 4,
            max_page_size: 1000,
            decision_context: false,
            decision_context_on_request: false,
            metadata: Vec::new(),
            receipts: None,
        }
    }
}

/// What answers the questions. The product has one, [`Authorizer`]; tests have others.
pub trait Evaluate: Send + Sync + 'static {
    /// Answers one question of `by`.
    fn evaluate(&self, query: Query<'_>, by: Asker<'_>) -> Verdict;

    /// Answers one question of a client that is told nothing but yes or no.
    fn evaluate_plainly(&self, query: Query<'_>, by: Asker<'_>) -> Verdict {
        self.evaluate(query, by).without_obligations()
    }

    /// Answers a search. It may take up to a second.
    fn search(&self, search: &Search<'_>, by: Asker<'_>) -> Found;

    /// Records and denies a part of a request that asks nothing; `what` says what is known of it.
    fn refuse(&self, what: &str, by: Asker<'_>) -> Verdict;

    /// Records and denies all that a caller could ask who is of another trust domain and not let in.
    fn refuse_caller(&self, caller: &SpiffeId, by: Asker<'_>) -> Verdict {
        self.refuse(caller.as_str(), by)
    }
}

impl Evaluate for Authorizer {
    fn evaluate(&self, query: Query<'_>, by: Asker<'_>) -> Verdict {
        Self::evaluate(self, query, by)
    }

    fn evaluate_plainly(&self, query: Query<'_>, by: Asker<'_>) -> Verdict {
        Self::evaluate_plainly(self, query, by)
    }

    fn search(&self, search: &Search<'_>, by: Asker<'_>) -> Found {
        Self::search(self, search, by)
    }

    fn refuse(&self, what: &str, by: Asker<'_>) -> Verdict {
        Self::refuse(self, Edge::Authzen, what, Reason::Undecodable, by)
    }

    fn refuse_caller(&self, caller: &SpiffeId, by: Asker<'_>) -> Verdict {
        Self::refuse_caller(self, Edge::Authzen, caller, by)
    }
}

/// The API with somebody's answers. What bounds its work is one for all listeners that serve it.
#[derive(Debug)]
pub struct AuthzenApi<E> {
    service: Service<E>,
    metrics: Metrics,
}

impl<E: Evaluate> AuthzenApi<E> {
    /// That with `pdp`'s answers.
    pub fn new(pdp: Arc<E>, config: AuthzenConfig, metrics: Metrics) -> Self {
        Self { service: Service::new(pdp, config), metrics }
    }

    /// What a listener serves where `access` says who may ask. Whoever asks is authenticated first; the metadata are everybody's
    /// to read.
    pub fn router(&self, access: Access) -> Router {
        let service = self.service.at(access);
        let all = &service.config.metadata;
        let tenants = all.iter().filter_map(|metadata| Some((metadata.identifier().path(), metadata.tenant()?)));
        let tenants: Vec<_> = tenants.collect();
        let endpoints = endpoints(&service.access, &service.pdp);
        let mut routes = if tenants.is_empty() { endpoints.clone() } else { of_tenant(&endpoints, None) };
        for (path, tenant) in tenants {
            routes = routes.nest(path, of_tenant(&endpoints, Some(tenant.into())));
        }
        for metadata in all {
            let document = metadata.clone();
            let told = get(move || async move { document.response() }).fallback(method_not_allowed);
            routes = routes.route(&metadata.path(), told);
        }
        routes
            .fallback(not_found)
            .with_state(Arc::new(service))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(middleware::from_fn_with_state(self.metrics.clone(), metrics::count))
            .layer(middleware::from_fn(echo))
    }
}

/// The answer to one question. Who is not told what else must be done is not permitted what depends on it.
async fn verdict<E: Evaluate>(pdp: &E, query: Query<'_>, by: Asker<'_>, with_context: bool) -> Verdict {
    let verdict = if with_context { pdp.evaluate(query, by) } else { pdp.evaluate_plainly(query, by) };
    verdict.settled().await
}

fn endpoints<E: Evaluate>(access: &Arc<Access>, pdp: &Arc<E>) -> Router<Arc<Service<E>>> {
    let routes = Router::new()
        .route(EVALUATION_PATH, post(evaluation::<E>).fallback(method_not_allowed))
        .route(EVALUATIONS_PATH, post(evaluations::<E>).fallback(method_not_allowed))
        .route(SUBJECT_SEARCH_PATH, post(search::subjects::<E>).fallback(method_not_allowed))
        .route(RESOURCE_SEARCH_PATH, post(search::resources::<E>).fallback(method_not_allowed))
        .route(ACTION_SEARCH_PATH, post(search::actions::<E>).fallback(method_not_allowed));
    match &access.callers {
        None => routes,
        Some(callers) => {
            let gate = (Arc::clone(callers), Arc::clone(access), Arc::clone(pdp));
            routes.route_layer(middleware::from_fn_with_state(gate, asking::authenticate::<E>))
        }
    }
}

/// The same, where it is known for which tenant a request comes in.
fn of_tenant<S: Clone + Send + Sync + 'static>(endpoints: &Router<S>, tenant: Option<Arc<str>>) -> Router<S> {
    endpoints.clone().layer(Extension(Tenant(tenant)))
}

#[derive(Debug)]
struct Service<E> {
    pdp: Arc<E>,
    config: Arc<AuthzenConfig>,
    access: Arc<Access>,
    bodies: Bodies,
    memory: Memory,
    room: Arc<Semaphore>,
    searches: Arc<Semaphore>,
}

/// A request that was let in: its members, its place among those at work, and its share of what they may hold.
struct Admitted {
    members: Members<'static>,
    _place: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl<E: Evaluate> Service<E> {
    fn new(pdp: Arc<E>, config: AuthzenConfig) -> Self {
        let bodies = Bodies::new(config.max_body_bytes);
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let (room, searches) = (places(config.max_concurrent_requests), places(config.max_concurrent_searches));
        Self { pdp, config: Arc::new(config), access: Arc::default(), bodies, memory: Memory::new(), room, searches }
    }

    /// The same, with the same bounds, where `access` says who may ask.
    fn at(&self, access: Access) -> Self {
        Self {
            pdp: Arc::clone(&self.pdp),
            config: Arc::clone(&self.config),
            access: Arc::new(access),
            bodies: self.bodies.clone(),
            memory: self.memory.clone(),
            room: Arc::clone(&self.room),
            searches: Arc::clone(&self.searches),
        }
    }

    /// Reads the request, and lets it in if there is room.
    async fn admit(&self, request: Request) -> Result<Admitted, Failure> {
        if !is_json(request.headers()) {
            return Err(Failure::bad_request("the content type must be `application/json`"));
        }
        if request.headers().contains_key(CONTENT_ENCODING) {
            return Err(Failure::bad_request("the body must not have a content encoding"));
        }
        let body = self.bodies.read(request.into_body()).await?;
        let full = |_no_permits| Failure::too_many("too many requests are at work");
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(full)?;
        let members = question::object(&body.bytes)?;
        let share = self.memory.hold(members.all())?;
        Ok(Admitted { members, _place: (place, share) })
    }

    async fn decide(
        &self,
        mut query: Query<'_>,
        asking: &Asking,
        (with_context, wanted): (bool, Option<ReceiptWanted>),
    ) -> Response {
        asking.restrict(&mut query);
        let verdict = verdict(&*self.pdp, query, asking.by(), with_context).await;
        let receipt = match (&self.config.receipts, wanted) {
            (Some(offer), Some(wanted)) if verdict.outcome != Outcome::Error => {
                offer.told(wanted, verdict.id, RECEIPT_WITHIN).await
            }
            _ => None,
        };
        answer::response(&verdict, with_context, receipt)
    }

    fn context_policy(&self) -> ContextPolicy {
        ContextPolicy { by_default: self.config.decision_context, on_request: self.config.decision_context_on_request }
    }
}

impl From<QuestionError> for Failure {
    fn from(error: QuestionError) -> Self {
        Self::bad_request(&error)
    }
}

async fn evaluation<E: Evaluate>(
    State(service): State<Arc<Service<E>>>,
    request: Request,
) -> Result<Response, Failure> {
    let asking = Asking::of(&request, &service.access);
    let Admitted { mut members, _place } = service.admit(request).await?;
    let policy = service.context_policy();
    // `options` are no member of a single question, so they are only looked at where they can mean something.
    let has_receipts = service.config.receipts.is_some();
    let mut options = if policy.on_request || has_receipts { members.optional_object("options")? } else { None };
    let with_context = policy.read(options.as_mut())?;
    let wanted = options::receipt(options.as_mut(), has_receipts)?;
    Ok(service.decide(question::query(members)?, &asking, (with_context, wanted)).await)
}

async fn evaluations<E: Evaluate>(
    State(service): State<Arc<Service<E>>>,
    request: Request,
) -> Result<Response, Failure> {
    let asking = Asking::of(&request, &service.access);
    let Admitted { mut members, _place } = service.admit(request).await?;
    let mut options = members.optional_object("options")?;
    let semantic = Semantic::read(options.as_mut())?;
    let with_context = service.context_policy().read(options.as_mut())?;
    let receipts = service.config.receipts.as_ref();
    let wanted = options::receipt(options.as_mut(), receipts.is_some())?;
    let items = match members.take("evaluations") {
        None => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(members.wrong("evaluations", "an array").into()),
    };
    if items.is_empty() {
        return Ok(service.decide(question::query(members)?, &asking, (with_context, wanted)).await);
    }
    let batch = Batch::new(members, items, semantic, service.config.max_evaluations)?;
    let told = (with_context, receipts.filter(|_| wanted.is_some()));
    let decisions = batch.put(&*service.pdp, &asking, told).await?;
    Ok(Json(decisions).into_response())
}

/// Whether there is one content type and it is `application/json`, whatever its parameters: RFC 8259 section 11
/// defines none, and clients send `charset=utf-8` all the same.
fn is_json(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::to_str);
    let (Some(Ok(content_type)), None) = (given.next(), given.next()) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
