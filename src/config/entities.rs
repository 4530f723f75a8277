//! The list `decision.entities`: where entities come from, beside the policy directory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::node::Node;
use super::reader::{Section, Setting};
use super::store::StoreUrl;
use super::values::text;
use crate::feeds::entities::EntityFeedConfig;
use crate::feeds::fetch::{FeedUrl, FetchConfig};

const SECOND: Duration = Duration::from_secs(1);

/// The name of the policy directory among the sources.
pub(crate) const POLICY_DIRECTORY: &str = "policies";

/// The longest name of a source, in bytes: it is a label of metrics.
const LONGEST_NAME: usize = 64;

/// One source of entities.
#[derive(Clone, Debug)]
pub struct EntitySource {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is.
    pub place: EntityPlace,
}

/// Where entities come from.
#[derive(Clone, Debug)]
pub enum EntityPlace {
    /// A JSON file, or a directory of them.
    Files(PathBuf),
    /// Tables of a database.
    Sql(StoreUrl),
    /// A server.
    Http(EntityFeedConfig),
}

pub(super) fn read(section: &mut Section<'_>) -> Option<Vec<EntitySource>> {
    let mut names = HashSet::new();
    section.mappings("entities", |section| {
        let name = section.required::<Name>("name");
        let files = section.optional::<PathBuf>("files");
        let sql = section.optional::<StoreUrl>("sql");
        let http = section.optional_section("http", read_http);
        let (files, sql, http) = (files.valid()?, sql.valid()?, http.valid()?);
        let name = name?.0;
        if !names.insert(Arc::clone(&name)) {
            section.fault("name", format!("`{name}` is the name of another source too"));
        }
        let place = match (files, sql, http) {
            (Some(path), None, None) => EntityPlace::Files(path),
            (None, Some(url), None) => EntityPlace::Sql(url),
            (None, None, Some(feed)) => EntityPlace::Http(feed),
            _ => {
                section.fault("", "must have exactly one of `files`, `sql` and `http`");
                return None;
            }
        };
        Some(EntitySource { name, place })
    })
}

fn read_http(section: &mut Section<'_>) -> Option<EntityFeedConfig> {
    let url = section.required::<FeedUrl>("url");
    let interval = section.bounded("interval", "30s", (SECOND, 3600 * SECOND));
    let timeout = section.bounded("timeout", "30s", (SECOND, 600 * SECOND));
    let max_bytes = section.bounded("max_bytes", "268435456", (1024, 4 << 30));
    let ca_file = section.value("ca_file", "/etc/ssl/certs/ca-certificates.crt");
    let token_file = section.optional::<PathBuf>("token_file");
    let (timeout, max_bytes) = (timeout?, max_bytes?);
    let fetch = FetchConfig { timeout, max_bytes, ca_file: ca_file?, token_file: token_file.valid()? };
    Some(EntityFeedConfig { url: url?, interval: interval?, fetch })
}

/// The name of a source.
struct Name(Arc<str>);

impl Setting for Name {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "a name")?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(allowed) {
            return Err(format!("must be 1 to {LONGEST_NAME} lower-case letters, digits, `-` and `_`"));
        }
        if name == POLICY_DIRECTORY {
            return Err(format!("`{name}` is the name of the policy directory's own entities"));
        }
        Ok(Self(name.into()))
    }
}

impl Setting for FeedUrl {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        // The text itself stays out of the message: it may hold a password.
        Self::parse(text(node, "a URL")?).map_err(|error| error.to_string())
    }
}
