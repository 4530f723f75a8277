//! The keys that an issuer publishes (RFC 7517), at an address that is configured or that its own metadata names (OpenID
//! Connect Discovery 1.0 section 4). The server says by an entity tag whether there is anything new.

use std::sync::Arc;

use serde_json::Value;

use super::fetch::{FeedUrl, FeedUrlError, Fetch, FetchConfig, Fetched};
use crate::foundation::clock::Clock;
use crate::foundation::json;
use crate::identity::token::{KeyReading, KeySource, KeySourceError};

/// Where an issuer's metadata is, seen from its name.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Where an issuer's keys are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyAddress {
    /// At this address.
    Keys(FeedUrl),
    /// At the address that the metadata of this issuer names.
    Discovery {
        /// The issuer, which the metadata must name to the letter.
        issuer: Arc<str>,
        /// Where they are.
        metadata: FeedUrl,
    },
}

/// Fetches the keys of one issuer.
#[derive(Debug)]
pub struct KeyFeed {
    keys: Option<Fetch>,
    discovery: Option<(Arc<str>, Fetch)>,
    config: Arc<FetchConfig>,
    clock: Arc<dyn Clock>,
}

impl KeyAddress {
    /// By the metadata of `issuer`.
    ///
    /// # Errors
    /// [`FeedUrlError`] if the issuer is not named by an address that could be asked.
    pub fn discovered(issuer: &str) -> Result<Self, FeedUrlError> {
        let metadata = FeedUrl::parse(&format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')))?;
        Ok(Self::Discovery { issuer: issuer.into(), metadata })
    }
}

impl KeyFeed {
    /// Asks at `address`.
    pub fn new(address: KeyAddress, config: FetchConfig, clock: Arc<dyn Clock>) -> Self {
        let config = Arc::new(config);
        let fetch = |url| Fetch::new(url, Arc::clone(&config), Arc::clone(&clock));
        let (keys, discovery) = match address {
            KeyAddress::Keys(url) => (Some(fetch(url)), None),
            KeyAddress::Discovery { issuer, metadata } => (None, Some((issuer, fetch(metadata)))),
        };
        Self { keys, discovery, config, clock }
    }

    async fn take(&mut self, whole: bool) -> Result<Option<Vec<u8>>, String> {
        self.discover(whole).await?;
        let keys = self.keys.as_mut().ok_or("nobody says where the keys are")?;
        match keys.ask(whole).await? {
            Fetched::Same => Ok(None),
            Fetched::Fresh(document, tag) => {
                // Whoever can't use it asks for all of it the next time.
                keys.keep(tag);
                Ok(Some(document.to_vec()))
            }
        }
    }

    /// Finds out where the keys are, if it is not configured.
    async fn discover(&mut self, whole: bool) -> Result<(), String> {
        let Some((issuer, metadata)) = &mut self.discovery else { return Ok(()) };
        let Fetched::Fresh(document, tag) = metadata.ask(whole || self.keys.is_none()).await? else { return Ok(()) };
        let url = keys_of(&document, issuer).map_err(|what| metadata.failed(&what))?;
        metadata.keep(tag);
        if self.keys.as_ref().is_none_or(|keys| *keys.url() != url) {
            self.keys = Some(Fetch::new(url, Arc::clone(&self.config), Arc::clone(&self.clock)));
        }
        Ok(())
    }
}

/// Where the metadata says that the keys are. It must be the issuer's own (Discovery section 4.3).
fn keys_of(document: &[u8], issuer: &str) -> Result<FeedUrl, String> {
    let metadata = json::read(document).map_err(|error| format!("is not valid JSON: {error}"))?;
    let text = |name: &str| metadata.get(name).and_then(Value::as_str);
    if text("issuer") != Some(issuer) {
        return Err(format!("is not the metadata of `{issuer}`: its `issuer` is another"));
    }
    let url = text("jwks_uri").ok_or("has no `jwks_uri`")?;
    FeedUrl::parse(url).map_err(|error| format!("its `jwks_uri` {error}"))
}

impl KeySource for KeyFeed {
    fn read(&mut self, whole: bool) -> KeyReading<'_> {
        Box::pin(async move { self.take(whole).await.map_err(KeySourceError::Unavailable) })
    }
}

#[cfg(test)]
mod tests;
