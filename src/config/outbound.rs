//! The section `outbound`: services outside, for which tokens are kept.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::node::Node;
use super::reader::{Section, Setting};
use super::values::text;
use crate::delegation::outbound::{AssertionType, Target};
use crate::feeds::fetch::{FeedUrl, FetchConfig};
use crate::identity::registry::check_spiffe_id;

const SECOND: Duration = Duration::from_secs(1);

/// The most that a server may answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// The longest name, in bytes: it is a label of metrics.
const LONGEST_NAME: usize = 64;

/// The section `outbound`.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// How token endpoints are reached.
    pub fetch: FetchConfig,
    /// The services.
    pub targets: Vec<OutboundTarget>,
}

/// One of `outbound.targets`.
#[derive(Clone, Debug)]
pub struct OutboundTarget {
    /// Where its tokens are to be had.
    pub token_endpoint: FeedUrl,
    /// All else.
    pub target: Target,
}

impl Outbound {
    pub(super) fn read(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<Self> {
        let timeout = section.bounded("timeout", "10s", (SECOND / 10, 60 * SECOND));
        let ca_file = section.value::<PathBuf>("ca_file", "/etc/ssl/certs/ca-certificates.crt");
        let mut names = HashSet::new();
        let targets = section.mappings("targets", |section| {
            let read = read_target(section, ours)?;
            let name = &read.target.name;
            if !names.insert(name.clone()) {
                section.fault("name", format!("`{name}` is the name of another target too"));
            }
            Some(read)
        });
        let fetch = FetchConfig { timeout: timeout?, max_bytes: MAX_ANSWER, ca_file: ca_file?, token_file: None };
        Some(Self { fetch, targets: targets? })
    }
}

fn read_target(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<OutboundTarget> {
    let name = section.required::<Name>("name");
    let token_endpoint = section.required::<FeedUrl>("token_endpoint");
    let client = section.required::<SpiffeId>("client");
    let client_id = section.optional::<Words>("client_id").valid();
    let audience = section.required::<Words>("audience");
    let assertion_type = section.optional::<AssertionType>("assertion_type").valid();
    let scope = section.optional::<Words>("scope").valid();
    let resource = section.optional::<Words>("resource").valid();
    let workloads = section.list::<SpiffeId>("workloads", "[]");
    let (client, workloads) = (client?, workloads?);
    for (key, ids) in [("client", std::slice::from_ref(&client)), ("workloads", &workloads)] {
        for id in ids {
            if let Some(Err(problem)) = ours.map(|ours| check_spiffe_id(id, ours)) {
                section.fault(key, format!("`{id}`: {problem}"));
            }
        }
    }
    let workloads =
        if workloads.is_empty() { BTreeSet::from([client.clone()]) } else { workloads.into_iter().collect() };
    let token_endpoint = token_endpoint?;
    let target = Target {
        name: name?.0.into(),
        endpoint: token_endpoint.to_string(),
        client,
        client_id: client_id?.map(|words| words.0),
        audience: audience?.0,
        assertion_type: assertion_type?.unwrap_or_default(),
        scope: scope?.map(|words| words.0),
        resource: resource?.map(|words| words.0),
        workloads,
    };
    Some(OutboundTarget { token_endpoint, target })
}

struct Name(String);

/// A text with something in it.
struct Words(String);

impl Setting for Name {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "a name")?;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(format!("`{name}` is not 1 to {LONGEST_NAME} lower-case letters, digits, `_` and `-`"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Setting for Words {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "a text")? {
            "" => Err("it is empty".to_owned()),
            words => Ok(Self(words.to_owned())),
        }
    }
}

impl Setting for AssertionType {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`jwt-spiffe` or `jwt-bearer`")? {
            "jwt-spiffe" => Ok(Self::Spiffe),
            "jwt-bearer" => Ok(Self::Bearer),
            other => Err(format!("`{other}` is neither `jwt-spiffe` nor `jwt-bearer`")),
        }
    }
}
