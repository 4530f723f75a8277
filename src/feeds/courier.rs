//! Tells records to a server over HTTP: an adapter to [`Courier`].

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::fetch::{FeedUrl, FetchConfig, Tell};
use super::retry_after::retry_after;
use crate::evidence::export::{Answer, Courier, Message};
use crate::foundation::clock::Clock;

/// Tells a server at an address.
#[derive(Debug)]
pub struct HttpCourier(Tell);

impl HttpCourier {
    /// The one at `url`.
    pub fn new(url: FeedUrl, config: FetchConfig, clock: Arc<dyn Clock>) -> Self {
        Self(Tell::new(url, config, clock))
    }
}

impl Courier for HttpCourier {
    fn tell(&self, message: Message) -> BoxFuture<'_, Result<Answer, String>> {
        Box::pin(async move {
            let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
            for (name, value) in message.headers {
                let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
                headers.insert(HeaderName::from_static(name), value);
            }
            let answer = self.0.tell(headers, Bytes::from(message.body)).await?;
            Ok(Answer {
                status: answer.status().as_u16(),
                retry_after: retry_after(answer.headers()),
                body: answer.into_body().to_vec(),
            })
        })
    }
}
