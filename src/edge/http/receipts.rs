//! `GET /v1/audit/receipt/{decision id}`: what proves a decision to whoever has the log's key. Ids can't be guessed, so who
//! has one has it from the answer or from a log of it, and may have its record.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tokio::sync::Semaphore;

use super::failure::{Failure, method_not_allowed};
use crate::evidence::DecisionId;
use crate::evidence::receipt::{Found, ReceiptError, Receipts};
use crate::foundation::clock::Clock;

/// How many receipts are made at a time. An id that is nowhere takes as long as reading the log.
const AT_A_TIME: usize = 2;

/// How many may wait for their turn.
const WAITING: usize = 64;

/// In how many seconds whoever asked too early should come again.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Where receipts are given out, once the log is open.
#[derive(Debug)]
pub struct ReceiptDesk {
    receipts: OnceLock<Receipts>,
    clock: Arc<dyn Clock>,
    turns: Semaphore,
    room: Semaphore,
}

impl ReceiptDesk {
    /// A desk that is not open yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (turns, room) = (Semaphore::new(AT_A_TIME), Semaphore::new(WAITING));
        Self { receipts: OnceLock::new(), clock, turns, room }
    }

    /// Gives out these from now on.
    pub fn open(&self, receipts: Receipts) {
        // It is opened once.
        let _opened_before = self.receipts.set(receipts);
    }

    async fn find(&self, id: DecisionId) -> Result<Found, Failure> {
        let closed = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the log is not open yet");
        let receipts = self.receipts.get().ok_or_else(closed)?.clone();
        let full = |_full| Failure::too_many("too many wait for receipts");
        let _room = self.room.try_acquire().map_err(full)?;
        let _turn = self.turns.acquire().await.map_err(|_closed| closed())?;
        let now = self.clock.now();
        let found = tokio::task::spawn_blocking(move || receipts.find(id, now)).await;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(decision_id = %id, "no receipt could be made: {error}");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the receipt could not be made")
        };
        found.map_err(|error| failed(&error))?.map_err(|error: ReceiptError| failed(&error))
    }
}

/// The receipts of `desk`.
pub(super) fn receipts_router(desk: Arc<ReceiptDesk>) -> Router {
    Router::new().route("/v1/audit/receipt/{id}", get(receipt).fallback(method_not_allowed)).with_state(desk)
}

async fn receipt(State(desk): State<Arc<ReceiptDesk>>, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = id.parse().map_err(|_no_uuid| Failure::bad_request("a decision's id is a UUID"))?;
    let found = desk.find(id).await?;
    let text = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let uncached = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(match found {
        Found::Receipt(receipt) => ([text, uncached], receipt.to_string()).into_response(),
        Found::Pending => {
            let later = [text, uncached, (RETRY_AFTER, COME_AGAIN)];
            (StatusCode::ACCEPTED, later, "no checkpoint has the decision yet\n").into_response()
        }
        Found::Nothing => Failure::new(StatusCode::NOT_FOUND, "there is no such decision").into_response(),
    })
}
