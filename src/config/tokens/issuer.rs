//! One issuer: its name, its keys, and what its tokens must be.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::node::Node;
use super::super::origin::Origin;
use super::super::reader::{Section, Setting};
use super::super::values::text;
use super::claims;
use crate::decision::principal::{ClaimMapping, Mapping, Preset};
use crate::feeds::fetch::{FeedUrl, FetchConfig};
use crate::feeds::jwks::KeyAddress;
use crate::foundation::clock::Timestamp;
use crate::identity::token::{Algorithm, IssuerRules, KeySchedule, MAX_DOCUMENT_BYTES};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// What says how keys are fetched.
const FETCHING: [&str; 5] = ["refresh", "min_refresh", "max_stale", "timeout", "ca_file"];

/// The name of SPIFFE's trust domains among the issuers.
const SPIFFE: &str = "spiffe";

/// The longest name of an issuer, in bytes: it is a label of metrics.
const LONGEST_NAME: usize = 512;

/// One of `tokens.issuers`.
#[derive(Clone, Debug)]
pub struct TokenIssuer {
    /// What its tokens must be. Those for one use are remembered since the process started, so it says since when.
    pub rules: IssuerRules,
    /// Where its keys are.
    pub keys: KeyPlace,
    /// How often it is asked for them.
    pub schedule: KeySchedule,
    /// How long they are good after it was last asked.
    pub max_stale: Duration,
    /// What becomes of its claims.
    pub mapping: Mapping,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub enum KeyPlace {
    /// On a server.
    Server(KeyAddress, FetchConfig),
    /// In a file.
    File(PathBuf),
    /// In the bundles of trust domains.
    Bundles,
    /// In our own bundle: the tokens are those of our own exchange.
    Own,
}

/// What says where the keys are, of which there is but one.
struct Places {
    url: Option<FeedUrl>,
    file: Option<PathBuf>,
    discovery: bool,
    spiffe: bool,
    delegated: bool,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<TokenIssuer> {
    let preset = section.optional::<Preset>("preset");
    let issuer = section.optional::<IssuerName>("issuer");
    let places = read_places(section, preset.given().copied());
    let rules = read_rules(section, places.as_ref().is_some_and(|places| places.delegated));
    let refresh = section.bounded("refresh", "5m", (SECOND, DAY));
    let pause = section.bounded("min_refresh", "10s", (SECOND, DAY));
    let max_stale = section.bounded("max_stale", "24h", (SECOND, 30 * DAY));
    let fetch = read_fetch(section);
    let claims = section.section("claims", |section| claims::read(section, preset.given().copied()));
    let (places, preset, issuer) = (places?, preset.valid()?, issuer.valid()?);

    let issuer = issuer.map(|name| name.0).or_else(|| preset.and_then(Preset::issuer).map(Arc::from));
    let issuer = match (places.spiffe, issuer) {
        (true, None) => SPIFFE.into(),
        (false, Some(name)) => name,
        (true, Some(_)) => {
            section.fault("issuer", "of SPIFFE the trust domains are the issuers, so there is no name to give");
            return None;
        }
        (false, None) => {
            section.fault("", "needs an `issuer`: the `iss` of its tokens, to the letter");
            return None;
        }
    };
    let keys = place(section, places, &issuer, fetch?)?;
    let mapping = match keys {
        KeyPlace::Bundles => {
            refuse_what_is_settled(section, &claims?);
            Mapping::Spiffe
        }
        KeyPlace::Own => {
            refuse(section, &FETCHING, "has no use with `delegated: true`: the keys are those of our own bundle");
            Mapping::Delegated(claims?)
        }
        KeyPlace::Server(..) | KeyPlace::File(_) => Mapping::Claims(claims?),
    };
    let schedule = KeySchedule { refresh: refresh?, pause: pause? };
    Some(TokenIssuer { rules: IssuerRules { issuer, ..rules? }, keys, schedule, max_stale: max_stale?, mapping })
}

/// What the standard settles for JWT-SVIDs is nothing to be set: it would be ignored.
fn refuse_what_is_settled(section: &mut Section<'_>, claims: &ClaimMapping) {
    let settled = ["algorithms", "types", "leeway"].into_iter().chain(FETCHING).collect::<Vec<_>>();
    refuse(section, &settled, "has no use with `spiffe: true`: the standard and the bundles settle it");
    if !claims.attributes.is_empty() || claims.groups.is_some() || claims.id.to_string() != Preset::Spiffe.id() {
        section.fault("claims", "have no use with `spiffe: true`: a JWT-SVID is the `Workload` of its subject");
    }
}

/// Tells of each of `keys` that is written down that it would be ignored.
fn refuse(section: &mut Section<'_>, keys: &[&str], why: &str) {
    for key in keys {
        if section.origin(key) != Origin::Default {
            section.fault(key, why);
        }
    }
}

fn read_places(section: &mut Section<'_>, preset: Option<Preset>) -> Option<Places> {
    let url = section.optional::<FeedUrl>("jwks_url");
    let file = section.optional::<PathBuf>("jwks_file");
    let by_preset = |default: bool| if default { "true" } else { "false" };
    let is_spiffe = preset == Some(Preset::Spiffe);
    let delegated = section.value("delegated", "false");
    let elsewhere = url.given().is_some() || file.given().is_some() || delegated == Some(true);
    let discovery = section.value("discovery", by_preset(preset.is_some() && !is_spiffe && !elsewhere));
    let spiffe = section.value("spiffe", by_preset(is_spiffe));
    let (discovery, spiffe, delegated) = (discovery?, spiffe?, delegated?);
    Some(Places { url: url.valid()?, file: file.valid()?, discovery, spiffe, delegated })
}

fn place(section: &mut Section<'_>, places: Places, issuer: &str, fetch: FetchConfig) -> Option<KeyPlace> {
    match places {
        Places { url: Some(url), file: None, discovery: false, spiffe: false, delegated: false } => {
            Some(KeyPlace::Server(KeyAddress::Keys(url), fetch))
        }
        Places { url: None, file: Some(path), discovery: false, spiffe: false, delegated: false } => {
            Some(KeyPlace::File(path))
        }
        Places { url: None, file: None, discovery: true, spiffe: false, delegated: false } => {
            match KeyAddress::discovered(issuer) {
                Ok(address) => Some(KeyPlace::Server(address, fetch)),
                Err(error) => {
                    section.fault("discovery", format!("to be asked for its metadata, the issuer's name {error}"));
                    None
                }
            }
        }
        Places { url: None, file: None, discovery: false, spiffe: true, delegated: false } => Some(KeyPlace::Bundles),
        Places { url: None, file: None, discovery: false, spiffe: false, delegated: true } => Some(KeyPlace::Own),
        _ => {
            section.fault(
                "",
                "must have exactly one of `jwks_url`, `jwks_file`, `discovery: true`, `spiffe: true` and `delegated: true`",
            );
            None
        }
    }
}

/// Of our own exchange, `delegated`, any algorithm that an authority of ours can have, and the types that are for showing to
/// services: a JWT-SVID is taken where those are, and by their rules.
fn read_rules(section: &mut Section<'_>, delegated: bool) -> Option<IssuerRules> {
    let (signed, made) = if delegated {
        ("[ES256, ES384, RS256, RS384, RS512]", "[at+jwt, txntoken+jwt]")
    } else {
        ("[ES256, RS256, EdDSA]", "[JWT]")
    };
    let audiences = section.required_list::<String>("audiences");
    let algorithms = section.list::<Algorithm>("algorithms", signed);
    let types = section.list::<String>("types", made);
    let leeway = section.bounded("leeway", "30s", (Duration::ZERO, 300 * SECOND));
    let single_use = section.value::<bool>("single_use", "false");
    let capacity = section.bounded::<usize>("single_use_capacity", "100000", (1, 10_000_000));
    for (key, is_empty) in [
        ("audiences", audiences.as_ref().is_some_and(|names| names.is_empty() || names.iter().any(String::is_empty))),
        ("algorithms", algorithms.as_ref().is_some_and(Vec::is_empty)),
        ("types", types.as_ref().is_some_and(|names| names.is_empty() || names.iter().any(String::is_empty))),
    ] {
        if is_empty {
            section.fault(key, "must not be empty, nor anything in it");
        }
    }
    let single_use = single_use?.then_some((capacity?, Timestamp::default()));
    let (audiences, algorithms, types) = (audiences?, algorithms?, types?);
    Some(IssuerRules { issuer: "".into(), audiences, algorithms, types, leeway: leeway?, single_use })
}

fn read_fetch(section: &mut Section<'_>) -> Option<FetchConfig> {
    let timeout = section.bounded("timeout", "10s", (SECOND, 60 * SECOND));
    let ca_file = section.value("ca_file", "/etc/ssl/certs/ca-certificates.crt");
    let token_file = section.optional::<PathBuf>("token_file");
    let (timeout, token_file) = (timeout?, token_file.valid()?);
    Some(FetchConfig { timeout, max_bytes: MAX_DOCUMENT_BYTES, ca_file: ca_file?, token_file })
}

/// The name of an issuer.
struct IssuerName(Arc<str>);

impl Setting for IssuerName {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the `iss` of an issuer's tokens")?;
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("must be 1 to {LONGEST_NAME} visible ASCII characters"));
        }
        Ok(Self(name.into()))
    }
}

impl Setting for Algorithm {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the name of an algorithm such as `ES256`")?;
        name.parse().map_err(|error| format!("`{name}` is {error}"))
    }
}

impl Setting for Preset {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the name of a preset")?;
        let known = Self::ALL.into_iter().find(|preset| preset.name() == name);
        known.ok_or_else(|| format!("`{name}` is none of `{}`", Self::ALL.map(Self::name).join("`, `")))
    }
}
