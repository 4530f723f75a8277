//! Receipts on their way out: made a few at a time, off the threads that answer; and what an answer says of its own, if it is
//! asked.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::evidence::DecisionId;
use crate::evidence::receipt::{Found, ReceiptError, Receipts};
use crate::foundation::clock::Clock;

/// Where receipts are, below the URL that those who ask are told.
pub const RECEIPT_PATH: &str = "/v1/audit/receipt";

/// How many receipts are made at a time, whether or not those who asked still wait.
const AT_A_TIME: usize = 2;

/// How many may wait for their turn.
const WAITING: usize = 64;

/// Where receipts are given out, once the log is open.
#[derive(Debug)]
pub struct ReceiptDesk {
    receipts: OnceLock<Receipts>,
    clock: Arc<dyn Clock>,
    turns: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// Why a desk says nothing of a decision.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DeskError {
    /// It is too early, or too late.
    #[error("the log is not open yet")]
    Closed,
    /// Too many ask.
    #[error("too many wait for receipts")]
    Full,
    /// The log can't be read.
    #[error("the receipt could not be made")]
    Failed,
}

/// What an answer says of the receipt of its decision, to who asks.
#[derive(Clone, Debug)]
pub struct ReceiptOffer {
    url: Arc<str>,
    awaited: Option<Awaited>,
}

/// What a whole receipt is waited for by.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// Where it is made.
    pub desk: Arc<ReceiptDesk>,
    /// How many entries are under a checkpoint.
    pub published: watch::Receiver<u64>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReceiptWanted {
    /// Where it will be.
    Url,
    /// All of it.
    Proof,
}

/// What is told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ReceiptTold {
    /// Of which decision.
    pub decision_id: DecisionId,
    /// Where it is, or will be in a moment.
    pub url: String,
    /// The receipt itself, if it was asked for and there was one in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
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

    /// What there is of a decision.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn find(&self, id: DecisionId) -> Result<Found, DeskError> {
        let receipts = self.receipts.get().ok_or(DeskError::Closed)?.clone();
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_full| DeskError::Full)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_closed| DeskError::Closed)?;
        let now = self.clock.now();
        let find = move || {
            // A client that hangs up ends the waiting and not the work, so the work has the places.
            let _places = (room, turn);
            receipts.find_near(id, now)
        };
        let found = tokio::task::spawn_blocking(find).await;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(decision_id = %id, "no receipt could be made: {error}");
            DeskError::Failed
        };
        found.map_err(|error| failed(&error))?.map_err(|error: ReceiptError| failed(&error))
    }
}

impl ReceiptWanted {
    /// What a client or a proxy asks for by this word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "url" => Some(Self::Url),
            "proof" => Some(Self::Proof),
            _ => None,
        }
    }
}

impl ReceiptOffer {
    /// Receipts are had below `url`, and waited for by `awaited`. Without that they are not.
    pub fn new(url: &str, awaited: Option<Awaited>) -> Self {
        Self { url: url.trim_end_matches('/').into(), awaited }
    }

    /// Whether what is wanted has to be waited for.
    pub fn awaits(&self, wanted: ReceiptWanted) -> bool {
        wanted == ReceiptWanted::Proof && self.awaited.is_some()
    }

    /// Where the receipt of a decision is; nothing if it has none.
    pub fn place(&self, id: DecisionId) -> Option<ReceiptTold> {
        let url = || format!("{}{RECEIPT_PATH}/{id}", self.url);
        (id != DecisionId::NIL).then(|| ReceiptTold { decision_id: id, url: url(), proof: None })
    }

    /// The same, with the receipt if that is wanted and there is one within `patience`.
    pub async fn told(&self, wanted: ReceiptWanted, id: DecisionId, patience: Duration) -> Option<ReceiptTold> {
        let mut told = self.place(id)?;
        if let Some(awaited) = self.awaited.as_ref().filter(|_| wanted == ReceiptWanted::Proof) {
            told.proof = timeout(patience, awaited.receipt(id)).await.ok().flatten();
        }
        Some(told)
    }
}

impl Awaited {
    /// The receipt, once a checkpoint has the decision, which is on the disk; nothing if it can't be had.
    async fn receipt(&self, id: DecisionId) -> Option<String> {
        let mut published = self.published.clone();
        loop {
            // Before the look, so that a checkpoint that comes during it is not missed.
            published.mark_unchanged();
            match self.desk.find(id).await {
                Ok(Found::Receipt(receipt)) => return Some(receipt.to_string()),
                Ok(Found::Pending) => published.changed().await.ok()?,
                Ok(Found::TakenOut | Found::Nothing) | Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
