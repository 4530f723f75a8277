//! What is told of the endpoint (RFC 8414 section 2).

use serde_json::{Value, json};

use super::{GRANT, TOKEN_PATH, TokenConfig};

/// Where it is told, before the issuer's own path (RFC 8414 section 3.1).
pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// The document.
pub(super) fn document(config: &TokenConfig) -> Value {
    let TokenConfig { issuer, scopes, keys, .. } = config;
    let mut document = json!({
        "issuer": issuer.as_str(),
        "token_endpoint": format!("{issuer}{TOKEN_PATH}"),
        "grant_types_supported": [GRANT],
        // Required by the standard; nobody logs in here.
        "response_types_supported": [],
        // The names of draft-ietf-oauth-spiffe-client-auth.
        "token_endpoint_auth_methods_supported": ["spiffe_x509", "spiffe_jwt"],
        "scopes_supported": scopes,
    });
    if let (Some(keys), Some(members)) = (keys, document.as_object_mut()) {
        members.insert("jwks_uri".to_owned(), json!(keys));
    }
    document
}
