//! Configuration: one YAML file, overridden by `PORTCULLIS_…` variables, overridden by flags; read strictly, and typed.
//!
//! What is in a [`Config`] is valid by itself; what only the machine can tell, such as whether a file may be opened, is
//! found out by whoever opens it. `docs/configuration.md` is the reference of all keys.

mod answers;
mod attestors;
mod audit;
mod callers;
mod delegation;
mod entities;
mod entries;
mod fault;
mod federation;
mod identity;
mod layers;
mod listen;
mod listener;
mod node;
mod oidc;
mod origin;
mod outbound;
mod reader;
mod sections;
mod server_tls;
mod show;
mod store;
mod tokens;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portcullis_spiffe::TrustDomain;

pub use answers::Answers;
pub use attestors::Attestors;
pub use audit::{Audit, AuditFile, AuditRequest, Export, ExportTo, GatewayName, Witness, WitnessAt, Witnesses};
pub use callers::{Callers, KeyDigest, KeySetting};
pub use delegation::{Delegation, Subjects};
pub(crate) use entities::POLICY_DIRECTORY;
pub use entities::{EntityPlace, EntitySource};
pub use fault::{ConfigError, Fault};
pub use federation::{BundleEndpoint, ConfiguredRelationship, Federation};
pub use identity::{Identity, Sds, WorkloadApi};
pub use layers::{Override, Sources};
pub use listen::{Address, Listen};
pub use listener::{AuthzenListener, decides_on_callers, is_open_to_the_network};
pub use oidc::Oidc;
pub use origin::Origin;
pub use outbound::{Outbound, OutboundTarget};
pub use sections::{Admin, Authzen, Cache, Decision, ExtAuthz, Limits, Shadow, Shutdown};
pub use server_tls::ServerTls;
pub use show::ShowError;
pub use store::{Store, StoreUrl};
pub use tokens::{KeyPlace, TokenIssuer, Tokens};

use crate::foundation::digest::Digest;
use crate::foundation::telemetry::LogConfig;
use node::Node;
use reader::{Reader, Section};

/// Everything that Portcullis can be told, with every default filled in and every path absolute (if the configuration
/// file's is).
#[derive(Clone, Debug)]
pub struct Config {
    /// SHA-256 over all that is in force, but for secrets: which configuration this is.
    pub digest: Digest,
    /// What that is the digest of.
    pub text: String,
    /// The trust domain of which this process is the authority.
    pub trust_domain: TrustDomain,
    /// The directory of all state, closed to others.
    pub data_dir: PathBuf,
    /// Where state is kept.
    pub store: Store,
    /// Where the process listens.
    pub listen: Listen,
    /// The identity plane.
    pub identity: Identity,
    /// Other trust domains.
    pub federation: Federation,
    /// The decision plane.
    pub decision: Decision,
    /// Tokens of others.
    pub tokens: Tokens,
    /// Envoy's questions.
    pub ext_authz: ExtAuthz,
    /// What denied clients are told.
    pub answers: Answers,
    /// `AuthZEN`'s questions.
    pub authzen: Authzen,
    /// The face of an OpenID provider.
    pub oidc: Oidc,
    /// The exchange of tokens.
    pub delegation: Delegation,
    /// Services outside.
    pub outbound: Outbound,
    /// The admin API.
    pub admin: Admin,
    /// Decision records.
    pub audit: Audit,
    /// Logs.
    pub log: LogConfig,
    /// What one peer can make the process hold.
    pub limits: Limits,
    /// Ending.
    pub shutdown: Shutdown,
}

/// A configuration together with where each of its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    effective: Node,
    keys: BTreeSet<String>,
}

impl Loaded {
    /// Reads the configuration that `sources` give together.
    ///
    /// # Errors
    /// Everything that is wrong with it, not only the first thing.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let (tree, mut faults) = sources.merge()?;
        let mut reader = Reader::new(&sources.base);
        let (config, effective) = reader.mapping("", tree, Config::read);
        let (more, keys) = reader.finish();
        faults.extend(more);
        match config {
            Some(config) if faults.is_empty() => Ok(Self { config, effective, keys }.named()),
            _ => Err(ConfigError::new(faults)),
        }
    }

    fn named(mut self) -> Self {
        // It is shown as it was read, so it can be shown.
        self.config.text = self.show(false).unwrap_or_default();
        self.config.digest = Digest::of(self.config.text.as_bytes());
        self
    }

    /// Every key that exists, e.g. `log.filter`; those of a list's items, e.g. `identity.entries[].hint`, only if the
    /// list has any.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }
}

impl Config {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let trust_domain = section.required::<TrustDomain>("trust_domain");
        let data_dir = section.value::<PathBuf>("data_dir", "data");
        let data = data_dir.as_deref().unwrap_or_else(|| Path::new("data"));
        let store = section.section("store", |section| Store::read(section, data));
        let listen = section.section("listen", |section| Listen::read(section, trust_domain.as_ref()));
        let identity = section.section("identity", |section| Identity::read(section, trust_domain.as_ref(), data));
        let federation = section.section("federation", |section| Federation::read(section, trust_domain.as_ref()));
        let decision = section.section("decision", Decision::read);
        let tokens = section.section("tokens", Tokens::read);
        let ext_authz = section.section("ext_authz", ExtAuthz::read);
        let answers = section.section("answers", |section| Answers::read(section, trust_domain.as_ref()));
        let authzen = section.section("authzen", |section| Authzen::read(section, trust_domain.as_ref()));
        if let Some((listen, authzen)) = listen.as_ref().zip(authzen.as_ref()) {
            listener::check(section, listen, authzen);
        }
        let oidc = section.section("oidc", |section| Oidc::read(section, trust_domain.as_ref()));
        if let (Some(listen), Some(federation), Some(oidc)) = (&listen, &federation, &oidc) {
            federation.check(section, listen);
            let jwt_issuer = identity.as_ref().and_then(|identity| identity.jwt_issuer.as_deref());
            oidc.check(section, listen, jwt_issuer);
        }
        let delegation = section.section("delegation", |section| Delegation::read(section, trust_domain.as_ref()));
        if let (Some(listen), Some(identity), Some(delegation)) = (&listen, &identity, &delegation) {
            delegation.check(section, listen, identity);
            if let Some(tokens) = &tokens {
                delegation.check_subjects(section, tokens);
            }
            if let Some((tokens, authzen)) = tokens.as_ref().zip(authzen.as_ref()) {
                delegation.check_assertions(section, tokens, (authzen, listen));
            }
        }
        let outbound = section.section("outbound", |section| Outbound::read(section, trust_domain.as_ref()));
        let admin = section.section("admin", Admin::read);
        let audit = section.section("audit", |section| Audit::read(section, data));
        let log = section.section("log", sections::read_log);
        let limits = section.section("limits", Limits::read);
        let shutdown = section.section("shutdown", Shutdown::read);
        Some(Self {
            digest: Digest::of(b""),
            text: String::new(),
            trust_domain: trust_domain?,
            data_dir: data_dir?,
            store: store?,
            listen: listen?,
            identity: identity?,
            federation: federation?,
            decision: decision?,
            tokens: tokens?,
            ext_authz: ext_authz?,
            answers: answers?,
            authzen: authzen?,
            oidc: oidc?,
            delegation: delegation?,
            outbound: outbound?,
            admin: admin?,
            audit: audit?,
            log: log?,
            limits: limits?,
            shutdown: shutdown?,
        })
    }
}

#[cfg(test)]
mod tests;
