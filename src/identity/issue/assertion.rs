//! JWT-SVIDs by which we speak for a workload to an authorization server: client assertions (RFC 7521 section 4.2, and
//! draft-ietf-oauth-spiffe-client-auth section 3.1).

use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;

use super::jwt::{JwtSvid, Wanted, check_audience};
use super::{IssueError, Issuer};

/// How long one lives at most: it is shown at once, and once.
const TTL: Duration = Duration::from_mins(1);

impl Issuer {
    /// A token that names `spiffe_id` to `audience` alone, with a `jti` of its own. It is recorded, and never handed out
    /// twice.
    ///
    /// # Errors
    /// [`IssueError`]; [`IssueError::NotGranted`] if no entry grants the identity to a workload any more.
    pub fn assertion(&self, spiffe_id: &SpiffeId, audience: &str) -> Result<JwtSvid, IssueError> {
        let audience = [audience.to_owned()];
        check_audience(&audience)?;
        let now = self.ports.clock.now();
        let entry = self.ports.registry.load().granting(spiffe_id, now);
        let entry = entry.ok_or_else(|| IssueError::NotGranted(spiffe_id.clone()))?;
        let ttl = entry.terms.jwt_svid_ttl.unwrap_or(TTL).min(TTL);
        let jti = Some(self.new_jti()?);
        let wanted = Wanted { spiffe_id, entry_id: &entry.id, audience: &audience, ttl, jti };
        let signed = self.sign_jwt(&wanted, now)?;
        Ok(JwtSvid {
            id: spiffe_id.clone(),
            entry_id: Arc::clone(&entry.id),
            hint: String::new(),
            token: signed.token,
            issued_at: signed.issued_at,
            not_after: signed.not_after,
        })
    }

    /// Whether an entry grants this identity to workloads now.
    pub fn grants(&self, spiffe_id: &SpiffeId) -> bool {
        self.ports.registry.load().granting(spiffe_id, self.ports.clock.now()).is_some()
    }
}
