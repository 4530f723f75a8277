//! `GET /.well-known/authzen-configuration`, and the paths of a tenant.

use super::*;

fn known_as(identifier: &str) -> AuthzenConfig {
    known_as_all(&[identifier])
}

fn known_as_all(identifiers: &[&str]) -> AuthzenConfig {
    let metadata = identifiers.iter().map(|identifier| Metadata::new(identifier.parse().unwrap())).collect();
    AuthzenConfig { metadata, ..AuthzenConfig::default() }
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
async fn of_several_tenants_each_has_its_own_document_and_paths() {
    let identifiers =
        ["https://pdp.example.com", "https://pdp.example.com/tenant1", "https://other.example.com/tenant1/b"];
    let config = known_as_all(&identifiers);
    for identifier in identifiers {
        let (_, host_and_path) = identifier.split_once("://").unwrap();
        let (host, tenant) = host_and_path.split_at(host_and_path.find('/').unwrap_or(host_and_path.len()));
        let answer = send(Fixed::deny(), &config, get(&format!("/.well-known/authzen-configuration{tenant}"))).await;
        assert_eq!((answer.status, &answer.body["policy_decision_point"]), (200, &json!(identifier)));
        for (name, url) in answer.body.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint")) {
            let path = url.as_str().unwrap().strip_prefix(&format!("https://{host}{tenant}")).unwrap();
            let answer = send(Fixed::deny(), &config, request_to(&format!("{tenant}{path}"), "{}")).await;
            assert_error(&answer, 400);
            assert!(path.starts_with("/access/v1/"), "{name}");
        }
    }
    for elsewhere in ["/tenant2/access/v1/evaluation", "/tenant1/b/c/access/v1/evaluation", "/b/access/v1/evaluation"] {
        assert_error(&send(Fixed::deny(), &config, request_to(elsewhere, ALICE)).await, 404);
    }
}

#[tokio::test]
async fn for_which_tenant_is_asked_is_known_by_the_path_and_nobodys_to_say() {
    let mut said: Value = serde_json::from_str(ALICE).unwrap();
    said["context"] = json!({"tenant": "tenant2", "ip": "::1"});
    let tenant_of = async |config: &AuthzenConfig, path: &str| {
        let mut seen = Vec::new();
        for (path, body) in [
            (format!("{path}{EVALUATION_PATH}"), said.clone()),
            (format!("{path}{EVALUATIONS_PATH}"), json!({"evaluations": [said]})),
        ] {
            let pdp = Fixed::allow();
            assert_eq!(send(pdp.clone(), config, request_to(&path, body.to_string())).await.status, 200);
            let asked = pdp.asked();
            let [(query, None)] = &asked[..] else { panic!("one question") };
            assert_eq!(query.context.get("ip").and_then(|ip| ip.as_str()), Some("::1"));
            seen.push(query.context.get("tenant").and_then(|tenant| tenant.as_str()).map(str::to_owned));
        }
        assert_eq!(seen[0], seen[1]);
        seen.swap_remove(0)
    };
    let tenants = known_as_all(&["https://pdp.example.com/tenant1", "https://pdp.example.com/tenant1/b"]);
    assert_eq!(tenant_of(&tenants, "/tenant1").await.as_deref(), Some("tenant1"));
    assert_eq!(tenant_of(&tenants, "/tenant1/b").await.as_deref(), Some("tenant1/b"));
    assert_eq!(tenant_of(&tenants, "").await, None, "at the usual path it is asked for no tenant");
    let none = known_as("https://pdp.example.com");
    assert_eq!(tenant_of(&none, "").await.as_deref(), Some("tenant2"), "without tenants it is a key like any other");
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
