//! The layers of a configuration: the file, over it the environment, over it the flags.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{ConfigError, Fault};
use super::node::{Member, Node, Value};
use super::origin::Origin;

/// What the name of every variable of ours begins with.
const PREFIX: &str = "PORTCULLIS_";

/// The variable by which a process knows that Kubernetes started it.
const IN_KUBERNETES: &str = "KUBERNETES_SERVICE_HOST";

/// What a configuration is read from.
#[derive(Clone)]
pub struct Sources {
    /// The directory at which relative paths start, wherever they are written. It is UTF-8.
    pub(super) base: PathBuf,
    name: Arc<str>,
    text: String,
    environment: BTreeMap<String, String>,
    overrides: Vec<Override>,
}

/// One key set by a flag.
#[derive(Clone, Eq, PartialEq)]
pub struct Override {
    flag: String,
    key: String,
    yaml: bool,
    value: String,
}

impl Override {
    /// `--set key=VALUE`, where `key` is a path such as `log.filter` and the value is YAML.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn set(assignment: &str) -> Result<Self, String> {
        let (key, value) = assignment.split_once('=').ok_or("expected `section.key=VALUE`")?;
        Ok(Self { flag: format!("--set {key}"), key: key.to_owned(), yaml: true, value: value.to_owned() })
    }

    /// A flag of its own for `key`, whose value is plain text.
    pub fn flag(flag: &str, key: &str, value: &str) -> Self {
        Self { flag: flag.to_owned(), key: key.to_owned(), yaml: false, value: value.to_owned() }
    }
}

impl Sources {
    /// The file at `path` alone.
    ///
    /// # Errors
    /// [`ConfigError`] if it can't be read.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let read = || -> io::Result<Self> {
            let name = path.to_str().ok_or_else(|| io::Error::other("the name is not UTF-8"))?;
            let base = std::path::absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
            base.to_str().ok_or_else(|| io::Error::other("the name of its directory is not UTF-8"))?;
            Ok(Self::text(name, &base, &fs::read_to_string(path)?))
        };
        read().map_err(|error| {
            let origin = Origin::File { path: path.to_string_lossy().into(), line: 1, column: 1 };
            ConfigError::new(vec![Fault::new(origin, "", format!("can't be read: {error}"))])
        })
    }

    /// The text of a file called `name` in the directory `base`.
    pub fn text(name: &str, base: &Path, text: &str) -> Self {
        Self {
            base: base.to_owned(),
            name: name.into(),
            text: text.to_owned(),
            environment: BTreeMap::new(),
            overrides: Vec::new(),
        }
    }

    /// With the process's environment, from which only `PORTCULLIS_…` is taken.
    #[must_use]
    pub fn with_environment(self, environment: BTreeMap<String, String>) -> Self {
        Self { environment, ..self }
    }

    /// With flags, of which a later one overrides an earlier one.
    #[must_use]
    pub fn with_overrides(self, overrides: Vec<Override>) -> Self {
        Self { overrides, ..self }
    }

    /// One tree of all layers, and what was wrong with the upper ones.
    ///
    /// # Errors
    /// The file is not YAML, so that nothing can be said about the rest.
    pub(super) fn merge(&self) -> Result<(Node, Vec<Fault>), ConfigError> {
        let place = |line, column| Origin::File { path: Arc::clone(&self.name), line, column };
        let mut tree = Node::parse(&self.text, &place).map_err(|fault| ConfigError::new(vec![fault]))?;
        if tree.value == Value::Nothing {
            tree.value = Value::Mapping(Vec::new());
        }
        let mut faults = Vec::new();
        for layer in self.variables().chain(self.flags()) {
            match layer {
                // A file that is no mapping is an error, which an override must not hide.
                Ok(node) if matches!(tree.value, Value::Mapping(_)) => tree.overlay(node),
                Ok(_) => {}
                Err(fault) => faults.push(fault),
            }
        }
        Ok((tree, faults))
    }

    fn variables(&self) -> impl Iterator<Item = Result<Node, Fault>> {
        let linked = self.environment.contains_key(IN_KUBERNETES);
        let ours = self.environment.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
        ours.filter(move |(_, key, _)| !(linked && is_service_link(key))).map(|(name, key, value)| {
            let origin = Origin::Environment(name.as_str().into());
            if key.contains(|c: char| c.is_ascii_lowercase()) {
                return Err(Fault::new(origin, "", "the name of a variable is in upper case"));
            }
            let path = key.to_ascii_lowercase();
            let path: Vec<&str> = path.split("__").collect();
            at_path(&path, Node::parse(value, &|_, _| origin.clone())?)
        })
    }

    fn flags(&self) -> impl Iterator<Item = Result<Node, Fault>> {
        self.overrides.iter().map(|over| {
            let origin = Origin::Flag(over.flag.as_str().into());
            let node = if over.yaml {
                Node::parse(&over.value, &|_, _| origin.clone())?
            } else {
                Node { origin, value: Value::Text(over.value.clone()) }
            };
            at_path(&over.key.split('.').collect::<Vec<_>>(), node)
        })
    }
}

/// Without the values, any of which may hold a password.
impl fmt::Debug for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Override").field(&self.flag).finish()
    }
}

/// Without the texts, any of which may hold a password.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.name).field("overrides", &self.overrides).finish_non_exhaustive()
    }
}

/// The mapping of mappings in which `node` stands at `path`.
fn at_path(path: &[&str], node: Node) -> Result<Node, Fault> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    path.iter().rev().try_fold(node, |inner, key| {
        if key.is_empty() || !key.chars().all(plain) {
            return Err(Fault::new(
                inner.origin,
                "",
                "does not name a key: that is `section.key`, or `SECTION__KEY` in a variable",
            ));
        }
        let origin = inner.origin.clone();
        let member = Member { key: (*key).to_owned(), origin: origin.clone(), node: inner };
        Ok(Node { origin, value: Value::Mapping(vec![member]) })
    })
}

/// Whether Kubernetes made the variable, which it does for every Service, so that one called `portcullis` (or
/// `portcullis-…`) gives `PORTCULLIS_SERVICE_HOST`, `PORTCULLIS_PORT_8181_TCP_ADDR` and the like. No key of ours ends so.
fn is_service_link(key: &str) -> bool {
    let words: Vec<&str> = key.split('_').collect();
    let number = |word: &str| word.parse::<u16>().is_ok();
    let protocol = |word: &str| matches!(word, "TCP" | "UDP" | "SCTP");
    match words.as_slice() {
        [.., "SERVICE", "HOST"] | [.., "PORT"] => true,
        [.., "PORT", port, of] | [.., "PORT", port, of, "PROTO" | "ADDR"] if number(port) => protocol(of),
        _ => key.starts_with("SERVICE_PORT_") || key.contains("_SERVICE_PORT_"),
    }
}
