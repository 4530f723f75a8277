//! A unary call of gRPC over HTTP/2.

use bytes::BufMut as _;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use prost::Message;

use super::Head;

/// The head of a call, with the headers that Envoy sends.
pub(super) fn head(path: &'static str) -> Head {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() =
        http::Uri::builder().scheme("http").authority("authorizer").path_and_query(path).build().unwrap_or_default();
    let headers = [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "60000m")];
    for (name, value) in headers {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    Head::Fixed(request)
}

/// A message in its frame: not compressed, length, bytes.
pub(super) fn framed(message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut frame = Vec::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&message.encode_to_vec());
    frame
}

/// The one message of an answer whose status is OK. `headers` are its trailers, or its headers if it has no others.
pub(super) fn message<'a>(status: StatusCode, headers: &HeaderMap, body: &'a [u8]) -> Result<&'a [u8], String> {
    let said = headers.get("grpc-status").map_or("none", |value| value.to_str().unwrap_or("odd"));
    if status != StatusCode::OK || said != "0" {
        let message = headers.get("grpc-message").map_or("", |value| value.to_str().unwrap_or(""));
        return Err(format!("HTTP status {status}, gRPC status {said} {message}"));
    }
    match body.split_at_checked(5) {
        Some(([0, a, b, c, d], message))
            if usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])) == Ok(message.len()) =>
        {
            Ok(message)
        }
        _ => Err(format!("a body of {} bytes that is not one message", body.len())),
    }
}
