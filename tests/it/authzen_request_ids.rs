//! `X-Request-ID` on answers of every status, and what is no name on none of them.

use std::path::Path;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::support::authzen::{EVALUATION, EVALUATIONS, Pdp as Plain, question};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::{Answer, send_unix};
use crate::support::pdp::{KEY, Pdp, bearer, reads};

const JSON: (&str, &str) = ("content-type", "application/json");

/// The names that come back and those that do not: at most 128 visible ASCII characters, once.
fn names() -> Vec<(String, bool)> {
    vec![
        ("bfe9eb29-ab87-4ca3-be83-a1d5d8305716".into(), true),
        ("i".repeat(128), true),
        ("~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}".into(), true),
        ("i".repeat(129), false),
        ("i".repeat(20_000), false),
        ("a b".into(), false),
        ("tab\there".into(), false),
        ("ä".into(), false),
        ("\u{1F512}".into(), false),
    ]
}

/// That `send`, which is given a header line, is answered with `status` whatever the name, and gets it back if it is one.
async fn comes_back_on(status: u16, send: impl AsyncFn(String) -> Answer) {
    for (name, comes_back) in names() {
        let answer = send(format!("x-request-id: {name}\r\n")).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(answer.headers.get("x-request-id"), comes_back.then_some(&name), "on a {status}");
        assert!(answer.json()["error"]["message"].is_string());
    }
    let twice = send("x-request-id: a\r\nx-request-id: b\r\n".into()).await;
    assert_eq!((twice.status, twice.headers.get("x-request-id")), (status, None), "of two there is no telling");
    assert!(!send(String::new()).await.headers.contains_key("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_gets_the_name_back() {
    let pdp = Pdp::start(&[("AUTHZEN__CALLERS__POLICY", "true")]).await;
    let (web, question) = (pdp.identity("spiffe://example.org/web", "1h"), reads("record-1"));
    comes_back_on(401, async |id| pdp.ask(None, &id, &question).await).await;
    comes_back_on(403, async |id| pdp.ask(Some(&web), &id, &question).await).await;
    let both = bearer(KEY);
    comes_back_on(400, async |id| pdp.ask(Some(&web), &format!("{both}{id}"), &question).await).await;
}

/// The same over the Unix socket.
async fn send(socket: &Path, (method, path): (&str, &str), id: &str, body: &str) -> Answer {
    let lines: Vec<_> = id.split("\r\n").filter_map(|line| line.split_once(": ")).collect();
    send_unix(socket, method, path, &[&[JSON][..], &lines].concat(), body.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_gets_the_name_back() {
    let settings = [("AUTHZEN__MAX_BODY_BYTES", "1024"), ("AUTHZEN__MAX_EVALUATIONS", "1")];
    let pdp = Plain::start("authzen-certification", &settings).await;
    let socket = pdp.home.authzen_socket();
    let long = json!({"x": "x".repeat(2000)}).to_string();
    let items = json!({"evaluations": [{}, {}]}).to_string();
    for (status, at, body) in [
        (400, ("POST", EVALUATION), "{"),
        (404, ("POST", "/nowhere"), "{}"),
        (405, ("PUT", EVALUATION), "{}"),
        (413, ("POST", EVALUATION), &*long),
        (413, ("POST", EVALUATIONS), &*items),
    ] {
        comes_back_on(status, async |id| send(&socket, at, &id, body).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_answered_for_want_of_a_record_gets_the_name_back() {
    let home = Home::new();
    let _gateway = Gateway::start_limited(&home, 1 << 20, &[("AUDIT__DURABILITY", "strict")]).await;
    let socket = home.authzen_socket();
    let long = question(&format!("user/{}", "x".repeat(8000)), "read", "record/record-1").to_string();
    eventually("the disk is full", async || {
        (send(&socket, ("POST", EVALUATION), "", &long).await.status == 503).then_some(())
    })
    .await;
    comes_back_on(503, async |id| send(&socket, ("POST", EVALUATION), &id, &long).await).await;
}

/// What all bodies that are under way may have together, in bytes.
const TOGETHER: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_turned_away_gets_the_name_back() {
    let most = TOGETHER.to_string();
    let pdp = Plain::start("authzen-certification", &[("AUTHZEN__MAX_BODY_BYTES", most.as_str())]).await;
    let socket = pdp.home.authzen_socket();
    let question = question("user/alice", "read", "record/record-1").to_string();
    let head = format!(
        "POST {EVALUATION} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {TOGETHER}\r\n\r\n"
    );
    // A body whose last byte does not come is given up after a while, so it may take another one.
    eventually("there is no room for another body", async || {
        let mut waiting = UnixStream::connect(&socket).await.unwrap();
        waiting.write_all(head.as_bytes()).await.unwrap();
        // While there is still no room from the round before, the server hangs up on it.
        waiting.write_all(&vec![b' '; TOGETHER - 1]).await.ok()?;
        for (name, comes_back) in [("r-1", true), ("not a name", false)] {
            let answer = send(&socket, ("POST", EVALUATION), &format!("x-request-id: {name}"), &question).await;
            if answer.status == 200 {
                return None;
            }
            assert_eq!((answer.status, &*answer.headers["retry-after"]), (429, "1"));
            assert_eq!(answer.headers.get("x-request-id").map(String::as_str), comes_back.then_some(name));
        }
        Some(())
    })
    .await;
    eventually("there is room again", async || {
        (send(&socket, ("POST", EVALUATION), "", &question).await.status == 200).then_some(())
    })
    .await;
}
