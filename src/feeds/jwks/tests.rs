use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::foundation::clock::SystemClock;

/// A server with a document at each path; what it has under no path is 404.
#[derive(Clone, Default)]
struct Site(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    documents: BTreeMap<String, String>,
    /// What was asked for, and how it was answered.
    asked: Vec<(String, u16)>,
}

impl Site {
    fn put(&self, path: &str, document: &str) {
        self.0.lock().unwrap().documents.insert(path.to_owned(), document.to_owned());
    }

    fn asked(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }

    /// The answer; a document's tag is its length.
    fn answer(&self, request: &str) -> String {
        let mut pages = self.0.lock().unwrap();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let (status, tag, body) = match pages.documents.get(&path) {
            Some(document) if request.contains(&format!("if-none-match: \"{}\"", document.len())) => {
                (304, 0, String::new())
            }
            Some(document) => (200, document.len(), document.clone()),
            None => (404, 0, String::new()),
        };
        pages.asked.push((path, status));
        let (length, location) = (body.len(), if status == 404 { "location: /keys\r\n" } else { "" });
        format!(
            "HTTP/1.1 {status} X\r\netag: \"{tag}\"\r\n{location}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    }

    /// Serves until dropped; says at which address.
    async fn serve(&self) -> (JoinSet<()>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (mut serving, site) = (JoinSet::new(), self.clone());
        serving.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let answer = site.answer(&String::from_utf8(request).unwrap().to_ascii_lowercase());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (serving, address)
    }
}

fn feed(address: KeyAddress) -> KeyFeed {
    let timeout = Duration::from_secs(10);
    let config = FetchConfig { timeout, max_bytes: 4096, ca_file: Path::new("none").to_owned(), token_file: None };
    KeyFeed::new(address, config, Arc::new(SystemClock::new()))
}

fn error(read: Result<Option<Vec<u8>>, KeySourceError>) -> String {
    read.unwrap_err().to_string()
}

#[tokio::test]
async fn keys_are_sent_again_only_if_they_changed_or_are_wanted_whole() {
    let site = Site::default();
    let (_serving, address) = site.serve().await;
    let mut feed = feed(KeyAddress::Keys(FeedUrl::parse(&format!("{address}/keys")).unwrap()));
    assert!(error(feed.read(true).await).ends_with("/keys: answered with 404 Not Found"));
    site.put("/keys", "{}");
    assert_eq!(feed.read(true).await.unwrap().unwrap(), b"{}");
    assert_eq!(feed.read(false).await.unwrap(), None);
    assert_eq!(feed.read(true).await.unwrap().unwrap(), b"{}");
    site.put("/keys", "{ }");
    assert_eq!(feed.read(false).await.unwrap().unwrap(), b"{ }");
    site.put("/keys", &"x".repeat(5000));
    assert!(error(feed.read(false).await).contains("more than 4096 bytes"));
    let statuses: Vec<u16> = site.asked().into_iter().map(|(_, status)| status).collect();
    assert_eq!(statuses, [404, 200, 304, 200, 200, 200]);
}

#[tokio::test]
async fn metadata_must_be_the_issuers_own_and_names_where_the_keys_are() {
    let site = Site::default();
    let (_serving, address) = site.serve().await;
    let well_known = "/tenant/.well-known/openid-configuration";
    let issuer = format!("{address}/tenant");
    let mut feed = feed(KeyAddress::discovered(&issuer).unwrap());
    let says =
        |issuer: &str, keys: &str| site.put(well_known, &json!({"issuer": issuer, "jwks_uri": keys}).to_string());
    site.put("/keys", "{}");
    site.put("/other", "{  }");

    for (issuer, keys, why) in [
        (&*format!("{issuer}/"), &*format!("{address}/keys"), "is another"),
        (&address, &format!("{address}/keys"), "is another"),
        (&issuer, "http://keys.example/keys", "https"),
        (&issuer, "ftp://127.0.0.1/", "https"),
        (&issuer, "/keys", "not a URL"),
    ] {
        says(issuer, keys);
        let error = error(feed.read(false).await);
        assert!(error.contains(why), "{issuer} {keys}: {error}");
    }
    site.put(well_known, &json!({"issuer": issuer}).to_string());
    assert!(error(feed.read(false).await).ends_with("has no `jwks_uri`"));
    site.put(well_known, &format!(r#"{{"issuer":"{issuer}","issuer":"x","jwks_uri":"{address}/keys"}}"#));
    assert!(error(feed.read(false).await).contains("is there twice"));
    site.asked();

    says(&issuer, &format!("{address}/keys"));
    assert_eq!(feed.read(true).await.unwrap().unwrap(), b"{}");
    assert_eq!(feed.read(false).await.unwrap(), None);
    says(&issuer, &format!("{address}/other"));
    assert_eq!(feed.read(false).await.unwrap().unwrap(), b"{  }");
    let asked = site.asked();
    let expected =
        [(well_known, 200), ("/keys", 200), (well_known, 304), ("/keys", 304), (well_known, 200), ("/other", 200)];
    assert_eq!(asked, expected.map(|(path, status)| (path.to_owned(), status)));
}

#[test]
fn only_what_can_be_asked_can_be_discovered() {
    for good in ["https://idp.example", "https://idp.example/tenant/", "http://127.0.0.1:8080"] {
        let KeyAddress::Discovery { issuer, metadata } = KeyAddress::discovered(good).unwrap() else {
            panic!("{good}")
        };
        assert_eq!(&*issuer, good);
        assert!(metadata.to_string().ends_with("/.well-known/openid-configuration"), "{metadata}");
    }
    for bad in ["http://idp.example", "kubernetes/serviceaccount", "", "https://u:p@idp.example"] {
        assert!(KeyAddress::discovered(bad).is_err(), "{bad}");
    }
}
