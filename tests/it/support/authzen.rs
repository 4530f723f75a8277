//! A gateway that answers `AuthZEN` questions by one of the examples.

use std::process::Command;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::foundation::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::gateway::{Gateway, Home};
use super::http::{Answer, send_unix};

/// A gateway in a home of its own.
pub(crate) struct Pdp {
    pub(crate) home: Home,
    _gateway: Gateway,
}

/// The paths that questions are sent to, by what is asked.
pub(crate) const EVALUATION: &str = "/access/v1/evaluation";
pub(crate) const EVALUATIONS: &str = "/access/v1/evaluations";
pub(crate) const SEARCHES: [(&str, &str); 3] = [
    ("subject", "/access/v1/search/subject"),
    ("resource", "/access/v1/search/resource"),
    ("action", "/access/v1/search/action"),
];
pub(crate) const METADATA: &str = "/.well-known/authzen-configuration";

impl Pdp {
    /// One with the policies, the schema and the entities of `examples/<example>`.
    pub(crate) async fn start(example: &str, settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        home.take_policies(&format!("examples/{example}"));
        let gateway = Gateway::start(&home, settings).await;
        Self { home, _gateway: gateway }
    }

    /// One with these policies, schema and entities, by the names of their files.
    pub(crate) async fn of_files(files: &[(&str, &str)], settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        std::fs::remove_dir_all(home.policies()).unwrap();
        std::fs::create_dir(home.policies()).unwrap();
        for (name, text) in files {
            std::fs::write(home.policies().join(name), text).unwrap();
        }
        let gateway = Gateway::start(&home, settings).await;
        Self { home, _gateway: gateway }
    }

    /// That of the certification scenario, as it is delivered.
    pub(crate) async fn certification() -> Self {
        Self::start("authzen-certification", &[]).await
    }

    /// Sends a question as JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string()).await
    }

    /// The same, with an answer that must be 200.
    pub(crate) async fn answer(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!((answer.status, &*answer.headers["content-type"]), (200, "application/json"), "{body} {answer:?}");
        answer.json()
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        send_unix(&self.home.authzen_socket(), method, path, headers, body.as_bytes()).await
    }

    /// The decision on one question, of which the parts are given as `type/id`, but the action by its name.
    pub(crate) async fn decides(&self, subject: &str, action: &str, resource: &str) -> bool {
        let answer = self.answer(EVALUATION, &question(subject, action, resource)).await;
        answer["decision"].as_bool().unwrap()
    }

    /// That `token` is a JWT over all that `metadata` says beside it, in the name of whom it is about, signed by an
    /// authority of the trust domain's bundle, and good now.
    pub(crate) fn assert_signed(&self, token: &str, metadata: &Value) {
        let parts: Vec<_> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{token}") };
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let header: Value = serde_json::from_slice(&decoded(header)).unwrap();
        assert_eq!(header["alg"], "ES256");
        let bundle = self.bundle();
        let key = bundle["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
        assert_eq!(key["use"], "jwt-svid");
        let coordinate = |name: &str| decoded(key[name].as_str().unwrap());
        let point = [&[4][..], &coordinate("x"), &coordinate("y")].concat();
        let (signed, _) = token.rsplit_once('.').unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(signed.as_bytes(), &decoded(signature)).unwrap();

        let Value::Object(mut claims) = serde_json::from_slice(&decoded(claims)).unwrap() else { panic!("no object") };
        assert_eq!(claims.remove("iss").as_ref(), Some(&metadata["policy_decision_point"]));
        let [iat, nbf, exp] = ["iat", "nbf", "exp"].map(|name| claims.remove(name).unwrap().as_u64().unwrap());
        let now = SystemClock::new().now().unix_seconds();
        assert!(iat <= now && nbf <= now && now + 300 < exp, "{iat} {nbf} {now} {exp}");
        let mut unsigned = metadata.as_object().unwrap().clone();
        unsigned.remove("signed_metadata");
        assert_eq!(claims, unsigned);
    }

    /// The trust domain's bundle, as SPIFFE writes it.
    fn bundle(&self) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["bundle", "show", "-format", "spiffe", "-socketPath"]).arg(self.home.admin_socket());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The ids or names that a search finds, all on one page.
    pub(crate) async fn finds(&self, path: &str, body: &Value) -> Vec<String> {
        let answer = self.answer(path, body).await;
        let results = answer["results"].as_array().unwrap().iter();
        results.map(|result| result.get("id").unwrap_or(&result["name"]).as_str().unwrap().to_owned()).collect()
    }
}

/// `user/alice` as an entity.
pub(crate) fn entity(name: &str) -> Value {
    let (kind, id) = name.split_once('/').unwrap();
    json!({"type": kind, "id": id})
}

/// A question of the parts that are given as `type/id`, but the action by its name.
pub(crate) fn question(subject: &str, action: &str, resource: &str) -> Value {
    json!({"subject": entity(subject), "action": {"name": action}, "resource": entity(resource)})
}

/// `body` with these members in place of its own.
pub(crate) fn with(body: &Value, changes: Value) -> Value {
    let mut body = body.clone();
    let Value::Object(changes) = changes else { panic!("{changes} is no object") };
    body.as_object_mut().unwrap().extend(changes);
    body
}

/// That an answer is an error of this status, in the shape that all errors have.
pub(crate) fn assert_error(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    let body = answer.json();
    assert_eq!(body["error"]["status"], status);
    assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert!(body.get("decision").is_none() && body.get("evaluations").is_none() && body.get("results").is_none());
}
