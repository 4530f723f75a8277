//! The section `delegation`: tokens that are exchanged for others, whose they may be, for whom and how far.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::identity::Identity;
use super::listen::Listen;
use super::node::Node;
use super::reader::{Section, Setting};
use super::sections::Authzen;
use super::server_tls::{self, ServerTls};
use super::tokens::{KeyPlace, TokenIssuer, Tokens, read_subjects};
use super::values::text;
use crate::decision::principal::Mapping;
use crate::edge::http::authzen::Identifier;
use crate::edge::http::token::TOKEN_PATH;
use crate::identity::delegation::{MAX_ACTORS, parse_scope};

/// Of whom an exchanged token is, by the name of who said so first (RFC 9493 section 3.2.3).
const SUBJECTS_ISSUER: &str = "{/sub_id/iss}";

const SECOND: Duration = Duration::from_secs(1);

/// The longest name of an audience, in bytes.
const LONGEST_NAME: usize = 512;

/// The section `delegation`.
#[derive(Clone, Debug)]
pub struct Delegation {
    /// `iss` of what is issued. Without one, nothing is.
    pub issuer: Option<Identifier>,
    /// What addresses `tls:IP:PORT` of `listen.token` show.
    pub tls: Option<ServerTls>,
    /// For whom tokens are made, and which workloads each of these is.
    pub audiences: BTreeMap<String, BTreeSet<SpiffeId>>,
    /// All scopes that there are.
    pub scopes: BTreeSet<String>,
    /// What kind of actor workloads are.
    pub profiles: BTreeMap<SpiffeId, String>,
    /// How long a token lives at most.
    pub max_ttl: Duration,
    /// The most actors of a chain.
    pub max_actors: usize,
    /// Whether tokens are bound to the certificates of who gets them.
    pub bind_to_certificate: bool,
    /// Requests that are not answered yet, on all listeners together.
    pub max_concurrent_requests: usize,
    /// How many used assertions of clients are remembered.
    pub assertions: usize,
    /// Whose tokens may be exchanged, beside our own.
    pub subjects: Subjects,
}

/// The section `delegation.subjects`.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// The issuers.
    pub issuers: Vec<TokenIssuer>,
    /// How many verified tokens are remembered.
    pub remembered: usize,
    /// What tokens without a `scope` are worth, by their issuer.
    pub unscoped: BTreeMap<String, BTreeSet<String>>,
    /// Whose tokens may be exchanged by others than who acts in them.
    pub forwarded: BTreeSet<String>,
}

impl Delegation {
    pub(super) fn read(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<Self> {
        let issuer = section.optional::<Identifier>("issuer").valid();
        let tls = section.optional_section("tls", |section| server_tls::read(section, ours)).valid();
        let audiences = section.mappings("audiences", read_audience);
        let scopes = section.list::<Scope>("scopes", "[]");
        let profiles = section.mappings("profiles", |section| {
            let spiffe_id = section.required::<SpiffeId>("spiffe_id");
            let profile = section.required::<Profile>("profile");
            Some((spiffe_id?, profile?.0))
        });
        let max_ttl = section.bounded("max_ttl", "5m", (10 * SECOND, 3600 * SECOND));
        let max_actors = section.bounded("max_actors", "4", (1, MAX_ACTORS));
        let bind_to_certificate = section.value("bind_to_certificate", "false");
        let max_concurrent_requests = section.bounded("max_concurrent_requests", "256", (1, 1 << 20));
        let assertions = section.bounded("assertions", "100000", (1, 10_000_000));
        let subjects = section.section("subjects", Subjects::read);
        let (issuer, audiences) = (issuer?, audiences?);
        let mut names = BTreeSet::new();
        if let Some(name) = audiences.iter().map(|(name, _)| name).find(|name| !names.insert(*name)) {
            section.fault("audiences", format!("`{name}` is there twice"));
        }
        let delegation = Self {
            issuer,
            tls: tls?,
            audiences: audiences.into_iter().collect(),
            scopes: scopes?.into_iter().map(|Scope(name)| name).collect(),
            profiles: profiles?.into_iter().collect(),
            max_ttl: max_ttl?,
            max_actors: max_actors?,
            bind_to_certificate: bind_to_certificate?,
            max_concurrent_requests: max_concurrent_requests?,
            assertions: assertions?,
            subjects: subjects?,
        };
        delegation.check_names(section, ours);
        Some(delegation)
    }

    /// For whom a client's assertion must be: us, by our name or that of the endpoint. Empty if nothing is issued.
    pub fn assertion_audiences(&self) -> Vec<String> {
        let issuer = self.issuer.iter();
        issuer.flat_map(|issuer| [issuer.as_str().to_owned(), format!("{issuer}{TOKEN_PATH}")]).collect()
    }

    /// No token that is good for one thing may be good for another: whoever is shown a token of a workload so that it acts for
    /// that could else be the workload.
    fn check_names(&self, section: &mut Section<'_>, ours: Option<&TrustDomain>) {
        let own = self.assertion_audiences();
        for name in self.audiences.keys() {
            if own.contains(name) || ours.is_some_and(|ours| ours.as_str() == name) {
                let message = format!("`{name}` is what client assertions, or transaction tokens, are for");
                section.fault("audiences", message);
            }
        }
        for issuer in &self.subjects.issuers {
            if self.issuer.as_ref().is_some_and(|own| own.as_str() == &*issuer.rules.issuer) {
                section.fault("subjects", "`issuers`: our own tokens are believed without being named");
            }
            if issuer.rules.issuer.starts_with("spiffe://") {
                section.fault("subjects", "`issuers`: the name of a trust domain is not for others to issue under");
            }
            let is_svid = matches!(issuer.keys, KeyPlace::Bundles);
            if let Some(name) = issuer.rules.audiences.iter().find(|name| is_svid && own.contains(name)) {
                let message = format!(
                    "`issuers`: `{name}` is what client assertions are for; whoever is given such a token to act on \
                     behalf of its subject could be the subject"
                );
                section.fault("subjects", message);
            }
        }
        for scopes in self.subjects.unscoped.values() {
            if let Some(scope) = scopes.iter().find(|scope| !self.scopes.contains(*scope)) {
                section.fault("subjects", format!("`unscoped`: `{scope}` is not in `delegation.scopes`"));
            }
        }
    }

    /// Whether whom a Check is shown an exchanged token of can be told apart from all others: where several issuers name people,
    /// an id that `sub` alone makes would be that of whoever is called so by any of them.
    pub(super) fn check_subjects(&self, section: &mut Section<'_>, tokens: &Tokens) {
        let names_people = |issuer: &&TokenIssuer| matches!(issuer.mapping, Mapping::Claims(_));
        let all = self.subjects.issuers.iter().chain(&tokens.issuers).filter(names_people);
        let people: BTreeSet<&str> = all.map(|issuer| &*issuer.rules.issuer).collect();
        let tells_none_apart = |issuer: &TokenIssuer| match &issuer.mapping {
            Mapping::Delegated(mapping) => !mapping.id.to_string().contains(SUBJECTS_ISSUER),
            _ => false,
        };
        if people.len() > 1 && self.issuer.is_some() && tokens.issuers.iter().any(tells_none_apart) {
            let message = format!(
                "`issuers`: people of several issuers can be exchanged, so `claims.id` of the `delegated` one must have \
                 `{SUBJECTS_ISSUER}` in it, e.g. `{SUBJECTS_ISSUER}|{{sub}}`"
            );
            section.fault("tokens", message);
        }
    }

    /// Whether nobody is shown JWT-SVIDs that would be client assertions, neither with a request nor by who asks over `AuthZEN`:
    /// whoever sees one could be the workload that showed it.
    pub(super) fn check_assertions(
        &self,
        section: &mut Section<'_>,
        tokens: &Tokens,
        (authzen, listen): (&Authzen, &Listen),
    ) {
        let own = self.assertion_audiences();
        let complaint = |issuers: &[TokenIssuer]| {
            let svids = issuers.iter().filter(|issuer| matches!(issuer.keys, KeyPlace::Bundles));
            let name = svids.flat_map(|issuer| &issuer.rules.audiences).find(|name| own.contains(name))?;
            Some(format!(
                "`{name}` is what client assertions are for; whoever is shown such a token with a request could be the \
                 workload that showed it"
            ))
        };
        if let Some(message) = complaint(&tokens.issuers) {
            section.fault("tokens", format!("`issuers`: {message}"));
        }
        if let Some(message) = complaint(&authzen.callers.issuers) {
            section.fault("authzen", format!("`callers.bearer.issuers`: {message}"));
        }
        for listener in &listen.authzen {
            let callers = listener.callers.as_ref();
            if let Some(message) = callers.and_then(|callers| complaint(&callers.issuers)) {
                let message = format!("`callers.bearer.issuers`: {message}");
                section.complain(listener.address.origin.clone(), "listen.authzen", message);
            }
        }
    }

    /// Whether what listens has something to serve and to show, and no other token of ours has the same issuer.
    pub(super) fn check(&self, section: &mut Section<'_>, listen: &Listen, identity: &Identity) {
        const LISTENERS: &str = "listen.token";
        let issuer = self.issuer.as_ref().map(Identifier::as_str);
        if issuer.is_some() && identity.jwt_issuer.as_deref() == issuer {
            let message = "`issuer` must not be `identity.jwt_issuer`: what workloads are given is no exchanged token";
            section.fault("delegation", message);
        }
        if let Some(address) = listen.token.first().filter(|_| issuer.is_none()) {
            let message = "needs `delegation.issuer`: the name of who issues tokens there";
            section.complain(address.origin.clone(), LISTENERS, message.to_owned());
        }
        if let Some(address) = listen.token.iter().find(|address| address.tls && self.tls.is_none()) {
            let message = format!("`{address}` needs `delegation.tls`, which says what certificate is shown");
            section.complain(address.origin.clone(), LISTENERS, message);
        }
    }
}

impl Subjects {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let issuers = read_subjects(section);
        let remembered = section.bounded("remembered", "10000", (1, 1_000_000));
        let unscoped = section.mappings("unscoped", |section| {
            let issuer = section.required::<String>("issuer");
            let scopes = section.required_list::<Scope>("scopes");
            Some((issuer?, scopes?.into_iter().map(|Scope(name)| name).collect()))
        });
        let forwarded = section.list::<String>("forwarded", "[]");
        let (issuers, forwarded) = (issuers?, forwarded?);
        let is_believed = |name: &str| {
            let is_svid =
                |issuer: &TokenIssuer| matches!(issuer.keys, KeyPlace::Bundles) && name.starts_with("spiffe://");
            issuers.iter().any(|issuer| *issuer.rules.issuer == *name || is_svid(issuer))
        };
        if let Some(name) = forwarded.iter().find(|name| !is_believed(name)) {
            section.fault("forwarded", format!("`{name}` is none of the `issuers`"));
        }
        Some(Self {
            issuers,
            remembered: remembered?,
            unscoped: unscoped?.into_iter().collect(),
            forwarded: forwarded.into_iter().collect(),
        })
    }
}

fn read_audience(section: &mut Section<'_>) -> Option<(String, BTreeSet<SpiffeId>)> {
    let name = section.required::<Audience>("name");
    let workloads = section.list::<SpiffeId>("workloads", "[]");
    Some((name?.0, workloads?.into_iter().collect()))
}

/// The name of whom tokens are for.
struct Audience(String);

/// A scope.
struct Scope(String);

/// A kind of actor.
struct Profile(String);

impl Setting for Audience {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the name of an audience such as `https://orders.example.org`")?;
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("must be 1 to {LONGEST_NAME} visible ASCII characters"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Setting for Scope {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the name of a scope such as `orders:read`")?;
        let is_one = parse_scope(name).is_some_and(|scopes| scopes.contains(name));
        if is_one { Ok(Self(name.to_owned())) } else { Err(format!("`{name}` is not the name of one scope")) }
    }
}

impl Setting for Profile {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "a kind of actor such as `ai_agent`")?;
        let is_name = !name.is_empty() && name.len() <= 64;
        let is_plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if is_name && is_plain {
            return Ok(Self(name.to_owned()));
        }
        Err(format!("`{name}` is not 1 to 64 lower-case letters, digits and `_`"))
    }
}
