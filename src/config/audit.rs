//! The section `audit`: the log of all that happened, and who else is told.

mod exports;
mod witness;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::exports::{Export, ExportTo};
pub use self::witness::{Witness, WitnessAt, Witnesses};

use super::node::{Node, Value};
use super::reader::{Section, Setting};
use super::values::text;
use crate::evidence::log::{Durability, Unavailable};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Longer than any law wants it.
const LONGEST_RETENTION: Duration = Duration::from_hours(24 * 36_500);

/// The longest name of a gateway, in bytes.
const LONGEST_NAME: usize = 64;

/// The section `audit`.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The directory of the log.
    pub log: PathBuf,
    /// The name of this gateway, unique in its trust domain; `None` if it is to follow from the log's key.
    pub gateway: Option<GatewayName>,
    /// When an answer may follow its record.
    pub durability: Durability,
    /// What becomes of answers whose records can't be taken.
    pub unavailable: Unavailable,
    /// How long after a record there is a checkpoint that has it.
    pub checkpoint_every: Duration,
    /// How many records may wait to be written before decisions become errors.
    pub queue: usize,
    /// Where records go as lines of JSON, too.
    pub file: AuditFile,
    /// After how long entries are taken out; never if it is zero.
    pub retention: Duration,
    /// Who else is told of records.
    pub exports: Vec<Export>,
    /// Whether checkpoints and cosignatures of ours are signed by ML-DSA-44 too.
    pub ml_dsa_44: bool,
    /// Who cosigns our log.
    pub witnesses: Witnesses,
    /// Whose logs we cosign.
    pub witness: Witness,
}

/// The name of a gateway: letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GatewayName(pub String);

/// Where records go as lines of JSON.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuditFile {
    /// Nowhere.
    Nowhere,
    /// To the standard output of the process.
    StandardOutput,
    /// To a file, which is appended to.
    Path(PathBuf),
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_>, data_dir: &Path) -> Option<Self> {
        let log = section.value_or("log", Value::Text(format!("{}/log", data_dir.display())));
        let gateway = section.optional("gateway").valid();
        let durability = section.value("durability", "group");
        let unavailable = section.value("unavailable", "refuse");
        let checkpoint_every = section.bounded("checkpoint_every", "1s", (SECOND / 100, MINUTE));
        let queue = section.bounded("queue", "65536", (1, 1 << 20));
        let file = section.value_or("file", Value::Text(format!("{}/audit.jsonl", data_dir.display())));
        let ml_dsa_44 = section.value("ml_dsa_44", "false");
        let witnesses = section.section("witnesses", Witnesses::read);
        let witness = section.section("witness", |section| Witness::read(section, data_dir));
        let exports = exports::read(section);
        let retention = section.bounded("retention", "0s", (Duration::ZERO, LONGEST_RETENTION));
        Some(Self {
            retention: retention?,
            exports: exports?,
            ml_dsa_44: ml_dsa_44?,
            witnesses: witnesses?,
            witness: witness?,
            log: log?,
            gateway: gateway?,
            durability: durability?,
            unavailable: unavailable?,
            checkpoint_every: checkpoint_every?,
            queue: queue?,
            file: file?,
        })
    }
}

impl Setting for GatewayName {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the name of a gateway")?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(format!("`{name}` is not 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Setting for Durability {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`group` or `strict`")? {
            "group" => Ok(Self::Group),
            "strict" => Ok(Self::Strict),
            other => Err(format!("`{other}` is neither `group` nor `strict`")),
        }
    }
}

impl Setting for Unavailable {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`refuse` or `alarm`")? {
            "refuse" => Ok(Self::Refuse),
            "alarm" => Ok(Self::Alarm),
            other => Err(format!("`{other}` is neither `refuse` nor `alarm`")),
        }
    }
}

impl Setting for AuditFile {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        match text(node, "a path, or \"-\" in quotes for standard output, or `none`")? {
            "-" => Ok(Self::StandardOutput),
            "none" => Ok(Self::Nowhere),
            _ => PathBuf::read(node, base).map(Self::Path),
        }
    }

    fn shown(&self, written: &Node) -> Value {
        match self {
            Self::StandardOutput | Self::Nowhere => written.value.clone(),
            Self::Path(path) => path.shown(written),
        }
    }
}
