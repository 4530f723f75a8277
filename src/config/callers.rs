//! The section `authzen.callers`: who may ask over `AuthZEN`, how they prove who they are, and what they may say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::node::Node;
use super::reader::{Section, Setting};
use super::tokens::{TokenIssuer, read_issuers};
use super::values::text;
use crate::decision::caller::CALLER;
use crate::decision::caller::statements::{ANY, Vocabulary};
use crate::decision::caller::{Allowed, Statements};
use crate::decision::principal::Mapping;
use crate::decision::query::Overlay;
use crate::foundation::digest::Digest;
use crate::identity::api_key::is_caller_name;

/// The section `authzen.callers`.
#[derive(Clone, Debug)]
pub struct Callers {
    /// Whether workloads prove who they are by their certificates.
    pub mtls: bool,
    /// Whose tokens name callers.
    pub issuers: Vec<TokenIssuer>,
    /// How many verified tokens are remembered.
    pub remembered: usize,
    /// Callers with an API key.
    pub api_keys: Vec<KeySetting>,
    /// Callers on Unix sockets, by their user.
    pub users: Vec<(u32, Arc<str>)>,
    /// Whether policies decide who may ask about whom.
    pub policy: bool,
    /// What they may say.
    pub statements: Statements,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct KeySetting {
    /// Whose it is.
    pub name: Arc<str>,
    /// Its digest, or the file that has it.
    pub digest: KeyDigest,
}

/// Where the digest of a key is.
#[derive(Clone, Debug)]
pub enum KeyDigest {
    /// Here.
    Known(Digest),
    /// In this file, as 64 hexadecimal digits.
    File(PathBuf),
}

impl Callers {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let mtls = section.value("mtls", "false");
        let bearer = section.section("bearer", |section| {
            let issuers = read_issuers(section);
            let remembered = section.bounded("remembered", "10000", (1, 1_000_000));
            for issuer in issuers.iter().flatten() {
                if matches!(&issuer.mapping, Mapping::Claims(claims) if claims.kind == CALLER) {
                    section.fault("issuers", format!("whom a token names can't be a `{CALLER}`"));
                }
            }
            Some((issuers?, remembered?))
        });
        let api_keys = section.mappings("api_keys", read_key);
        let users = section.mappings("users", |section| {
            let name = section.required::<Name>("name");
            let uid = section.required::<u32>("uid");
            Some((uid?, name?.0))
        });
        let policy = section.value("policy", "false");
        let statements = section.mappings("properties", read_vocabulary).map(Statements::new);
        let (issuers, remembered) = bearer?;
        let callers = Self {
            mtls: mtls?,
            issuers,
            remembered,
            api_keys: api_keys?,
            users: users?,
            policy: policy?,
            statements: statements?,
        };
        callers.check(section);
        Some(callers)
    }

    fn check(&self, section: &mut Section<'_>) {
        if self.policy && self.is_nobody() {
            section.fault(
                "policy",
                "has no use as long as nobody has to say who asks: `mtls`, `bearer`, `api_keys` or `users`",
            );
        }
        let mut uids = BTreeSet::new();
        if let Some((uid, _)) = self.users.iter().find(|(uid, _)| !uids.insert(*uid)) {
            section.fault("users", format!("{uid} is there twice"));
        }
    }

    /// Whether there is no way to say who asks, so that nobody has to.
    pub const fn is_nobody(&self) -> bool {
        !self.mtls && self.issuers.is_empty() && self.api_keys.is_empty() && self.users.is_empty()
    }
}

fn read_key(section: &mut Section<'_>) -> Option<KeySetting> {
    let name = section.required::<Name>("name");
    let digest = section.optional::<KeyDigest>("sha256");
    let file = section.optional::<PathBuf>("sha256_file");
    let (name, digest, file) = (name?.0, digest.valid()?, file.valid()?);
    let digest = match (digest, file) {
        (Some(digest), None) => digest,
        (None, Some(file)) => KeyDigest::File(file),
        _ => {
            section.fault("", "must have exactly one of `sha256` and `sha256_file`");
            return None;
        }
    };
    Some(KeySetting { name, digest })
}

fn read_vocabulary(section: &mut Section<'_>) -> Option<Vocabulary> {
    let caller = section.required::<String>("caller");
    let subject = read_names(section, "subject");
    let subject_overlay = read_overlay(section, "subject_overlay");
    let resource = read_names(section, "resource");
    let resource_overlay = read_overlay(section, "resource_overlay");
    let action = read_names(section, "action");
    let context = read_names(section, "context");
    Some(Vocabulary {
        caller: caller?,
        subject: subject?,
        subject_overlay: subject_overlay?,
        resource: resource?,
        resource_overlay: resource_overlay?,
        action: action?,
        context: context?,
    })
}

/// Names, one by one: what is stored is not given up for whatever a caller may think of.
fn read_overlay(section: &mut Section<'_>, key: &str) -> Option<Overlay> {
    let names = section.one_or_more::<String>(key, "[]")?;
    if names.iter().any(|name| name == ANY) {
        section.fault(key, format!("`{ANY}` can't stand here: what comes before what is stored is granted by name"));
        return None;
    }
    Some(Overlay::of(names.into_iter().collect()))
}

fn read_names(section: &mut Section<'_>, key: &str) -> Option<Allowed> {
    let names = section.one_or_more::<String>(key, "[]")?;
    match names.as_slice() {
        [any] if any == ANY => Some(Allowed::Any),
        names if names.iter().any(|name| name == ANY) => {
            section.fault(key, format!("`{ANY}` stands alone"));
            None
        }
        _ => Some(Allowed::Names(names.into_iter().collect())),
    }
}

/// The name of a caller.
struct Name(Arc<str>);

impl Setting for Name {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the name of a caller")?;
        if is_caller_name(name) {
            return Ok(Self(name.into()));
        }
        Err(format!("`{name}` is not 1 to 64 letters, digits, `.`, `-` and `_`"))
    }
}

impl KeyDigest {
    /// The digest of `text`: 64 hexadecimal digits.
    ///
    /// # Errors
    /// What it is not. The text is not repeated: it may be the key itself.
    pub fn parse(text: &str) -> Result<Digest, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| {
            "expected the SHA-256 of a key in 64 hexadecimal digits, and never the key itself".to_owned()
        })?;
        if bytes == *Digest::of(b"").as_bytes() {
            return Err("this is the SHA-256 of nothing, and not of a key".to_owned());
        }
        Ok(Digest::from_bytes(bytes))
    }
}

impl Setting for KeyDigest {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        Self::parse(text(node, "64 hexadecimal digits")?).map(Self::Known)
    }
}
