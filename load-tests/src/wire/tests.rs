use std::collections::HashMap;

use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc::Status;
use prost::Message as _;

use super::*;
use crate::question::Question;

fn asked() -> Questions {
    let question = Question {
        principal: "spiffe://load.test/w-1".into(),
        groups: vec!["g-1".into()],
        method: "GET".into(),
        service: "svc-1".into(),
        path: "/svc-1/items/{item}".into(),
        tenant: Some("blue".into()),
        allow: false,
    };
    let pem = "-----BEGIN CERTIFICATE-----\nab+/=\n-----END CERTIFICATE-----\n";
    Questions { certificates: HashMap::from([(question.principal.clone(), pem.into())]), questions: vec![question] }
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])
}

fn framed(response: &auth::CheckResponse) -> Vec<u8> {
    grpc::framed(response)
}

fn response(code: i32, body: Option<HttpResponse>) -> auth::CheckResponse {
    auth::CheckResponse {
        status: Some(Status { code, ..Status::default() }),
        http_response: body,
        ..auth::CheckResponse::default()
    }
}

fn refusal(code: i32) -> auth::DeniedHttpResponse {
    auth::DeniedHttpResponse { status: Some(HttpStatus { code }), ..auth::DeniedHttpResponse::default() }
}

#[test]
fn a_check_has_the_path_the_certificate_and_new_numbers_each_time() {
    let prepared = Wire::ExtAuthz.prepare(&asked()).remove(0);
    assert!(prepared.can_be_new());
    let (head, body) = prepared.fill(42, 7);
    assert_eq!(head.uri().path(), "/envoy.service.auth.v3.Authorization/Check");
    let attributes = auth::CheckRequest::decode(&body[5..]).unwrap().attributes.unwrap();
    let source = attributes.source.unwrap();
    assert!(source.certificate.starts_with("-----BEGIN%20CERTIFICATE-----%0Aab%2B%2F%3D%0A"), "{}", source.certificate);
    let http = attributes.request.unwrap().http.unwrap();
    assert_eq!(http.path, "/svc-1/items/000000000042");
    let lines = http.header_map.unwrap().headers;
    let line = |name: &str| lines.iter().find(|line| line.key == name).unwrap().raw_value.clone();
    assert_eq!(line(":path"), b"/svc-1/items/000000000042");
    assert_eq!(line("x-tenant"), b"blue");
    assert!(line("x-request-id").ends_with(b"-000000000007"));
    assert!(http.headers.is_empty());
}

#[test]
fn headers_can_be_joined_and_the_certificate_left_out() {
    for (wire, shown) in [(Wire::ExtAuthzJoined, true), (Wire::ExtAuthzBare, false)] {
        let (_, body) = wire.prepare(&asked()).remove(0).fill(1, 1);
        let attributes = auth::CheckRequest::decode(&body[5..]).unwrap().attributes.unwrap();
        assert_eq!(attributes.source.unwrap().certificate.is_empty(), !shown);
        let http = attributes.request.unwrap().http.unwrap();
        assert_eq!((http.headers["x-tenant"].as_str(), http.header_map), ("blue", None));
    }
}

#[test]
fn an_answer_is_a_clear_yes_a_clear_no_or_an_error() {
    let read = |response: &auth::CheckResponse| Wire::ExtAuthz.read(StatusCode::OK, &ok(), &framed(response));
    assert_eq!(read(&response(0, None)), Ok(Answer::Allow));
    assert_eq!(read(&response(0, Some(HttpResponse::OkResponse(auth::OkHttpResponse::default())))), Ok(Answer::Allow));
    assert_eq!(read(&response(7, Some(HttpResponse::DeniedResponse(refusal(403))))), Ok(Answer::Deny));
    assert_eq!(read(&response(7, None)), Ok(Answer::Deny));
    for odd in [
        auth::CheckResponse::default(),
        response(0, Some(HttpResponse::DeniedResponse(refusal(403)))),
        response(7, Some(HttpResponse::DeniedResponse(refusal(401)))),
        response(14, Some(HttpResponse::ErrorResponse(refusal(503)))),
        response(7, Some(HttpResponse::ErrorResponse(refusal(403)))),
    ] {
        assert!(read(&odd).is_err(), "{odd:?}");
    }
}

#[test]
fn a_status_that_is_not_ok_is_an_error() {
    let body = framed(&response(0, None));
    let failed = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "14".parse().unwrap())]);
    assert!(Wire::ExtAuthz.read(StatusCode::OK, &failed, &body).is_err());
    assert!(Wire::ExtAuthz.read(StatusCode::OK, &HeaderMap::new(), &body).is_err());
    assert!(Wire::ExtAuthz.read(StatusCode::BAD_GATEWAY, &ok(), &body).is_err());
    assert!(Wire::ExtAuthz.read(StatusCode::OK, &ok(), &body[..4]).is_err());
    assert!(Wire::Cerbos.read(StatusCode::OK, &ok(), &[0; 5]).is_err(), "no effect at all");
}

#[test]
fn through_an_envoy_the_status_is_the_answer() {
    let prepared = Wire::Http.prepare(&asked()).remove(0);
    let (head, body) = prepared.fill(42, 7);
    assert_eq!((head.uri().path(), body.len()), ("/svc-1/items/000000000042", 0));
    assert!(prepared.can_be_new());
    let read = |status| Wire::Http.read(status, &HeaderMap::new(), &[]);
    assert_eq!((read(StatusCode::OK), read(StatusCode::FORBIDDEN)), (Ok(Answer::Allow), Ok(Answer::Deny)));
    assert!(read(StatusCode::SERVICE_UNAVAILABLE).is_err());
}
