//! The list `audit.exports`: who is told of records, beside the file of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::node::Node;
use super::super::reader::{Section, Setting};
use super::super::values::text;
use crate::evidence::export::Shape;
use crate::feeds::fetch::{FeedUrl, FetchConfig};

const SECOND: Duration = Duration::from_secs(1);

/// The most that a server may answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// The longest name, in bytes: it is a label of metrics and the name of a file.
const LONGEST_NAME: usize = 64;

/// The name of the file's position.
const TAKEN: &str = "json";

/// One of them.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name, by which it is remembered how far it has come.
    pub name: String,
    /// Who it is.
    pub to: ExportTo,
}

/// Who is told.
#[derive(Clone, Debug)]
pub enum ExportTo {
    /// A collector of OpenTelemetry's logs, over HTTP in JSON.
    Otlp(FeedUrl, FetchConfig),
    /// A Standard Webhook.
    Webhook {
        /// Where.
        url: FeedUrl,
        /// How it is reached.
        fetch: FetchConfig,
        /// The file of the keys that sign.
        key_file: PathBuf,
        /// What it is told.
        shape: Shape,
    },
    /// A file of OCSF events, one a line.
    OcsfFile(PathBuf),
}

pub(super) fn read(section: &mut Section<'_>) -> Option<Vec<Export>> {
    let mut names = HashSet::new();
    section.mappings("exports", |section| {
        let name = section.required::<Name>("name");
        let ocsf = section.optional::<PathBuf>("ocsf_file");
        let otlp = section.optional_section("otlp", |section| {
            let url = section.required::<Url>("url");
            let fetch = read_fetch(section);
            Some((url?.0, fetch?))
        });
        let webhook = section.optional_section("webhook", |section| {
            let url = section.required::<Url>("url");
            let key_file = section.required::<PathBuf>("key_file");
            let shape = section.value("format", "records");
            let fetch = read_fetch(section);
            Some(ExportTo::Webhook { url: url?.0, fetch: fetch?, key_file: key_file?, shape: shape? })
        });
        let (ocsf, otlp, webhook) = (ocsf.valid()?, otlp.valid()?, webhook.valid()?);
        let name = name?.0;
        if !names.insert(name.clone()) {
            section.fault("name", format!("`{name}` is the name of another export too"));
        }
        let to = match (ocsf, otlp, webhook) {
            (Some(path), None, None) => ExportTo::OcsfFile(path),
            (None, Some((url, fetch)), None) => ExportTo::Otlp(url, fetch),
            (None, None, Some(webhook)) => webhook,
            _ => {
                section.fault("", "must have exactly one of `otlp`, `webhook` and `ocsf_file`");
                return None;
            }
        };
        Some(Export { name, to })
    })
}

fn read_fetch(section: &mut Section<'_>) -> Option<FetchConfig> {
    let timeout = section.bounded("timeout", "10s", (SECOND / 10, 60 * SECOND));
    let ca_file = section.value("ca_file", "/etc/ssl/certs/ca-certificates.crt");
    let token_file = section.optional::<PathBuf>("token_file").valid();
    Some(FetchConfig { timeout: timeout?, max_bytes: MAX_ANSWER, ca_file: ca_file?, token_file: token_file? })
}

struct Name(String);

struct Url(FeedUrl);

impl Setting for Name {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "a name")?;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(is_plain) || name == TAKEN {
            return Err(format!(
                "`{name}` is not 1 to {LONGEST_NAME} lower-case letters, digits and `_`, other than `{TAKEN}`"
            ));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Setting for Url {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "a URL")?;
        FeedUrl::parse(text).map(Self).map_err(|error| format!("`{text}`: {error}"))
    }
}

impl Setting for Shape {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`records` or `ocsf`")? {
            "records" => Ok(Self::Records),
            "ocsf" => Ok(Self::Ocsf),
            other => Err(format!("`{other}` is neither `records` nor `ocsf`")),
        }
    }
}
