//! The gate before a real service, called as a router calls it, and what all services' tests share.

use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use super::*;
use crate::evidence::{AdministrationRecord, AppendError, Record, Taken};
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::telemetry::LogLevels;
use crate::server::{ConnectionInfo, Peer, UnixPeer};

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use prost::Message;
use tonic::{Code, Status};
use tower::ServiceExt as _;

/// Keeps what was recorded, and refuses what comes after `room` records.
#[derive(Debug)]
pub(super) struct Notebook {
    records: Mutex<Vec<AdministrationRecord>>,
    room: usize,
}

impl Audit for Notebook {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        let Record::Administration(record) = record else { return Ok(Taken::NOW) };
        let mut records = self.records.lock().unwrap();
        if records.len() >= self.room {
            return Err(AppendError::Full);
        }
        records.push(*record);
        Ok(Taken::NOW)
    }
}

/// Services behind the gate, and what was recorded of their calls.
#[derive(Debug)]
pub(super) struct Desk {
    router: Router,
    notebook: Arc<Notebook>,
}

/// When all tests here take place.
pub(super) fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_795_325_223)
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(now()))
}

impl Desk {
    pub(super) fn new(services: Routes) -> Self {
        Self::with(services, Allowed { uids: vec![peer().uid], gids: Vec::new() }, usize::MAX)
    }

    pub(super) fn with(services: Routes, allowed: Allowed, room: usize) -> Self {
        let notebook = Arc::new(Notebook { records: Mutex::default(), room });
        let metrics = Metrics::new(&mut Registry::default());
        let api = AdminApi::new(allowed, Arc::clone(&notebook) as _, clock(), metrics);
        Self { router: api.router(services), notebook }
    }

    /// Calls `method` (`package.Service/Method`) as this very process.
    pub(super) async fn call<Q: Message, A: Message + Default>(&self, method: &str, question: &Q) -> Result<A, Status> {
        self.call_as(Some(Peer::Unix(peer())), method, question).await
    }

    pub(super) async fn call_as<Q: Message, A: Message + Default>(
        &self,
        peer: Option<Peer>,
        method: &str,
        question: &Q,
    ) -> Result<A, Status> {
        let message = question.encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        let mut request = Request::post(format!("/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::from(body))
            .unwrap();
        request.extensions_mut().extend(
            peer.map(|peer| {
                let mut extensions = http::Extensions::new();
                extensions.insert(ConnectionInfo::of(peer));
                extensions
            })
            .unwrap_or_default(),
        );
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        if let Some(status) = Status::from_header_map(response.headers()) {
            return Err(status);
        }
        let body = response.into_body().collect().await.unwrap();
        let trailers = Status::from_header_map(body.trailers().unwrap()).unwrap();
        assert_eq!(trailers.code(), Code::Ok);
        Ok(A::decode(&body.to_bytes()[5..]).unwrap())
    }

    /// What was recorded since the last look.
    pub(super) fn recorded(&self) -> Vec<AdministrationRecord> {
        std::mem::take(&mut *self.notebook.records.lock().unwrap())
    }
}

/// This process, as the kernel tells it.
pub(super) fn peer() -> UnixPeer {
    let (one, _other) = UnixStream::pair().unwrap();
    UnixPeer::of(&one).unwrap()
}

mod gate;
