//! A server that speaks MCP, and takes whatever it can make sense of, as some do: the last of two members of one name, the
//! first of two messages, any `content-type`. It takes down what it was made to do, so that it can be said what was not.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running server.
pub(crate) struct McpServer {
    /// Where it listens.
    pub(crate) port: u16,
    done: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl McpServer {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let done = Arc::new(Mutex::new(Vec::new()));
        let (mut tasks, log) = (JoinSet::new(), Arc::clone(&done));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&log)));
            }
        });
        Self { port, done, _tasks: tasks }
    }

    /// What it has done since this was asked last.
    pub(crate) fn done(&self) -> Vec<String> {
        std::mem::take(&mut *self.done.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, done: Arc<Mutex<Vec<String>>>) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut buffer).await {
        let method = head.split(' ').next().unwrap_or_default();
        let (what, answer) = if method == "POST" { posted(&body) } else { (method.to_owned(), Some(json!({}))) };
        done.lock().unwrap().push(what);
        let answer = match answer {
            Some(json) => {
                let json = json.to_string();
                let length = json.len();
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}")
            }
            None => "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What a message has it do, and its answer.
fn posted(body: &[u8]) -> (String, Option<Value>) {
    let first = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next().and_then(Result::ok);
    let Some(message) = first else { return ("something unreadable".to_owned(), None) };
    let method = message["method"].as_str().unwrap_or("an answer");
    let name = message["params"]["name"].as_str().or(message["params"]["uri"].as_str()).unwrap_or_default();
    let what = format!("{method} {name}").trim_end().to_owned();
    let answer = message.get("id").map(|id| json!({"jsonrpc": "2.0", "id": id, "result": {"did": what}}));
    (what, answer)
}

/// The next request's head and body.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<usize>().ok());
            let rest = &buffer[end + 4..];
            let whole = if head.contains("transfer-encoding: chunked") {
                rest.windows(5).position(|window| window == b"0\r\n\r\n").map(|at| (dechunked(&rest[..at]), at + 5))
            } else {
                let length = line("content-length:").unwrap_or(0);
                (rest.len() >= length).then(|| (rest[..length].to_vec(), length))
            };
            if let Some((body, length)) = whole {
                let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
                buffer.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        match stream.read(&mut chunk).await {
            Ok(read @ 1..) => buffer.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

fn dechunked(chunks: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(chunks);
    text.split("\r\n").skip(1).step_by(2).collect::<String>().into_bytes()
}
