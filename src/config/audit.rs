//! The section `audit`: the log of all that happened, and who else is told.

mod exports;
mod witness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

pub use self::exports::{Export, ExportTo};
pub use self::witness::{Witness, WitnessAt, Witnesses};

use super::node::{Node, Value};
use super::reader::{Section, Setting};
use super::values::text;
use crate::decision::recording::{Chosen, Part};
use crate::evidence::log::{Durability, Unavailable};
use crate::feeds::fetch::FeedUrl;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Longer than any law wants it.
const LONGEST_RETENTION: Duration = Duration::from_hours(24 * 36_500);

/// The longest name of a gateway, in bytes.
const LONGEST_NAME: usize = 64;

/// The longest path into a context, in bytes.
const LONGEST_PATH: usize = 256;

/// The longest URL, in bytes.
const LONGEST_URL: usize = 1024;

/// How many parts of a question a record may keep.
const MOST_CHOSEN: usize = 32;

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
    /// How long records wait for others to be written with them, where no answer waits for that.
    pub sync_every: Duration,
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
    /// The parts of a question that its record keeps.
    pub context: Vec<Chosen>,
    /// Whether a record keeps the question as a whole.
    pub request: AuditRequest,
    /// Whether receipts are served on the operations listener.
    pub receipts: bool,
    /// By which URL those who ask reach that listener. Without it no answer says where its receipt is.
    pub receipt_url: Option<String>,
}

/// What of the question as a whole is in its record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuditRequest {
    /// A digest.
    Digest,
    /// All of it, and the entities that the policies could look at.
    Full,
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
        let sync_every = section.bounded("sync_every", "50ms", (Duration::ZERO, SECOND));
        let checkpoint_every = section.bounded("checkpoint_every", "1s", (SECOND / 100, MINUTE));
        let queue = section.bounded("queue", "65536", (1, 1 << 20));
        let file = section.value("file", "none");
        let ml_dsa_44 = section.value("ml_dsa_44", "false");
        let witnesses = section.section("witnesses", Witnesses::read);
        let witness = section.section("witness", |section| Witness::read(section, data_dir));
        let exports = exports::read(section);
        let retention = section.bounded("retention", "0s", (Duration::ZERO, LONGEST_RETENTION));
        let context = section.mappings("context", read_chosen);
        let request = section.value("request", "digest");
        let receipts = section.value("receipts", "true");
        let receipt_url = section.optional::<ReceiptUrl>("receipt_url").valid();
        if (receipts, matches!(receipt_url, Some(Some(_)))) == (Some(false), true) {
            section.fault("receipt_url", "is of no use where `receipts` are not served");
        }
        if let Some(context) = &context {
            check(section, context);
        }
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
            sync_every: sync_every?,
            checkpoint_every: checkpoint_every?,
            queue: queue?,
            file: file?,
            context: context?,
            request: request?,
            receipts: receipts?,
            receipt_url: receipt_url?.map(|url| url.0),
        })
    }
}

fn read_chosen(section: &mut Section<'_>) -> Option<Chosen> {
    let path = section.optional::<ContextPath>("path").valid();
    let header = section.optional::<HeaderPart>("header").valid();
    let redact = section.value("redact", "false");
    let part = match (path?, header?) {
        (Some(ContextPath(path)), None) => Part::Context(path),
        (None, Some(HeaderPart(name))) => Part::Header(name),
        _ => {
            section.fault("", "must have exactly one of `path` and `header`");
            return None;
        }
    };
    Some(Chosen { part, redact: redact? })
}

/// None is there twice, nor within another, and they fit into a record.
fn check(section: &mut Section<'_>, context: &[Chosen]) {
    if context.len() > MOST_CHOSEN {
        section.fault("context", format!("{} parts are more than {MOST_CHOSEN}", context.len()));
    }
    for (place, chosen) in context.iter().enumerate() {
        let same = |other: &&Chosen| match (&other.part, &chosen.part) {
            (Part::Context(one), Part::Context(other)) => one.starts_with(other) || other.starts_with(one),
            (one, other) => one == other,
        };
        if let Some(other) = context.iter().take(place).find(same) {
            let message =
                format!("`{}` and `{}` are the same, or one is in the other", other.part.name(), chosen.part.name());
            section.fault("context", message);
        }
    }
}

/// The beginning of a URL. What is there is signed, so it need not be encrypted on its way.
struct ReceiptUrl(String);

/// A path into the context.
struct ContextPath(Vec<String>);

/// The name of a header.
struct HeaderPart(String);

impl Setting for ContextPath {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let path = text(node, "a path such as `ip` or `user.email`")?;
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) || path.len() > LONGEST_PATH || path.chars().any(char::is_control) {
            return Err(format!("`{path}` is not 1 to {LONGEST_PATH} bytes of names joined by single dots"));
        }
        Ok(Self(names))
    }
}

impl Setting for HeaderPart {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "the name of a header")?;
        let name = HeaderName::from_bytes(text.as_bytes());
        name.map(|name| Self(name.as_str().to_owned())).map_err(|_bad| format!("`{text}` is not the name of a header"))
    }

    fn shown(&self, _written: &Node) -> Value {
        Value::Text(self.0.clone())
    }
}

impl Setting for ReceiptUrl {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "a URL")?;
        FeedUrl::parse_signed(text).map_err(|error| format!("`{text}`: {error}"))?;
        let is_beginning = text.len() <= LONGEST_URL
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        if is_beginning {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is not the beginning of a URL, in ASCII"))
        }
    }
}

impl Setting for AuditRequest {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`digest` or `full`")? {
            "digest" => Ok(Self::Digest),
            "full" => Ok(Self::Full),
            other => Err(format!("`{other}` is neither `digest` nor `full`")),
        }
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
