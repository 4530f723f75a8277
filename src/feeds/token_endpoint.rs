//! Asks authorization servers, and the token services of clouds, over HTTP: an adapter to [`TokenEndpoint`].

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::fetch::{FeedUrl, FetchConfig, Tell};
use super::retry_after::retry_after;
use crate::delegation::outbound::{TokenAnswer, TokenEndpoint};
use crate::foundation::clock::Clock;
use crate::foundation::secret::Secret;

/// An address where tokens are to be had. A redirect is not followed: what is shown is meant for who was named.
#[derive(Debug)]
pub struct HttpTokenEndpoint {
    tell: Tell,
    accepts: HeaderValue,
}

impl HttpTokenEndpoint {
    /// The one at `url`, which answers in JSON.
    pub fn new(url: FeedUrl, config: FetchConfig, clock: Arc<dyn Clock>) -> Self {
        Self { tell: Tell::new(url, config, clock), accepts: HeaderValue::from_static("application/json") }
    }

    /// The same, but it answers in XML.
    #[must_use]
    pub fn in_xml(self) -> Self {
        Self { accepts: HeaderValue::from_static("text/xml"), ..self }
    }
}

impl TokenEndpoint for HttpTokenEndpoint {
    fn post(&self, form: Secret<String>) -> BoxFuture<'_, Result<TokenAnswer, String>> {
        Box::pin(async move {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind), (ACCEPT, self.accepts.clone())]);
            let answer = self.tell.tell(headers, Bytes::copy_from_slice(form.expose().as_bytes())).await?;
            Ok(TokenAnswer {
                status: answer.status().as_u16(),
                retry_after: retry_after(answer.headers()),
                body: Secret::new(answer.into_body().to_vec()),
            })
        })
    }
}

#[cfg(test)]
mod tests;
