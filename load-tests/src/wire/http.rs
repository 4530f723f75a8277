//! A plain request to an Envoy, which asks for its answer elsewhere.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};

use super::{Answer, Head};
use crate::question::{ITEM, Question};
use crate::template::{ITEM_DIGITS, REQUEST_DIGITS, Template};

pub(super) fn prepare(question: &Question) -> (Head, Vec<u8>) {
    let mut request = Request::new(());
    *request.method_mut() = question.method.parse().unwrap_or(Method::GET);
    *request.version_mut() = Version::HTTP_2;
    insert(request.headers_mut(), question.tenant.as_deref());
    let path = Template::new(question.path.replace(ITEM, ITEM_DIGITS).into_bytes());
    let request_id = Template::new(format!("7f0f3a52-92d6-4c4e-a1d3-{REQUEST_DIGITS}").into_bytes());
    (Head::Numbered { request, path, request_id }, Vec::new())
}

fn insert(headers: &mut HeaderMap, tenant: Option<&str>) {
    headers.insert("user-agent", HeaderValue::from_static(super::ext_authz::USER_AGENT));
    headers.insert("accept", HeaderValue::from_static("application/json"));
    if let Some(tenant) = tenant.and_then(|tenant| HeaderValue::from_str(tenant).ok()) {
        headers.insert("x-tenant", tenant);
    }
}

pub(super) fn number(head: &mut Request<()>, path: &[u8], request_id: Bytes) {
    if let Ok(path) = PathAndQuery::try_from(path) {
        let uri = Uri::builder().scheme("https").authority("orders.load.test").path_and_query(path);
        *head.uri_mut() = uri.build().unwrap_or_default();
    }
    if let Ok(request_id) = HeaderValue::from_maybe_shared(request_id) {
        head.headers_mut().insert("x-request-id", request_id);
    }
}

pub(super) fn read(status: StatusCode) -> Result<Answer, String> {
    match status {
        StatusCode::OK => Ok(Answer::Allow),
        StatusCode::FORBIDDEN => Ok(Answer::Deny),
        other => Err(format!("HTTP status {other}")),
    }
}
