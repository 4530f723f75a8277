use axum::body::Body;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use portcullis_spiffe::x509::Authority;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};
use tower::ServiceExt as _;

use super::*;
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::server::{ConnectionInfo, Peer};

struct Served {
    bundles: Arc<Watched<Bundles>>,
    router: Router,
}

impl Served {
    fn new(bundles: impl IntoIterator<Item = Bundle>) -> Self {
        let bundles = Arc::new(Watched::new(Bundles::new(bundles)));
        let config = BundleEndpointConfig {
            trust_domain: "example.org".parse().unwrap(),
            refresh_hint: Duration::from_mins(5),
            requests_per_second: 2,
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        let router = bundle_router(config, Arc::clone(&bundles), clock);
        Self { bundles, router }
    }

    async fn ask(&self, request: http::request::Builder) -> (u16, HeaderMap, Vec<u8>) {
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn get(&self) -> (HeaderMap, BundleDocument) {
        let (status, headers, body) = self.ask(Request::get("/")).await;
        assert_eq!(status, 200);
        (headers, BundleDocument::parse(&body).unwrap())
    }
}

/// A bundle of one authority.
fn bundle(name: &str, sequence: u64) -> Bundle {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{name}").try_into().unwrap())];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    Bundle::of_x509(name.parse().unwrap(), [certificate.der().clone()], sequence)
}

fn ours(sequence: u64) -> Bundle {
    bundle("example.org", sequence)
}

#[tokio::test]
async fn the_bundle_is_served_as_it_is_now_and_never_that_of_another_domain() {
    let served = Served::new([ours(7), bundle("other.org", 1)]);
    let (headers, document) = served.get().await;
    assert_eq!((document.sequence, document.refresh_hint), (Some(7), Some(300)));
    let [authority] = &document.x509_authorities[..] else { panic!("{document:?}") };
    Authority::parse(&authority.certificate).unwrap().check_domain(&"example.org".parse().unwrap()).unwrap();
    assert_eq!(headers["cache-control"], "public, max-age=300, must-revalidate");
    assert_eq!(headers["content-type"], "application/json");

    served.bundles.update(|known| known.with(ours(8).emptied()));
    let (_, _, body) = served.ask(Request::get("/")).await;
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("\"keys\":[]"), "{text}");
}

#[tokio::test]
async fn who_has_it_is_told_so_until_it_changes() {
    let served = Served::new([ours(7)]);
    let (headers, _) = served.get().await;
    let tag = headers[ETAG].to_str().unwrap().to_owned();
    let strong = tag.trim_start_matches("W/").to_owned();
    for known in [tag.clone(), strong, format!("\"x\", {tag}"), "*".to_owned()] {
        let (status, headers, body) = served.ask(Request::get("/").header(IF_NONE_MATCH, known)).await;
        assert_eq!((status, headers[ETAG].to_str().unwrap(), body.len()), (304, &*tag, 0));
        assert_eq!(headers["vary"], "accept-encoding");
        assert_eq!(headers["cache-control"], "public, max-age=300, must-revalidate");
    }
    for other in [String::new(), "\"*\"".to_owned(), "W/".to_owned(), format!("W/{tag}"), tag.replace('"', "")] {
        let (status, ..) = served.ask(Request::get("/").header(IF_NONE_MATCH, other)).await;
        assert_eq!(status, 200);
    }
    served.bundles.update(|known| known.with(ours(8)));
    let (status, _, _) = served.ask(Request::get("/").header(IF_NONE_MATCH, tag)).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn it_travels_compressed_for_those_who_can_read_that() {
    let served = Served::new([ours(7)]);
    let (status, headers, body) = served.ask(Request::get("/").header(ACCEPT_ENCODING, "gzip")).await;
    assert_eq!(
        (status, &headers[CONTENT_ENCODING], &body[..2]),
        (200, &HeaderValue::from_static("gzip"), &[0x1f, 0x8b][..])
    );
    let (status, _, body) = served.ask(Request::get("/").header(ACCEPT_ENCODING, "identity;q=0")).await;
    assert_eq!(status, 406);
    assert!(String::from_utf8(body).unwrap().contains("\"status\":406"), "and not the document");
    let plain = served.get().await.1;
    for unwilling in ["gzip;q=0", "gzip;q=0, *;q=0.5", "br, zstd, deflate", "identity"] {
        let (status, headers, body) = served.ask(Request::get("/").header(ACCEPT_ENCODING, unwilling)).await;
        assert_eq!((status, headers.get(CONTENT_ENCODING)), (200, None), "{unwilling}");
        assert_eq!(
            (&headers["vary"], BundleDocument::parse(&body).unwrap()),
            (&HeaderValue::from_static("accept-encoding"), plain.clone())
        );
    }
}

#[tokio::test]
async fn other_methods_paths_and_floods_are_turned_away() {
    let served = Served::new([ours(7)]);
    assert_eq!(served.ask(Request::builder().method(Method::POST).uri("/")).await.0, 405);
    assert_eq!(served.ask(Request::get("/keys")).await.0, 404);
    let from = |said: u8| {
        let request = Request::get("/").header("x-forwarded-for", format!("198.51.100.{said}"));
        let request = request.header("forwarded", "for=127.0.0.1").header("x-real-ip", "127.0.0.1");
        request.extension(ConnectionInfo::of(Peer::Tcp("192.0.2.1:1".parse().unwrap())))
    };
    for said in 0..10 {
        assert_eq!(served.ask(from(said)).await.0, 200);
    }
    // Who one says that one is counts for nothing.
    let (status, headers, _) = served.ask(from(99)).await;
    assert_eq!((status, &headers["retry-after"]), (429, &HeaderValue::from_static("1")));
    // Without a bundle there is nothing to serve, and an empty one would say that nobody is trusted.
    served.bundles.update(|known| known.without(&"example.org".parse().unwrap()));
    assert_eq!(served.ask(Request::get("/")).await.0, 503);
}
