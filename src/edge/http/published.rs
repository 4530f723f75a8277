//! Documents that anybody may have: who trusts us wants to know whom we trust to sign, and nobody has to say who asks.
//!
//! Each is made of the trust bundles, anew when these change; a client that has it already is told so in a few bytes.

mod rate;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use self::rate::RateLimit;
use super::failure::{Failure, not_found, panicked};
use crate::foundation::clock::Clock;
use crate::foundation::digest::Digest;
use crate::foundation::watched::{Epoch, Snapshot, Watched};
use crate::identity::bundle::Bundles;
use crate::server::ConnectionInfo;

/// A document, as it was last made.
#[derive(Debug, Default)]
pub(super) struct Published(ArcSwapOption<Edition>);

/// One state of it.
#[derive(Debug)]
struct Edition {
    /// Of which state of the bundles it was made.
    epoch: Epoch,
    body: Bytes,
    /// Names the contents (RFC 9110 section 8.8.3); weak, since the same contents travel compressed and not.
    tag: HeaderValue,
}

impl Published {
    /// The document that `make` makes of the bundles as they are now, for one who sent `headers`; to be kept for as long as
    /// `cache_control` says. If it can't be made, 503.
    pub(super) fn response(
        &self,
        bundles: &Watched<Bundles>,
        headers: &HeaderMap,
        cache_control: &HeaderValue,
        make: impl FnOnce(&Bundles) -> Option<String>,
    ) -> Response {
        let Some(edition) = self.edition(&bundles.load(), make) else {
            let unavailable = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the document can't be made at the moment");
            return unavailable.into_response();
        };
        let tags = [(ETAG, edition.tag.clone()), (CACHE_CONTROL, cache_control.clone())];
        if has_it(headers, &edition.tag) {
            // As the whole answer would (RFC 9110 section 15.4.5); there it is added with the compression.
            let vary = [(VARY, HeaderValue::from(ACCEPT_ENCODING))];
            return (StatusCode::NOT_MODIFIED, tags, vary).into_response();
        }
        let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        (tags, json, edition.body.clone()).into_response()
    }

    fn edition(
        &self,
        bundles: &Snapshot<Bundles>,
        make: impl FnOnce(&Bundles) -> Option<String>,
    ) -> Option<Arc<Edition>> {
        if let Some(edition) = self.0.load_full().filter(|edition| edition.epoch == bundles.epoch()) {
            return Some(edition);
        }
        let body = Bytes::from(make(bundles)?);
        let tag = HeaderValue::from_str(&format!("W/\"{}\"", Digest::of(&body))).ok()?;
        let edition = Arc::new(Edition { epoch: bundles.epoch(), body, tag });
        self.0.store(Some(Arc::clone(&edition)));
        Some(edition)
    }
}

/// Whether one who sent `headers` has what `tag` names (RFC 9110 section 13.1.2).
fn has_it(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag| str::strip_prefix(tag, "W/").unwrap_or(tag);
    let Ok(tag) = tag.to_str().map(opaque) else { return false };
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).map(str::trim).any(|known| known == "*" || opaque(known) == tag)
}

/// `routes` with what keeps any one client from being a burden: at most `per_second` requests of one machine, and gzip for
/// who takes it (RFC 9110 section 8.4.1.3).
pub(super) fn guarded(routes: Router, per_second: u32, clock: Arc<dyn Clock>) -> Router {
    let limit = Arc::new(RateLimit::new(per_second, clock));
    routes
        .fallback(not_found)
        .layer(CompressionLayer::new())
        .layer(middleware::map_response(told_if_unacceptable))
        .layer(middleware::from_fn(move |request: Request, next: Next| limited(Arc::clone(&limit), request, next)))
        .layer(CatchPanicLayer::custom(panicked))
}

/// The compression has such an answer say 406, with the document all the same.
async fn told_if_unacceptable(response: Response) -> Response {
    if response.status() != StatusCode::NOT_ACCEPTABLE {
        return response;
    }
    Failure::new(StatusCode::NOT_ACCEPTABLE, "this is served with gzip, or as it is").into_response()
}

async fn limited(limit: Arc<RateLimit>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectionInfo>();
    if limit.admits(connection.map(|connection| &connection.peer)) {
        return next.run(request).await;
    }
    let once_more = (RETRY_AFTER, HeaderValue::from_static("1"));
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address")
        .with_header(once_more)
        .into_response()
}
