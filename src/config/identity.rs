//! The section `identity`: the authority, the entries and the names that SDS answers to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_spiffe::TrustDomain;

use super::attestors::Attestors;
use super::entries;
use super::node::Value;
use super::reader::{Bound as _, Section};
use crate::edge::envoy::sds::UnknownNames;
use crate::identity::registry::ConfiguredEntry;

const MINUTE: Duration = Duration::from_mins(1);
const YEAR: Duration = Duration::from_hours(365 * 24);

/// The shortest life of a leaf: below it, rotation at half life is a storm.
pub(super) const SHORTEST_SVID: Duration = Duration::from_secs(10);

/// An authority lives at least this many times as long as what it signs, so that a leaf that is signed near its end
/// need not be cut short.
const AUTHORITY_LEAVES: u32 = 6;

/// The section `identity`.
#[derive(Clone, Debug)]
pub struct Identity {
    /// How long the signing authority lives.
    pub authority_ttl: Duration,
    /// The file of the key that the authority's private key is sealed with.
    pub seal_key_file: PathBuf,
    /// How long a leaf lives whose entry says nothing else.
    pub x509_svid_ttl: Duration,
    /// The largest executable that is digested for `unix:sha256`, in bytes.
    pub max_executable_bytes: u64,
    /// On a kernel that can't vouch for callers, attest the process that has the caller's id.
    pub attest_by_pid_lookup: bool,
    /// Whom to ask about callers, beside the kernel.
    pub attestors: Attestors,
    /// Who gets which identity, in the order of the configuration.
    pub entries: Vec<ConfiguredEntry>,
    /// What SDS answers to.
    pub sds: Sds,
}

/// The section `identity.sds`: names of secrets that are not SPIFFE IDs. They are SPIRE's.
#[derive(Clone, Debug)]
pub struct Sds {
    /// The workload's first X.509-SVID.
    pub default_svid_name: String,
    /// The bundle of our trust domain.
    pub default_bundle_name: String,
    /// Our bundle and those of the trust domains that the workload's entries federate with.
    pub default_all_bundles_name: String,
    /// Send plain CA certificates in place of a configuration for Envoy's SPIFFE validator.
    pub disable_spiffe_cert_validation: bool,
    /// What happens to a stream that asks for what no entry grants.
    pub unknown_names: UnknownNames,
}

impl Identity {
    pub(super) fn read(section: &mut Section<'_>, trust_domain: Option<&TrustDomain>, data_dir: &Path) -> Option<Self> {
        let authority_ttl = section.bounded("authority_ttl", "8760h", (MINUTE, 10 * YEAR));
        let seal_key_file = section.value_or("seal_key_file", Value::Text(format!("{}/seal.key", data_dir.display())));
        let x509_svid_ttl = section.bounded("x509_svid_ttl", "1h", (SHORTEST_SVID, YEAR));
        let max_executable_bytes = section.bounded("max_executable_bytes", "536870912", (1, u64::MAX));
        let attest_by_pid_lookup = section.value("attest_by_pid_lookup", "false");
        let attestors = section.section("attestors", Attestors::read);
        let longest = authority_ttl.map(|ttl: Duration| ttl / AUTHORITY_LEAVES);
        if let (Some(ttl), Some(longest)) = (x509_svid_ttl, longest)
            && ttl > longest
        {
            section.fault(section.culprit(&["authority_ttl", "x509_svid_ttl"]), too_long(ttl));
        }
        let entries = entries::read(section, trust_domain, longest.unwrap_or(YEAR));
        if let (Some(entries), Some(attestors)) = (&entries, &attestors) {
            attestors.check_entries(section, entries);
        }
        let sds = section.section("sds", Sds::read);
        Some(Self {
            authority_ttl: authority_ttl?,
            seal_key_file: seal_key_file?,
            x509_svid_ttl: x509_svid_ttl?,
            max_executable_bytes: max_executable_bytes?,
            attest_by_pid_lookup: attest_by_pid_lookup?,
            attestors: attestors?,
            entries: entries?,
            sds: sds?,
        })
    }
}

/// The complaint about a leaf that would live for `ttl`.
pub(super) fn too_long(ttl: Duration) -> String {
    format!("an X.509-SVID of {} needs an `identity.authority_ttl` of six times as much", ttl.spoken())
}

impl Sds {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let default_svid_name = section.value::<String>("default_svid_name", "default");
        let default_bundle_name = section.value::<String>("default_bundle_name", "ROOTCA");
        let default_all_bundles_name = section.value::<String>("default_all_bundles_name", "ALL");
        let disable_spiffe_cert_validation = section.value("disable_spiffe_cert_validation", "false");
        let unknown_names = section.value("unknown_names", "wait");
        let names = [
            ("default_svid_name", &default_svid_name),
            ("default_bundle_name", &default_bundle_name),
            ("default_all_bundles_name", &default_all_bundles_name),
        ];
        for (index, (key, name)) in names.into_iter().enumerate() {
            let Some(name) = name else { continue };
            if name.is_empty() || name.starts_with("spiffe:") {
                section.fault(key, "the name of a secret is not empty and does not begin with `spiffe:`");
            }
            for (other, _) in names.into_iter().take(index).filter(|(_, other)| other.as_ref() == Some(name)) {
                section.fault(section.culprit(&[other, key]), format!("two secrets have the name `{name}`"));
            }
        }
        Some(Self {
            default_svid_name: default_svid_name?,
            default_bundle_name: default_bundle_name?,
            default_all_bundles_name: default_all_bundles_name?,
            disable_spiffe_cert_validation: disable_spiffe_cert_validation?,
            unknown_names: unknown_names?,
        })
    }
}
