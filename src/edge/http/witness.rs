//! Cosigning the checkpoints of other logs (C2SP tlog-witness): `POST /add-checkpoint`, and for monitors
//! `GET /<SHA-256 of the log's name>/checkpoint`. There is nothing secret here: what a log may ask is settled by its
//! signature, and who does not know the log's key gets nothing.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use portcullis_tlog::witness::MAX_LENGTH;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tower_http::catch_panic::CatchPanicLayer;

use super::failure::{Failure, method_not_allowed, not_found, panicked};
use crate::evidence::witness::{Book, Declined};

/// The path at which checkpoints are cosigned.
pub const ADD_CHECKPOINT_PATH: &str = "/add-checkpoint";

/// Requests at work at the same time. Each holds a thread and waits for the disk.
const AT_WORK: usize = 16;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

#[derive(Clone)]
struct Service {
    book: Arc<Book>,
    room: Arc<Semaphore>,
}

/// Serves the witness that `book` is of.
pub fn witness_router(book: Arc<Book>) -> Router {
    Router::new()
        .route(ADD_CHECKPOINT_PATH, post(add_checkpoint).fallback(method_not_allowed))
        .route("/{origin}/checkpoint", get(checkpoint).fallback(method_not_allowed))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_LENGTH))
        .with_state(Service { book, room: Arc::new(Semaphore::new(AT_WORK)) })
        .layer(CatchPanicLayer::custom(panicked))
}

impl Service {
    fn admit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = Arc::clone(&self.room).try_acquire_owned();
        place.map_err(|_full| Failure::too_many("too many checkpoints are being looked at"))
    }
}

async fn add_checkpoint(
    State(service): State<Service>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let body = body.map_err(|rejection| Failure::new(rejection.status(), "the request is too large, or broken off"))?;
    let place = service.admit()?;
    let book = Arc::clone(&service.book);
    let answer = spawn_blocking(move || {
        let _place = place;
        book.add_checkpoint(&body)
    });
    let (status, content_type, text) = match answer.await {
        Ok(Ok(lines)) => (StatusCode::OK, PLAIN_TEXT, lines),
        Ok(Err(Declined::Refusal(refusal))) => {
            let (content_type, text) = refusal.body();
            (StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST), content_type, text)
        }
        Ok(Err(Declined::Request(error))) => (StatusCode::BAD_REQUEST, PLAIN_TEXT, format!("{error}\n")),
        Ok(Err(fault)) => {
            tracing::error!("a checkpoint can't be cosigned: {fault}");
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the checkpoint can't be cosigned"));
        }
        Err(_panic) => return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")),
    };
    Ok((status, [(CONTENT_TYPE, content_type)], text).into_response())
}

async fn checkpoint(
    State(service): State<Service>,
    origin: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Path(origin) = origin.map_err(|_no_text| Failure::bad_request("the path is no text"))?;
    let place = service.admit()?;
    let book = Arc::clone(&service.book);
    let read = spawn_blocking(move || {
        let _place = place;
        book.checkpoint(&origin)
    });
    match read.await {
        Ok(Ok(Some(note))) => Ok(([(CONTENT_TYPE, PLAIN_TEXT), (CACHE_CONTROL, "no-cache")], note).into_response()),
        Ok(Ok(None)) => Err(Failure::new(StatusCode::NOT_FOUND, "no checkpoint of such a log was cosigned")),
        Ok(Err(_)) | Err(_) => Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the checkpoint can't be read")),
    }
}
