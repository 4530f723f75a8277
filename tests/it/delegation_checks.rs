//! Requests with tokens that say who acts for whom, through real Envoys, and an operator who ends them.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Home};
use crate::support::http::{self, Answer};
use crate::support::idp::Idp;
use crate::support::mesh::Mesh;
use crate::support::{eventually, root};
use crate::tokens::{blocks, run};

const WEB: &str = "spiffe://example.org/web";

/// A permit for whom web may act, on the schema that docs/delegation-checks.md goes through.
const POLICY: &str = r#"
@id("web-reads-for-others")
permit (principal == Workload::"spiffe://example.org/web", action == Action::"GET", resource in Path::"/orders")
when {
  context has delegation && context.delegation.subject == "alice" && context.delegation.depth == 1 &&
  context.delegation.scope.contains("orders:read")
};
"#;

fn home() -> Home {
    let home = Home::new();
    home.take_policies("examples/principals/policies");
    std::fs::write(home.policies().join("delegated.cedar"), POLICY).unwrap();
    home
}

/// One issuer of tokens, whose tokens say of themselves that they are delegated.
fn issuers(idp: &Idp) -> String {
    json!([{"preset": "oidc", "issuer": idp.issuer, "audiences": ["orders"]}]).to_string()
}

/// alice's, for whom `actor` acts.
fn acted(idp: &Idp, actor: &str, scope: &str) -> String {
    idp.token_with(&json!({"act": {"sub": actor}, "scope": scope, "jti": "b3f1"}))
}

/// A request by `web`, through both sidecars.
async fn ask(mesh: &Mesh, token: &str) -> Answer {
    let request = format!(
        "GET /orders/17 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    http::request(mesh.web_port, &request).await
}

fn reason(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["reason"].clone())
}

fn delegation(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("delegation").args(arguments).args(["-output", "json", "-socketPath"]).arg(home.admin_socket());
    command.output().unwrap()
}

fn done(home: &Home, arguments: &[&str]) -> Value {
    let output = delegation(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegated_token_is_its_actors_until_somebody_in_it_is_revoked() {
    let idp = Idp::start().await;
    let issuers = issuers(&idp);
    let settings = [("TOKENS__ISSUERS", issuers.as_str())];
    let mut mesh = Mesh::start_in(home(), &settings, |backend| backend).await;

    let good = acted(&idp, WEB, "orders:read");
    let allowed = ask(&mesh, &good).await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    let record = mesh.home.decision(allowed.decision_id()).await;
    assert_eq!(record["policies"], json!(["web-reads-for-others"]));
    assert_eq!(record["actors"], json!([{"subject": WEB, "issuer": null}]));
    assert_eq!(record["token_claims"], json!({"subject": "alice", "id": "b3f1", "transaction": null}));

    assert_eq!(reason(&ask(&mesh, &acted(&idp, WEB, "orders:list")).await), (403, json!("no_permit")));
    let stolen = acted(&idp, "spiffe://example.org/batch", "orders:read");
    let refused = ask(&mesh, &stolen).await;
    assert_eq!(reason(&refused), (401, json!("other_holder")));
    assert!(refused.headers["www-authenticate"].contains("invalid_token"), "{refused:?}");
    let unknown = idp.token_with(&json!({"act": {"sub": WEB}, "cnf": {"jkt": "x"}}));
    assert_eq!(reason(&ask(&mesh, &unknown).await), (401, json!("bad_token")));

    for (revoke, restore) in [
        (&["revoke", "-jti", "b3f1"][..], &["restore", "-jti", "b3f1"][..]),
        (&["revoke", "-member", WEB, "-ttl", "24h"], &["restore", "-member", WEB]),
        (
            &["revoke", "-member", "alice", "-issuer", &idp.issuer],
            &["restore", "-member", "alice", "-issuer", &idp.issuer],
        ),
    ] {
        assert_eq!(ask(&mesh, &good).await.status, 200, "before {revoke:?}");
        done(&mesh.home, revoke);
        assert_eq!(reason(&ask(&mesh, &good).await), (401, json!("revoked_token")), "{revoke:?}");
        assert_eq!(done(&mesh.home, &["list"])["revoked"].as_array().unwrap().len(), 1, "{revoke:?}");
        done(&mesh.home, restore);
    }
    assert_eq!(delegation(&mesh.home, &["restore", "-jti", "b3f1"]).status.code(), Some(1), "nothing is revoked");

    done(&mesh.home, &["revoke", "-member", "alice"]);
    mesh.gateway = Gateway::take_over(&mesh.home, &settings, 1).await;
    let refused = eventually("the successor answers", async || {
        let answer = ask(&mesh, &good).await;
        assert_ne!(answer.status, 200, "the next process knows of it");
        (answer.status == 401).then_some(answer)
    })
    .await;
    assert_eq!(reason(&refused), (401, json!("revoked_token")));
}

/// A token that can't be verified counts as none there; one that was made for somebody never does.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stolen_or_revoked_denies_where_tokens_that_prove_nothing_count_as_none() {
    let idp = Idp::start().await;
    let issuers = issuers(&idp);
    let settings = [("TOKENS__ISSUERS", issuers.as_str()), ("TOKENS__UNVERIFIED", "ignore")];
    let home = home();
    let own = r#"@id("web-reads-alone") permit (principal == Workload::"spiffe://example.org/web", action == Action::"GET",
        resource in Path::"/orders") unless { context has delegation };"#;
    std::fs::write(home.policies().join("own.cedar"), own).unwrap();
    let mesh = Mesh::start_in(home, &settings, |backend| backend).await;
    let expired = idp.token_with(&json!({"iat": 1_700_000_000, "exp": 1_700_000_300}));
    for none in ["rubbish", &expired, &format!("{}x", acted(&idp, WEB, "orders:read"))] {
        let answer = ask(&mesh, none).await;
        assert_eq!(answer.status, 200, "{none}: {answer:?}");
        let record = mesh.home.decision(answer.decision_id()).await;
        assert_eq!((&record["policies"], &record["token"]), (&json!(["web-reads-alone"]), &Value::Null), "{none}");
    }
    let stolen = acted(&idp, "spiffe://example.org/batch", "orders:read");
    assert_eq!(reason(&ask(&mesh, &stolen).await), (401, json!("other_holder")));
    let unknown = idp.token_with(&json!({"act": {"sub": WEB}, "cnf": {"jkt": "x"}}));
    assert_eq!(reason(&ask(&mesh, &unknown).await), (401, json!("bad_token")));
    let employee = json!({"format": "iss_sub", "iss": "https://hr.example", "sub": "employee-7"});
    let plain = idp.token_with(&json!({"sub_id": employee}));
    assert_eq!(ask(&mesh, &plain).await.status, 200);
    done(&mesh.home, &["revoke", "-member", "employee-7", "-issuer", "https://hr.example"]);
    assert_eq!(reason(&ask(&mesh, &plain).await), (401, json!("revoked_token")));
}

/// The commands of docs/delegation-checks.md, and its configuration.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_shows_works() {
    let document = std::fs::read_to_string(root().join("docs/delegation-checks.md")).unwrap();
    let mesh = Mesh::start_in(home(), &[], |backend| backend).await;
    let scratch = tempfile::tempdir().unwrap();
    let (configurations, commands) = (blocks(&document, "yaml"), blocks(&document, "sh"));
    assert!(!configurations.is_empty() && !commands.is_empty(), "the document is not understood");
    for (index, text) in configurations.iter().enumerate() {
        let file = scratch.path().join(format!("{index}.yaml"));
        std::fs::write(&file, format!("trust_domain: example.org\n{text}")).unwrap();
        run(&mesh, &format!("portcullis config check -c {}", file.display()));
    }
    for script in commands {
        run(&mesh, &script);
    }
}
