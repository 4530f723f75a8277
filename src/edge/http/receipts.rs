//! `GET /v1/audit/receipt/{decision id}`: what proves a decision to whoever has the log's key. Ids can't be guessed, so who
//! has one has it from the answer or from a log of it, and may have its record.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use super::failure::{Failure, method_not_allowed};
use crate::edge::receipts::{DeskError, RECEIPT_PATH, ReceiptDesk};
use crate::evidence::receipt::Found;

/// In how many seconds whoever asked too early should come again.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("1");

impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            DeskError::Full => Self::too_many(error.to_string()),
            DeskError::Failed => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

/// The receipts of `desk`.
pub(super) fn receipts_router(desk: Arc<ReceiptDesk>) -> Router {
    Router::new().route(&format!("{RECEIPT_PATH}/{{id}}"), get(receipt).fallback(method_not_allowed)).with_state(desk)
}

async fn receipt(
    State(desk): State<Arc<ReceiptDesk>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    let id = id.ok_or_else(|| Failure::bad_request("a decision's id is a UUID"))?;
    let found = desk.find(id).await?;
    let text = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let uncached = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(match found {
        Found::Receipt(receipt) => ([text, uncached], receipt.to_string()).into_response(),
        Found::Pending => {
            let later = [text, uncached, (RETRY_AFTER, COME_AGAIN)];
            (StatusCode::ACCEPTED, later, "no checkpoint has the decision yet\n").into_response()
        }
        Found::TakenOut => {
            let why = "there is no such decision any more: the log's entries of that time may have been taken out";
            Failure::new(StatusCode::GONE, why).into_response()
        }
        Found::Nothing => Failure::new(StatusCode::NOT_FOUND, "there is no such decision").into_response(),
    })
}
