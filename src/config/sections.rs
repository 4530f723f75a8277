//! The smaller sections: what the decision plane, the edges and the process itself may be told.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use portcullis_spiffe::TrustDomain;
use tracing_subscriber::EnvFilter;

use super::callers::Callers;
use super::entities::{self, EntitySource};
use super::node::Node;
use super::reader::{Section, Setting};
use super::server_tls::{self, ServerTls};
use super::values::text;
use crate::edge::envoy::ext_authz::HeaderNames;
use crate::edge::http::authzen::Identifier;
use crate::foundation::telemetry::LogConfig;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// The bounds of what one message may have, in bytes.
const MESSAGE: (usize, usize) = (1024, 64 << 20);

/// The section `decision`.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The directory of policies, schema and entities.
    pub policies: PathBuf,
    /// Where further entities come from. Where two have the same entity, that of the first counts.
    pub entities: Vec<EntitySource>,
    /// The routes by which HTTP requests become questions: a file, or a directory of them.
    pub mapping: Option<PathBuf>,
    /// How often directories are looked at, beside the notices of the file system.
    pub poll_interval: Duration,
    /// The decision cache.
    pub cache: Cache,
    /// How many verified leaves are remembered.
    pub verified_leaves: usize,
    /// The second opinions of plain Cedar.
    pub shadow: Shadow,
}

/// The section `decision.cache`.
#[derive(Clone, Debug)]
pub struct Cache {
    /// How many decisions it holds; 0 switches it off.
    pub capacity: u64,
    /// How long a decision is good at most.
    pub ttl: Duration,
}

/// The section `decision.shadow`.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// Of so many decisions one is put to plain Cedar too; `None` if none ever is.
    pub one_in: Option<NonZeroU64>,
}

impl Decision {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let policies = section.value("policies", "policies");
        let entities = entities::read(section);
        let mapping = section.optional("mapping").valid();
        let poll_interval = section.bounded("poll_interval", "5s", (100 * MILLISECOND, HOUR));
        let cache = section.section("cache", |section| {
            let capacity = section.bounded("capacity", "100000", (0, 10_000_000));
            let ttl = section.bounded("ttl", "60s", (SECOND, HOUR));
            Some(Cache { capacity: capacity?, ttl: ttl? })
        });
        let verified_leaves = section.bounded("verified_leaves", "10000", (1, 1_000_000));
        let shadow = section.section("shadow", |section| {
            let one_in: u64 = section.bounded("one_in", "0", (0, 1_000_000_000))?;
            Some(Shadow { one_in: NonZeroU64::new(one_in) })
        });
        Some(Self {
            policies: policies?,
            entities: entities?,
            mapping: mapping?,
            poll_interval: poll_interval?,
            cache: cache?,
            verified_leaves: verified_leaves?,
            shadow: shadow?,
        })
    }
}

/// The section `ext_authz`.
#[derive(Clone, Debug)]
pub struct ExtAuthz {
    /// The header of an allowed request that names the verified caller to the backend.
    pub identity_header: HeaderName,
    /// The header that carries the id of the decision, to the backend or in a denial.
    pub decision_header: HeaderName,
    /// The largest message that is read, in bytes.
    pub max_message_bytes: usize,
    /// Checks that are not answered yet, on all listeners together.
    pub max_concurrent_checks: usize,
    /// What is kept of their messages, in bytes, beyond the first 16 KiB of each.
    pub max_kept_bytes: usize,
    /// Whether what a permit demands is passed on to the backend. Else such a permit denies.
    pub forwards_obligations: bool,
}

impl ExtAuthz {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let identity_header = section.value::<HeaderName>("identity_header", "x-portcullis-principal");
        let decision_header = section.value::<HeaderName>("decision_header", "x-portcullis-decision-id");
        let max_message_bytes = section.bounded("max_message_bytes", "4194304", MESSAGE);
        let max_concurrent_checks = section.bounded("max_concurrent_checks", "4096", (4, 1 << 20));
        let max_kept_bytes = section.bounded("max_kept_bytes", "67108864", (1 << 20, 1 << 40));
        let obligations = section.value::<Obligations>("obligations", "deny");
        let headers = identity_header.as_ref().zip(decision_header.as_ref());
        let headers = headers.map(|(identity, decision)| HeaderNames::new(identity.as_str(), decision.as_str()));
        if let Some(Err(error)) = headers {
            let key = section.culprit(&["identity_header", "decision_header"]);
            section.fault(key, error.to_string());
        }
        Some(Self {
            identity_header: identity_header?,
            decision_header: decision_header?,
            max_message_bytes: max_message_bytes?,
            max_concurrent_checks: max_concurrent_checks?,
            max_kept_bytes: max_kept_bytes?,
            forwards_obligations: obligations?.are_forwarded,
        })
    }
}

/// What becomes of what a permit demands.
struct Obligations {
    are_forwarded: bool,
}

impl Setting for Obligations {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`deny` or `forward`")? {
            "deny" => Ok(Self { are_forwarded: false }),
            "forward" => Ok(Self { are_forwarded: true }),
            other => Err(format!("`{other}` is neither `deny` nor `forward`")),
        }
    }
}

/// The section `authzen`.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Authzen {
    /// The largest body that is read, in bytes.
    pub max_body_bytes: usize,
    /// The most questions in one batch.
    pub max_evaluations: usize,
    /// Requests that are not answered yet, on all listeners together.
    pub max_concurrent_requests: usize,
    /// Searches at the same time.
    pub max_concurrent_searches: usize,
    /// The most results on one page of a search.
    pub max_page_size: usize,
    /// The URLs by which clients know this PDP, of which no two have the same path; one with a path is a tenant's.
    pub identifiers: Vec<Identifier>,
    /// Whether its metadata are signed.
    pub signed_metadata: bool,
    /// Whether an answer carries, beside `decision`, a `context` with the decision's id and policies.
    pub decision_context: bool,
    /// Whether a request may say otherwise.
    pub decision_context_on_request: bool,
    /// What its listeners show for a certificate where they are encrypted.
    pub tls: Option<ServerTls>,
    /// Who may ask.
    pub callers: Callers,
    /// Whether what gateways ask about a `route` goes by the routes of the mapping.
    pub map_routes: bool,
}

impl Authzen {
    pub(super) fn read(section: &mut Section<'_>, trust_domain: Option<&TrustDomain>) -> Option<Self> {
        let max_body_bytes = section.bounded("max_body_bytes", "1048576", MESSAGE);
        let max_evaluations = section.bounded("max_evaluations", "1000", (1, 100_000));
        let max_concurrent_requests = section.bounded("max_concurrent_requests", "1024", (1, 1 << 20));
        let max_concurrent_searches = section.bounded("max_concurrent_searches", "4", (1, 1024));
        let max_page_size = section.bounded("max_page_size", "1000", (1, 100_000));
        let identifiers = section.one_or_more::<Identifier>("identifier", "[]");
        check_paths(section, identifiers.as_deref().unwrap_or_default());
        let signed_metadata = section.value("signed_metadata", "true");
        let decision_context = section.value("decision_context", "false");
        let decision_context_on_request = section.value("decision_context_on_request", "false");
        let tls = section.optional_section("tls", |section| server_tls::read(section, trust_domain)).valid();
        let callers = section.section("callers", Callers::read);
        let map_routes = section.value("map_routes", "false");
        Some(Self {
            max_body_bytes: max_body_bytes?,
            max_evaluations: max_evaluations?,
            max_concurrent_requests: max_concurrent_requests?,
            max_concurrent_searches: max_concurrent_searches?,
            max_page_size: max_page_size?,
            identifiers: identifiers?,
            signed_metadata: signed_metadata?,
            decision_context: decision_context?,
            decision_context_on_request: decision_context_on_request?,
            tls: tls?,
            callers: callers?,
            map_routes: map_routes?,
        })
    }
}

/// The path is all by which it is known for whom a request is: the host is anybody's to write.
fn check_paths(section: &mut Section<'_>, identifiers: &[Identifier]) {
    for (index, identifier) in identifiers.iter().enumerate() {
        if identifiers.iter().take(index).any(|other| other.path() == identifier.path()) {
            section.fault("identifier", format!("`{identifier}` has the same path as one before it"));
        }
    }
}

impl Setting for Identifier {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "a URL such as `https://pdp.example.com`")?;
        text.parse().map_err(|error| format!("`{text}`: {error}"))
    }
}

/// The section `admin`: who may call the admin API, beside root and the user that the process runs as.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Effective user ids.
    pub allowed_uids: Vec<u32>,
    /// Effective group ids.
    pub allowed_gids: Vec<u32>,
}

impl Admin {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let users = section.list("allowed_uids", "[]");
        let groups = section.list("allowed_gids", "[]");
        Some(Self { allowed_uids: users?, allowed_gids: groups? })
    }
}

pub(super) fn read_log(section: &mut Section<'_>) -> Option<LogConfig> {
    let format = section.value("format", "json");
    let filter = section.value::<Filter>("filter", "info");
    Some(LogConfig { format: format?, filter: filter?.0 })
}

/// A directive that `tracing` understands.
struct Filter(String);

impl Setting for Filter {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let filter = text(node, "a filter such as `info` or `info,portcullis::edge=debug`")?;
        EnvFilter::try_new(filter).map_err(|error| format!("`{filter}` is not a filter: {error}"))?;
        Ok(Self(filter.to_owned()))
    }
}

/// The section `limits`: what one peer can make the process hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections of one listener.
    pub connections: usize,
    /// Concurrent requests and streams of one connection.
    pub streams_per_connection: u32,
    /// The headers of one request, in bytes.
    pub header_bytes: u32,
    /// How long a peer may take to send the headers of a request.
    pub header_timeout: Duration,
    /// After this long without a sign of life, a peer is asked for one.
    pub keepalive_interval: Duration,
    /// A peer that does not answer within this is gone.
    pub keepalive_timeout: Duration,
    /// After this long a connection is told to end; never if it is zero.
    pub connection_age: Duration,
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let connections = section.bounded("connections", "4096", (1, 1 << 20));
        let streams_per_connection = section.bounded("streams_per_connection", "1024", (1, 1 << 20));
        let header_bytes = section.bounded("header_bytes", "65536", (8192, 1 << 20));
        let header_timeout = section.bounded("header_timeout", "30s", (SECOND, HOUR));
        let keepalive_interval = section.bounded("keepalive_interval", "30s", (SECOND, HOUR));
        let keepalive_timeout = section.bounded("keepalive_timeout", "20s", (SECOND, HOUR));
        let connection_age = section.bounded("connection_age", "0s", (Duration::ZERO, 24 * HOUR));
        Some(Self {
            connections: connections?,
            streams_per_connection: streams_per_connection?,
            header_bytes: header_bytes?,
            header_timeout: header_timeout?,
            keepalive_interval: keepalive_interval?,
            keepalive_timeout: keepalive_timeout?,
            connection_age: connection_age?,
        })
    }
}

/// The section `shutdown`.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// How long requests and streams may take to end, before they are cut off.
    pub deadline: Duration,
}

impl Shutdown {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        Some(Self { deadline: section.bounded("deadline", "10s", (100 * MILLISECOND, HOUR))? })
    }
}
