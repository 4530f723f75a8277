use portcullis_spiffe_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use super::fixture::{Fixture, NOW, Told, bundle, identities, svid, web, with_header};
use super::*;
use crate::foundation::clock::Timestamp;
use crate::foundation::shutdown::Phase;
use crate::server::Peer;

mod tokens;

fn in_seconds(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

/// A stream of X.509-SVIDs as its client sees it.
struct Open(Streaming<X509svidResponse>);

impl Open {
    async fn next(&mut self) -> X509svidResponse {
        self.0.message().await.unwrap().unwrap()
    }

    /// The first byte of the first certificate.
    async fn serial(&mut self) -> u8 {
        self.next().await.svids[0].x509_svid[0]
    }

    async fn error(&mut self) -> (Code, String) {
        told(&self.0.message().await.unwrap_err())
    }

    /// Whether nothing comes for ten minutes.
    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_mins(10), self.0.message()).await.is_err()
    }
}

fn told(status: &Status) -> (Code, String) {
    (status.code(), status.message().to_owned())
}

fn no_identity() -> (Code, String) {
    (Code::PermissionDenied, "no identity issued".to_owned())
}

impl Fixture {
    async fn open(&mut self) -> Open {
        Open(self.client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner())
    }

    async fn open_x509_bundles(&mut self) -> Streaming<X509BundlesResponse> {
        self.client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap().into_inner()
    }

    async fn open_jwt_bundles(&mut self) -> Streaming<JwtBundlesResponse> {
        self.client.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await.unwrap().into_inner()
    }
}

/// What each method answers, by its name; of a stream the first message.
async fn all_methods(
    client: &mut SpiffeWorkloadApiClient<Channel>,
    header: bool,
) -> Vec<(&'static str, Result<(), Status>)> {
    fn request<T>(message: T, header: bool) -> Request<T> {
        if header { with_header(message) } else { Request::new(message) }
    }
    async fn first<T>(answer: Result<Response<Streaming<T>>, Status>) -> Result<(), Status> {
        answer?.into_inner().message().await.map(drop)
    }
    let audience = vec!["orders".to_owned()];
    let tokens = JwtsvidRequest { audience, spiffe_id: String::new() };
    let validate = ValidateJwtsvidRequest { audience: "orders".to_owned(), svid: "a.b.c".to_owned() };
    let wit = WitsvidRequest { spiffe_id: String::new() };
    vec![
        ("FetchX509SVID", first(client.fetch_x509svid(request(X509svidRequest {}, header)).await).await),
        ("FetchX509Bundles", first(client.fetch_x509_bundles(request(X509BundlesRequest {}, header)).await).await),
        ("FetchJWTBundles", first(client.fetch_jwt_bundles(request(JwtBundlesRequest {}, header)).await).await),
        ("FetchJWTSVID", client.fetch_jwtsvid(request(tokens, header)).await.map(drop)),
        ("ValidateJWTSVID", client.validate_jwtsvid(request(validate, header)).await.map(drop)),
        ("FetchWITSVID", first(client.fetch_witsvid(request(wit, header)).await).await),
        ("FetchWITBundles", first(client.fetch_wit_bundles(request(WitBundlesRequest {}, header)).await).await),
    ]
}

/// W1.
#[tokio::test]
async fn no_method_answers_without_the_security_header() {
    let mut fixture = Fixture::new(web(1, in_seconds(100))).await;
    for (method, answer) in all_methods(&mut fixture.client, false).await {
        let expected = (Code::InvalidArgument, "security header missing from request".to_owned());
        assert_eq!(told(&answer.unwrap_err()), expected, "{method}");
    }
    assert_eq!(fixture.asked(), 0);
}

#[tokio::test]
async fn only_a_unix_socket_gets_anything() {
    for peer in [None, Some(Peer::Tcp("127.0.0.1:9".parse().unwrap()))] {
        let mut fixture = Fixture::with_peer(web(1, in_seconds(100)), |_| {}, peer).await;
        for (method, answer) in all_methods(&mut fixture.client, true).await {
            let code = answer.unwrap_err().code();
            assert!(matches!(code, Code::PermissionDenied | Code::Unimplemented), "{method}: {code}");
        }
        assert_eq!(fixture.asked(), 0);
    }
}

/// W2.
#[tokio::test]
async fn a_caller_without_an_identity_is_told_so_by_each_method_in_spires_words() {
    let mut fixture = Fixture::new(Told::Entitled(Identities::default())).await;
    for (method, answer) in all_methods(&mut fixture.client, true).await {
        match method {
            "ValidateJWTSVID" => assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument),
            "FetchWITSVID" | "FetchWITBundles" => assert_eq!(answer.unwrap_err().code(), Code::Unimplemented),
            _ => assert_eq!(told(&answer.unwrap_err()), no_identity(), "{method}"),
        }
    }
    assert_eq!(fixture.metrics().refusals.get(), 4);
    fixture.plane.change(web(1, in_seconds(1000)));
    assert_eq!(fixture.open().await.serial().await, 1, "it comes back and finds its new entry");
}

#[tokio::test]
async fn a_caller_of_whom_nothing_can_be_said_is_told_so_by_each_method_in_spires_words() {
    let mut fixture = Fixture::new(Told::Gone).await;
    for (method, answer) in all_methods(&mut fixture.client, true).await {
        let expected = match method {
            "FetchWITSVID" | "FetchWITBundles" => continue,
            _ => (Code::Unavailable, "workload attestation failed".to_owned()),
        };
        assert_eq!(told(&answer.unwrap_err()), expected, "{method}");
    }
}

/// W3, W4.
#[tokio::test(start_paused = true)]
async fn the_first_message_comes_at_once_and_the_whole_state_with_each_change() {
    let mut fixture = Fixture::new(Told::Entitled(identities(
        vec![svid("web", "", 1, in_seconds(100_000))],
        vec![bundle("example.org", &[0xca]), bundle("other.org", &[0xcb])],
    )))
    .await;
    let mut open = fixture.open().await;
    assert!(open.next().await.federated_bundles.contains_key("spiffe://other.org"));
    assert!(open.is_silent().await);
    let same = fixture.metrics().messages.get();
    fixture.plane.change(web(1, in_seconds(100_000)));
    let second = open.next().await;
    assert_eq!(second.federated_bundles.len(), 0, "what is not there any more is taken away");
    assert_eq!(second.svids.len(), 1);
    fixture.plane.change(web(1, in_seconds(100_000)));
    assert!(open.is_silent().await, "the content is the same");
    assert_eq!(fixture.metrics().messages.get(), same + 1);
    fixture.plane.change(web(2, in_seconds(100_000)));
    assert_eq!(open.serial().await, 2);
}

/// W5.
#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_identity_does_and_not_before() {
    let mut fixture = Fixture::new(web(1, in_seconds(100_000))).await;
    let (mut open, mut bundles, mut keys) =
        (fixture.open().await, fixture.open_x509_bundles().await, fixture.open_jwt_bundles().await);
    open.next().await;
    bundles.message().await.unwrap().unwrap();
    keys.message().await.unwrap().unwrap();
    assert_eq!(fixture.metrics().streams.get(), 3);
    fixture.plane.change(Told::Entitled(Identities::default()));
    assert_eq!(open.error().await, no_identity());
    assert_eq!(told(&bundles.message().await.unwrap_err()), no_identity());
    assert_eq!(told(&keys.message().await.unwrap_err()), no_identity());
    assert_eq!(fixture.metrics().streams.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_pushed_when_the_clock_says_so_and_not_when_a_timer_does() {
    let mut fixture = Fixture::new(web(1, in_seconds(100))).await;
    let mut open = fixture.open().await;
    assert_eq!(open.serial().await, 1);
    fixture.plane.set(web(2, in_seconds(1000)));
    assert!(open.is_silent().await, "the clock stands still");
    assert_eq!(fixture.asked(), 1);
    fixture.clock.advance(Duration::from_secs(100));
    assert_eq!(open.serial().await, 2);
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_does_not_come_is_asked_for_again_but_not_in_a_loop() {
    let mut fixture = Fixture::new(web(1, NOW)).await;
    let mut open = fixture.open().await;
    open.next().await;
    assert!(open.is_silent().await);
    let asked = fixture.asked();
    assert!((500..=700).contains(&asked), "{asked} times in 600 seconds");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_fails_for_a_while_costs_no_one_who_has_an_identity_their_stream() {
    let mut fixture = Fixture::new(Told::Failing).await;
    assert_eq!(fixture.open().await.error().await, (Code::Unavailable, "no identity could be issued".to_owned()));
    fixture.plane.set(web(1, in_seconds(100_000)));
    let mut open = fixture.open().await;
    assert_eq!(open.serial().await, 1);
    fixture.plane.change(Told::Failing);
    assert!(open.is_silent().await);
    fixture.plane.set(web(2, in_seconds(100_000)));
    assert_eq!(open.serial().await, 2);
}

/// A process that ended, or became another program, while someone else holds its connection.
#[tokio::test(start_paused = true)]
async fn nothing_new_goes_to_a_caller_that_is_no_longer_who_it_was() {
    let mut fixture = Fixture::new(web(1, in_seconds(100_000))).await;
    let mut open = fixture.open().await;
    open.next().await;
    fixture.plane.change(Told::Gone);
    assert_eq!(open.error().await, (Code::Unavailable, "workload attestation failed".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn bundles_are_sent_again_only_when_they_have_changed() {
    let mut fixture = Fixture::new(web(1, in_seconds(100))).await;
    let mut bundles = fixture.open_x509_bundles().await;
    let first = bundles.message().await.unwrap().unwrap();
    assert_eq!(first.bundles["spiffe://example.org"], vec![0xca; 90]);
    fixture.plane.change(web(2, in_seconds(100)));
    let quiet = tokio::time::timeout(Duration::from_mins(10), bundles.message()).await;
    assert!(quiet.is_err(), "an SVID is none of its business");
    fixture.plane.change(Told::Entitled(identities(
        vec![svid("web", "", 2, in_seconds(100))],
        vec![bundle("example.org", &[0xca, 0xcb])],
    )));
    let second = bundles.message().await.unwrap().unwrap();
    assert_eq!(second.bundles["spiffe://example.org"].len(), 180);
}

/// As SPIRE's `allow_unauthenticated_verifiers`.
#[tokio::test(start_paused = true)]
async fn a_verifier_without_an_identity_gets_our_bundles_alone_where_that_is_allowed() {
    let allow = |settings: &mut WorkloadApiConfig| settings.allow_unauthenticated_verifiers = true;
    let mut fixture = Fixture::with(Told::Entitled(Identities::default()), allow).await;
    let mut bundles = fixture.open_x509_bundles().await;
    let first = bundles.message().await.unwrap().unwrap();
    assert_eq!(first.bundles.keys().collect::<Vec<_>>(), ["spiffe://example.org"]);
    assert!(fixture.open_jwt_bundles().await.message().await.unwrap().is_some());
    assert_eq!(fixture.open().await.error().await, no_identity());
    fixture.plane.change(Told::Entitled(identities(
        vec![svid("web", "", 1, in_seconds(100))],
        vec![bundle("example.org", &[0xca]), bundle("other.org", &[0xcb])],
    )));
    assert_eq!(bundles.message().await.unwrap().unwrap().bundles.len(), 2, "now it has an identity");
}

#[tokio::test]
async fn streams_end_when_the_process_drains() {
    let mut fixture = Fixture::new(web(1, in_seconds(100_000))).await;
    let mut open = fixture.open().await;
    open.next().await;
    fixture.shutdown.advance(Phase::Draining);
    let draining = (Code::Unavailable, "draining".to_owned());
    assert_eq!(open.error().await, draining);
    assert_eq!(fixture.open().await.error().await, draining);
    assert_eq!(fixture.metrics().streams.get(), 0);
}

#[tokio::test]
async fn streams_are_bounded_and_no_user_gets_all() {
    let mut fixture = Fixture::new(web(1, in_seconds(100_000))).await;
    let streams = fixture.service.shared.streams.clone();
    let greedy: Vec<_> = (0..MAX_STREAMS).map_while(|_| streams.take(Some(1001))).collect();
    assert!(greedy.len() < MAX_STREAMS);
    let mut open = fixture.open().await;
    open.next().await;
    let _others: Vec<_> = (0..MAX_STREAMS).map_while(|_| streams.take(None)).collect();
    let refused = fixture.client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
}
