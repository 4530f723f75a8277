//! Entities that a server publishes: one JSON array at a URL, asked for now and then. The server says by an entity tag
//! (RFC 9110 section 8.8.3) whether there is anything new, so that asking often costs little.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::fetch::{FeedUrl, Fetch, FetchConfig, Fetched};
use crate::decision::entity::intake::Intake;
use crate::decision::entity::source::{EntitySource, Extent, SourceError, SourceFuture};
use crate::foundation::clock::Clock;

/// Where entities are published, and how to ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntityFeedConfig {
    /// The address.
    pub url: FeedUrl,
    /// How often to ask.
    pub interval: Duration,
    /// How to ask.
    pub fetch: FetchConfig,
}

/// Follows one feed.
#[derive(Debug)]
pub struct EntityFeed {
    fetch: Fetch,
    interval: Duration,
}

impl EntityFeed {
    /// Follows what `config` says.
    pub fn new(config: EntityFeedConfig, clock: Arc<dyn Clock>) -> Self {
        let EntityFeedConfig { url, interval, fetch } = config;
        Self { fetch: Fetch::new(url, Arc::new(fetch), clock), interval }
    }

    async fn take(&mut self, whole: bool, intake: &mut Intake) -> Result<Extent, SourceError> {
        match self.fetch.ask(whole).await.map_err(SourceError::Unavailable)? {
            Fetched::Same => Ok(Extent::Nothing),
            Fetched::Fresh(document, tag) => {
                intake.documents(vec![(self.fetch.url().to_string().into(), document.to_vec())]).await?;
                self.fetch.keep(tag);
                Ok(Extent::Whole)
            }
        }
    }
}

impl EntitySource for EntityFeed {
    fn read<'a>(&'a mut self, whole: bool, intake: &'a mut Intake) -> SourceFuture<'a, Extent> {
        Box::pin(self.take(whole, intake))
    }

    fn wait(&mut self) -> SourceFuture<'_, ()> {
        Box::pin(async {
            sleep(self.interval).await;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
