//! Microsoft's identity platform: a client-credentials grant with a federated credential in place of a secret.

use super::super::outbound::{AssertionType, Granted, TokenAnswer, form};
use super::CloudError;
use crate::foundation::secret::Secret;

/// The public cloud's authority.
pub const AUTHORITY: &str = "https://login.microsoftonline.com/";

/// To whom a federated credential is addressed, mostly.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";

/// What is asked for where nothing else is said: Azure's own management.
pub const SCOPE: &str = "https://management.azure.com/.default";

/// Where the tenant's tokens are to be had.
pub fn endpoint(authority: &str, tenant: &str) -> String {
    format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'))
}

/// The form by which `token` stands for the application `client_id`.
pub fn request(client_id: &str, scope: &str, token: &Secret<String>) -> Secret<String> {
    form([
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", scope),
        ("client_assertion_type", AssertionType::Bearer.uri()),
        ("client_assertion", token.expose()),
    ])
}

/// The access token in an answer.
///
/// # Errors
/// [`CloudError`].
pub fn read(answer: &TokenAnswer) -> Result<Granted, CloudError> {
    super::access_token(answer)
}
