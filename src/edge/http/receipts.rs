//! `GET /v1/audit/receipt/{decision id}`: what proves a decision to whoever has the log's key. Ids can't be guessed, so who
//! has one has it from the answer or from a log of it, and may have its record.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::rejection::PathRejection;
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

/// How many receipts are made at a time, whether or not those who asked still wait.
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
    turns: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl ReceiptDesk {
    /// A desk that is not open yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (turns, room) = (Arc::new(Semaphore::new(AT_A_TIME)), Arc::new(Semaphore::new(WAITING)));
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
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(full)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_closed| closed())?;
        let now = self.clock.now();
        let find = move || {
            // A client that hangs up ends the waiting and not the work, so the work has the places.
            let _places = (room, turn);
            receipts.find_near(id, now)
        };
        let found = tokio::task::spawn_blocking(find).await;
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::OpenOptionsExt as _;

    use portcullis_tlog::note::NoteSigner;
    use portcullis_tlog::policy::Policy;
    use tokio::task::JoinSet;

    use super::*;
    use crate::foundation::clock::{SystemClock, Timestamp};
    use crate::foundation::entropy::SystemEntropy;

    /// The log's checkpoint is a FIFO, so whoever reads it waits until somebody writes.
    #[tokio::test(flavor = "multi_thread")]
    async fn who_hangs_up_leaves_no_place_to_another_before_the_work_is_done() {
        let log = tempfile::tempdir().unwrap();
        let checkpoint = log.path().join("checkpoint");
        nix::unistd::mkfifo(&checkpoint, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let key = NoteSigner::from_seed("log.example".parse().unwrap(), &[1; 32]).unwrap();
        let desk = Arc::new(ReceiptDesk::new(Arc::new(SystemClock::new())));
        desk.open(Receipts::new(log.path(), Policy::log_only("log.example", key.verifier().clone())));
        let id = DecisionId::new(Timestamp::default(), &SystemEntropy::new()).unwrap();
        let mut asked = JoinSet::new();
        asked.spawn({
            let desk = Arc::clone(&desk);
            async move { desk.find(id).await.map(drop).map_err(drop) }
        });
        // It can be opened for writing once it is being read.
        let open =
            || fs::OpenOptions::new().write(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(&checkpoint);
        let writer = loop {
            match open() {
                Ok(writer) => break writer,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        asked.abort_all();
        assert!(asked.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!((desk.turns.available_permits(), desk.room.available_permits()), (AT_A_TIME - 1, WAITING - 1));
        drop(writer);
        let _all = desk.turns.acquire_many(u32::try_from(AT_A_TIME).unwrap()).await.unwrap();
    }
}
