use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use http::header::{AUTHORIZATION, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::super::fetch::FeedUrlError;
use super::*;
use crate::decision::entity::contract::{Backstage, Bench, keeps_the_contract};
use crate::foundation::clock::SystemClock;

/// A server with one document.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    users: Vec<Json>,
    version: u64,
    away: bool,
    /// What was asked, and how it was answered.
    asked: Vec<(HeaderMap, StatusCode)>,
}

impl Published {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut state = self.0.lock().unwrap();
        let tag = format!("\"{}\"", state.version);
        let known = request.headers().get(IF_NONE_MATCH).is_some_and(|given| *given == *tag);
        let (status, body) = match (state.away, known) {
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            (false, true) => (StatusCode::NOT_MODIFIED, String::new()),
            (false, false) => (StatusCode::OK, Json::from(state.users.clone()).to_string()),
        };
        state.asked.push((request.headers().clone(), status));
        Response::builder().status(status).header(ETAG, tag).body(Full::from(body)).unwrap()
    }

    /// Serves until dropped; says at which port.
    async fn serve(&self, tls: Option<TlsAcceptor>) -> (JoinSet<()>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mut serving, published) = (JoinSet::new(), self.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (published, tls) = (published.clone(), tls.clone());
                connections.spawn(async move {
                    let answer = move |request| {
                        let answer = published.answer(&request);
                        async { Ok::<_, Infallible>(answer) }
                    };
                    let service = service_fn(answer);
                    let _ended = match tls {
                        None => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
                            Err(_refused) => return,
                        },
                    };
                });
            }
        });
        (serving, port)
    }
}

impl Backstage for Published {
    async fn say(&mut self, users: &[(&str, i64, &str)]) {
        let mut state = self.0.lock().unwrap();
        let user = |(id, level, team): &(&str, i64, &str)| {
            json!({
                "uid": {"type": "User", "id": id}, "attrs": {"level": level},
                "parents": [{"type": "Team", "id": team}],
            })
        };
        state.users = users.iter().map(user).collect();
        state.version += 1;
    }

    async fn say_nonsense(&mut self) {
        let mut state = self.0.lock().unwrap();
        state.users.push(json!({"uid": {"type": "User", "id": "broken"}, "attrs": {}, "parents": []}));
        state.version += 1;
    }

    async fn reach(&mut self, reachable: bool) {
        self.0.lock().unwrap().away = !reachable;
    }
}

fn config(url: &str, ca_file: &Path) -> EntityFeedConfig {
    EntityFeedConfig {
        url: FeedUrl::parse(url).unwrap(),
        interval: Duration::from_millis(20),
        fetch: FetchConfig {
            timeout: Duration::from_secs(10),
            max_bytes: 4096,
            ca_file: ca_file.to_owned(),
            token_file: None,
        },
    }
}

fn feed(config: EntityFeedConfig) -> Box<dyn EntitySource> {
    Box::new(EntityFeed::new(config, Arc::new(SystemClock::new())))
}

#[tokio::test]
async fn a_feed_keeps_the_contract() {
    let published = Published::default();
    let (_serving, port) = published.serve(None).await;
    let feed = feed(config(&format!("http://127.0.0.1:{port}/users?all=1"), Path::new("none")));
    keeps_the_contract(feed, published.clone()).await;
    let asked = &published.0.lock().unwrap().asked;
    let repeated = asked.iter().filter(|(_, status)| *status == StatusCode::NOT_MODIFIED);
    assert!(repeated.clone().count() > 0, "what is known is not sent again");
    assert!(repeated.clone().all(|(headers, _)| headers.contains_key(IF_NONE_MATCH)));
    assert_eq!(asked[0].0["host"], format!("127.0.0.1:{port}"));
}

/// A server with a certificate for `localhost`, and the file of who signed it.
async fn with_tls(published: &Published, directory: &Path) -> (JoinSet<()>, u16, PathBuf) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    let ca_file = directory.join(format!("{}.pem", key_name(&ca.pem())));
    fs::write(&ca_file, ca.pem()).unwrap();
    let (serving, port) = published.serve(Some(TlsAcceptor::from(Arc::new(tls)))).await;
    (serving, port, ca_file)
}

/// A name that two authorities don't share.
fn key_name(pem: &str) -> String {
    pem.bytes().filter(u8::is_ascii_alphanumeric).rev().skip(20).take(16).map(char::from).collect()
}

#[tokio::test]
async fn only_the_server_that_was_meant_is_believed_and_shown_the_token() {
    let (published, directory) = (Published::default(), tempfile::tempdir().unwrap());
    let (_serving, port, ca_file) = with_tls(&published, directory.path()).await;
    let (_other, _, other_ca) = with_tls(&published, directory.path()).await;
    let token_file = directory.path().join("token");
    fs::write(&token_file, "the-token\n").unwrap();
    let url = format!("https://localhost:{port}/");
    let with_token = |mut config: EntityFeedConfig| {
        config.fetch.token_file = Some(token_file.clone());
        config
    };

    let told = Bench::new(feed(with_token(config(&url, &other_ca)))).read_error().await;
    assert!(told.contains("certificate") && told.starts_with(&url), "{told}");
    let wrong_name = format!("https://127.0.0.1:{port}/");
    assert!(Bench::new(feed(with_token(config(&wrong_name, &ca_file)))).read_error().await.contains("certificate"));
    assert!(published.0.lock().unwrap().asked.is_empty());

    Bench::new(feed(with_token(config(&url, &ca_file)))).read_all().await;
    assert_eq!(published.0.lock().unwrap().asked[0].0[AUTHORIZATION], "Bearer the-token");
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_too_late_is_refused() {
    let mut published = Published::default();
    let (_serving, port) = published.serve(None).await;
    let url = format!("http://127.0.0.1:{port}/");
    let long = "x".repeat(5000);
    published.say(&[(&long, 1, "red")]).await;
    let told = Bench::new(feed(config(&url, Path::new("none")))).read_error().await;
    assert!(told.ends_with("the answer has more than 4096 bytes"), "{told}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let mut hasty = config(&url, Path::new("none"));
    hasty.fetch.timeout = Duration::from_millis(50);
    let told = Bench::new(feed(hasty)).read_error().await;
    assert!(told.contains("no answer within"), "{told}");
}

#[test]
fn what_could_be_changed_on_the_way_is_no_address() {
    for url in ["https://cmdb.example/x?y=1", "https://[::1]:8443/", "http://127.0.0.1:80/", "http://[::1]/"] {
        FeedUrl::parse(url).unwrap();
    }
    for (url, error) in [
        ("http://cmdb.example/", FeedUrlError::Scheme),
        ("http://localhost/", FeedUrlError::Scheme),
        ("http://10.0.0.1/", FeedUrlError::Scheme),
        ("ftp://127.0.0.1/", FeedUrlError::Scheme),
        ("https://user:secret@cmdb.example/", FeedUrlError::Secret),
        ("cmdb.example", FeedUrlError::Url),
        ("data:x", FeedUrlError::Url),
    ] {
        assert_eq!(FeedUrl::parse(url), Err(error), "{url}");
    }
}
