//! One question to another server over HTTP: what a feed asks for now and then, and what it remembers of the last answer.
//! And what is told to one.

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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::foundation::clock::Clock;
use crate::foundation::connect::connect;
use crate::foundation::http::{Get, Post};
use crate::foundation::secret::Secret;
use crate::foundation::tls::{OurTime, roots};

/// How to ask a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FetchConfig {
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

/// Asks for one document again and again. A redirect is not followed: who publishes is who was named.
#[derive(Debug)]
pub(super) struct Fetch {
    url: FeedUrl,
    config: Arc<FetchConfig>,
    clock: Arc<dyn Clock>,
    /// The tag of what was last taken (RFC 9110 section 8.8.3).
    tag: Option<HeaderValue>,
}

/// What came.
pub(super) enum Fetched {
    /// A document, with its tag, which counts once it is [kept](Fetch::keep).
    Fresh(Bytes, Tag),
    /// It is what it was.
    Same,
}

/// Names a state of a document.
pub(super) struct Tag(Option<HeaderValue>);

/// Tells one server something, again and again. A redirect is not followed here either.
#[derive(Debug)]
pub(super) struct Tell {
    url: FeedUrl,
    config: FetchConfig,
    clock: Arc<dyn Clock>,
}

/// An open connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

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
        Self::read(text, false)
    }

    /// Reads an address where all that is said is public and signed on both sides, so that it need not be encrypted.
    ///
    /// # Errors
    /// [`FeedUrlError`].
    pub fn parse_signed(text: &str) -> Result<Self, FeedUrlError> {
        Self::read(text, true)
    }

    fn read(text: &str, signed: bool) -> Result<Self, FeedUrlError> {
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
            "http" if loopback || signed => Ok(Self(url)),
            _ => Err(FeedUrlError::Scheme),
        }
    }

    /// The address of `name` below this one.
    pub(super) fn below(&self, name: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{name}", self.0.path().trim_end_matches('/')));
        Self(url)
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

impl Fetch {
    pub(super) fn new(url: FeedUrl, config: Arc<FetchConfig>, clock: Arc<dyn Clock>) -> Self {
        Self { url, config, clock, tag: None }
    }

    pub(super) const fn url(&self) -> &FeedUrl {
        &self.url
    }

    /// Asks; with `whole` also for what has not changed since it was kept.
    pub(super) async fn ask(&mut self, whole: bool) -> Result<Fetched, String> {
        let tag = self.tag.take().filter(|_| !whole);
        let answer = match timeout(self.config.timeout, self.exchange(tag.as_ref())).await {
            Ok(answer) => answer.map_err(|what| self.failed(&what))?,
            Err(_elapsed) => return Err(self.failed(&format!("no answer within {:?}", self.config.timeout))),
        };
        match answer.status() {
            StatusCode::OK => {
                let tag = Tag(answer.headers().get(ETAG).cloned());
                Ok(Fetched::Fresh(answer.into_body(), tag))
            }
            StatusCode::NOT_MODIFIED if tag.is_some() => {
                self.tag = tag;
                Ok(Fetched::Same)
            }
            status => Err(self.failed(&format!("answered with {status}"))),
        }
    }

    /// What came under this tag was good, so it need not be sent again.
    pub(super) fn keep(&mut self, tag: Tag) {
        self.tag = tag.0;
    }

    pub(super) fn failed(&self, what: &str) -> String {
        format!("{}: {what}", self.url)
    }

    async fn exchange(&self, tag: Option<&HeaderValue>) -> Result<Response<Bytes>, String> {
        let url = &self.url;
        let (stream, token) = connected(url, &self.config, &self.clock).await?;
        let headers = [(AUTHORIZATION, token), (IF_NONE_MATCH, tag.cloned())];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect::<HeaderMap>();
        let (host, path) = (url.authority(), url.target());
        let question = Get { host: &host, path: &path, headers, limit: self.config.max_bytes };
        question.over(stream).await.map_err(|error| error.to_string())
    }
}

impl Tell {
    pub(super) fn new(url: FeedUrl, config: FetchConfig, clock: Arc<dyn Clock>) -> Self {
        Self { url, config, clock }
    }

    /// Says `body`, whatever the answer may be.
    pub(super) async fn tell(&self, headers: HeaderMap, body: Bytes) -> Result<Response<Bytes>, String> {
        let failed = |what: &str| format!("{}: {what}", self.url);
        match timeout(self.config.timeout, self.exchange(headers, body)).await {
            Ok(answer) => answer.map_err(|what| failed(&what)),
            Err(_elapsed) => Err(failed(&format!("no answer within {:?}", self.config.timeout))),
        }
    }

    async fn exchange(&self, mut headers: HeaderMap, body: Bytes) -> Result<Response<Bytes>, String> {
        let (stream, token) = connected(&self.url, &self.config, &self.clock).await?;
        headers.extend(token.map(|token| (AUTHORIZATION, token)));
        let (host, path) = (self.url.authority(), self.url.target());
        let told = Post { host: &host, path: &path, headers, body, limit: self.config.max_bytes };
        told.over(stream).await.map_err(|error| error.to_string())
    }
}

/// A connection to the server, and what it is shown.
async fn connected(
    url: &FeedUrl,
    config: &FetchConfig,
    clock: &Arc<dyn Clock>,
) -> Result<(Box<dyn Stream>, Option<HeaderValue>), String> {
    let (config, clock, encrypted) = (config.clone(), Arc::clone(clock), url.is_encrypted());
    let credentials = spawn_blocking(move || credentials(&config, clock, encrypted)).await;
    let Credentials { tls, token } = credentials.map_err(|error| error.to_string())??;
    let port = url.0.port_or_known_default().unwrap_or(443);
    let stream = connect(url.host(), port).await.map_err(|error| format!("can't connect: {error}"))?;
    let Some(tls) = tls else { return Ok((Box::new(stream), token)) };
    let name = ServerName::try_from(url.host().to_owned()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.map_err(|error| error.to_string())?;
    Ok((Box::new(stream), token))
}

fn credentials(config: &FetchConfig, clock: Arc<dyn Clock>, encrypted: bool) -> Result<Credentials, String> {
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
    if !encrypted {
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
