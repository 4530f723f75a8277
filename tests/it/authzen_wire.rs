//! Bytes that no client library would send, at `AuthZEN`'s endpoints: every one of them is answered or hung up on, none with a
//! fault, and none with an answer that is another request's.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::support::authzen::{EVALUATION, EVALUATIONS, Pdp, SEARCHES, assert_error, question};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Which `alice` may, and `bob` may not.
fn writes(user: &str) -> String {
    question(&format!("user/{user}"), "write", "record/record-1").to_string()
}

/// All that comes back for these bytes until the other side hangs up, which it does after `LAST` if not before.
async fn told(pdp: &Pdp, bytes: &[u8]) -> String {
    const LAST: &[u8] = b"GET /last HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let mut stream = UnixStream::connect(pdp.home.authzen_socket()).await.unwrap();
    let mut answers = Vec::new();
    // It may hang up on what comes after something that it could not read.
    let _hung_up_on = stream.write_all(&[bytes, LAST].concat()).await;
    let _hung_up = stream.read_to_end(&mut answers).await;
    String::from_utf8(answers).unwrap()
}

/// A request with these header lines.
fn post(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {EVALUATION} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_in_a_row_get_their_own_answers_in_their_order() {
    let pdp = Pdp::certification().await;
    let users = ["alice", "bob", "bob", "alice", "carol", "alice"];
    let ask = |(number, user): (usize, &&str)| post(&format!("x-request-id: q{number}\r\n"), &writes(user));
    let row: String = users.iter().enumerate().map(ask).collect();
    let told = told(&pdp, row.as_bytes()).await;
    let answers: Vec<_> = told.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
    assert_eq!(answers.len(), users.len(), "{told}");
    for (number, (user, answer)) in users.iter().zip(answers).enumerate() {
        assert!(answer.contains(&format!("x-request-id: q{number}\r\n")), "{answer}");
        let decision = json!({"decision": *user == "alice"}).to_string();
        assert!(answer.split("\r\n\r\n").nth(1).is_some_and(|body| body.starts_with(&decision)), "{user}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_request_that_is_refused_is_no_request() {
    let pdp = Pdp::certification().await;
    let hidden = post("", &writes("alice"));
    let length = hidden.len();
    for head in [
        format!(
            "POST {EVALUATION} HTTP/1.1\r\nhost: h\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n"
        ),
        format!("PUT {EVALUATION} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n"),
        format!("POST /nowhere HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n"),
        post("content-encoding: gzip\r\n", "").replace("content-length: 0", &format!("content-length: {length}")),
    ] {
        let told = told(&pdp, format!("{head}{hidden}").as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 4") && !told.contains("decision"), "{head} {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_end_is_not_clear_is_not_answered_with_a_decision() {
    let pdp = Pdp::certification().await;
    let body = writes("alice");
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n", body.len());
    let chunked = |headers: &str, rest: &str| {
        format!(
            "POST {EVALUATION} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n{headers}\r\n{rest}"
        )
    };
    for bad in [
        post("content-length: 3\r\n", &body),
        chunked("transfer-encoding: identity\r\n", &format!("{chunks}\r\n")),
        chunked("", &format!("zz\r\n{body}\r\n0\r\n\r\n")),
        chunked("", &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len() + 1)),
        post("x-folded: a\r\n b\r\n", &body),
        post("x-request-id: a\rx-evil: 1\r\n", &body),
        post("x-request-id: a\u{0}\r\n", &body),
        post("", &body).replace("HTTP/1.1", "HTTP/1.2"),
        post("", &body).replace("content-length: ", "content-length: +"),
        post("", &body).replace("content-length: ", "content-length: -"),
    ] {
        let told = told(&pdp, bad.as_bytes()).await;
        assert!(!told.contains("decision") && !told.contains("HTTP/1.1 5") && !told.contains("evil"), "{bad} {told}");
    }
    // A trailer is read by nobody, and comes back to nobody.
    let with_trailer = chunked("trailer: x-request-id\r\n", &format!("{chunks}x-request-id: t\r\n\r\n"));
    let trailers = told(&pdp, with_trailer.as_bytes()).await;
    assert!(trailers.starts_with("HTTP/1.1 200") && !trailers.contains("x-request-id"), "{trailers}");
    let old = told(&pdp, post("", &body).replace("HTTP/1.1", "HTTP/1.0").as_bytes()).await;
    assert!(old.starts_with("HTTP/1.0 200") && old.contains("{\"decision\":true}"), "{old}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_readers_could_read_differently_is_400_everywhere() {
    let pdp = Pdp::certification().await;
    let good = writes("alice");
    let with = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
    let texts = [
        with(r#""subject":{"type":"user","id":"bob"}"#),
        with(r#""x":{"a":1,"\u0061":2}"#),
        with(r#""x":1e400"#),
        with(r#""x":-1e400"#),
        with(&format!(r#""x":{}"#, "9".repeat(400))),
        with(r#""x":"\udc00\ud800""#),
        with(r#""\ud800":1"#),
        with(r#""x":01"#),
        with(r#""x":NaN"#),
        with(r#""x":'a'"#),
        with(&format!(r#""x":{}{}"#, "[".repeat(32), "]".repeat(32))),
        format!("\u{feff}{good}"),
        format!("{good}{good}"),
        format!("{good},"),
        format!("{good}\u{0}"),
        with("\"x\":\"\u{0}\""),
        "[".repeat(500_000),
        "{\"a\":".repeat(100_000),
    ];
    for body in texts {
        for path in [EVALUATION, EVALUATIONS].into_iter().chain(SEARCHES.map(|(_, path)| path)) {
            assert_error(&pdp.send("POST", path, &[JSON], &body).await, 400);
        }
    }
    assert_eq!(pdp.send("POST", EVALUATION, &[JSON], &with(r#""x":-0.0"#)).await.body, "{\"decision\":true}");
}
