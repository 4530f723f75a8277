//! Records of the gateway itself: that it runs, and what it did not record, answer or know.

use std::borrow::Cow;

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::Epoch;

/// What a process does.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum ProcessEvent {
    /// It begins to serve.
    #[n(0)]
    Start,
    /// It has served, and ends as it should.
    #[n(1)]
    Stop,
}

impl ProcessEvent {
    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// A process begins or ends. One that begins without the one before having ended took over, or follows a crash.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct ProcessRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// What it does.
    #[n(1)]
    pub event: ProcessEvent,
    /// The version of the program.
    #[n(2)]
    pub version: Cow<'static, str>,
    /// Whether it takes the sockets over from another.
    #[n(3)]
    pub takeover: bool,
    /// When answers follow their records: `group` or `strict`.
    #[n(4)]
    pub durability: Cow<'static, str>,
    /// What becomes of answers whose records can't be taken: `refuse` or `alarm`.
    #[n(5)]
    pub unavailable: Cow<'static, str>,
    /// SHA-256 of the public key that verifies the log's Ed25519 signatures.
    #[n(6)]
    pub log_key: Digest,
}

/// Answers were given that have no record, as the operator wants it.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct UnrecordedRecord {
    /// When that was over, as far as it is known.
    #[n(0)]
    pub time: Timestamp,
    /// Before when it did not happen.
    #[n(1)]
    pub since: Timestamp,
    /// How many records there are not.
    #[n(2)]
    pub count: u64,
}

/// The bundle of a trust domain is another: ours, or that of others.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct BundleRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// Whose.
    #[n(1)]
    pub trust_domain: String,
    /// Which state of the bundles has it, as in decisions.
    #[n(2)]
    pub bundle_epoch: Epoch,
    /// Its `spiffe_sequence`; `None` if there is no bundle any more.
    #[n(3)]
    pub bundle_sequence: Option<u64>,
    /// The certificates of those who sign X.509-SVIDs.
    #[n(4)]
    pub x509_authorities: Vec<Digest>,
    /// The key ids of those who sign JWT-SVIDs.
    #[n(5)]
    pub jwt_authorities: Vec<String>,
    /// How many lists of revoked certificates come with it.
    #[n(6)]
    pub revocation_lists: usize,
}

/// Requests that were answered without being looked at any further: nobody knows who asked, or there was no room.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct TurnedAwayRecord {
    /// When the last of them came, or was counted.
    #[n(0)]
    pub time: Timestamp,
    /// Since when they are counted.
    #[n(1)]
    pub since: Timestamp,
    /// Where they came in.
    #[n(2)]
    pub edge: Cow<'static, str>,
    /// Why, in a word of a fixed list.
    #[n(3)]
    pub reason: Cow<'static, str>,
    /// How many.
    #[n(4)]
    pub count: u64,
    /// From where: the first few, in order.
    #[n(5)]
    pub peers: Vec<String>,
}

/// A source of entities was read.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct EntityLoadRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// Which.
    #[n(1)]
    pub source: String,
    /// Which state of all entities has what it said.
    #[n(2)]
    pub entity_epoch: Epoch,
    /// How many entities it has in force.
    #[n(3)]
    pub entities: usize,
    /// How many of its records were refused.
    #[n(4)]
    pub refused: usize,
    /// Why it could not be read, if it could not: then what it said before stands.
    #[n(5)]
    pub error: Option<String>,
}
