//! HTTP/1.1 by hand: the request goes out byte for byte, as no library would let it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The status; 0 if the connection ended without one.
    pub(crate) status: u16,
    /// Header values by lower-case name; of repeated ones the last.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body.
    pub(crate) body: String,
}

impl Answer {
    /// The id of the decision behind the answer, empty if none.
    pub(crate) fn decision_id(&self) -> &str {
        self.headers.get("x-portcullis-decision-id").map_or("", String::as_str)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// `GET path` at a TCP port.
pub(crate) async fn get(port: u16, path: &str) -> Answer {
    request(port, &format!("GET {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n")).await
}

/// Sends `text` as it is to a TCP port. A refused connection is an answer with status 0.
pub(crate) async fn request(port: u16, text: &str) -> Answer {
    match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(stream) => exchange(stream, text.as_bytes()).await,
        Err(error) => Answer { body: error.to_string(), ..Answer::default() },
    }
}

/// `GET path` at a Unix socket.
pub(crate) async fn get_unix(socket: &Path, path: &str) -> Answer {
    match UnixStream::connect(socket).await {
        Ok(stream) => {
            let text = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
            exchange(stream, text.as_bytes()).await
        }
        Err(error) => Answer { body: error.to_string(), ..Answer::default() },
    }
}

/// Puts an `AuthZEN` question at a Unix socket.
pub(crate) async fn ask(socket: &Path, body: &str) -> Answer {
    send_unix(socket, "POST", "/access/v1/evaluation", &[("content-type", "application/json")], body.as_bytes()).await
}

/// Sends a request with these headers and this body to a Unix socket.
pub(crate) async fn send_unix(
    socket: &Path,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let lines: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{lines}content-length: {length}\r\n\r\n");
    let stream = UnixStream::connect(socket).await.unwrap();
    exchange(stream, &[head.as_bytes(), body].concat()).await
}

/// Sends `request` and reads until the other side closes.
pub(crate) async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Answer {
    let mut bytes = Vec::new();
    let both = async {
        stream.write_all(request).await?;
        stream.read_to_end(&mut bytes).await
    };
    let ended = tokio::time::timeout(Duration::from_secs(15), both).await;
    let mut answer = parse(&bytes);
    if answer.status == 0 {
        answer.body = format!("{ended:?}");
    }
    answer
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Answer::default() };
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = match headers.get("transfer-encoding") {
        Some(coding) if coding == "chunked" => dechunk(body),
        _ => body.to_owned(),
    };
    Answer { status: status.unwrap_or(0), headers, body }
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// One request and answer on a connection that stays open.
pub(crate) async fn answer_on(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    request: &[u8],
) -> String {
    writer.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(5), reader.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0usize) {
            return text;
        }
    }
}
