//! JWT-SVIDs for workloads, and those that wait for the next one who asks for the same.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use portcullis_spiffe::SpiffeId;

use super::{IssueError, Issuer};
use crate::evidence::{JwtIssuanceRecord, Record};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::entropy::random;
use crate::foundation::secret::Secret;
use crate::identity::attest::Attested;
use crate::identity::authority::{SignedToken, TokenRequest};
use crate::identity::registry::Entry;

/// A JWT-SVID lives no longer, whatever its entry says: who finds one is whom it names until it expires.
pub const LONGEST_JWT: Duration = Duration::from_hours(24);

const MAX_AUDIENCES: usize = 64;

/// How long they may be together, in bytes: more fits into no HTTP header, and every token's are recorded.
const MAX_AUDIENCE_BYTES: usize = 8192;

/// How much the tokens that are kept may take, in bytes. SPIRE's agent keeps a thousand tokens; most have less than 1 kB.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// What an entry of the cache takes beside its token, roughly.
const CACHE_OVERHEAD: usize = 512;

/// A JWT-SVID.
#[derive(Clone, Debug)]
pub struct JwtSvid {
    /// The identity.
    pub id: SpiffeId,
    /// By which entry; empty if an administrator asked for it.
    pub entry_id: Arc<str>,
    /// The entry's hint.
    pub hint: String,
    /// The token, in compact form. Who has it is whom it names.
    pub token: Secret<String>,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub not_after: Timestamp,
}

/// Why there is no token for these audiences.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AudienceError {
    /// There is none.
    #[error("audience must be specified")]
    Missing,
    /// One is empty.
    #[error("an audience is empty")]
    Empty,
    /// There are too many.
    #[error("there are {0} audiences, more than 64")]
    TooMany(usize),
    /// They are too long.
    #[error("the audiences have {0} bytes together, more than 8192")]
    TooLong(usize),
}

/// Tokens by entry and set of audiences. The least recently used goes first.
pub(super) struct JwtCache(Cache<Key, Arc<Kept>>);

#[derive(Debug, Eq, Hash, PartialEq)]
struct Key {
    entry_id: Arc<str>,
    audience: BTreeSet<String>,
}

/// A token with what it depends on.
#[derive(Debug)]
struct Kept {
    svid: JwtSvid,
    entry: Arc<Entry>,
    authority: Arc<str>,
}

impl Default for JwtCache {
    fn default() -> Self {
        let weight = |key: &Key, kept: &Arc<Kept>| {
            let audience: usize = key.audience.iter().map(String::len).sum();
            u32::try_from(audience + kept.svid.token.expose().len() + CACHE_OVERHEAD).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(CACHE_BYTES).weigher(weight).eviction_policy(EvictionPolicy::lru());
        Self(cache.build())
    }
}

#[cfg(test)]
impl JwtCache {
    /// Does now what the cache would do a little later.
    pub(super) fn sync(&self) {
        self.0.run_pending_tasks();
    }

    /// What it holds, as it is weighed.
    pub(super) fn bytes(&self) -> u64 {
        self.0.weighted_size()
    }
}

impl fmt::Debug for JwtCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtCache").field("tokens", &self.0.entry_count()).finish()
    }
}

impl Issuer {
    /// The workload's JWT-SVIDs for `audience`, in the registry's order: of all its identities, or of `only` one. Empty if
    /// no entry grants it that. A token that is less than half through its life is handed out again to who asks for the
    /// same audiences, unless its entry wants each to be unique; a new one is recorded before it leaves.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn jwt_svids(
        &self,
        attested: &Attested,
        audience: &[String],
        only: Option<&SpiffeId>,
    ) -> Result<Vec<JwtSvid>, IssueError> {
        check_audience(audience)?;
        let now = self.ports.clock.now();
        let entries = self.ports.registry.load().entitled(&attested.selectors, now);
        let wanted = entries.iter().filter(|entry| only.is_none_or(|only| entry.terms.spiffe_id == *only));
        wanted.map(|entry| self.jwt_svid(entry, audience, now)).collect()
    }

    /// A token of `entry`: one that is kept, or a new one.
    fn jwt_svid(&self, entry: &Arc<Entry>, audience: &[String], now: Timestamp) -> Result<JwtSvid, IssueError> {
        let unique = entry.terms.additional.is_some_and(|additional| additional.jwt_svid_include_jti);
        let key = Key { entry_id: entry.id.clone(), audience: audience.iter().cloned().collect() };
        let kept = if unique { None } else { self.jwts.0.get(&key) };
        let kept = kept.filter(|kept| kept.entry == *entry && self.is_good_token(kept, now));
        if let Some(kept) = kept.as_ref().filter(|kept| now < half_life(&kept.svid)) {
            return Ok(kept.svid.clone());
        }
        let ttl = entry.terms.jwt_svid_ttl.unwrap_or(self.config.jwt_svid_ttl);
        let jti = if unique { Some(self.new_jti()?) } else { None };
        let wanted = Wanted { spiffe_id: &entry.terms.spiffe_id, entry_id: &entry.id, audience, ttl, jti };
        let signed = match self.sign_jwt(&wanted, now) {
            Ok(signed) => signed,
            Err(error) => {
                self.metrics.failed.inc();
                let Some(kept) = kept else { return Err(error) };
                tracing::warn!(spiffe_id = %wanted.spiffe_id, %error, "a JWT-SVID could not be renewed; the old one stays for now");
                return Ok(kept.svid.clone());
            }
        };
        let svid = JwtSvid {
            id: entry.terms.spiffe_id.clone(),
            entry_id: entry.id.clone(),
            hint: entry.terms.hint.clone(),
            token: signed.token,
            issued_at: signed.issued_at,
            not_after: signed.not_after,
        };
        if !unique {
            let kept = Kept { svid: svid.clone(), entry: entry.clone(), authority: signed.authority };
            self.jwts.0.insert(key, Arc::new(kept));
        }
        Ok(svid)
    }

    /// Whether a token may still be handed out: who signed it is in the bundle and not tainted, and the clock stands
    /// within its life.
    fn is_good_token(&self, kept: &Kept, now: Timestamp) -> bool {
        let bundles = self.ports.authority.bundles().load();
        let own = bundles.get(self.ports.authority.trust_domain());
        let signer = own.and_then(|own| own.jwt_authorities.iter().find(|one| *one.key_id == *kept.authority));
        signer.is_some_and(|signer| !signer.tainted) && kept.svid.issued_at <= now && now < kept.svid.not_after
    }

    /// 128 bits that no other token has, as SPIRE writes them.
    pub(super) fn new_jti(&self) -> Result<String, IssueError> {
        Ok(URL_SAFE_NO_PAD.encode(random::<16>(&*self.ports.entropy)?))
    }

    /// Signs a token and records it.
    pub(super) fn sign_jwt(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<SignedToken, IssueError> {
        let ttl = wanted.ttl.min(LONGEST_JWT).min(self.ports.authority.longest_svid());
        let (issuer, jti) = (self.config.jwt_issuer.as_deref(), wanted.jti.as_deref());
        let (spiffe_id, audience) = (wanted.spiffe_id, wanted.audience);
        let signed = self.ports.authority.sign_token(&TokenRequest { spiffe_id, audience, ttl, issuer, jti }, now)?;
        let record = JwtIssuanceRecord {
            time: now,
            spiffe_id: spiffe_id.to_string(),
            entry_id: wanted.entry_id.to_owned(),
            audience: audience.to_vec(),
            token: Digest::of(signed.token.expose().as_bytes()),
            jti: wanted.jti.clone(),
            authority: signed.authority.to_string(),
            not_after: signed.not_after,
        };
        // Its receiver can prove by itself that it was issued, so nothing is gained by waiting for the disk.
        let _durable_soon = self.ports.audit.append(Record::JwtIssuance(Box::new(record)))?;
        self.metrics.jwt_issued.inc();
        Ok(signed)
    }
}

/// A token to be signed.
pub(super) struct Wanted<'a> {
    pub(super) spiffe_id: &'a SpiffeId,
    pub(super) entry_id: &'a str,
    pub(super) audience: &'a [String],
    pub(super) ttl: Duration,
    pub(super) jti: Option<String>,
}

/// Whether a token can be made for these.
pub(super) fn check_audience(audience: &[String]) -> Result<(), AudienceError> {
    if audience.is_empty() {
        return Err(AudienceError::Missing);
    }
    if audience.len() > MAX_AUDIENCES {
        return Err(AudienceError::TooMany(audience.len()));
    }
    if audience.iter().any(String::is_empty) {
        return Err(AudienceError::Empty);
    }
    let bytes = audience.iter().map(String::len).sum();
    if bytes > MAX_AUDIENCE_BYTES { Err(AudienceError::TooLong(bytes)) } else { Ok(()) }
}

fn half_life(svid: &JwtSvid) -> Timestamp {
    svid.issued_at.after(svid.not_after.since(svid.issued_at) / 2)
}
