//! An authorization server that gives tokens for JWT-SVIDs, and verifies them as one does that knows nothing of us but our
//! bundle: by the keys, the audience, the subject, the times, and that none is shown twice.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::foundation::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

/// How the server feels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// It gives tokens that live so many seconds.
    Giving(u64),
    /// It knows nobody.
    Refusing,
    /// It hangs up.
    Down,
}

/// A server.
pub(crate) struct AuthorizationServer {
    /// Its issuer identifier, which is where it is.
    pub(crate) issuer: String,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

struct State {
    issuer: String,
    client: String,
    admin_socket: PathBuf,
    mood: Mutex<Mood>,
    shown: Mutex<HashSet<String>>,
    given: Mutex<Vec<String>>,
    complaints: Mutex<Vec<String>>,
}

impl AuthorizationServer {
    /// One that gives tokens to `client`, whose bundle the gateway behind this admin socket shows.
    pub(crate) async fn start(client: &str, admin_socket: PathBuf, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            issuer: issuer.clone(),
            client: client.to_owned(),
            admin_socket,
            mood: Mutex::new(mood),
            shown: Mutex::default(),
            given: Mutex::default(),
            complaints: Mutex::default(),
        });
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&shared).answer(stream));
            }
        });
        Self { issuer, state, _serving: serving }
    }

    /// Changes how it feels.
    pub(crate) fn feel(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// All tokens that it has given.
    pub(crate) fn given(&self) -> Vec<String> {
        self.state.given.lock().unwrap().clone()
    }

    /// What was wrong with what it was shown.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.state.complaints.lock().unwrap().clone()
    }
}

impl State {
    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let Some(form) = read_form(&mut stream).await else { return };
        let mood = *self.mood.lock().unwrap();
        let (status, body) = match mood {
            Mood::Down => return,
            Mood::Refusing => (401, json!({"error": "invalid_client", "error_description": "who is that"})),
            Mood::Giving(seconds) => match self.verify(&form).await {
                Ok(()) => (200, self.give(seconds)),
                Err(why) => {
                    self.complaints.lock().unwrap().push(why);
                    (400, json!({"error": "invalid_client"}))
                }
            },
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
    }

    fn give(&self, seconds: u64) -> Value {
        let mut given = self.given.lock().unwrap();
        let token = format!("token-{}.{}", given.len() + 1, "x".repeat(40));
        given.push(token.clone());
        json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": "invoices:read"})
    }

    async fn verify(&self, form: &BTreeMap<String, String>) -> Result<(), String> {
        let field = |name: &str| form.get(name).map(String::as_str);
        let expected = [
            ("grant_type", "client_credentials"),
            ("client_id", &*self.client),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"),
            ("scope", "invoices:read"),
        ];
        for (name, value) in expected {
            if field(name) != Some(value) {
                return Err(format!("{name} is {:?}", field(name)));
            }
        }
        let assertion = field("client_assertion").ok_or("no assertion")?;
        let (signed, signature) = assertion.rsplit_once('.').ok_or("no JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("no JWT")?;
        let (header, claims) = (json_of(header)?, json_of(claims)?);
        if header["alg"] != "ES256" {
            return Err(format!("signed by {}", header["alg"]));
        }
        let key = self.key(header["kid"].as_str().ok_or("no kid")?).await?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|error| error.to_string())?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_unspecified| "a wrong signature")?;
        self.check(&claims)
    }

    fn check(&self, claims: &Value) -> Result<(), String> {
        let now = SystemClock::new().now().unix_seconds();
        let (issued, ends) = (claims["iat"].as_u64().ok_or("no iat")?, claims["exp"].as_u64().ok_or("no exp")?);
        if claims["aud"] != json!([self.issuer]) {
            return Err(format!("for {}", claims["aud"]));
        }
        if claims["sub"] != self.client.as_str() {
            return Err(format!("of {}", claims["sub"]));
        }
        if issued > now || ends <= now || ends > issued + 60 {
            return Err(format!("from {issued} to {ends}, and it is {now}"));
        }
        let jti = claims["jti"].as_str().ok_or("no jti")?;
        if self.shown.lock().unwrap().insert(jti.to_owned()) { Ok(()) } else { Err("shown twice".to_owned()) }
    }

    /// The key of this name in our bundle, as an uncompressed point.
    async fn key(&self, key_id: &str) -> Result<Vec<u8>, String> {
        let bundle = self.bundle().await?;
        let keys = bundle["keys"].as_array().ok_or("no keys")?;
        let key = keys.iter().find(|key| key["kid"] == key_id && key["use"] == "jwt-svid").ok_or("an unknown key")?;
        let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap_or_default()).unwrap_or_default();
        Ok([vec![4], number("x"), number("y")].concat())
    }
}

impl State {
    /// Our bundle. A gateway asks for tokens while it still opens its sockets.
    async fn bundle(&self) -> Result<Value, String> {
        for _ in 0..500 {
            let mut show = Command::new(env!("CARGO_BIN_EXE_portcullis"));
            show.args(["bundle", "show", "-format", "spiffe", "-socketPath"]).arg(&self.admin_socket);
            let shown = show.output().await.map_err(|error| error.to_string())?;
            if shown.status.success() {
                return serde_json::from_slice(&shown.stdout).map_err(|error| error.to_string());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err("nobody shows the bundle".to_owned())
    }
}

fn json_of(part: &str) -> Result<Value, String> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

/// The form that is posted; nothing, if none is.
pub(crate) async fn read_form(stream: &mut TcpStream) -> Option<BTreeMap<String, String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    if !head.starts_with("post ") || !head.contains("content-type: application/x-www-form-urlencoded\r\n") {
        return None;
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(url::form_urlencoded::parse(&body).into_owned().collect())
}
