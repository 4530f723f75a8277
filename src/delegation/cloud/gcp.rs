//! Google's Security Token Service: token exchange (RFC 8693) for a provider of a workload identity pool.

use super::super::outbound::{Granted, TokenAnswer, form};
use super::CloudError;
use crate::foundation::secret::Secret;

/// Where it is.
pub const STS: &str = "https://sts.googleapis.com/v1/token";

/// What is asked for where nothing else is said: all that the identity may do.
pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// What a JWT-SVID is to Google.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What an ID token is, which a JWT-SVID may be called as well.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// The form by which `token` is exchanged at `provider`, e.g.
/// `//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/spiffe`.
pub fn request(provider: &str, scope: &str, token: &Secret<String>) -> Secret<String> {
    form([
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", provider),
        ("scope", scope),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", JWT),
        ("subject_token", token.expose()),
    ])
}

/// The access token in an answer.
///
/// # Errors
/// [`CloudError`].
pub fn read(answer: &TokenAnswer) -> Result<Granted, CloudError> {
    super::access_token(answer)
}
