//! Records of what becomes of logs: what witnesses find, and what is taken out of ours.

use std::borrow::Cow;

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum WitnessFinding {
    /// It has signed two trees of one size. Both are kept, and prove it.
    #[n(0)]
    Forked,
    /// It can't prove that its tree is the continuation of the one that the witness has cosigned.
    #[n(1)]
    Inconsistent,
    /// Its tree is smaller than the one that the witness has cosigned.
    #[n(2)]
    Shrunk,
}

impl WitnessFinding {
    /// The name in records, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::Inconsistent => "inconsistent",
            Self::Shrunk => "shrunk",
        }
    }
}

/// A witness has found something wrong with a log: we with that of another, or another with ours.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct WitnessRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// The name of the log.
    #[n(1)]
    pub log: String,
    /// The name of the witness.
    #[n(2)]
    pub witness: String,
    /// What is wrong.
    #[n(3)]
    pub finding: WitnessFinding,
    /// How many entries the log says that it has.
    #[n(4)]
    pub size: u64,
    /// Under which root.
    #[n(5)]
    pub root: Digest,
    /// How many entries the witness has cosigned, as far as it is known.
    #[n(6)]
    pub cosigned_size: Option<u64>,
    /// Under which root, likewise.
    #[n(7)]
    pub cosigned_root: Option<Digest>,
}

/// Entries were taken out of our log: they are in the tree for ever, and can be read no longer. Or what no entry names any more was
/// taken out beside it.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct PruneRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// The first entry that was taken out.
    #[n(1)]
    pub first: u64,
    /// The first that is left.
    #[n(2)]
    pub end: u64,
    /// The time before which entries were to go.
    #[n(3)]
    pub before: Timestamp,
    /// What asked for it, in a word: `command` or `retention`.
    #[n(4)]
    pub by: Cow<'static, str>,
    /// How many policy sets, files of entities and certificates went because no entry names them any more, if it was these.
    #[n(5)]
    pub archived: Option<u64>,
}
