//! Entities that a server publishes: one JSON array at a URL, asked for now and then. The server says by an entity tag
//! (RFC 9110 section 8.8.3) whether there is anything new, so that asking often costs little.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::decision::entity::intake::Intake;
use crate::decision::entity::source::{EntitySource, Extent, SourceError, SourceFuture};
use crate::foundation::clock::Clock;
use crate::foundation::http::Get;
use crate::foundation::secret::Secret;
use crate::foundation::tls::{OurTime, roots};

/// Where entities are published, and how to ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntityFeedConfig {
    /// The address.
    pub url: FeedUrl,
    /// How often to ask.
    pub interval: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// The most bytes that an answer may have.
    pub max_bytes: usize,
    /// Who may have signed the server's certificate.
    pub ca_file: PathBuf,
    /// The file with the token that the server is shown. It is read anew each time.
    pub token_file: Option<PathBuf>,
}

/// An address of a feed: `https`, or `http` of this machine alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedUrl(Url);

/// Why a text is no address of a feed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FeedUrlError {
    /// It is no URL with a host.
    #[error("not a URL with a host")]
    Url,
    /// It is of another kind, or what it carries could be changed on the way.
    #[error("must be `https://…`; `http://…` is for a loopback address alone")]
    Scheme,
    /// It holds a secret that would be shown.
    #[error("must not hold a user or a password; there is `token_file`")]
    Secret,
}

/// Follows one feed.
#[derive(Debug)]
pub struct EntityFeed {
    config: Arc<EntityFeedConfig>,
    clock: Arc<dyn Clock>,
    /// The tag of what was last taken.
    tag: Option<HeaderValue>,
}

/// What is read from files each time, for it is replaced while we run.
struct Credentials {
    tls: Option<ClientConfig>,
    token: Option<HeaderValue>,
}

impl FeedUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`FeedUrlError`].
    pub fn parse(text: &str) -> Result<Self, FeedUrlError> {
        let url: Url = text.parse().map_err(|_| FeedUrlError::Url)?;
        let loopback = match url.host().ok_or(FeedUrlError::Url)? {
            Host::Domain(_) => false,
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FeedUrlError::Secret);
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if loopback => Ok(Self(url)),
            _ => Err(FeedUrlError::Scheme),
        }
    }

    fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host as one connects to it, without the brackets of an address.
    fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Path and query.
    fn target(&self) -> String {
        let query = self.0.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.0.path())
    }

    /// Host and port, as the header has them.
    fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl fmt::Display for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl EntityFeed {
    /// Follows what `config` says.
    pub fn new(config: EntityFeedConfig, clock: Arc<dyn Clock>) -> Self {
        Self { config: Arc::new(config), clock, tag: None }
    }

    async fn take(&mut self, whole: bool, intake: &mut Intake) -> Result<Extent, SourceError> {
        let tag = self.tag.take().filter(|_| !whole);
        let answer = match timeout(self.config.timeout, self.ask(tag.as_ref())).await {
            Ok(answer) => answer.map_err(|what| self.failed(&what))?,
            Err(_elapsed) => return Err(self.failed(&format!("no answer within {:?}", self.config.timeout))),
        };
        match answer.status() {
            StatusCode::OK => {
                let fresh = answer.headers().get(ETAG).cloned();
                intake.documents(vec![(self.config.url.to_string().into(), answer.into_body().to_vec())]).await?;
                self.tag = fresh;
                Ok(Extent::Whole)
            }
            StatusCode::NOT_MODIFIED if tag.is_some() => {
                self.tag = tag;
                Ok(Extent::Nothing)
            }
            status => Err(self.failed(&format!("answered with {status}"))),
        }
    }

    async fn ask(&self, tag: Option<&HeaderValue>) -> Result<Response<Bytes>, String> {
        let (config, clock) = (Arc::clone(&self.config), Arc::clone(&self.clock));
        let credentials =
            spawn_blocking(move || credentials(&config, clock)).await.map_err(|error| error.to_string())?;
        let Credentials { tls, token } = credentials?;
        let url = &self.config.url;
        let headers = [(AUTHORIZATION, token), (IF_NONE_MATCH, tag.cloned())];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect::<HeaderMap>();
        let (host, path) = (url.authority(), url.target());
        let question = Get { host: &host, path: &path, headers, limit: self.config.max_bytes };

        let port = url.0.port_or_known_default().unwrap_or(443);
        let stream = TcpStream::connect((url.host(), port)).await.map_err(|error| format!("can't connect: {error}"))?;
        let answer = if let Some(tls) = tls {
            let name = ServerName::try_from(url.host().to_owned()).map_err(|error| error.to_string())?;
            let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
            question.over(stream.map_err(|error| error.to_string())?).await
        } else {
            question.over(stream).await
        };
        answer.map_err(|error| error.to_string())
    }

    fn failed(&self, what: &str) -> SourceError {
        SourceError::Unavailable(format!("{}: {what}", self.config.url))
    }
}

fn credentials(config: &EntityFeedConfig, clock: Arc<dyn Clock>) -> Result<Credentials, String> {
    let token = match &config.token_file {
        None => None,
        Some(file) => {
            let text = fs::read_to_string(file).map(Secret::new);
            let text = text.map_err(|error| format!("can't read `{}`: {error}", file.display()))?;
            let mut token = HeaderValue::from_str(&format!("Bearer {}", text.expose().trim()))
                .map_err(|_| format!("`{}` does not hold a token", file.display()))?;
            token.set_sensitive(true);
            Some(token)
        }
    };
    if !config.url.is_encrypted() {
        return Ok(Credentials { tls: None, token });
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_details(provider, Arc::new(OurTime::new(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(&config.ca_file)?)
        .with_no_client_auth();
    Ok(Credentials { tls: Some(tls), token })
}

impl EntitySource for EntityFeed {
    fn read<'a>(&'a mut self, whole: bool, intake: &'a mut Intake) -> SourceFuture<'a, Extent> {
        Box::pin(self.take(whole, intake))
    }

    fn wait(&mut self) -> SourceFuture<'_, ()> {
        Box::pin(async {
            sleep(self.config.interval).await;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
