//! A gateway that exchanges tokens, and clients with whatever they show.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::envoy::free_port;
use super::gateway::{Gateway, Home};
use super::http::{Answer, exchange};
use super::idp::Idp;
use super::pdp::Identity;
use super::tls;

/// The kinds of token.
pub(crate) const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const TRANSACTION: &str = "urn:ietf:params:oauth:token-type:txn_token";

/// For whom tokens are made.
pub(crate) const TOOL: &str = "https://tool.example.org";
pub(crate) const CALENDAR: &str = "https://calendar.example.org";

/// A gateway with the policies of `examples/token-exchange`, and an issuer of people for whom the coordinator may act. It stands
/// before the calendar, too, and takes what it exchanged.
pub(crate) struct TokenDesk {
    pub(crate) home: Home,
    pub(crate) gateway: Gateway,
    pub(crate) idp: Idp,
    /// The name of who issues.
    pub(crate) issuer: String,
    port: u16,
}

impl TokenDesk {
    /// One with `settings` on top.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        home.take_policies("examples/token-exchange");
        Self::start_in(home, settings).await
    }

    /// One where tokens of its issuer of people may be passed on, or not.
    pub(crate) async fn forwarding(forwarded: bool) -> Self {
        let (home, idp) = (Home::new(), Idp::start().await);
        home.take_policies("examples/token-exchange");
        let all = format!("['{}']", idp.issuer);
        let settings = [("DELEGATION__SUBJECTS__FORWARDED", if forwarded { all.as_str() } else { "[]" })];
        Self::start_with(home, idp, &settings).await
    }

    /// The same in a home whose policies are there already.
    pub(crate) async fn start_in(home: Home, settings: &[(&str, &str)]) -> Self {
        Self::start_with(home, Idp::start().await, settings).await
    }

    async fn start_with(home: Home, idp: Idp, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let policy = format!(
            "@id(\"coordinator-acts-for-users\")\npermit (principal == Workload::\"spiffe://example.org/coordinator\", \
             action == Portcullis::Action::\"exchange\", resource) when {{ context.subject.iss == {:?} }};\n",
            idp.issuer
        );
        if home.policies().join("exchange.cedar").exists() {
            std::fs::write(home.policies().join("users.cedar"), policy).unwrap();
        }
        let issuer = format!("https://localhost:{port}");
        let listen = format!("tls:127.0.0.1:{port}");
        let audiences = json!([
            {"name": TOOL, "workloads": ["spiffe://example.org/tool"]},
            {"name": CALENDAR, "workloads": ["spiffe://example.org/calendar"]},
        ]);
        let profiles = json!([{"spiffe_id": "spiffe://example.org/tool", "profile": "ai_agent"}]);
        let issuers = json!([
            {"preset": "oidc", "issuer": idp.issuer, "audiences": ["delegation"]},
            {"preset": "spiffe", "audiences": ["delegation"]},
        ]);
        let believed =
            json!([{"delegated": true, "issuer": issuer, "audiences": [CALENDAR, "example.org"]}]).to_string();
        let (audiences, profiles, issuers) = (audiences.to_string(), profiles.to_string(), issuers.to_string());
        let mut all = vec![
            ("LISTEN__TOKEN", listen.as_str()),
            ("DELEGATION__ISSUER", issuer.as_str()),
            ("DELEGATION__TLS__SVID__SPIFFE_ID", "spiffe://example.org/tokens"),
            ("DELEGATION__AUDIENCES", audiences.as_str()),
            ("DELEGATION__SCOPES", "['calendar:read', 'calendar:write', 'mail:send']"),
            ("DELEGATION__PROFILES", profiles.as_str()),
            ("DELEGATION__SUBJECTS__ISSUERS", issuers.as_str()),
            ("TOKENS__ISSUERS", believed.as_str()),
            ("TOKENS__HEADERS", "[authorization, txn-token]"),
        ];
        all.extend(settings);
        let gateway = Gateway::start(&home, &all).await;
        Self { home, gateway, idp, issuer, port }
    }

    /// A token of alice's that may be exchanged, with these claims on top.
    pub(crate) fn alice(&self, claims: &Value) -> String {
        let mut all = json!({"aud": "delegation", "scope": "calendar:read calendar:write", "jti": "her-token"});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.idp.token_with(&all)
    }

    /// `portcullis …` at the admin socket.
    pub(crate) fn admin(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = command.args(arguments).arg("-socketPath").arg(self.home.admin_socket()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// An SVID of a workload.
    pub(crate) fn workload(&self, name: &str) -> Identity {
        let directory = tempfile::tempdir_in(self.home.path()).unwrap();
        let path = directory.path().to_str().unwrap();
        self.admin(&["x509", "mint", "-spiffeID", &format!("spiffe://example.org/{name}"), "-write", path]);
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        (read("svid.pem"), read("key.pem"))
    }

    /// Asks for a token.
    pub(crate) async fn ask(&self, client: Option<&Identity>, form: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.post(client, &body).await
    }

    /// Sends a body, whatever it is, as a form.
    pub(crate) async fn post(&self, client: Option<&Identity>, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "POST /token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: \
             application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        exchange(tls::connect(self.port, client).await.unwrap(), request.as_bytes()).await
    }

    /// What was recorded of the last exchange.
    pub(crate) fn last(&self) -> Value {
        self.home.records().into_iter().rfind(|record| record["record"] == "exchange").unwrap()
    }
}

/// A request for a token for `audience` on the strength of `subject`, with these parameters on top.
pub(crate) fn form<'f>(subject: &'f str, audience: &'f str, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let mut form = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", subject),
        ("audience", audience),
    ];
    if more.iter().all(|(name, _)| *name != "subject_token_type") {
        form.push(("subject_token_type", ACCESS));
    }
    form.extend(more);
    form
}

/// The token of an answer that must have one.
pub(crate) fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// What a token says.
pub(crate) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The status and the code of an answer without a token.
pub(crate) fn refused(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert!(body.get("access_token").is_none(), "{body}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    (answer.status, body["error"].as_str().unwrap().to_owned())
}
