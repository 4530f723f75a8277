//! An issuer of tokens: keys of its own, published on a server of this machine that can go away and come back.

use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::foundation::clock::{Clock as _, SystemClock};
use portcullis_spiffe::bundle::jwk_of;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

/// An issuer.
pub(crate) struct Idp {
    /// Its name, which is where it is.
    pub(crate) issuer: String,
    keys: Arc<Mutex<Vec<(String, EcdsaKeyPair)>>>,
    port: u16,
    serving: JoinSet<()>,
}

impl Idp {
    /// One that has the key `kid-1`, and serves.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut idp =
            Self { issuer: format!("http://127.0.0.1:{port}"), keys: Arc::default(), port, serving: JoinSet::new() };
        idp.add_key("kid-1");
        idp.serve(listener);
        idp
    }

    /// Publishes one more key, the last, which signs from now on.
    pub(crate) fn add_key(&self, key_id: &str) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        self.keys.lock().unwrap().push((key_id.to_owned(), pair));
    }

    /// Publishes its first key no longer.
    pub(crate) fn drop_first_key(&self) {
        self.keys.lock().unwrap().remove(0);
    }

    /// Goes away.
    pub(crate) async fn stop(&mut self) {
        self.serving.shutdown().await;
    }

    /// Comes back, at the same address.
    pub(crate) fn come_back(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(([127, 0, 0, 1], self.port).into()).unwrap();
        self.serve(socket.listen(16).unwrap());
    }

    /// A token of alice for `orders`, of the staff, for five minutes.
    pub(crate) fn token(&self) -> String {
        self.token_with(&json!({}))
    }

    /// The same with these claims in place of its own.
    pub(crate) fn token_with(&self, claims: &Value) -> String {
        let now = SystemClock::new().now().unix_seconds();
        let mut all = json!({
            "iss": self.issuer, "sub": "alice", "aud": "orders", "iat": now, "exp": now + 300, "groups": ["staff"],
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let keys = self.keys.lock().unwrap();
        let (key_id, pair) = keys.last().unwrap();
        let header = json!({"alg": "ES256", "kid": key_id, "typ": "JWT"});
        let signed = format!("{}.{}", encode(header.to_string()), encode(all.to_string()));
        let signature = pair.sign(&random(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature))
    }

    fn serve(&mut self, listener: TcpListener) {
        let (keys, issuer) = (Arc::clone(&self.keys), self.issuer.clone());
        self.serving.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    request.push(byte);
                }
                let metadata = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
                let is_metadata = String::from_utf8_lossy(&request).contains("/.well-known/openid-configuration");
                let body = if is_metadata { metadata } else { jwks(&keys.lock().unwrap()) }.to_string();
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
    }
}

impl Idp {
    /// Its key set, as it would serve it.
    pub(crate) fn document(&self) -> Vec<u8> {
        jwks(&self.keys.lock().unwrap()).to_string().into_bytes()
    }
}

fn jwks(keys: &[(String, EcdsaKeyPair)]) -> Value {
    let jwk = |(key_id, pair): &(String, EcdsaKeyPair)| {
        let public = pair.public_key().as_der().unwrap();
        let mut jwk = serde_json::to_value(jwk_of(public.as_ref()).unwrap()).unwrap();
        jwk["kid"] = key_id.as_str().into();
        jwk
    };
    json!({"keys": keys.iter().map(jwk).collect::<Vec<_>>()})
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[expect(clippy::disallowed_methods, reason = "the library demands its own source, in tests too")]
fn random() -> SystemRandom {
    SystemRandom::new()
}
