//! Registration entries as they stand in the configuration: `identity.entries`, in SPIRE's shape.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::identity::{SHORTEST_SVID, too_long};
use super::node::Node;
use super::reader::{Bound as _, Section, Setting};
use super::values::text;
use crate::foundation::digest::Hasher;
use crate::identity::registry::{ConfiguredEntry, EntryTerms};
use crate::identity::selector::Selector;

/// The longest id of an entry and the longest hint, in bytes.
const MAX_NAME: usize = 255;

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

fn read_one(
    section: &mut Section<'_>,
    trust_domain: Option<&TrustDomain>,
    longest_ttl: Duration,
) -> Option<ConfiguredEntry> {
    let id = section.optional::<Name>("id");
    let spiffe_id = section.required::<SpiffeId>("spiffe_id");
    let parent_id = section.optional::<SpiffeId>("parent_id");
    let selectors = section.required_list::<Selector>("selectors");
    let x509_svid_ttl = section.optional::<Duration>("x509_svid_ttl");
    let dns_names = section.list::<DnsName>("dns_names", "[]");
    let federates_with = section.list::<TrustDomain>("federates_with", "[]");
    let hint = section.value::<Hint>("hint", "\"\"");

    if let Some(ours) = trust_domain {
        check_ours(section, "spiffe_id", spiffe_id.as_ref(), ours);
        check_ours(section, "parent_id", parent_id.given(), ours);
        if federates_with.as_ref().is_some_and(|foreign| foreign.contains(ours)) {
            section.fault("federates_with", format!("`{ours}` is this trust domain itself"));
        }
    }
    if let Some(id) = spiffe_id.as_ref().filter(|id| id.path().split('/').nth(1) == Some("spire")) {
        section.fault("spiffe_id", format!("`{id}`: `/spire` is reserved for the infrastructure"));
    }
    for (index, DnsName(name)) in dns_names.iter().flatten().enumerate() {
        if dns_names.iter().flatten().take(index).any(|DnsName(other)| other == name) {
            section.fault("dns_names", format!("`{name}` is there twice"));
        }
    }
    if selectors.as_ref().is_some_and(Vec::is_empty) {
        section.fault("selectors", "an entry without selectors would fit every workload; name at least one");
    }
    match x509_svid_ttl.given() {
        Some(ttl) if *ttl < SHORTEST_SVID => {
            section.fault("x509_svid_ttl", format!("{} is less than {}", ttl.spoken(), SHORTEST_SVID.spoken()));
        }
        Some(ttl) if *ttl > longest_ttl => section.fault("x509_svid_ttl", too_long("an X.509-SVID", *ttl)),
        Some(_) | None => {}
    }

    let (spiffe_id, parent_id) = (spiffe_id?, parent_id.valid()?);
    let selectors: BTreeSet<Selector> = selectors?.into_iter().collect();
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
        x509_svid_ttl: x509_svid_ttl.valid()?,
        dns_names: dns_names?.into_iter().map(|DnsName(name)| name).collect(),
        federates_with: federates_with?.into_iter().collect(),
        hint: hint?.0,
        ..EntryTerms::new(spiffe_id, parent_id, selectors)
    };
    Some(ConfiguredEntry { id: id.into(), terms })
}

/// The parent of entries that name none: the agent that this process is itself.
fn local_agent(trust_domain: &TrustDomain) -> Option<SpiffeId> {
    format!("{}/spire/agent/portcullis", trust_domain.id_string()).parse().ok()
}

fn check_ours(section: &mut Section<'_>, key: &str, id: Option<&SpiffeId>, ours: &TrustDomain) {
    if let Some(id) = id.filter(|id| id.trust_domain() != ours) {
        section.fault(key, format!("`{id}` is not of the trust domain `{ours}`"));
    }
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

/// The id of an entry, in SPIRE's grammar.
struct Name(String);

impl Setting for Name {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let id = text(node, "an id")?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if (1..=MAX_NAME).contains(&id.len()) && id.bytes().all(plain) {
            Ok(Self(id.to_owned()))
        } else {
            Err(format!("`{id}`: an id has 1 to {MAX_NAME} letters, digits, `.`, `-` and `_`"))
        }
    }
}

/// A word for the workload.
struct Hint(String);

impl Setting for Hint {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let hint = text(node, "a text")?;
        if hint.len() <= MAX_NAME && !hint.contains(char::is_control) {
            Ok(Self(hint.to_owned()))
        } else {
            Err(format!("a hint has at most {MAX_NAME} bytes and no control characters"))
        }
    }
}

/// A name that may stand in a certificate's subject alternative name (RFC 5280 section 4.2.1.6, RFC 1123 section 2.1).
/// No wildcard: a workload is one host's worth of trust.
struct DnsName(String);

impl Setting for DnsName {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "a DNS name")?;
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let numeric_end = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() <= 253 && name.split('.').all(label) && !numeric_end {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!("`{name}` is not a DNS name in lower case"))
        }
    }
}
