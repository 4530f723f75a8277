//! The bundle endpoints of other trust domains (SPIFFE Federation section 5), behind
//! [`BundleSource`].

mod server;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Response, StatusCode};
use portcullis_spiffe::bundle::MAX_DOCUMENT_BYTES;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use url::Url;

use self::server::SpiffeServer;
use crate::foundation::clock::Clock;
use crate::foundation::connect::connect;
use crate::foundation::http::Get;
use crate::foundation::telemetry::printable;
use crate::foundation::tls::{OurTime, roots};
use crate::identity::bundle::Bundles;
use crate::identity::federation::{BundleAnswer, BundleSource, EndpointProfile, EndpointUrl, FetchError, Relationship};

/// How many redirects are followed, each to an address of the same host that could be an endpoint itself.
const MAX_REDIRECTS: usize = 3;

/// How much of an address that one is sent to an error repeats.
const MAX_SHOWN: usize = 200;

/// Asks bundle endpoints over HTTPS.
#[derive(Debug)]
pub struct BundleEndpoints {
    /// Who may have signed the certificate of a server of profile `https_web`: PEM, read anew each time.
    web_authorities: PathBuf,
    clock: Arc<dyn Clock>,
}

impl BundleEndpoints {
    /// One that believes the authorities in the file `web_authorities` where a relationship says `https_web`.
    pub fn new(web_authorities: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { web_authorities, clock }
    }

    async fn ask(&self, relationship: &Relationship, bundles: Arc<Bundles>) -> Result<Vec<u8>, String> {
        let tls = TlsConnector::from(Arc::new(self.tls(&relationship.profile, bundles).await?));
        let mut url = Url::parse(relationship.endpoint.as_str()).map_err(|error| error.to_string())?;
        for _redirect in 0..=MAX_REDIRECTS {
            let answer = exchange(&url, &tls).await.map_err(|what| format!("{}: {what}", shown(&url)))?;
            match answer.status() {
                StatusCode::OK => return Ok(answer.into_body().to_vec()),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    url = redirected(&url, &answer).map_err(|what| format!("{}: {what}", shown(&url)))?;
                }
                status => return Err(format!("{}: answered with {status}", shown(&url))),
            }
        }
        Err(format!("{}: more than {MAX_REDIRECTS} redirects", relationship.endpoint))
    }

    async fn tls(&self, profile: &EndpointProfile, bundles: Arc<Bundles>) -> Result<ClientConfig, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let time = Arc::new(OurTime::new(Arc::clone(&self.clock)));
        let builder = ClientConfig::builder_with_details(Arc::clone(&provider), time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?;
        let builder = match profile {
            EndpointProfile::Web => {
                let file = self.web_authorities.clone();
                let roots = spawn_blocking(move || roots(&file)).await.map_err(|error| error.to_string())??;
                builder.with_root_certificates(roots)
            }
            EndpointProfile::Spiffe(id) => {
                let server = SpiffeServer::new(id.clone(), bundles, provider);
                builder.dangerous().with_custom_certificate_verifier(Arc::new(server))
            }
        };
        Ok(builder.with_no_client_auth())
    }
}

impl BundleSource for BundleEndpoints {
    fn fetch<'a>(&'a self, relationship: &'a Relationship, bundles: Arc<Bundles>) -> BundleAnswer<'a> {
        Box::pin(async move { self.ask(relationship, bundles).await.map_err(FetchError) })
    }
}

async fn exchange(url: &Url, tls: &TlsConnector) -> Result<Response<Bytes>, String> {
    let host = url.host_str().unwrap_or_default();
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));

    let stream = connect(name, url.port().unwrap_or(443)).await;
    let stream = stream.map_err(|error| format!("can't connect: {error}"))?;
    let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let stream = tls.connect(name, stream).await.map_err(|error| server::explained(&error))?;
    let question = Get { host: &authority, path: &target, headers: HeaderMap::new(), limit: MAX_DOCUMENT_BYTES };
    question.over(stream).await.map_err(|error| error.to_string())
}

/// Where `answer` of `url` sends us: an address of the same host that could be an endpoint's own, and so over HTTPS (SPIFFE
/// Federation 5.1).
fn redirected(url: &Url, answer: &Response<Bytes>) -> Result<Url, String> {
    let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let location = location.ok_or("redirects to nowhere")?;
    let refused = |why: &dyn std::fmt::Display| format!("redirects to `{}`: {why}", printable(location, MAX_SHOWN));
    let next = url.join(location).map_err(|error| refused(&error))?;
    next.as_str().parse::<EndpointUrl>().map_err(|error| refused(&error))?;
    // Who publishes is who was named. Another name could be that of a machine of our own network, which only we can ask.
    if next.host() != url.host() {
        return Err(refused(&"a redirect must stay with the host"));
    }
    Ok(next)
}

fn shown(url: &Url) -> String {
    printable(url.as_str(), MAX_SHOWN)
}

#[cfg(test)]
mod tests;
