use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::foundation::clock::SystemClock;

/// Asks a server that sends `answer`, whatever it hears; says what came and what was heard.
async fn ask(answer: String) -> (Result<TokenAnswer, String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = FeedUrl::parse(&format!("http://{}/token?a=b", listener.local_addr().unwrap())).unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"secret=s3cret") {
            heard.push(stream.read_u8().await.unwrap());
        }
        // It may have hung up before it has all.
        let _gone = stream.write_all(answer.as_bytes()).await;
        String::from_utf8(heard).unwrap()
    });
    let (timeout, ca_file) = (Duration::from_secs(10), PathBuf::from("/nowhere"));
    let config = FetchConfig { timeout, max_bytes: 1000, ca_file, token_file: None };
    let endpoint = HttpTokenEndpoint::new(url, config, Arc::new(SystemClock::new()));
    let answer = endpoint.post(Secret::new("secret=s3cret".to_owned())).await;
    (answer, serving.join_next().await.unwrap().unwrap())
}

fn response(status: &str, headers: &str, length: usize) -> String {
    let body = "x".repeat(length);
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn a_form_is_posted_and_the_answer_told_as_it_is() {
    let (answer, heard) = ask(response("429 Too Many Requests", "retry-after: 7\r\n", 10)).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.retry_after), (429, Some(Duration::from_secs(7))));
    assert_eq!(*answer.body.expose(), [b'x'; 10]);
    assert!(heard.starts_with("POST /token?a=b HTTP/1.1\r\n"), "{heard}");
    let heard = heard.to_lowercase();
    assert!(heard.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"), "{heard}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_and_what_was_sent_is_in_no_error() {
    let error = ask(response("200 OK", "", 100_000)).await.0.unwrap_err();
    assert!(error.contains("more than 1000 bytes") && !error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_followed_by_nobody() {
    let (answer, _) = ask(response("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", 0)).await;
    assert_eq!(answer.unwrap().status, 307);
}

#[tokio::test]
async fn a_server_that_hangs_or_goes_on_for_ever_is_given_up() {
    for endless in ["", "x: y\r\n", "HTTP/1.1 103 x\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = FeedUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            if endless == "x: y\r\n" {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            }
            while stream.write_all(endless.as_bytes()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let (timeout, ca_file) = (Duration::from_millis(200), PathBuf::from("/nowhere"));
        let config = FetchConfig { timeout, max_bytes: 1000, ca_file, token_file: None };
        let endpoint = HttpTokenEndpoint::new(url, config, Arc::new(SystemClock::new()));
        let error = endpoint.post(Secret::new("secret=s3cret".to_owned())).await.unwrap_err();
        assert!(error.contains("no answer within 200ms") && !error.contains("s3cret"), "{error}");
    }
}
