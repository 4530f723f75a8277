//! Tokens for calls outside: asked for with an SVID at a server that verifies it, kept, and put into requests by a real Envoy.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::envoy::{Sidecar, configuration, free_port};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::{self, Answer};
use crate::support::mesh::serve_upstream;
use crate::support::oauth::{AuthorizationServer, Mood};
use crate::support::sds::{channel, fetch, fetch_code, request, secrets};

const WEB: &str = "spiffe://example.org/web";

/// The targets: `billing` for those who are named, `other` for a workload that is not here.
fn targets(server: &AuthorizationServer, workloads: &[&str]) -> String {
    let target = |name: &str, workloads: &[&str]| {
        json!({
            "name": name, "token_endpoint": format!("{}/token", server.issuer), "client": WEB,
            "audience": server.issuer, "scope": "invoices:read", "workloads": workloads,
        })
    };
    json!([target("billing", workloads), target("other", &["spiffe://example.org/batch"])]).to_string()
}

/// The sidecar of `envoy/outbound.yaml`, before a service of this machine.
fn sidecar(home: &Home, port: u16, service: u16) -> Sidecar {
    let yaml =
        configuration("outbound.yaml").replace("18003", &port.to_string()).replace("STRICT_DNS", "STATIC").replace(
            "address: billing.example.com, port_value: 443",
            &format!("address: 127.0.0.1, port_value: {service}"),
        );
    let (before, _) = yaml.split_once("      # Who has the token can use it").unwrap();
    Sidecar::spawn(home, "web", before)
}

async fn call(port: u16) -> Answer {
    let request =
        "GET /invoices HTTP/1.1\r\nhost: billing\r\nauthorization: Bearer forged\r\nconnection: close\r\n\r\n";
    http::request(port, request).await
}

/// The token that the service was shown.
fn shown(answer: &Answer) -> String {
    let lines: Vec<_> = answer.body.lines().filter_map(|line| line.strip_prefix("authorization: ")).collect();
    let [line] = lines[..] else { panic!("{answer:?}") };
    line.strip_prefix("Bearer ").unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_carries_a_token_that_is_renewed_and_none_that_is_over() {
    let home = Home::new();
    let server = AuthorizationServer::start(WEB, home.admin_socket(), Mood::Giving(4)).await;
    let targets = targets(&server, &[WEB]);
    let gateway = Gateway::start(&home, &[("OUTBOUND__TARGETS", &targets)]).await;
    let mut upstream = JoinSet::new();
    let (port, service) = (free_port(), serve_upstream(&mut upstream).await);
    let mut web = sidecar(&home, port, service);
    web.ready().await;

    let mut tokens = BTreeSet::new();
    eventually("three tokens in a row were used", async || {
        let answer = call(port).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        tokens.insert(shown(&answer));
        (tokens.len() >= 3).then_some(())
    })
    .await;
    let given: BTreeSet<_> = server.given().into_iter().collect();
    assert!(tokens.is_subset(&given), "{tokens:?} {given:?}");

    for mood in [Mood::Refusing, Mood::Down] {
        server.feel(mood);
        eventually("a request without a token is refused by the sidecar", async || {
            let answer = call(port).await;
            assert!(answer.status == 401 || server.given().contains(&shown(&answer)), "{answer:?}");
            (answer.status == 401).then_some(())
        })
        .await;
        let last = server.given();
        assert!(gateway.operations("/readyz").await.body.contains("the token of `billing`"));
        server.feel(Mood::Giving(4));
        eventually("there is a token again", async || {
            let answer = call(port).await;
            (answer.status == 200).then(|| assert!(!last.contains(&shown(&answer)), "a stale token"))
        })
        .await;
    }
    web.process.assert_running();
    assert_eq!((web.stat("update_rejected").await, server.complaints()), (0, Vec::<String>::new()));
    tell_of_it(&home, &gateway, &server).await;
}

/// Records, metrics and logs have all of it but the tokens.
async fn tell_of_it(home: &Home, gateway: &Gateway, server: &AuthorizationServer) {
    let records = home.records();
    let outcomes: BTreeSet<_> = records
        .iter()
        .filter(|record| record["record"] == "outbound" && record["target"] == "billing")
        .map(|record| {
            let is_given = record["outcome"] == "allow";
            assert_eq!((record["spiffe_id"].as_str(), record["token"].is_string()), (Some(WEB), is_given), "{record}");
            assert!(records.iter().any(|one| one["record"] == "jwt_issuance" && one["token"] == record["assertion"]));
            record["outcome"].as_str().unwrap()
        })
        .collect();
    assert_eq!(outcomes, BTreeSet::from(["allow", "deny", "error"]));
    assert!(gateway.metric("portcullis_outbound_requests_total{target=\"billing\",outcome=\"given\"}").await >= 4.0);
    let said = format!("{}{}", gateway.process.output(), json!(records));
    assert!(server.given().iter().all(|token| !said.contains(token)), "a token was told");
    assert!(!said.contains("eyJ"), "an assertion was told");
}

/// The credential in a secret; `None` if it is empty.
fn credential(secret: &Secret) -> Option<String> {
    let Some(Type::GenericSecret(generic)) = &secret.r#type else { panic!("{secret:?}") };
    match generic.secret.as_ref().unwrap().specifier.as_ref().unwrap() {
        Specifier::InlineBytes(bytes) => {
            Some(String::from_utf8(bytes.clone()).unwrap()).filter(|text| !text.is_empty())
        }
        other => panic!("{other:?}"),
    }
}

async fn admin(home: &Home, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = command.args(arguments).arg("-socketPath").arg(home.admin_socket()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_named_gets_nothing_and_who_no_longer_is_has_it_taken_back() {
    const PARTNER: &str = "spiffe://example.org/partner";
    let home = Home::new();
    let server = AuthorizationServer::start(WEB, home.admin_socket(), Mood::Giving(3600)).await;
    let targets = targets(&server, &[PARTNER]);
    let gateway = Gateway::start(&home, &[("OUTBOUND__TARGETS", &targets)]).await;
    eventually("there are tokens for both targets", async || (server.given().len() == 2).then_some(())).await;
    let socket = home.workload_socket();
    // This process is `web`, the client, but neither target is for `web`; the third is nobody's.
    for name in ["outbound/billing", "outbound/other", "outbound/nothing"] {
        assert_eq!(fetch_code(&socket, &[name]).await, Code::PermissionDenied, "{name}");
    }

    let mut client = SecretDiscoveryServiceClient::new(channel(&socket).await);
    let names = request(&["outbound/billing", "outbound/other", "default"]);
    let requests = futures_util::stream::iter([names]).chain(futures_util::stream::pending());
    let mut stream = client.stream_secrets(requests).await.unwrap().into_inner();
    let names_of = |found: &[Secret]| found.iter().map(|secret| secret.name.clone()).collect::<Vec<_>>();
    let first = secrets(&stream.message().await.unwrap().unwrap());
    assert_eq!(names_of(&first), ["default"]);

    let tests = std::env::current_exe().unwrap();
    let selector = format!("unix:path:{}", tests.display());
    let parent = ["-parentID", "spiffe://example.org/spire/agent/portcullis", "-selector", &selector];
    let create = [&["entry", "create", "-entryID", "partner", "-spiffeID", PARTNER][..], &parent].concat();
    admin(&home, &create).await;
    let granted = secrets(&stream.message().await.unwrap().unwrap());
    assert_eq!(names_of(&granted), ["default", "outbound/billing"]);
    let token = credential(&granted[1]).unwrap();
    assert!(server.given().iter().any(|given| token == format!("Bearer {given}")), "{token}");
    let fetched = fetch(&socket, &["outbound/billing"]).await.unwrap();
    assert_eq!(credential(&secrets(&fetched)[0]), Some(token));

    admin(&home, &["entry", "delete", "-entryID", "partner"]).await;
    let emptied = secrets(&stream.message().await.unwrap().unwrap());
    assert_eq!((names_of(&emptied), credential(&emptied[1])), (names_of(&granted), None));
    assert_eq!(fetch_code(&socket, &["outbound/billing"]).await, Code::PermissionDenied);
    assert!(gateway.metric("portcullis_sds_emptied_bundles_total").await >= 1.0);
}

/// Over what is configured, not what is asked: nothing is sent in the clear beyond this machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_in_the_clear_is_refused() {
    let home = Home::new();
    let targets = json!([{
        "name": "billing", "token_endpoint": "http://login.example.com/token", "client": WEB,
        "audience": "https://login.example.com",
    }]);
    let mut gateway = Gateway::spawn(&home, &[("OUTBOUND__TARGETS", &targets.to_string())], &[]);
    assert_eq!(gateway.process.ended().await.code(), Some(64));
    assert!(gateway.process.output().contains("https://"), "{}", gateway.process.output());
}
