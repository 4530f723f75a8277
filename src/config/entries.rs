//! Registration entries as they stand in the configuration: `identity.entries`, in SPIRE's shape.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::identity::{SHORTEST_SVID, too_long};
use super::node::{Node, Value};
use super::reader::{Bound as _, Section, Setting};
use super::values::text;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Hasher;
use crate::identity::registry::{
    AdditionalAttributes, ConfiguredEntry, EntryProblem, EntryTerms, Parents, check_dns_name, check_dns_names,
    check_federates_with, check_hint, check_id, check_parent_id, check_selectors, check_spiffe_id,
};
use crate::identity::selector::Selector;

/// The path of a server, the parent of aliases.
const SERVER: &str = "/spire/server";

/// How much of a digest makes an id: 128 bits.
const ID_DIGITS: usize = 32;

/// Reads all entries; no two may have the same id or say the same.
pub(super) fn read(
    section: &mut Section<'_>,
    trust_domain: Option<&TrustDomain>,
    longest_ttl: Duration,
) -> Option<Vec<ConfiguredEntry>> {
    let mut ids = HashMap::new();
    let mut contents = HashMap::new();
    section.mappings("entries", |section| {
        let ConfiguredEntry { id, terms } = read_one(section, trust_domain, longest_ttl)?;
        let place = section.path().to_owned();
        let grant = derived_id(&terms.spiffe_id, Some(&terms.parent_id), &terms.selectors);
        if let Some(other) = contents.insert(grant, place.clone()) {
            section.fault("", format!("has the `spiffe_id`, `parent_id` and `selectors` of `{other}`"));
        } else if let Some(other) = ids.insert(Arc::clone(&id), place) {
            section.fault("id", format!("`{id}` is the id of `{other}` too"));
        }
        Some(ConfiguredEntry { id, terms })
    })
}

/// Reads whose entries this process hands out: those of any parent, or of these and of the agent that it is itself.
pub(super) fn read_parents(section: &mut Section<'_>, trust_domain: Option<&TrustDomain>) -> Option<Parents> {
    let parents = section.one_or_more::<Parent>("parents", "any")?;
    if matches!(parents.as_slice(), [Parent::Any]) {
        return Some(Parents::Any);
    }
    let ours = trust_domain?;
    let mut ids = vec![local_agent(ours)?];
    for parent in parents {
        match parent {
            Parent::Any => section.fault("parents", "`any` stands alone"),
            Parent::This(id) if id.path() == SERVER => {
                section.fault("parents", format!("`{id}` is the parent of aliases, which are for no workload"));
            }
            Parent::This(id) => {
                complain(section, "parents", Some(check_parent_id(&id, ours)));
                ids.push(id);
            }
        }
    }
    Some(Parents::these(ids))
}

fn read_one(
    section: &mut Section<'_>,
    trust_domain: Option<&TrustDomain>,
    longest_ttl: Duration,
) -> Option<ConfiguredEntry> {
    let id = section.optional::<Name>("id");
    let spiffe_id = section.required::<SpiffeId>("spiffe_id");
    let parent_id = section.optional::<SpiffeId>("parent_id");
    let selectors: Option<BTreeSet<_>> = section.required_list::<Selector>("selectors").map(BTreeSet::from_iter);
    let x509_svid_ttl = read_ttl(section, "x509_svid_ttl", longest_ttl);
    let jwt_svid_ttl = read_ttl(section, "jwt_svid_ttl", longest_ttl);
    let federates_with: Option<BTreeSet<_>> =
        section.list::<TrustDomain>("federates_with", "[]").map(BTreeSet::from_iter);
    let admin = section.value("admin", "false");
    let downstream = section.value("downstream", "false");
    let expires_at = section.optional::<Timestamp>("expires_at");
    let dns_names: Option<Vec<_>> =
        section.list("dns_names", "[]").map(|names| names.into_iter().map(|DnsName(name)| name).collect());
    let store_svid = section.value("store_svid", "false");
    let hint = section.value::<Hint>("hint", "\"\"");
    let additional = read_additional(section);

    if let Some(ours) = trust_domain {
        complain(section, "spiffe_id", spiffe_id.as_ref().map(|id| check_spiffe_id(id, ours)));
        complain(section, "parent_id", parent_id.given().map(|id| check_parent_id(id, ours)));
        complain(section, "federates_with", federates_with.as_ref().map(|all| check_federates_with(all, ours)));
    }
    complain(section, "dns_names", dns_names.as_deref().map(check_dns_names));
    complain(section, "selectors", selectors.as_ref().map(check_selectors));

    let (spiffe_id, parent_id, selectors) = (spiffe_id?, parent_id.valid()?, selectors?);
    let id = if let Some(Name(id)) = id.valid()? {
        id
    } else {
        let id = derived_id(&spiffe_id, parent_id.as_ref(), &selectors);
        section.show_derived("id", &id);
        id
    };
    let parent_id = match parent_id {
        Some(parent_id) => parent_id,
        None => local_agent(trust_domain?)?,
    };
    let terms = EntryTerms {
        x509_svid_ttl: x509_svid_ttl?,
        jwt_svid_ttl: jwt_svid_ttl?,
        federates_with: federates_with?,
        admin: admin?,
        downstream: downstream?,
        expires_at: expires_at.valid()?,
        dns_names: dns_names?,
        store_svid: store_svid?,
        hint: hint?.0,
        additional: additional?,
        ..EntryTerms::new(spiffe_id, parent_id, selectors)
    };
    Some(ConfiguredEntry { id: id.into(), terms })
}

/// How long an SVID of the entry lives, if it says so.
#[expect(clippy::option_option, reason = "the outer one is only there for `?`")]
fn read_ttl(section: &mut Section<'_>, key: &str, longest: Duration) -> Option<Option<Duration>> {
    let ttl = section.optional::<Duration>(key);
    match ttl.given() {
        Some(ttl) if *ttl < SHORTEST_SVID => {
            section.fault(key, format!("{} is less than {}", ttl.spoken(), SHORTEST_SVID.spoken()));
        }
        Some(ttl) if *ttl > longest => section.fault(key, too_long(*ttl)),
        Some(_) | None => {}
    }
    ttl.valid()
}

/// SPIRE keeps these apart; an entry that has none of them is not one that has them all unset.
#[expect(clippy::option_option, reason = "the outer one is only there for `?`")]
fn read_additional(section: &mut Section<'_>) -> Option<Option<AdditionalAttributes>> {
    let disable_x509_svid_prefetch = section.value("disable_x509_svid_prefetch", "false");
    let jwt_svid_include_jti = section.value("jwt_svid_include_jti", "false");
    let additional = AdditionalAttributes {
        disable_x509_svid_prefetch: disable_x509_svid_prefetch?,
        jwt_svid_include_jti: jwt_svid_include_jti?,
    };
    Some((additional != AdditionalAttributes::default()).then_some(additional))
}

/// Puts on record what the registry says against the value of `key`.
fn complain(section: &mut Section<'_>, key: &str, checked: Option<Result<(), EntryProblem>>) {
    if let Some(Err(problem)) = checked {
        section.fault(key, problem.to_string());
    }
}

/// The parent of entries that name none: the agent that this process is itself.
pub(super) fn local_agent(trust_domain: &TrustDomain) -> Option<SpiffeId> {
    format!("{}/spire/agent/portcullis", trust_domain.id_string()).parse().ok()
}

/// An id that stays the same as long as the entry grants the same to the same: a digest of just that.
fn derived_id(spiffe_id: &SpiffeId, parent_id: Option<&SpiffeId>, selectors: &BTreeSet<Selector>) -> String {
    let mut hasher = Hasher::new();
    hasher.field(spiffe_id.as_str().as_bytes()).field(parent_id.map_or("", SpiffeId::as_str).as_bytes());
    for selector in selectors {
        hasher.field(selector.to_string().as_bytes());
    }
    hasher.finish().to_string().chars().take(ID_DIGITS).collect()
}

/// One of `identity.parents`.
enum Parent {
    Any,
    This(SpiffeId),
}

impl Setting for Parent {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        match &node.value {
            Value::Text(text) if text == "any" => Ok(Self::Any),
            _ => SpiffeId::read(node, base).map(Self::This),
        }
    }
}

/// The id of an entry.
struct Name(String);

impl Setting for Name {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        checked(text(node, "an id")?, check_id).map(Self)
    }
}

/// A word for the workload.
struct Hint(String);

impl Setting for Hint {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        checked(text(node, "a text")?, check_hint).map(Self)
    }
}

/// A name that may stand in a certificate's subject alternative name.
pub(super) struct DnsName(pub(super) String);

impl Setting for DnsName {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        checked(text(node, "a DNS name")?, check_dns_name).map(Self)
    }
}

fn checked(text: &str, check: impl Fn(&str) -> Result<(), EntryProblem>) -> Result<String, String> {
    check(text).map(|()| text.to_owned()).map_err(|problem| problem.to_string())
}
