//! The token endpoint: tokens for tokens (RFC 6749 section 3.2, RFC 8693 section 2), and what is told of it (RFC 8414).
//!
//! Nothing is taken but a form, each of whose parameters is there once. Who asks is proved before it is looked at what they
//! ask for. No answer may be kept.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use http::{Extensions, HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use self::form::Form;
use self::refusal::Refusal;
use super::body::Bodies;
use super::failure::{method_not_allowed, not_found, panicked};
use super::identifier::Identifier;
use super::request_id::{RequestId, echo};
use crate::delegation::exchange::{
    Client, Clients, Credentials, Exchange, ExchangeRequest, Exchanged, ShownToken, TokenType,
};
use crate::foundation::clock::Clock;
use crate::foundation::json;
use crate::server::ConnectionInfo;

pub use self::metrics::Metrics;

mod form;
mod metadata;
mod metrics;
mod refusal;

#[cfg(test)]
mod tests;

/// The path of the endpoint, below the issuer.
pub const TOKEN_PATH: &str = "/token";

/// The only grant (RFC 8693 section 2.1).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The only kind of assertion by which clients say who they are (draft-ietf-oauth-spiffe-client-auth).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// The longest body that is read, in bytes: three tokens of 8 KiB, and what a transaction is about.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// How the endpoint is served.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// The name of who issues, under whose path all is served.
    pub issuer: Identifier,
    /// The scopes that there are.
    pub scopes: Vec<String>,
    /// Where the keys are that its tokens are verified with, if that is somewhere.
    pub keys: Option<String>,
    /// Requests whose body has been read and that are not answered yet; one more is answered with 429.
    pub max_concurrent_requests: usize,
}

struct Service {
    exchange: Exchange,
    clients: Clients,
    clock: Arc<dyn Clock>,
    bodies: Bodies,
    room: Semaphore,
    metadata: Value,
}

/// Serves the endpoint, and its metadata.
pub fn token_router(
    (exchange, clients): (Exchange, Clients),
    config: &TokenConfig,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
) -> Router {
    let room = Semaphore::new(config.max_concurrent_requests.min(Semaphore::MAX_PERMITS));
    let (bodies, metadata) = (Bodies::new(MAX_BODY_BYTES), metadata::document(config));
    let service = Arc::new(Service { exchange, clients, clock, bodies, room, metadata });
    let path = config.issuer.path();
    Router::new()
        .route(&format!("{path}{TOKEN_PATH}"), post(token).fallback(method_not_allowed))
        .route(&format!("{}{path}", metadata::WELL_KNOWN), get(described).fallback(method_not_allowed))
        .fallback(not_found)
        .with_state(service)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(metrics, metrics::count))
        .layer(middleware::from_fn(kept_by_nobody))
        .layer(middleware::from_fn(echo))
}

/// RFC 6749 section 5.1 asks for both.
async fn kept_by_nobody(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

async fn described(State(service): State<Arc<Service>>) -> Response {
    Json(&service.metadata).into_response()
}

async fn token(State(service): State<Arc<Service>>, request: Request) -> Result<Response, Refusal> {
    check_shape(&request)?;
    let (parts, body) = request.into_parts();
    let request_id = RequestId::of_headers(&parts.headers);
    let body = service.bodies.read(body).await?;
    let _place = service.room.try_acquire().map_err(|_no_permits| Refusal::full())?;
    let form = Form::parse(&body.bytes)?;
    let client = service.client(&form, &parts.extensions).await?;
    let request = wanted(&form, &request_id)?;
    let issued = service.exchange.exchange(&request, &client, service.clock.now()).await?;
    Ok(answer(&issued))
}

/// Whether it can be a request for a token at all, by what stands before its body.
fn check_shape(request: &Request) -> Result<(), Refusal> {
    if request.headers().contains_key(AUTHORIZATION) {
        return Err(Refusal::unknown_client().challenged());
    }
    // What stands in a target is written into logs.
    if request.uri().query().is_some() {
        return Err(Refusal::bad_request("parameters are taken from the body alone"));
    }
    if !is_form(request.headers()) {
        return Err(Refusal::bad_request("the content type must be `application/x-www-form-urlencoded`"));
    }
    Ok(())
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::to_str);
    let (Some(Ok(content_type)), None) = (given.next(), given.next()) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

impl Service {
    /// Whose request it is.
    async fn client(&self, form: &Form, extensions: &Extensions) -> Result<Client, Refusal> {
        let assertion = match (form.get("client_assertion"), form.get("client_assertion_type")) {
            (None, None) => None,
            (Some(assertion), Some(ASSERTION)) => Some(assertion),
            _ => return Err(Refusal::unknown_client()),
        };
        // Nobody has one here, so whoever sends one mistakes us for somebody else.
        if form.get("client_secret").is_some() {
            return Err(Refusal::unknown_client());
        }
        let connection = extensions.get::<ConnectionInfo>();
        let certificate = connection.and_then(|connection| connection.certificate.as_ref());
        let shown = Credentials { certificate, assertion, client_id: form.get("client_id") };
        Ok(self.clients.authenticate(shown, self.clock.now()).await?)
    }
}

/// What is wanted.
fn wanted<'f>(form: &'f Form, request_id: &'f RequestId) -> Result<ExchangeRequest<'f>, Refusal> {
    match form.get("grant_type") {
        Some(GRANT) => {}
        Some(_) => return Err(Refusal::unsupported_grant()),
        None => return Err(Refusal::bad_request("`grant_type` is missing")),
    }
    let subject = shown(form, "subject_token", "subject_token_type")?;
    let subject = subject.ok_or_else(|| Refusal::bad_request("`subject_token` is missing"))?;
    let kind = form.get("requested_token_type").map(kind).transpose()?;
    let audience = match (form.get("audience"), form.get("resource")) {
        (Some(_), Some(_)) => return Err(Refusal::bad_target("`audience` and `resource` both say for whom")),
        (audience, resource) => audience.or(resource),
    };
    Ok(ExchangeRequest {
        subject,
        actor: shown(form, "actor_token", "actor_token_type")?,
        wanted: kind.unwrap_or(TokenType::AccessToken),
        audience,
        scope: form.get("scope"),
        request_context: object(form, "request_context")?,
        request_details: object(form, "request_details")?,
        request_id: request_id.as_str(),
        traceparent: request_id.traceparent(),
    })
}

/// A token and its type, of which neither is there without the other.
fn shown<'f>(form: &'f Form, token: &str, of: &str) -> Result<Option<ShownToken<'f>>, Refusal> {
    match (form.get(token), form.get(of)) {
        (None, None) => Ok(None),
        (Some(token), Some(uri)) => Ok(Some(ShownToken { token, kind: kind(uri)? })),
        _ => Err(Refusal::bad_request("a token and its type must both be there, or neither")),
    }
}

fn kind(uri: &str) -> Result<TokenType, Refusal> {
    uri.parse().map_err(|_unknown| Refusal::bad_request("a type of token is not known here"))
}

/// A parameter that holds a JSON object.
fn object(form: &Form, name: &str) -> Result<Option<Map<String, Value>>, Refusal> {
    let Some(text) = form.get(name) else { return Ok(None) };
    match json::read(text.as_bytes()) {
        Ok(Value::Object(members)) => Ok(Some(members)),
        _ => Err(Refusal::bad_request("`request_context` and `request_details` must be JSON objects")),
    }
}

/// RFC 8693 section 2.2.1. A transaction token is no access token, so it has no type to be used by.
fn answer(issued: &Exchanged) -> Response {
    let token_type = if issued.kind == TokenType::TransactionToken { "N_A" } else { "Bearer" };
    Json(json!({
        "access_token": issued.token.expose(),
        "issued_token_type": issued.kind.uri(),
        "token_type": token_type,
        "expires_in": issued.expires_in.as_secs(),
        "scope": issued.scope,
    }))
    .into_response()
}
