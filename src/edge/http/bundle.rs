//! The bundle endpoint (SPIFFE Federation section 5): our trust domain's bundle, for those who federate with us.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue};
use portcullis_spiffe::TrustDomain;
use portcullis_spiffe::bundle::{BundleDocument, DocumentJwtAuthority, DocumentX509Authority};

use super::failure::method_not_allowed;
use super::published::{Published, guarded};
use crate::foundation::clock::Clock;
use crate::foundation::watched::Watched;
use crate::identity::bundle::{Bundle, Bundles};

/// How the endpoint serves.
#[derive(Clone, Debug)]
pub struct BundleEndpointConfig {
    /// Whose bundle is served.
    pub trust_domain: TrustDomain,
    /// How often clients should look for a newer one.
    pub refresh_hint: Duration,
    /// How many requests of one machine are answered in a second.
    pub requests_per_second: u32,
}

#[derive(Debug)]
struct Endpoint {
    config: BundleEndpointConfig,
    bundles: Arc<Watched<Bundles>>,
    published: Published,
    cache_control: HeaderValue,
}

/// Serves the bundle at `/`, which is the path that SPIRE's endpoint has.
pub fn bundle_router(config: BundleEndpointConfig, bundles: Arc<Watched<Bundles>>, clock: Arc<dyn Clock>) -> Router {
    let (per_second, hint) = (config.requests_per_second, config.refresh_hint.as_secs());
    // Who keeps it for longer than the hint would trust somebody who was revoked.
    let cache_control = HeaderValue::from_str(&format!("public, max-age={hint}, must-revalidate"));
    let cache_control = cache_control.unwrap_or(HeaderValue::from_static("no-cache"));
    let endpoint = Arc::new(Endpoint { config, bundles, published: Published::default(), cache_control });
    let routes = Router::new().route("/", get(serve).fallback(method_not_allowed)).with_state(endpoint);
    guarded(routes, per_second, clock)
}

async fn serve(State(endpoint): State<Arc<Endpoint>>, headers: HeaderMap) -> Response {
    let Endpoint { config, bundles, published, cache_control } = &*endpoint;
    published.response(bundles, &headers, cache_control, |bundles| {
        let document = document(bundles.get(&config.trust_domain)?, config.refresh_hint);
        let failed = |error| tracing::error!(%error, "the trust bundle can't be published");
        document.to_json().map_err(failed).ok()
    })
}

/// `bundle` as others read it. What is tainted is in it still: who would leave it out would break what it signed.
fn document(bundle: &Bundle, refresh_hint: Duration) -> BundleDocument {
    let x509 = bundle.x509_authorities.iter();
    let jwt = bundle.jwt_authorities.iter();
    BundleDocument {
        x509_authorities: x509
            .map(|authority| DocumentX509Authority {
                certificate: authority.certificate.to_vec(),
                tainted: authority.tainted,
            })
            .collect(),
        jwt_authorities: jwt
            .map(|authority| DocumentJwtAuthority {
                key_id: authority.key_id.clone(),
                public_key: authority.public_key.clone(),
                tainted: authority.tainted,
            })
            .collect(),
        sequence: Some(bundle.sequence),
        refresh_hint: Some(refresh_hint.as_secs()),
    }
}

#[cfg(test)]
mod tests;
