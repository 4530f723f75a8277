//! The section `federation`: with whom we federate, how their bundles are fetched, and what of their identities counts.

mod identities;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::listen::Listen;
use super::node::{Node, Value};
use super::reader::{Section, Setting};
use super::server_tls::{self, ServerTls};
use super::values::text;
use crate::identity::federation::{EndpointProfile, EndpointUrl, PollConfig, Relationship};
use crate::identity::foreign::ForeignIdentities;
use crate::identity::registry::check_spiffe_id;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// The section `federation`.
#[derive(Clone, Debug)]
pub struct Federation {
    /// Who may have signed the certificate of an endpoint of profile `https_web`: PEM.
    pub web_authorities: PathBuf,
    /// When endpoints are asked, and how long their bundles are believed.
    pub poll: PollConfig,
    /// How our own bundle is served.
    pub endpoint: BundleEndpoint,
    /// With whom we federate by configuration; the admin API adds others.
    pub relationships: Vec<ConfiguredRelationship>,
    /// What of others' identities is let in, however we came to federate with them.
    pub identities: ForeignIdentities,
    /// The file with all bundles that are believed, as gRPC and Envoy read them.
    pub bundle_map_file: Option<PathBuf>,
}

/// The section `federation.endpoint`.
#[derive(Clone, Debug)]
pub struct BundleEndpoint {
    /// What `listen.bundle_web` shows.
    pub web: Option<ServerTls>,
    /// Whose SVID `listen.bundle_spiffe` shows.
    pub spiffe_id: Option<SpiffeId>,
    /// How often others should look for a newer bundle.
    pub refresh_hint: Duration,
    /// How many requests of one machine are answered in a second.
    pub requests_per_second: u32,
}

/// A relationship that stands in the configuration.
#[derive(Clone, Debug)]
pub struct ConfiguredRelationship {
    /// The relationship.
    pub relationship: Relationship,
    /// A file with the bundle to begin with: the endpoint can't prove itself by an SVID before there is one.
    pub first_bundle: Option<PathBuf>,
}

impl Federation {
    pub(super) fn read(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<Self> {
        let web_authorities = section.value("web_authorities", "/etc/ssl/certs/ca-certificates.crt");
        let timeout = section.bounded("timeout", "10s", (SECOND / 10, 60 * SECOND));
        let shortest = section.bounded("shortest_interval", "30s", (SECOND, HOUR));
        let longest = section.bounded("longest_interval", "1h", (SECOND, DAY));
        let max_stale = section.optional::<Duration>("max_stale").valid();
        let endpoint = section.section("endpoint", |section| BundleEndpoint::read(section, ours));
        let identities = identities::read(section, ours);
        let bundle_map_file = section.optional::<PathBuf>("bundle_map_file").valid();
        let mut names = HashSet::new();
        let relationships = section.mappings("relationships", |section| {
            let read = read_relationship(section)?;
            let name = &read.relationship.trust_domain;
            if Some(name) == ours {
                section.fault("trust_domain", format!("`{name}` is this trust domain itself"));
            }
            if !names.insert(name.clone()) {
                section.fault("trust_domain", format!("there is another relationship with `{name}`"));
            }
            Some(read)
        });
        if let (Some(shortest), Some(longest)) = (shortest, longest)
            && shortest > longest
        {
            let key = section.culprit(&["shortest_interval", "longest_interval"]);
            section.fault(key, "`shortest_interval` is longer than `longest_interval`");
        }
        let max_stale = max_stale?;
        if max_stale.is_some_and(|limit| longest.is_some_and(|longest| limit <= longest)) {
            section.fault("max_stale", "must be longer than `longest_interval`, or good bundles would turn stale");
        }
        let poll = PollConfig { timeout: timeout?, shortest: shortest?, longest: longest?, max_stale };
        let (endpoint, relationships) = (endpoint?, relationships?);
        let (identities, bundle_map_file) = (identities?, bundle_map_file?);
        Some(Self { web_authorities: web_authorities?, poll, endpoint, relationships, identities, bundle_map_file })
    }

    /// Whether what listens has something to show.
    pub(super) fn check(&self, section: &mut Section<'_>, listen: &Listen) {
        let spiffe = self.endpoint.spiffe_id.is_some();
        for (key, addresses, setting, is_there) in [
            ("listen.bundle_web", &listen.bundle_web, "`federation.endpoint.web`", self.endpoint.web.is_some()),
            ("listen.bundle_spiffe", &listen.bundle_spiffe, "`federation.endpoint.spiffe_id`", spiffe),
        ] {
            if let Some(address) = addresses.first().filter(|_| !is_there) {
                let message = format!("`{address}` needs {setting}, which says what certificate is shown");
                section.complain(address.origin.clone(), key, message);
            }
        }
    }
}

impl BundleEndpoint {
    fn read(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<Self> {
        let web = section.optional_section("web", server_tls::read_files).valid();
        let spiffe_id = section.optional::<SpiffeId>("spiffe_id").valid();
        let refresh_hint = section.bounded("refresh_hint", "5m", (SECOND, DAY));
        let requests_per_second = section.bounded("requests_per_second", "20", (1, 1_000_000));
        if let (Some(Some(id)), Some(ours)) = (&spiffe_id, ours)
            && let Err(problem) = check_spiffe_id(id, ours)
        {
            section.fault("spiffe_id", problem.to_string());
        }
        Some(Self {
            web: web?,
            spiffe_id: spiffe_id?,
            refresh_hint: refresh_hint?,
            requests_per_second: requests_per_second?,
        })
    }
}

fn read_relationship(section: &mut Section<'_>) -> Option<ConfiguredRelationship> {
    let trust_domain = section.required::<TrustDomain>("trust_domain");
    let endpoint = section.required::<EndpointUrl>("endpoint");
    let profile = section.required::<Profile>("profile");
    let id = section.optional::<SpiffeId>("spiffe_id").valid();
    let first_bundle = section.optional::<PathBuf>("bundle").valid();
    let profile = match (profile?, id?) {
        (Profile::Web, None) => EndpointProfile::Web,
        (Profile::Spiffe, Some(id)) => EndpointProfile::Spiffe(id),
        (Profile::Web, Some(_)) => {
            section.fault("spiffe_id", "a server of profile `https_web` has no SPIFFE ID");
            return None;
        }
        (Profile::Spiffe, None) => {
            section.fault("spiffe_id", "missing: it says whose SVID the server of profile `https_spiffe` must have");
            return None;
        }
    };
    let relationship = Relationship { trust_domain: trust_domain?, endpoint: endpoint?, profile };
    Some(ConfiguredRelationship { relationship, first_bundle: first_bundle? })
}

/// How the server proves itself.
enum Profile {
    Web,
    Spiffe,
}

impl Setting for Profile {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`https_web` or `https_spiffe`")? {
            "https_web" => Ok(Self::Web),
            "https_spiffe" => Ok(Self::Spiffe),
            other => Err(format!("`{other}` is neither `https_web` nor `https_spiffe`")),
        }
    }
}

impl Setting for EndpointUrl {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        text(node, "a URL")?.parse().map_err(|error| format!("{error}"))
    }

    fn shown(&self, _written: &Node) -> Value {
        Value::Text(self.to_string())
    }
}
