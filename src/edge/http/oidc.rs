//! The face of an OpenID provider: metadata and keys, so that whoever trusts OpenID providers can verify our JWT-SVIDs
//! (OpenID Connect Discovery 1.0 sections 3 and 4). Nobody logs in here.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue};
use portcullis_spiffe::TrustDomain;
use portcullis_spiffe::bundle::jwk_of;
use serde_json::{Value, json};

use super::failure::method_not_allowed;
pub use super::identifier::Identifier;
use super::published::{Published, guarded};
use crate::foundation::clock::Clock;
use crate::foundation::watched::Watched;
use crate::identity::authority::Hash;
use crate::identity::bundle::{Bundles, JwtAuthority};

/// Where metadata is, below an issuer.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Where the keys are, below an issuer.
const KEYS: &str = "/keys";

/// How long a client may believe it without asking. A key is published long before it signs.
const MAX_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300, must-revalidate");

/// How the provider serves.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// Whose keys are served.
    pub trust_domain: TrustDomain,
    /// The names that it has; no two have the same path.
    pub issuers: Vec<Identifier>,
    /// What RSA keys sign with.
    pub rsa_hash: Hash,
    /// How many requests of one machine are answered in a second.
    pub requests_per_second: u32,
}

#[derive(Debug)]
struct Provider {
    trust_domain: TrustDomain,
    rsa_hash: Hash,
    bundles: Arc<Watched<Bundles>>,
    keys: Published,
}

#[derive(Clone, Debug)]
struct Tenant {
    provider: Arc<Provider>,
    issuer: Identifier,
    metadata: Arc<Published>,
}

/// Serves metadata and keys below the path of each issuer.
pub fn oidc_router(config: OidcConfig, bundles: Arc<Watched<Bundles>>, clock: Arc<dyn Clock>) -> Router {
    let OidcConfig { trust_domain, issuers, rsa_hash, requests_per_second } = config;
    let provider = Arc::new(Provider { trust_domain, rsa_hash, bundles, keys: Published::default() });
    let routes = issuers.into_iter().fold(Router::new(), |routes, issuer| {
        let path = issuer.path().to_owned();
        let tenant = Tenant { provider: Arc::clone(&provider), issuer, metadata: Arc::default() };
        routes
            .route(
                &format!("{path}{WELL_KNOWN}"),
                get(metadata).fallback(method_not_allowed).with_state(tenant.clone()),
            )
            .route(&format!("{path}{KEYS}"), get(keys).fallback(method_not_allowed).with_state(tenant))
    });
    guarded(routes, requests_per_second, clock)
}

async fn metadata(State(tenant): State<Tenant>, headers: HeaderMap) -> Response {
    let Tenant { provider, issuer, metadata } = &tenant;
    metadata.response(&provider.bundles, &headers, &MAX_AGE, |bundles| {
        let authorities = &bundles.get(&provider.trust_domain)?.jwt_authorities;
        let mut algorithms: Vec<_> = authorities.iter().filter_map(|key| Some(provider.key(key)?.1)).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let document = json!({
            "issuer": issuer.as_str(),
            "jwks_uri": format!("{issuer}{KEYS}"),
            // Required by the standard of every provider; this one has none, and SPIRE's says so in the same way.
            "authorization_endpoint": "",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        });
        Some(document.to_string())
    })
}

async fn keys(State(tenant): State<Tenant>, headers: HeaderMap) -> Response {
    let provider = &tenant.provider;
    provider.keys.response(&provider.bundles, &headers, &MAX_AGE, |bundles| {
        let authorities = &bundles.get(&provider.trust_domain)?.jwt_authorities;
        let keys: Vec<Value> = authorities.iter().filter_map(|key| Some(provider.key(key)?.0)).collect();
        Some(json!({ "keys": keys }).to_string())
    })
}

impl Provider {
    /// A key as a JWK (RFC 7517), and what it signs with. `use` is `sig`, since libraries for OpenID refuse
    /// `jwt-svid` (JWT-SVID section 6.2 has that in bundles alone).
    fn key(&self, authority: &JwtAuthority) -> Option<(Value, String)> {
        let failed = |error| tracing::error!(key_id = authority.key_id, %error, "a key can't be published");
        let jwk = jwk_of(&authority.public_key).map_err(failed).ok()?;
        let Value::Object(mut members) = serde_json::to_value(jwk).ok()? else { return None };
        let algorithm = match (members.get("kty")?.as_str()?, members.get("crv").and_then(Value::as_str)) {
            ("EC", Some("P-256")) => "ES256",
            ("EC", Some("P-384")) => "ES384",
            ("EC", Some("P-521")) => "ES512",
            ("RSA", _) => match self.rsa_hash {
                Hash::Sha256 => "RS256",
                Hash::Sha384 => "RS384",
                Hash::Sha512 => "RS512",
            },
            _ => return None,
        };
        members.insert("use".to_owned(), "sig".into());
        members.insert("kid".to_owned(), authority.key_id.clone().into());
        members.insert("alg".to_owned(), algorithm.into());
        Some((Value::Object(members), algorithm.to_owned()))
    }
}

#[cfg(test)]
mod tests;
