//! The search APIs (Authorization API 1.0, section 8): a question of which one part is left open. Who answers knows the
//! candidates; nobody sends them along.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;

use super::super::failure::Failure;
use super::asking::Asking;
use super::page::{PageAnswer, PageError, PageRequest, Place};
use super::question::{Members, QuestionError, action, entity, nameless};
use super::{Admitted, Evaluate, Service, answer};
use crate::decision::search::{Found, Page, Search, SearchError, Sought};
use crate::decision::{Action, Entity, Query};
use crate::evidence::DecisionId;
use crate::foundation::digest::Digest;

/// Which part of a question is left open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Open {
    Subject,
    Resource,
    Action,
}

/// The answer, its members in the order that the specification recommends.
#[derive(Debug, Serialize)]
struct Results {
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<PageAnswer>,
    results: Vec<Named>,
}

/// One result: an entity by type and id, or an action by name, and nothing else.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Named {
    Entity {
        #[serde(rename = "type")]
        kind: Arc<str>,
        id: String,
    },
    Action {
        name: String,
    },
}

impl Open {
    /// The question that these members ask, with an empty name in its open place, which no client can write there.
    fn read(self, mut members: Members<'_>) -> Result<Query<'static>, QuestionError> {
        let subject = members.required_object("subject")?;
        let subject = if self == Self::Subject { nameless(subject) } else { entity(subject) }?;
        let action = match self {
            Self::Action => Action::named(""),
            Self::Subject | Self::Resource => action(members.required_object("action")?)?,
        };
        let resource = members.required_object("resource")?;
        let resource = if self == Self::Resource { nameless(resource) } else { entity(resource) }?;
        let context = members.object("context")?.unwrap_or_default().into();
        Ok(Query { subject, action, resource, context, extra: Vec::new() })
    }

    fn search(self, query: Query<'static>, after: Option<String>, limit: usize) -> Search<'static> {
        let Query { subject, action, resource, context, extra: _ } = query;
        let sought = match self {
            Self::Subject => {
                let Entity { kind, properties, overlay, .. } = subject;
                Sought::Subjects { kind, properties, overlay, action, resource }
            }
            Self::Resource => {
                let Entity { kind, properties, overlay, .. } = resource;
                Sought::Resources { subject, action, kind, properties, overlay }
            }
            Self::Action => Sought::Actions { subject, resource },
        };
        Search { sought, context, after, limit }
    }

    /// The type of what is found; empty for actions, which have none.
    fn kind(self, query: &Query<'_>) -> Arc<str> {
        match self {
            Self::Subject => Arc::from(&*query.subject.kind),
            Self::Resource => Arc::from(&*query.resource.kind),
            Self::Action => Arc::from(""),
        }
    }

    fn named(self, name: String, kind: &Arc<str>) -> Named {
        match self {
            Self::Subject | Self::Resource => Named::Entity { kind: Arc::clone(kind), id: name },
            Self::Action => Named::Action { name },
        }
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        Self::bad_request(&error)
    }
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::TooMuchWork => Self::bad_request(&error),
            SearchError::Unrecorded => answer::unrecorded(),
            SearchError::CallerNotPermitted => answer::not_permitted(),
            SearchError::Internal => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

pub(super) async fn subjects<E: Evaluate>(
    State(service): State<Arc<Service<E>>>,
    request: Request,
) -> Result<Response, Failure> {
    search(&service, request, Open::Subject).await
}

pub(super) async fn resources<E: Evaluate>(
    State(service): State<Arc<Service<E>>>,
    request: Request,
) -> Result<Response, Failure> {
    search(&service, request, Open::Resource).await
}

pub(super) async fn actions<E: Evaluate>(
    State(service): State<Arc<Service<E>>>,
    request: Request,
) -> Result<Response, Failure> {
    search(&service, request, Open::Action).await
}

async fn search<E: Evaluate>(service: &Service<E>, request: Request, open: Open) -> Result<Response, Failure> {
    let asking = Asking::of(&request, &service.access);
    let Admitted { mut members, _place } = service.admit(request).await?;
    let page = PageRequest::read(members.optional_object("page")?)?;
    let mut query = open.read(members)?;
    asking.restrict(&mut query);
    let (digest, kind, asked) = (query.digest(), open.kind(&query), page.given);
    let place = page.place(&digest)?;
    let search = open.search(query, place.after.clone(), place.length(service.config.max_page_size));
    let (id, found) = run(service, search, asking).await?;
    let response = found.map_err(Failure::from).and_then(|page| {
        let page = Results {
            page: page_answer(asked, &page, &place, &digest)?,
            results: page.names.into_iter().map(|name| open.named(name, &kind)).collect(),
        };
        Ok(Json(page).into_response())
    });
    Ok(answer::named(id, response.into_response()))
}

/// There is a page in an answer if the client asked for one, or if this is not all.
fn page_answer(asked: bool, page: &Page, place: &Place, request: &Digest) -> Result<Option<PageAnswer>, Failure> {
    if !page.more {
        return Ok(asked.then(|| PageAnswer { next_token: String::new() }));
    }
    let next = place.next(request, page.names.last().map(String::as_str));
    let internal = |error: serde_json::Error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    Ok(Some(PageAnswer { next_token: next.map_err(internal)? }))
}

/// Searches on a thread of its own, since it may take its time; there are only so many. If the client goes away, the
/// search still holds its place until it ends.
async fn run<E: Evaluate>(
    service: &Service<E>,
    search: Search<'static>,
    asking: Asking,
) -> Result<(DecisionId, Result<Page, SearchError>), Failure> {
    let closed = |_closed| Failure::from(SearchError::Internal);
    let turn = Arc::clone(&service.searches).acquire_owned().await.map_err(closed)?;
    let pdp = Arc::clone(&service.pdp);
    let searching = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        pdp.search(&search, asking.by())
    });
    match searching.await {
        Ok(found) => {
            let Found { id, result, .. } = found.settled().await;
            Ok((id, result))
        }
        // As if it had panicked here, so that it is told and answered as any other.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => Err(SearchError::Internal.into()),
        },
    }
}
