//! `portcullis credential`, as the clouds' own tools run it. `make interop` has the real tools do so.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::gateway::{Gateway, Home};
use crate::support::oauth::read_form;
use crate::support::process::Process;
use crate::support::{eventually, root};

const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

/// A token service that says one thing to everybody.
struct TokenService {
    url: String,
    forms: Arc<Mutex<Vec<std::collections::BTreeMap<String, String>>>>,
    _serving: JoinSet<()>,
}

impl TokenService {
    async fn start(status: u16, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let forms = Arc::<Mutex<Vec<_>>>::default();
        let (mut serving, seen) = (JoinSet::new(), Arc::clone(&forms));
        serving.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(form) = read_form(&mut stream).await else { continue };
                seen.lock().unwrap().push(form);
                let head =
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Self { url, forms, _serving: serving }
    }

    fn asked(&self) -> usize {
        self.forms.lock().unwrap().len()
    }

    /// A field of the last form.
    fn field(&self, name: &str) -> String {
        self.forms.lock().unwrap().last().and_then(|form| form.get(name).cloned()).unwrap_or_default()
    }
}

fn recorded(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/data/cloud").join(name)).unwrap()
}

/// A gateway at which the command line is `cli`.
async fn gateway(home: &Home, settings: &[(&str, &str)]) -> Gateway {
    let gateway = Gateway::start(home, settings).await;
    let selector = format!("unix:path:{}", env!("CARGO_BIN_EXE_portcullis"));
    let mut create = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    create.args(["entry", "create", "-spiffeID", "spiffe://example.org/cli", "-selector", &selector]);
    create.args(["-parentID", "spiffe://example.org/spire/agent/portcullis", "-socketPath"]);
    let created = create.arg(home.admin_socket()).output().await.unwrap();
    assert!(created.status.success(), "{created:?}");
    gateway
}

/// `portcullis credential …`, with nothing in its environment but these and a home of its own.
fn command(home: &Home, arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("credential").args(arguments).env_clear().env("HOME", home.path());
    command.env("SPIFFE_ENDPOINT_SOCKET", format!("unix://{}", home.workload_socket().display()));
    command.envs(environment.iter().copied());
    command
}

async fn run(home: &Home, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::from(command(home, arguments, environment)).output().await.unwrap()
}

fn printed(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn mode(file: &Path) -> u32 {
    std::fs::symlink_metadata(file).unwrap().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_gets_a_fresh_svid_once_and_its_tools_their_own_json() {
    let home = Home::new();
    let _gateway = gateway(&home, &[]).await;
    let sts = TokenService::start(200, recorded("aws-assumed.xml").replace("2026-11-23", "2526-11-23")).await;
    let aws = ["aws", "--role-arn", ROLE, "--endpoint", &sts.url];
    let first = run(&home, &aws, &[]).await;
    let expected = json!({
        "Version": 1, "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret/access+key",
        "SessionToken": "session+token/with==&more", "Expiration": "2526-11-23T01:00:00Z",
    });
    assert_eq!(printed(&first), expected);
    assert_eq!(said(&first), "");
    assert_eq!((sts.field("RoleArn"), sts.field("RoleSessionName")), (ROLE.to_owned(), "example.org.cli".to_owned()));
    let shown = claims(&sts.field("WebIdentityToken"));
    assert_eq!((&shown["aud"], &shown["sub"]), (&json!(["sts.amazonaws.com"]), &json!("spiffe://example.org/cli")));

    assert_eq!((printed(&run(&home, &aws, &[]).await), sts.asked()), (expected, 1), "it was kept");
    printed(&run(&home, &[&aws[..], &["--duration", "15m"]].concat(), &[]).await);
    assert_eq!((sts.asked(), sts.field("DurationSeconds")), (2, "900".to_owned()), "it was not kept for this");
    printed(&run(&home, &[&aws[..], &["--no-cache"]].concat(), &[]).await);
    assert_eq!(sts.asked(), 3);
    let kept = home.path().join(".cache/portcullis/credentials");
    assert_eq!(mode(&kept), 0o700);
    for file in std::fs::read_dir(kept).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_nothing_to_who_no_longer_gets_the_svid() {
    let home = Home::new();
    let gateway = gateway(&home, &[]).await;
    let sts = TokenService::start(200, recorded("aws-assumed.xml").replace("2026-11-23", "2526-11-23")).await;
    let aws = ["aws", "--role-arn", ROLE, "--endpoint", &sts.url];
    printed(&run(&home, &aws, &[]).await);
    drop(gateway);
    let refused = run(&home, &[&aws[..], &["--timeout", "1s"]].concat(), &[]).await;
    assert_eq!((refused.status.code(), refused.stdout.len(), sts.asked()), (Some(1), 0, 1));
    assert!(said(&refused).contains("can't connect to"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_about_to_start_is_waited_for_and_one_that_grants_nothing_is_not() {
    let home = Home::new();
    drop(gateway(&home, &[]).await);
    let file = home.path().join("token").display().to_string();
    let mut command = command(&home, &["azure", "--timeout", "2m", "--file", &file], &[]);
    let mut waiting = Process::start(&mut command, &home.path().join("waiting.log"));
    eventually("it has begun", async || std::fs::exists(home.path().join("waiting.log")).unwrap().then_some(())).await;
    // The entry is kept.
    let _gateway = Gateway::start(&home, &[]).await;
    assert!(waiting.ended().await.success(), "{}", waiting.output());
    assert_eq!(claims(&std::fs::read_to_string(&file).unwrap())["sub"], "spiffe://example.org/cli");

    let other = ["azure", "--timeout", "2m", "--file", &file, "--spiffeID", "spiffe://example.org/x"];
    let nobody = run(&home, &other, &[]).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(said(&nobody).contains("PermissionDenied"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_ends_with_1_in_aws_own_words_and_no_token_is_told() {
    let home = Home::new();
    let _gateway = gateway(&home, &[]).await;
    let sts = TokenService::start(403, recorded("aws-denied.xml")).await;
    let refused = run(&home, &["aws", "--role-arn", ROLE, "--endpoint", &sts.url], &[]).await;
    assert_eq!((refused.status.code(), refused.stdout.len(), sts.asked()), (Some(1), 0, 1));
    assert_eq!(said(&refused), "Error: AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity\n");
    for (arguments, complaint) in [
        (&["--endpoint", "http://sts.example.com/"][..], "must be `https://…`"),
        (&[], "no region is named"),
        (&["--region", "nowhere/"], "is no region"),
        (&["--region", "eu-west-1", "--duration", "5m"], "is not between 15 minutes and 12 hours"),
    ] {
        let refused = run(&home, &[&["aws", "--role-arn", ROLE][..], arguments].concat(), &[]).await;
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
        assert!(said(&refused).contains(complaint), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_libraries_get_a_token_or_an_error_in_the_form_that_they_read() {
    let home = Home::new();
    let gateway = gateway(&home, &[]).await;
    let audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/spiffe";
    let file = home.path().join("google.json");
    let path = file.display().to_string();
    let environment = [
        ("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", audience),
        ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "urn:ietf:params:oauth:token-type:id_token"),
        ("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", path.as_str()),
    ];
    let output = run(&home, &["gcp"], &environment).await;
    let answer = printed(&output);
    let shown = claims(answer["id_token"].as_str().unwrap());
    assert_eq!((&shown["aud"], &shown["exp"]), (&json!([audience]), &answer["expiration_time"]));
    assert_eq!((&answer["version"], &answer["success"]), (&json!(1), &json!(true)));
    assert_eq!(answer["token_type"], "urn:ietf:params:oauth:token-type:id_token");
    assert_eq!((std::fs::read(&file).unwrap(), mode(&file)), (output.stdout, 0o600));

    let saml = [environment[0], ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "urn:ietf:params:oauth:token-type:saml2")];
    let refused = [run(&home, &["gcp"], &[]).await, run(&home, &["gcp"], &saml).await];
    drop(gateway);
    let unreachable = run(&home, &["gcp", "--timeout", "1s"], &environment).await;
    let codes = ["INVALID_ARGUMENT", "INVALID_ARGUMENT", "UNAVAILABLE"];
    for (output, code) in refused.iter().chain([&unreachable]).zip(codes) {
        let error: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), said(output)), (Some(1), String::new()));
        assert_eq!((&error["version"], &error["success"], &error["code"]), (&json!(1), &json!(false), &json!(code)));
        assert!(error["message"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_speaks_oauth_gives_an_access_token() {
    let home = Home::new();
    let _gateway = gateway(&home, &[]).await;
    let google = TokenService::start(200, recorded("gcp-token.json")).await;
    let provider = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/spiffe";
    let gcp = ["gcp", "--exchange", "--provider", provider, "--token-url", &google.url];
    for _ in 0..2 {
        assert_eq!(printed(&run(&home, &gcp, &[]).await)["access_token"], "ya29.d.federated-token");
    }
    assert_eq!((google.asked(), claims(&google.field("subject_token"))["aud"].clone()), (1, json!([provider])));

    let microsoft = TokenService::start(401, recorded("azure-refused.json")).await;
    let azure = ["azure", "--exchange", "--authority", &microsoft.url];
    let environment = [("AZURE_TENANT_ID", "t.example.com"), ("AZURE_CLIENT_ID", "app-7")];
    let refused = run(&home, &azure, &environment).await;
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    assert!(said(&refused).starts_with("Error: invalid_client: AADSTS700213"), "{refused:?}");
    let shown = claims(&microsoft.field("client_assertion"));
    assert_eq!(
        (&shown["aud"], microsoft.field("client_id")),
        (&json!(["api://AzureADTokenExchange"]), "app-7".to_owned())
    );
    let refused = run(&home, &azure, &[("AZURE_TENANT_ID", "../evil"), ("AZURE_CLIENT_ID", "app-7")]).await;
    assert!(said(&refused).contains("AZURE_TENANT_ID must name one"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn azures_file_is_private_replaced_whole_and_kept_current() {
    let home = Home::new();
    let _gateway = gateway(&home, &[("IDENTITY__JWT_SVID_TTL", "10s")]).await;
    let (file, target) = (home.path().join("token"), home.path().join("target"));
    std::fs::write(&target, "mine").unwrap();
    symlink(&target, &file).unwrap();
    let path = file.display().to_string();
    assert!(run(&home, &["azure"], &[("AZURE_FEDERATED_TOKEN_FILE", &path)]).await.status.success());
    let first = std::fs::read_to_string(&file).unwrap();
    assert_eq!((mode(&file), std::fs::read_to_string(&target).unwrap()), (0o600, "mine".to_owned()));
    assert_eq!(claims(&first)["aud"], json!(["api://AzureADTokenExchange"]));

    let mut watching = command(&home, &["azure", "--watch", "--file", &path], &[]);
    let mut watching = Process::start(&mut watching, &home.path().join("watch.log"));
    eventually("two further tokens are there", async || {
        watching.assert_running();
        let now = std::fs::read_to_string(&file).unwrap();
        let later = |token: &str| claims(token)["iat"].as_u64().unwrap() - claims(&first)["iat"].as_u64().unwrap();
        (later(&now) >= 8).then_some(())
    })
    .await;
    // An SDK that read it just before it is renewed would show one that is over.
    let said = watching.output();
    assert_eq!((mode(&file), said.lines().count()), (0o600, 1), "{said}");
    assert!(
        said.starts_with("Warning: the token lives ") && said.contains("SDKs use what they read for 600s"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_for_googles_libraries_runs_this_program() {
    let home = Home::new();
    let arguments = ["gcp", "--print-config", "--provider", "//iam.googleapis.com/p", "--socketPath", "/run/w.sock"];
    let more = ["--service-account", "a@b.iam.gserviceaccount.com", "--output-file", "/run/user/1/g.json"];
    let configuration = printed(&run(&home, &[&arguments[..], &more].concat(), &[]).await);
    let executable = &configuration["credential_source"]["executable"];
    let command = format!("{} credential gcp --socketPath /run/w.sock", env!("CARGO_BIN_EXE_portcullis"));
    assert_eq!((&executable["command"], &executable["output_file"]), (&json!(command), &json!("/run/user/1/g.json")));
    assert_eq!(configuration["audience"], "//iam.googleapis.com/p");
    let blank = [&arguments[..5], &["/run/a b.sock"]].concat();
    assert_eq!(run(&home, &blank, &[]).await.status.code(), Some(1));
}
