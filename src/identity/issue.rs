//! The use case of the identity plane: attested → entitled → signed → recorded → handed out.

mod assertion;
mod changes;
mod jwt;
mod mint;
mod own;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};
use prometheus_client::metrics::counter::Counter;
use rustls_pki_types::CertificateDer;

pub use self::changes::Changes;
pub use self::jwt::{AudienceError, JwtSvid, LONGEST_JWT};
pub use self::mint::{MintJwt, MintX509, MintedX509, NotMintable};
pub use self::own::OwnIdentity;

use self::jwt::JwtCache;
use super::attest::Attested;
use super::authority::{Authority, AuthorityError, CertifiedLeaf, LeafRequest};
use super::bundle::{Bundle, Bundles, X509Authority};
use super::credential::Credential;
use super::foreign::ForeignIdentities;
use super::registry::{Entries, Entry, Registry};
use super::revocation::SerialNumber;
use crate::evidence::{AppendError, Audit, IssuanceRecord, Record};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::entropy::{Entropy, EntropyError, random};
use crate::foundation::secret::Secret;
use crate::foundation::telemetry;
use crate::foundation::watched::Epoch;

/// How long the slots of entries that are gone stay, at most, once another is asked for: a change of the registry costs
/// no look at all slots.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// How long a renewal that failed is left alone, at the least.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An X.509-SVID with its key.
#[derive(Clone, Debug)]
pub struct Svid {
    /// The identity.
    pub id: SpiffeId,
    /// By which entry.
    pub entry_id: Arc<str>,
    /// The entry's hint.
    pub hint: String,
    /// The leaf, then intermediates up to but without the authority in the bundle.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key, PKCS#8 DER.
    pub key: Secret<Vec<u8>>,
    /// Until when the leaf is valid.
    pub not_after: Timestamp,
    /// From when on a new one is made: half of its life, ± 10 %.
    pub renew_at: Timestamp,
}

/// How SVIDs are issued.
#[derive(Clone, Debug)]
pub struct IssueConfig {
    /// How long an X.509-SVID lives whose entry says nothing else.
    pub x509_svid_ttl: Duration,
    /// How long a JWT-SVID lives whose entry says nothing else.
    pub jwt_svid_ttl: Duration,
    /// `iss` of JWT-SVIDs; without it they have none.
    pub jwt_issuer: Option<String>,
}

/// All that a workload is entitled to now.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    /// Its SVIDs, in the registry's order; the first is the default. Empty if no entry matches.
    pub svids: Vec<Arc<Svid>>,
    /// Our own bundle, then those of the domains that its entries federate with, sorted by name. Empty if no entry
    /// matches.
    pub bundles: Vec<Arc<Bundle>>,
    /// Those that we hold for it, of others. The issuer knows of none.
    pub credentials: Vec<Credential>,
}

/// Why nothing could be issued although there is an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The authority did not sign.
    #[error("the SVID can't be signed: {0}")]
    Authority(#[from] AuthorityError),
    /// The record was not taken, so the SVID was thrown away.
    #[error("the issuance can't be recorded: {0}")]
    Record(#[from] AppendError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A JWT-SVID is asked for, and not for whom it can be.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// What an administrator asks for is nothing that we give out.
    #[error(transparent)]
    NotMintable(#[from] NotMintable),
    /// We are to speak for somebody who is nobody, or is no longer.
    #[error("no entry grants `{0}` to a workload")]
    NotGranted(SpiffeId),
}

/// What the issuer works with.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Who signs, and whose bundles are handed out.
    pub authority: Arc<Authority>,
    /// Who is entitled to what.
    pub registry: Arc<Registry>,
    /// Where every issuance is recorded before it leaves.
    pub audit: Arc<dyn Audit>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For the spread of renewals.
    pub entropy: Arc<dyn Entropy>,
}

/// What the issuer counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    issued: Counter,
    jwt_issued: Counter,
    failed: Counter,
}

impl Metrics {
    /// The metrics, registered.
    pub fn new(registry: &mut telemetry::Registry) -> Self {
        let metrics = Self::default();
        registry.register("portcullis_svids_issued", "X.509-SVIDs signed and recorded", metrics.issued.clone());
        registry.register("portcullis_jwt_svids_issued", "JWT-SVIDs signed and recorded", metrics.jwt_issued.clone());
        registry.register("portcullis_svid_failures", "SVIDs that could not be made", metrics.failed.clone());
        metrics
    }
}

/// Hands out identities: the one place where an SVID comes to be. SVIDs are kept in memory, one per entry, and shared
/// by all streams of that entry's workloads.
#[derive(Debug)]
pub struct Issuer {
    ports: Ports,
    config: IssueConfig,
    metrics: Metrics,
    slots: Mutex<Slots>,
    jwts: JwtCache,
}

/// What is kept per entry. A slot's own lock is held while it is filled, so one entry is never signed for twice at a
/// time and no other entry waits for it.
#[derive(Debug, Default)]
struct Slots {
    epoch: Epoch,
    /// When those of entries that are gone were last thrown away ([`Clock::elapsed`]).
    swept: Duration,
    by_entry: HashMap<Arc<str>, Arc<Slot>>,
}

type Slot = Mutex<Option<Issued>>;

/// An SVID with what it depends on.
#[derive(Debug)]
struct Issued {
    svid: Arc<Svid>,
    entry: Arc<Entry>,
    not_before: Timestamp,
    serial: SerialNumber,
    authority_certificate: CertificateDer<'static>,
}

impl Issuer {
    /// An issuer that has issued nothing yet.
    pub fn new(ports: Ports, config: IssueConfig, metrics: Metrics) -> Self {
        Self { ports, config, metrics, slots: Mutex::default(), jwts: JwtCache::default() }
    }

    /// What the workload is entitled to at this moment. An SVID that is not yet due for renewal is handed out again;
    /// a new one is recorded before it leaves. Does not block but on the CPU.
    ///
    /// # Errors
    /// [`IssueError`]; having no entry is no error. A renewal that fails is none either while the SVID in place is
    /// good: that one is handed out, to be renewed a little later.
    pub fn identities(&self, attested: &Attested) -> Result<Identities, IssueError> {
        let now = self.ports.clock.now();
        let registry = self.ports.registry.load();
        let entries = registry.entitled(&attested.selectors, now);
        if entries.is_empty() {
            return Ok(Identities::default());
        }
        let mut svids = Vec::with_capacity(entries.len());
        for entry in &entries {
            let slot = self.slot(entry, &registry, registry.epoch());
            svids.push(self.svid(&slot, entry, now)?);
        }
        // Read after signing: who signed is in here.
        let own = self.ports.authority.trust_domain();
        let bundles = bundles_for(&entries, own, &self.ports.authority.bundles().load());
        Ok(Identities { svids, bundles, ..Identities::default() })
    }

    /// The bundles alone of what the workload is entitled to: those that it may verify others by. Signs nothing.
    pub fn bundles(&self, attested: &Attested) -> Vec<Arc<Bundle>> {
        let now = self.ports.clock.now();
        let entries = self.ports.registry.load().entitled(&attested.selectors, now);
        if entries.is_empty() {
            return Vec::new();
        }
        let authority = &self.ports.authority;
        bundles_for(&entries, authority.trust_domain(), &authority.bundles().load())
    }

    /// The bundle of our own trust domain.
    pub fn own_bundle(&self) -> Option<Arc<Bundle>> {
        self.ports.authority.bundles().load().get(self.ports.authority.trust_domain()).cloned()
    }

    /// What the identities of other trust domains may be now.
    pub fn foreign(&self) -> Arc<ForeignIdentities> {
        Arc::clone(self.ports.authority.bundles().load().foreign())
    }

    /// Whether any entry asks for the digest of the executable.
    pub fn wants_sha256(&self) -> bool {
        self.ports.registry.load().want_sha256()
    }

    /// Wakes when what a workload is entitled to may have changed since this call.
    pub fn changes(&self) -> Changes {
        Changes::new(&self.ports)
    }

    /// The SVID of `entry`: the one in `slot`, or a new one.
    fn svid(&self, slot: &Slot, entry: &Arc<Entry>, now: Timestamp) -> Result<Arc<Svid>, IssueError> {
        let mut slot = lock(slot);
        let bundles = self.ports.authority.bundles().load();
        let in_place = slot.take().and_then(|issued| {
            let tainted = self.taint_of(&issued, &bundles)?;
            (is_good(&issued, entry, now) && !self.is_revoked(&issued, &bundles)).then_some((issued, tainted))
        });
        let issued = match in_place {
            Some((issued, false)) if now < issued.svid.renew_at => issued,
            in_place => self.renewed(in_place.map(|(issued, _)| issued), entry, now)?,
        };
        Ok(slot.insert(issued).svid.clone())
    }

    /// Whether the authority that signed is tainted; `None` if it is no longer in the bundle.
    fn taint_of(&self, issued: &Issued, bundles: &Bundles) -> Option<bool> {
        let own = bundles.get(self.ports.authority.trust_domain())?;
        let signed = |authority: &&X509Authority| authority.certificate == issued.authority_certificate;
        own.x509_authorities.iter().find(signed).map(|authority| authority.tainted)
    }

    fn is_revoked(&self, issued: &Issued, bundles: &Bundles) -> bool {
        bundles.has_revoked(self.ports.authority.trust_domain(), &issued.authority_certificate, &issued.serial)
    }

    /// A new SVID; failing that the one in place, if there is one.
    fn renewed(&self, in_place: Option<Issued>, entry: &Arc<Entry>, now: Timestamp) -> Result<Issued, IssueError> {
        let error = match self.issue(entry, now) {
            Ok(issued) => return Ok(issued),
            Err(error) => error,
        };
        self.metrics.failed.inc();
        let Some(in_place) = in_place else { return Err(error) };
        tracing::warn!(spiffe_id = %entry.terms.spiffe_id, %error, "an SVID could not be renewed; the old one stays for now");
        let mut svid = Svid::clone(&in_place.svid);
        let pause = (svid.not_after.since(now) / 10).max(RETRY_AFTER);
        svid.renew_at = now.after(pause).min(svid.not_after);
        Ok(Issued { svid: Arc::new(svid), ..in_place })
    }

    /// Signs and records.
    fn issue(&self, entry: &Arc<Entry>, now: Timestamp) -> Result<Issued, IssueError> {
        let ttl = entry.terms.x509_svid_ttl.unwrap_or(self.config.x509_svid_ttl);
        let ttl = ttl.min(self.ports.authority.longest_svid());
        let request = LeafRequest { spiffe_id: &entry.terms.spiffe_id, dns_names: &entry.terms.dns_names, ttl };
        let signed = self.ports.authority.sign(&request, now)?;
        let (leaf, key) = (signed.leaf, signed.key);
        let renew_at = renewal(now, leaf.not_after, &*self.ports.entropy)?;
        self.record(&entry.terms.spiffe_id, &entry.id, &leaf, now)?;
        let svid = Svid {
            id: entry.terms.spiffe_id.clone(),
            entry_id: entry.id.clone(),
            hint: entry.terms.hint.clone(),
            chain: vec![leaf.certificate.clone()],
            key,
            not_after: leaf.not_after,
            renew_at,
        };
        let CertifiedLeaf { not_before, serial, authority_certificate, .. } = leaf;
        Ok(Issued { svid: Arc::new(svid), entry: entry.clone(), not_before, serial, authority_certificate })
    }

    /// Records a leaf, before it leaves. `entry_id` is empty if no entry granted it.
    fn record(
        &self,
        spiffe_id: &SpiffeId,
        entry_id: &str,
        leaf: &CertifiedLeaf,
        now: Timestamp,
    ) -> Result<(), AppendError> {
        let record = IssuanceRecord {
            time: now,
            spiffe_id: spiffe_id.to_string(),
            entry_id: entry_id.to_owned(),
            serial: leaf.serial.to_string(),
            leaf: Digest::of(&leaf.certificate),
            authority: leaf.authority.to_string(),
            not_after: leaf.not_after,
        };
        // Its receiver can prove by itself that it was issued, so nothing is gained by waiting for the disk.
        let _durable_soon = self.ports.audit.append(Record::Issuance(Box::new(record)))?;
        self.metrics.issued.inc();
        Ok(())
    }

    /// The slot of `entry`. Those of entries that are gone from the registry go soon after its epoch moves.
    fn slot(&self, entry: &Arc<Entry>, registry: &Entries, epoch: Epoch) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        let elapsed = self.ports.clock.elapsed();
        if slots.epoch < epoch && elapsed.saturating_sub(slots.swept) >= SWEEP_PAUSE {
            (slots.epoch, slots.swept) = (epoch, elapsed);
            slots.by_entry.retain(|id, _| registry.get(id).is_some());
        }
        slots.by_entry.entry(entry.id.clone()).or_default().clone()
    }
}

/// The bundles for those who are entitled to `entries`: `own` first.
fn bundles_for(entries: &[Arc<Entry>], own: &TrustDomain, bundles: &Bundles) -> Vec<Arc<Bundle>> {
    let foreign: BTreeMap<_, _> = entries
        .iter()
        .flat_map(|entry| &entry.terms.federates_with)
        .filter(|domain| *domain != own)
        .filter_map(|domain| Some((domain, bundles.get(domain)?)))
        .collect();
    bundles.get(own).into_iter().chain(foreign.into_values()).cloned().collect()
}

/// Whether an SVID may still be handed out for `entry`, due for renewal or not. After the clock was set back one may not
/// be valid yet, and would not be for as long.
fn is_good(issued: &Issued, entry: &Arc<Entry>, now: Timestamp) -> bool {
    issued.entry == *entry && issued.not_before <= now && now < issued.svid.not_after
}

/// When to renew what lives from `now` to `not_after`: at half of its life, ± 10 % of that, so that what was issued
/// together is not renewed together.
fn renewal(now: Timestamp, not_after: Timestamp, entropy: &dyn Entropy) -> Result<Timestamp, EntropyError> {
    let tenth = not_after.since(now) / 20;
    let spread = u64::try_from((tenth * 2).as_nanos()).unwrap_or(u64::MAX);
    let jitter = u64::from_le_bytes(random(entropy)?) % spread.max(1);
    Ok(now.after(tenth * 9).after(Duration::from_nanos(jitter)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
