//! The section `identity`: the authority, the entries and the names that SDS answers to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_spiffe::TrustDomain;

use super::entries;
use super::node::{Node, Value};
use super::reader::{Bound as _, Section, Setting};
use super::values::text;
use crate::edge::envoy::sds::UnknownNames;
use crate::identity::authority::{AUTHORITY_LEAVES, Hash, KeyType};
use crate::identity::issue::LONGEST_JWT;
use crate::identity::registry::{ConfiguredEntry, Parents};

const MINUTE: Duration = Duration::from_mins(1);
const YEAR: Duration = Duration::from_hours(365 * 24);

/// The shortest life of a leaf: below it, rotation at half life is a storm.
pub(super) const SHORTEST_SVID: Duration = Duration::from_secs(10);

/// How long a JWT-SVID lives by default, unless the authority is too short-lived for that.
const JWT_TTL: Duration = Duration::from_mins(5);

/// The longest `iss`, in bytes.
const MAX_ISSUER: usize = 1024;

/// The section `identity`.
#[derive(Clone, Debug)]
pub struct Identity {
    /// How long a signing authority lives, of either kind.
    pub authority_ttl: Duration,
    /// What keys sign JWT-SVIDs.
    pub jwt_key_type: KeyType,
    /// What an RSA key signs JWT-SVIDs with.
    pub jwt_rsa_hash: Hash,
    /// `iss` of JWT-SVIDs, if they are to have one.
    pub jwt_issuer: Option<String>,
    /// How long a JWT-SVID lives whose entry says nothing else.
    pub jwt_svid_ttl: Duration,
    /// The file of the key that the authority's private key is sealed with.
    pub seal_key_file: PathBuf,
    /// How long a leaf lives whose entry says nothing else.
    pub x509_svid_ttl: Duration,
    /// The largest executable that is digested for `unix:sha256`, in bytes.
    pub max_executable_bytes: u64,
    /// On a kernel that can't vouch for callers, attest the process that has the caller's id.
    pub attest_by_pid_lookup: bool,
    /// Whose entries are handed out.
    pub parents: Parents,
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
        let longest = authority_ttl.map(|ttl: Duration| ttl / AUTHORITY_LEAVES);
        if let (Some(ttl), Some(longest)) = (x509_svid_ttl, longest)
            && ttl > longest
        {
            section.fault(section.culprit(&["authority_ttl", "x509_svid_ttl"]), too_long(ttl));
        }
        let jwt = Jwt::read(section, longest);
        let parents = entries::read_parents(section, trust_domain);
        let entries = entries::read(section, trust_domain, longest.unwrap_or(YEAR));
        let sds = section.section("sds", Sds::read);
        Some(Self {
            authority_ttl: authority_ttl?,
            jwt_key_type: jwt.key_type?,
            jwt_rsa_hash: jwt.rsa_hash?,
            jwt_issuer: jwt.issuer?,
            jwt_svid_ttl: jwt.svid_ttl?,
            seal_key_file: seal_key_file?,
            x509_svid_ttl: x509_svid_ttl?,
            max_executable_bytes: max_executable_bytes?,
            attest_by_pid_lookup: attest_by_pid_lookup?,
            parents: parents?,
            entries: entries?,
            sds: sds?,
        })
    }
}

/// The keys `identity.jwt_*`.
struct Jwt {
    key_type: Option<KeyType>,
    rsa_hash: Option<Hash>,
    #[expect(clippy::option_option, reason = "the outer one says that it is wrong, the inner one that it is absent")]
    issuer: Option<Option<String>>,
    svid_ttl: Option<Duration>,
}

impl Jwt {
    /// `longest` is how long an SVID may live at most, which is also the default for short-lived authorities.
    fn read(section: &mut Section<'_>, longest: Option<Duration>) -> Self {
        let key_type = section.value("jwt_key_type", KeyType::default().name());
        let rsa_hash = section.value("jwt_rsa_algorithm", "RS256");
        let issuer = section.optional::<String>("jwt_issuer").valid();
        if let Some(Some(issuer)) = &issuer
            && (issuer.is_empty() || issuer.len() > MAX_ISSUER || issuer.chars().any(char::is_control))
        {
            section.fault("jwt_issuer", format!("an issuer has 1 to {MAX_ISSUER} bytes and no control characters"));
        }
        let default = longest.unwrap_or(JWT_TTL).clamp(SHORTEST_SVID, JWT_TTL).spoken();
        let svid_ttl = section.bounded("jwt_svid_ttl", &default, (SHORTEST_SVID, LONGEST_JWT));
        if let (Some(ttl), Some(longest)) = (svid_ttl, longest)
            && ttl > longest
        {
            section.fault(section.culprit(&["authority_ttl", "jwt_svid_ttl"]), too_long(ttl));
        }
        Self { key_type, rsa_hash, issuer, svid_ttl }
    }
}

impl Setting for KeyType {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let expected = || Self::ALL.map(|one| format!("`{}`", one.name())).join(", ");
        let given = text(node, &expected())?;
        let found = Self::ALL.into_iter().find(|one| one.name() == given);
        found.ok_or_else(|| format!("`{given}` is none of {}", expected()))
    }
}

impl Setting for Hash {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        const EXPECTED: &str = "`RS256`, `RS384`, `RS512`";
        match text(node, EXPECTED)? {
            "RS256" => Ok(Self::Sha256),
            "RS384" => Ok(Self::Sha384),
            "RS512" => Ok(Self::Sha512),
            other => Err(format!("`{other}` is none of {EXPECTED}")),
        }
    }
}

/// The complaint about an SVID that would live for `ttl`.
pub(super) fn too_long(ttl: Duration) -> String {
    format!("an SVID of {} needs an `identity.authority_ttl` of six times as much", ttl.spoken())
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
