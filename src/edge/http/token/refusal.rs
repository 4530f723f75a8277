//! How a client is told that there is no token (RFC 6749 section 5.2): a status, a code, and words that repeat nothing of what
//! it sent.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use super::super::failure::Failure;
use crate::delegation::exchange::{ClientError, ErrorCode, ExchangeError};

/// The scheme under which clients could have shown who they are, had we one (RFC 9110 section 11.6.1).
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="token""#);

/// In how many seconds a client that was turned away should come again.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// There is no token.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, description: description.into(), header: None }
    }

    pub(super) fn bad_request(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest.name(), description)
    }

    pub(super) fn bad_target(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidTarget.name(), description)
    }

    pub(super) fn unsupported_grant() -> Self {
        let description = "the only grant is `urn:ietf:params:oauth:grant-type:token-exchange`";
        Self::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", description)
    }

    /// Nobody is told why.
    pub(super) fn unknown_client() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "it is not known who asks")
    }

    /// The same for one who tried it by `Authorization`.
    pub(super) fn challenged(self) -> Self {
        Self { header: Some((WWW_AUTHENTICATE, CHALLENGE)), ..self }
    }

    /// There is no room, and will be soon.
    pub(super) fn full() -> Self {
        let code = ErrorCode::Unavailable.name();
        let full = Self::new(StatusCode::TOO_MANY_REQUESTS, code, "too many requests are at work");
        Self { header: Some((RETRY_AFTER, COME_AGAIN)), ..full }
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        // At this level because any client can bring it about, as often as it likes.
        tracing::debug!("a client was refused: {error}");
        match error {
            ClientError::Unknown(_) => {
                let code = ErrorCode::Unavailable.name();
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, "it can't be told at the moment who asks")
            }
            ClientError::Several => Self::bad_request("there must not be more than one credential"),
            _ => Self::unknown_client(),
        }
    }
}

impl From<ExchangeError> for Refusal {
    fn from(error: ExchangeError) -> Self {
        let status = match error.code() {
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.code().name(), error.to_string())
    }
}

/// A body that was not read.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure.status() {
            StatusCode::TOO_MANY_REQUESTS => Self::full(),
            StatusCode::PAYLOAD_TOO_LARGE => {
                let code = ErrorCode::InvalidRequest.name();
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, "the body is too large")
            }
            status => Self::new(status, ErrorCode::InvalidRequest.name(), "the body could not be read"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": self.error, "error_description": self.description});
        let mut response = (self.status, Json(body)).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
