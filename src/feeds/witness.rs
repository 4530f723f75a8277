//! A witness of our log, told over HTTP: an adapter to [`WitnessPort`].

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::fetch::{FeedUrl, FetchConfig, Tell};
use crate::evidence::witness::{Reply, WitnessPort};
use crate::foundation::clock::Clock;

/// The path below a witness's submission prefix (tlog-witness, "add-checkpoint").
const PATH: &str = "add-checkpoint";

/// A witness at an address.
#[derive(Debug)]
pub struct WitnessFeed(Tell);

impl WitnessFeed {
    /// The witness with this submission prefix.
    pub fn new(prefix: &FeedUrl, config: FetchConfig, clock: Arc<dyn Clock>) -> Self {
        Self(Tell::new(prefix.below(PATH), config, clock))
    }
}

impl WitnessPort for WitnessFeed {
    fn send(&self, body: String) -> BoxFuture<'_, Result<Reply, String>> {
        Box::pin(async move {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))]);
            let answer = self.0.tell(headers, Bytes::from(body)).await?;
            let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            Ok(Reply {
                status: answer.status().as_u16(),
                content_type: content_type.map(str::to_owned),
                body: answer.body().to_vec(),
            })
        })
    }
}
