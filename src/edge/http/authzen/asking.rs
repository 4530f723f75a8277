//! Who asks: reads what a request shows for it (RFC 6750 section 2.1, and what the connection knows), and answers 401 to who
//! is nobody (Authorization API 1.0, section 10.1.2). A client is told whether it showed nothing, something that does not count, or
//! too much, and never why something does not count.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::super::failure::Failure;
use super::super::request_id::RequestId;
use super::access::{Access, Tenant};
use crate::decision::{Asker, Caller, CallerError, Callers, Credentials, Query};
use crate::server::{ConnectionInfo, Peer};

/// The only scheme under which credentials are taken. Its case does not matter (RFC 9110 section 11.1).
const BEARER: &str = "bearer";

/// How much is read of the body of who is nobody, in bytes, and how long that may take.
const DISCARDED: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// The challenges (RFC 6750 section 3): to who showed nothing, there is no error to tell.
const NOTHING: HeaderValue = HeaderValue::from_static(r#"Bearer realm="authzen""#);
const INVALID: HeaderValue = HeaderValue::from_static(r#"Bearer realm="authzen", error="invalid_token""#);
const SEVERAL: HeaderValue = HeaderValue::from_static(r#"Bearer realm="authzen", error="invalid_request""#);

/// The key of the context that says for which tenant a question is asked. Where there are tenants it is nobody's to write.
const TENANT: &str = "tenant";

/// Who asks, where, and what they call their request.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    access: Arc<Access>,
    caller: Option<Caller>,
    tenant: Option<Tenant>,
    request_id: RequestId,
}

impl Asking {
    /// That of a request that [`authenticate`] let through, if it is there at all.
    pub(super) fn of(request: &Request, access: &Arc<Access>) -> Self {
        let extensions = request.extensions();
        Self {
            access: Arc::clone(access),
            caller: extensions.get().cloned(),
            tenant: extensions.get().cloned(),
            request_id: RequestId::of(request),
        }
    }

    /// Leaves out of a question what its caller may not say, and says in it for which tenant it is asked.
    pub(super) fn restrict(&self, query: &mut Query<'_>) {
        self.access.statements.restrict(query, self.caller.as_ref());
        match &self.tenant {
            None => {}
            Some(Tenant(None)) => query.context.retain(|name| name != TENANT),
            Some(Tenant(Some(tenant))) => query.context.insert(TENANT, tenant.to_string()),
        }
    }

    pub(super) fn by(&self) -> Asker<'_> {
        Asker {
            caller: self.caller.as_ref(),
            tenant: self.tenant.as_ref().and_then(|Tenant(tenant)| tenant.as_deref()),
            exempt: self.access.exempt,
            request_id: self.request_id.as_str(),
            traceparent: self.request_id.traceparent(),
        }
    }
}

/// Lets through whoever proves to be one of `callers`, and says who that is. Nothing of the body is looked at before.
pub(super) async fn authenticate(State(callers): State<Arc<Callers>>, mut request: Request, next: Next) -> Response {
    match caller(&callers, request.headers(), request.extensions()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => {
            let _late = timeout(PATIENCE, discard(request.into_body())).await;
            failure.into_response()
        }
    }
}

/// Reads what may be on its way already: an answer that comes before the end of its question is an error to some clients,
/// though RFC 9113 section 8.1 allows it.
async fn discard(mut body: Body) {
    let mut left = DISCARDED;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}

fn caller(callers: &Callers, headers: &HeaderMap, extensions: &Extensions) -> Result<Caller, Failure> {
    let bearer = bearer(headers)?;
    let connection = extensions.get::<ConnectionInfo>();
    let certificate = connection.and_then(|connection| connection.certificate.as_ref());
    let user = connection.and_then(|connection| match &connection.peer {
        Peer::Unix(peer) => Some(peer.uid),
        Peer::Tcp(_) => None,
    });
    callers.authenticate(Credentials { certificate, bearer, user }).map_err(|error| {
        // At this level because any client can bring it about, as often as it likes.
        tracing::debug!("a caller was refused: {error}");
        match (error, bearer) {
            (CallerError::Several, _) => several(),
            (CallerError::Unproved(_), Some(_)) => unauthorized(INVALID),
            // There is no word for a certificate that does not count.
            (CallerError::Missing | CallerError::Unproved(_), _) => unauthorized(NOTHING),
        }
    })
}

/// What stands after `Bearer` in the one header that may be there. It is looked for nowhere else: paths and bodies are logged.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(several());
    }
    let credentials = value.to_str().ok().and_then(|value| value.split_once(' '));
    match credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(BEARER)) {
        Some((_, shown)) => Ok(Some(shown.trim_matches(' '))),
        None => Err(unauthorized(INVALID)),
    }
}

fn unauthorized(challenge: HeaderValue) -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, "it is not known who asks").with_header((WWW_AUTHENTICATE, challenge))
}

fn several() -> Failure {
    Failure::bad_request("there must not be more than one credential").with_header((WWW_AUTHENTICATE, SEVERAL))
}
