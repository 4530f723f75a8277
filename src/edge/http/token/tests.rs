use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;

use super::*;
use crate::delegation::exchange::tests::clients::{assertion, clients};
use crate::delegation::exchange::tests::{House, NOW, US};
use crate::foundation::clock::ManualClock;
use crate::foundation::telemetry::Registry;
use crate::identity::token::tests::Key;

const FORM: &str = "application/x-www-form-urlencoded";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The endpoint, a token of alice's, and the key by which assertions of clients are signed.
struct Desk {
    _house: tempfile::TempDir,
    router: Router,
    alice: String,
    key: Key,
    shown: std::cell::Cell<u32>,
}

impl Desk {
    async fn open() -> Self {
        let house = House::new().await;
        let (key, alice) = (Key::p256(), house.alice(&json!({})));
        let config = TokenConfig {
            issuer: US.parse().unwrap(),
            scopes: vec!["read".to_owned()],
            keys: Some(format!("{US}/keys")),
            max_concurrent_requests: 4,
        };
        let (directory, exchange) = house.into_parts();
        let parts = (exchange, clients(&key, NOW.before(Duration::from_secs(10))));
        let clock = Arc::new(ManualClock::new(NOW));
        let router = token_router(parts, &config, clock, Metrics::new(&mut Registry::default()));
        Self { _house: directory, router, alice, key, shown: std::cell::Cell::new(0) }
    }

    /// What a good request says, of a client with an assertion of its own.
    fn good(&self) -> Vec<(&'static str, String)> {
        self.shown.set(self.shown.get() + 1);
        let assertion = assertion(&self.key, &json!({"jti": self.shown.get().to_string()}));
        vec![
            ("grant_type", GRANT.to_owned()),
            ("subject_token", self.alice.clone()),
            ("subject_token_type", ACCESS.to_owned()),
            ("audience", "https://tool.example.org".to_owned()),
            ("scope", "read".to_owned()),
            ("client_assertion_type", ASSERTION.to_owned()),
            ("client_assertion", assertion),
        ]
    }

    /// The same with one parameter in place of its own, or without it.
    fn but(&self, name: &'static str, value: &str) -> Vec<(&'static str, String)> {
        let mut form = self.good();
        form.retain(|(known, _)| *known != name);
        form.push((name, value.to_owned()));
        form
    }

    async fn post(&self, form: &[(&'static str, String)]) -> (u16, Value) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(Request::post("/token").header(CONTENT_TYPE, FORM).body(Body::from(body)).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        assert_eq!(parts.headers[CACHE_CONTROL], "no-store");
        assert_eq!(parts.headers[PRAGMA], "no-cache");
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }
}

fn code((status, body): &(u16, Value)) -> (u16, &str) {
    assert!(body.get("access_token").is_none(), "{body}");
    (*status, body["error"].as_str().unwrap())
}

#[tokio::test]
async fn a_token_is_told_as_the_standard_has_it() {
    let desk = Desk::open().await;
    let (status, mut body) = desk.post(&desk.good()).await;
    assert_eq!(body["access_token"].take().as_str().unwrap().split('.').count(), 3);
    let expected = json!({
        "access_token": null, "issued_token_type": ACCESS, "token_type": "Bearer", "expires_in": 300, "scope": "read",
    });
    assert_eq!((status, body), (200, expected));

    let mut form = desk.but("audience", "example.org");
    form.push(("requested_token_type", TokenType::TransactionToken.uri().to_owned()));
    form.push(("request_details", r#"{"event": 17}"#.to_owned()));
    let (status, body) = desk.post(&form).await;
    assert_eq!((status, &body["token_type"]), (200, &json!("N_A")));
    assert_eq!(body["issued_token_type"], TokenType::TransactionToken.uri());

    let mut form = desk.but("audience", "");
    form.push(("resource", "https://tool.example.org".to_owned()));
    form.push(("whatever", "nobody knows".to_owned()));
    assert_eq!(desk.post(&form).await.0, 200, "an empty parameter is none, and an unknown one means nothing");
}

#[tokio::test]
async fn each_fault_has_its_code() {
    let desk = Desk::open().await;
    for (name, value, expected) in [
        ("grant_type", "", (400, "invalid_request")),
        ("grant_type", "client_credentials", (400, "unsupported_grant_type")),
        ("subject_token", "", (400, "invalid_request")),
        ("subject_token", "x.y.z", (400, "invalid_request")),
        ("subject_token_type", "", (400, "invalid_request")),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", (400, "invalid_request")),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token", (400, "invalid_request")),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id_token", (400, "invalid_request")),
        ("requested_token_type", "jwt", (400, "invalid_request")),
        ("actor_token", "x.y.z", (400, "invalid_request")),
        ("actor_token_type", ACCESS, (400, "invalid_request")),
        ("audience", "", (400, "invalid_target")),
        ("audience", "https://elsewhere.example", (400, "invalid_target")),
        ("resource", "https://tool.example.org", (400, "invalid_target")),
        ("scope", "delete", (400, "invalid_scope")),
        ("scope", "send", (400, "invalid_scope")),
        ("request_context", "{}", (400, "invalid_request")),
        ("request_context", "[]", (400, "invalid_request")),
        ("request_details", r#"{"a":1,"a":2}"#, (400, "invalid_request")),
        ("client_assertion", "", (401, "invalid_client")),
        ("client_assertion", "x.y.z", (401, "invalid_client")),
        ("client_assertion_type", "", (401, "invalid_client")),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", (401, "invalid_client")),
        ("client_id", "spiffe://example.org/coordinator", (401, "invalid_client")),
        ("client_secret", "x", (401, "invalid_client")),
    ] {
        assert_eq!(code(&desk.post(&desk.but(name, value)).await), expected, "{name}={value}");
    }
    let again = desk.good();
    assert_eq!(desk.post(&again).await.0, 200);
    assert_eq!(code(&desk.post(&again).await), (401, "invalid_client"), "an assertion is good once");
}

#[tokio::test]
async fn what_is_no_request_for_a_token_is_refused_before_anybody_is_asked() {
    let desk = Desk::open().await;
    let request = || Request::post("/token").header(CONTENT_TYPE, FORM);
    let form = |form: &[(&'static str, String)]| {
        Body::from(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish())
    };
    let mut twice = desk.good();
    twice.push(("scope", "read".to_owned()));
    let mut audiences = desk.good();
    audiences.push(("audience", "https://calendar.example.org".to_owned()));
    for (request, expected) in [
        (request().body(form(&twice)), (400, "invalid_request")),
        (request().body(form(&audiences)), (400, "invalid_request")),
        (request().body(Body::from("a=%zz")), (400, "invalid_request")),
        (request().body(Body::from("{}")), (400, "invalid_request")),
        (request().body(Body::from(vec![b'a'; MAX_BODY_BYTES + 1])), (413, "invalid_request")),
        (
            Request::post("/token?scope=read").header(CONTENT_TYPE, FORM).body(form(&desk.good())),
            (400, "invalid_request"),
        ),
        (Request::post("/token").body(form(&desk.good())), (400, "invalid_request")),
        (
            Request::post("/token").header(CONTENT_TYPE, "application/json").body(Body::from("{}")),
            (400, "invalid_request"),
        ),
        (request().header(CONTENT_TYPE, FORM).body(form(&desk.good())), (400, "invalid_request")),
        (request().header(AUTHORIZATION, "Basic eDp5").body(form(&desk.good())), (401, "invalid_client")),
    ] {
        assert_eq!(code(&desk.send(request.unwrap()).await), expected);
    }
    assert_eq!(desk.send(Request::get("/token").body(Body::empty()).unwrap()).await.0, 405);
    assert_eq!(desk.send(Request::post("/tokens").body(Body::empty()).unwrap()).await.0, 404);
}

#[tokio::test]
async fn what_is_told_of_it_is_where_it_must_be() {
    let desk = Desk::open().await;
    let request = Request::get("/.well-known/oauth-authorization-server").body(Body::empty()).unwrap();
    let (status, body) = desk.send(request).await;
    let expected = json!({
        "issuer": US, "token_endpoint": format!("{US}/token"), "grant_types_supported": [GRANT],
        "response_types_supported": [], "token_endpoint_auth_methods_supported": ["spiffe_x509", "spiffe_jwt"],
        "scopes_supported": ["read"], "jwks_uri": format!("{US}/keys"),
    });
    assert_eq!((status, body), (200, expected));
}
