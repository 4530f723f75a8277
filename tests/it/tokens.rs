//! Requests with tokens, through real Envoys, and the keys of a real issuer.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use portcullis::foundation::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::envoy::one_way;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::{self, Answer};
use crate::support::idp::Idp;
use crate::support::mesh::Mesh;
use crate::support::{eventually, root, tls};

/// The policies that docs/principals.md goes through.
const POLICIES: &str = "examples/principals/policies";

/// One issuer of people, asked as often as can be.
fn issuers(idp: &Idp) -> String {
    json!([{
        "preset": "oidc", "issuer": idp.issuer, "audiences": ["orders"], "refresh": "1s", "min_refresh": "1s",
        "claims": {"groups": "groups"},
    }])
    .to_string()
}

fn home() -> Home {
    let home = Home::new();
    home.take_policies(POLICIES);
    home
}

/// `method path` by `web`, through both sidecars, with a token.
async fn ask(mesh: &Mesh, token: Option<&str>, method: &str, path: &str) -> Answer {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\ncontent-length: 0\r\n{token}\r\n");
    http::request(mesh.web_port, &request).await
}

fn reason(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["reason"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_human_is_allowed_by_her_token_and_denied_without_it() {
    let (idp, other) = (Idp::start().await, Idp::start().await);
    let issuers = issuers(&idp);
    let settings = [("TOKENS__ISSUERS", issuers.as_str()), ("TOKENS__PRINCIPAL", "token")];
    let mesh = Mesh::start_in(home(), &settings, |backend| backend).await;

    let allowed = ask(&mesh, Some(&idp.token()), "GET", "/orders/17").await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert!(allowed.body.contains("x-portcullis-principal: Human::\"alice\""), "{}", allowed.body);
    let record = mesh.home.decision(allowed.decision_id()).await;
    assert_eq!(record["principal"], r#"Human::"alice""#);
    assert_eq!((&record["peer"], &record["token_issuer"]), (&json!("spiffe://example.org/web"), &json!(idp.issuer)));
    assert_eq!((&record["policies"], record["token"].is_string()), (&json!(["staff-reads-orders"]), true));

    let without = ask(&mesh, None, "GET", "/orders/17").await;
    assert_eq!(reason(&without), (401, json!("no_token")));
    let expired = idp.token_with(&json!({"iat": 1_700_000_000, "exp": 1_700_000_300}));
    assert_eq!(reason(&ask(&mesh, Some(&expired), "GET", "/orders/17").await), (401, json!("expired_token")));
    assert_eq!(reason(&ask(&mesh, Some(&other.token()), "GET", "/orders/17").await), (401, json!("untrusted_token")));
    let forged = other.token_with(&json!({"iss": idp.issuer}));
    assert_eq!(reason(&ask(&mesh, Some(&forged), "GET", "/orders/17").await), (401, json!("untrusted_token")));
    let elsewhere = idp.token_with(&json!({"aud": "billing"}));
    assert_eq!(reason(&ask(&mesh, Some(&elsewhere), "GET", "/orders/17").await), (401, json!("untrusted_token")));
    assert_eq!(reason(&ask(&mesh, Some("opaque"), "GET", "/orders/17").await), (401, json!("bad_token")));

    let writes = idp.token_with(&json!({"scope": "openid orders:write"}));
    assert_eq!(ask(&mesh, Some(&writes), "POST", "/orders").await.status, 200, "her peer is in the context");
    assert_eq!(reason(&ask(&mesh, Some(&idp.token()), "POST", "/orders").await), (403, json!("no_permit")));
    let mallory = idp.token_with(&json!({"sub": "mallory"}));
    assert_eq!(reason(&ask(&mesh, Some(&mallory), "GET", "/orders/17").await), (403, json!("forbidden")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_needs_no_certificate_where_its_token_says_who_asks() {
    let idp = Idp::start().await;
    let issuers = issuers(&idp);
    let settings =
        [("TOKENS__ISSUERS", issuers.as_str()), ("TOKENS__PRINCIPAL", "token_or_svid"), ("TOKENS__PEER", "optional")];
    let mesh = Mesh::start_in(home(), &settings, |backend| one_way(&backend)).await;
    let browse = async |token: Option<&str>| {
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!("GET /orders/17 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n{token}\r\n");
        http::exchange(tls::connect(mesh.orders_port, None).await.unwrap(), request.as_bytes()).await
    };
    let allowed = browse(Some(&idp.token())).await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert_eq!(reason(&browse(None).await), (401, json!("no_token")));
    assert_eq!(reason(&browse(Some("rubbish")).await), (401, json!("bad_token")));
    assert_eq!(ask(&mesh, None, "GET", "/healthz").await.status, 200, "a workload is still one");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_and_outlive_their_issuer_but_not_a_restart() {
    let mut idp = Idp::start().await;
    let issuers = issuers(&idp);
    let settings = [("TOKENS__ISSUERS", issuers.as_str()), ("TOKENS__PRINCIPAL", "token")];
    let mut mesh = Mesh::start_in(home(), &settings, |backend| backend).await;
    let old = idp.token();
    assert_eq!(ask(&mesh, Some(&old), "GET", "/orders/17").await.status, 200);

    idp.add_key("kid-2");
    let new = idp.token();
    eventually("a new key is looked for", async || {
        (ask(&mesh, Some(&new), "GET", "/orders/17").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(ask(&mesh, Some(&old), "GET", "/orders/17").await.status, 200);
    idp.drop_first_key();
    let gone = eventually("a key that is gone is refused", async || {
        let answer = ask(&mesh, Some(&old), "GET", "/orders/17").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(reason(&gone), (401, json!("untrusted_token")));

    idp.stop().await;
    eventually("that the issuer is away is told", async || {
        let notices = mesh.gateway.operations("/readyz").await;
        (notices.status == 200 && notices.json()["notices"]["tokens"].is_string()).then_some(())
    })
    .await;
    assert_eq!(ask(&mesh, Some(&new), "GET", "/orders/17").await.status, 200, "the last good keys stand");
    let name = format!("portcullis_token_keys{{issuer=\"{}\"}}", idp.issuer);
    assert!((mesh.gateway.metric(&name).await - 1.0).abs() < f64::EPSILON);

    mesh.gateway = Gateway::take_over(&mesh.home, &settings, 1).await;
    let refused = eventually("the successor answers", async || {
        let answer = ask(&mesh, Some(&new), "GET", "/orders/17").await;
        (answer.status == 401).then_some(answer)
    })
    .await;
    assert_eq!(reason(&refused), (401, json!("untrusted_token")), "it was never told any key");
    idp.come_back();
    eventually("the issuer is back", async || {
        (ask(&mesh, Some(&new), "GET", "/orders/17").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_use_is_refused_the_second_time() {
    let idp = Idp::start().await;
    let issuers = json!([{
        "preset": "oidc", "issuer": idp.issuer, "audiences": ["orders"], "refresh": "1s", "min_refresh": "1s",
        "single_use": true, "claims": {"groups": "groups"},
    }])
    .to_string();
    let settings = [("TOKENS__ISSUERS", issuers.as_str()), ("TOKENS__PRINCIPAL", "token")];
    let mesh = Mesh::start_in(home(), &settings, |backend| backend).await;
    let now = SystemClock::new().now().unix_seconds();
    // Of the second in which the process started nobody knows whether it was before.
    let token = |id: &str| idp.token_with(&json!({"jti": id, "iat": now + 1, "nbf": now}));
    let first = token("one");
    eventually("the clock has come to when it was made", async || {
        (ask(&mesh, Some(&first), "GET", "/orders/17").await.status == 200).then_some(())
    })
    .await;
    let again = ask(&mesh, Some(&first), "GET", "/orders/17").await;
    assert_eq!(reason(&again), (401, json!("replayed_token")));
    assert_eq!(
        reason(&ask(&mesh, Some(&first), "GET", "/healthz").await),
        (401, json!("replayed_token")),
        "for whatever"
    );
    assert_eq!(reason(&ask(&mesh, Some(&token("one")), "GET", "/orders/17").await), (401, json!("replayed_token")));
    assert_eq!(ask(&mesh, Some(&token("two")), "GET", "/orders/17").await.status, 200);
    let nameless = idp.token_with(&json!({"iat": now + 1}));
    assert_eq!(reason(&ask(&mesh, Some(&nameless), "GET", "/orders/17").await), (401, json!("bad_token")));
    let earlier = idp.token_with(&json!({"jti": "three", "iat": now - 60}));
    assert_eq!(reason(&ask(&mesh, Some(&earlier), "GET", "/orders/17").await), (401, json!("replayed_token")));
}

/// The commands of docs/principals.md, and each of its configurations.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_shows_works() {
    let document = std::fs::read_to_string(root().join("docs/principals.md")).unwrap();
    let home = home();
    let issuers = json!([{"preset": "spiffe", "audiences": ["orders"]}]).to_string();
    let settings = [("TOKENS__ISSUERS", issuers.as_str()), ("TOKENS__PRINCIPAL", "token")];
    let mesh = Mesh::start_in(home, &settings, |backend| backend).await;
    let scratch = tempfile::tempdir().unwrap();
    let (configurations, commands) = (blocks(&document, "yaml"), blocks(&document, "sh"));
    assert!(configurations.len() >= 5 && commands.len() >= 3, "the document is not understood");
    for (index, text) in configurations.iter().enumerate() {
        let file = scratch.path().join(format!("{index}.yaml"));
        std::fs::write(&file, format!("trust_domain: example.org\n{text}")).unwrap();
        run(&mesh, &format!("portcullis config check -c {}", file.display()));
    }
    for script in commands {
        run(&mesh, &script);
    }
}

/// Runs a script as the document's reader does: `portcullis` is installed, `$SOCKET` is the admin socket, and
/// `$SIDECAR` is where the caller's sidecar takes plain HTTP.
#[expect(clippy::disallowed_methods, reason = "a script needs the programs that this test's user has")]
pub(crate) fn run(mesh: &Mesh, script: &str) {
    let mut path = OsString::from(Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(root()).env("PATH", path);
    command.env("SOCKET", mesh.home.admin_socket()).env("SIDECAR", format!("http://127.0.0.1:{}", mesh.web_port));
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{told}");
    // What the document says that comes out stands in comments after the command.
    for expected in script.lines().filter_map(|line| line.strip_prefix("# ")) {
        assert!(told.contains(expected), "{script}\nsays\n{told}\nand not\n{expected}");
    }
}

/// The blocks of a language.
pub(crate) fn blocks(document: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    document.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// Of each kind, a token as its issuer documents it: with more in it than anybody reads.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_clusters_and_of_jobs_name_whom_the_presets_say() {
    let idp = Idp::start().await;
    let home = home();
    let keys = home.path().join("keys.json");
    std::fs::write(&keys, idp.document()).unwrap();
    let schema = std::fs::read_dir(home.policies()).unwrap().map(|file| file.unwrap().path());
    let schema = schema.into_iter().find(|path| path.extension().is_some_and(|it| it == "cedarschema")).unwrap();
    let declared = std::fs::read_to_string(&schema).unwrap();
    let job =
        "\nentity GitLabJob { project_path: String, ref: String, ref_protected: Bool, pipeline_source: String };\n";
    let with_jobs =
        declared.replace("GitHubJob,", "GitHubJob, GitLabJob,").replace("GitHubJob]", "GitHubJob, GitLabJob]");
    assert_ne!(with_jobs, declared, "the schema names whom actions are for");
    std::fs::write(&schema, format!("{with_jobs}{job}")).unwrap();
    let policy = "@id(\"gitlab-deletes\")\npermit (principal is GitLabJob, action == Action::\"DELETE\", resource in Path::\"/prices\")\n\
                  when { principal.project_path == \"shop/prices\" && principal.ref_protected };\n";
    std::fs::write(home.policies().join("gitlab.cedar"), policy).unwrap();
    let issuer = |preset: &str, issuer: Option<&str>| {
        let mut told = json!({"preset": preset, "audiences": ["orders"], "jwks_file": keys});
        if let Some(issuer) = issuer {
            told["issuer"] = issuer.into();
        }
        told
    };
    let cluster = "https://kubernetes.default.svc.cluster.local";
    let issuers = json!([issuer("kubernetes", Some(cluster)), issuer("github-actions", None), issuer("gitlab", None)]);
    let issuers = issuers.to_string();
    let settings = [("TOKENS__ISSUERS", issuers.as_str()), ("TOKENS__PRINCIPAL", "token")];
    let mesh = Mesh::start_in(home, &settings, |backend| backend).await;

    let (pod, github, gitlab) = documented(cluster);
    for (claims, method, principal) in [
        (&pod, "GET", "ServiceAccount::\"shop/cart\""),
        (&github, "PUT", "GitHubJob::\"repo:example/shop:environment:production\""),
        (&gitlab, "DELETE", "GitLabJob::\"project_path:shop/prices:ref_type:branch:ref:main\""),
    ] {
        let answer = ask(&mesh, Some(&idp.token_with(claims)), method, "/prices/7").await;
        assert_eq!(answer.status, 200, "{principal}: {answer:?}");
        assert_eq!(mesh.home.decision(answer.decision_id()).await["principal"], principal);
        let mut elsewhere = claims.clone();
        elsewhere["aud"] = "billing".into();
        let refused = ask(&mesh, Some(&idp.token_with(&elsewhere)), method, "/prices/7").await;
        assert_eq!(reason(&refused), (401, json!("untrusted_token")), "{principal}");
    }
    let mut fork = github;
    fork["repository"] = "mallory/shop".into();
    assert_eq!(reason(&ask(&mesh, Some(&idp.token_with(&fork)), "PUT", "/prices/7").await), (403, json!("no_permit")));
}

/// What a pod's token says, one of a job on GitHub, and one of a job on GitLab.
fn documented(cluster: &str) -> (Value, Value, Value) {
    let pod = json!({
        "iss": cluster, "aud": ["orders"], "sub": "system:serviceaccount:shop:cart",
        "kubernetes.io": {
            "namespace": "shop", "node": {"name": "node-3", "uid": "7a1c"}, "pod": {"name": "cart-0", "uid": "b0d1"},
            "serviceaccount": {"name": "cart", "uid": "c5e2"}, "warnafter": 1_700_003_607,
        },
    });
    let github = json!({
        "iss": "https://token.actions.githubusercontent.com", "sub": "repo:example/shop:environment:production",
        "environment": "production", "event_name": "push", "ref": "refs/heads/main", "ref_protected": "true",
        "ref_type": "branch", "repository": "example/shop", "repository_owner": "example", "run_attempt": "1",
        "job_workflow_ref": "example/shop/.github/workflows/release.yml@refs/heads/main", "sha": "f00d",
    });
    let gitlab = json!({
        "iss": "https://gitlab.com", "sub": "project_path:shop/prices:ref_type:branch:ref:main", "ref": "main",
        "project_path": "shop/prices", "ref_protected": "true", "ref_type": "branch", "pipeline_source": "push",
        "namespace_path": "shop", "user_login": "alice", "groups_direct": ["shop"],
    });
    (pod, github, gitlab)
}
