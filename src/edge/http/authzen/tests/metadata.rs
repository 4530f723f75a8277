//! `GET /.well-known/authzen-configuration`, and the paths of a tenant.

use super::*;

fn known_as(identifier: &str) -> AuthzenConfig {
    AuthzenConfig { metadata: Some(Metadata::new(identifier.parse().unwrap())), ..AuthzenConfig::default() }
}

fn get(path: &str) -> http::Request<Body> {
    http::Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_metadata_are_exactly_these() {
    let answer =
        send(Fixed::deny(), &known_as("https://pdp.example.com"), get("/.well-known/authzen-configuration")).await;
    assert_eq!(
        (answer.status, &answer.headers["cache-control"]),
        (200, &HeaderValue::from_static("public, max-age=300"))
    );
    let expected = json!({
        "policy_decision_point": "https://pdp.example.com",
        "access_evaluation_endpoint": "https://pdp.example.com/access/v1/evaluation",
        "access_evaluations_endpoint": "https://pdp.example.com/access/v1/evaluations",
        "search_subject_endpoint": "https://pdp.example.com/access/v1/search/subject",
        "search_resource_endpoint": "https://pdp.example.com/access/v1/search/resource",
        "search_action_endpoint": "https://pdp.example.com/access/v1/search/action",
    });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_tenants_metadata_and_endpoints_stand_under_its_path() {
    let config = known_as("https://pdp.example.com/a/tenant1");
    let answer = send(Fixed::deny(), &config, get("/.well-known/authzen-configuration/a/tenant1")).await;
    assert_eq!(answer.body["policy_decision_point"], "https://pdp.example.com/a/tenant1");
    let endpoints = answer.body.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint"));
    let mut served = 0;
    for (name, url) in endpoints {
        let path = url.as_str().unwrap().strip_prefix("https://pdp.example.com").unwrap();
        assert!(path.starts_with("/a/tenant1/access/v1/"), "{name}");
        assert_error(&send(Fixed::deny(), &config, request_to(path, "{}")).await, 400);
        let default = path.strip_prefix("/a/tenant1").unwrap();
        assert_error(&send(Fixed::deny(), &config, request_to(default, "{}")).await, 400);
        served += 1;
    }
    assert_eq!(served, 5);
    for elsewhere in ["/.well-known/authzen-configuration", "/a/tenant1/.well-known/authzen-configuration"] {
        assert_error(&send(Fixed::deny(), &config, get(elsewhere)).await, 404);
    }
    assert_error(&send(Fixed::deny(), &config, request_to("/a/tenant2/access/v1/evaluation", ALICE)).await, 404);
    assert_error(&send(Fixed::deny(), &config, get("/a/tenant1/access/v1/evaluation")).await, 405);
}

#[tokio::test]
async fn without_an_identifier_there_is_none() {
    let answer = send(Fixed::deny(), &AuthzenConfig::default(), get("/.well-known/authzen-configuration")).await;
    assert_error(&answer, 404);
}

#[tokio::test]
async fn the_metadata_are_read_and_no_more() {
    let config = known_as("https://pdp.example.com");
    let request = http::Request::post("/.well-known/authzen-configuration").body(ALICE.into()).unwrap();
    let answer = send(Fixed::deny(), &config, request).await;
    assert_error(&answer, 405);
    assert!(answer.headers["allow"].to_str().unwrap().contains("GET"));
    let mut request = get("/.well-known/authzen-configuration");
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("r1"));
    request.headers_mut().insert("host", HeaderValue::from_static("evil.example"));
    let answer = send(Fixed::deny(), &config, request).await;
    assert_eq!(answer.headers["x-request-id"], "r1");
    assert_eq!(answer.body["policy_decision_point"], "https://pdp.example.com");
}
