//! Entries in the database that a gateway shares with another process, which is this one.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use portcullis::foundation::clock::{Clock as _, SystemClock, Timestamp};
use portcullis::foundation::entropy::SystemEntropy;
use portcullis::identity::TrustDomain;
use portcullis::identity::registry::{Change, EntrySource, EntryTerms, Registry};
use portcullis::identity::selector::Selector;
use tonic::{Code, Status};
use x509_parser::prelude::*;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::sds::{certificate, channel, fetch, request, secrets};

/// A gateway without entries of its own.
const EMPTY: (&str, &str) = ("IDENTITY__ENTRIES", "[]");

/// The registry in the gateway's database, as another process has it.
async fn registry(home: &Home) -> Registry {
    let url = format!("sqlite:{}", home.path().join("data/portcullis.db").display());
    let store = Arc::new(portcullis::store::open(&url).await.unwrap());
    let domain: TrustDomain = "example.org".parse().unwrap();
    let entries = Arc::new(store.entries(domain.clone()));
    Registry::open(domain, entries, Arc::new(SystemEntropy::new())).await.unwrap()
}

/// What grants `/name` to this test process.
fn terms(name: &str, parent: &str) -> EntryTerms {
    let tests = std::env::current_exe().unwrap();
    let selectors = [Selector::new("unix", format!("path:{}", tests.display()))].into();
    let id = |path: &str| format!("spiffe://example.org/{path}").parse().unwrap();
    EntryTerms::new(id(name), id(parent), selectors)
}

async fn apply(registry: &Registry, change: Change) {
    let made = registry.apply(EntrySource::Api, vec![change], SystemClock::new().now()).await.unwrap();
    made[0].as_ref().unwrap_or_else(|problem| panic!("{problem}"));
}

async fn create(registry: &Registry, name: &str, parent: &str) {
    apply(registry, Change::Create { id: Some(name.to_owned()), terms: terms(name, parent) }).await;
}

/// The SPIFFE ID of the first identity that this process gets.
async fn identity(home: &Home) -> Result<String, Status> {
    let response = fetch(&home.workload_socket(), &["default"]).await?;
    Ok(spiffe_id(&certificate(&secrets(&response)[0]).0))
}

fn spiffe_id(chain: &str) -> String {
    let (_, pem) = parse_x509_pem(chain.as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    let Some(GeneralName::URI(id)) = names.value.general_names.first() else { panic!("no URI") };
    (*id).to_owned()
}

/// Waits until this process gets `wanted`, or is refused if that is `None`.
async fn gets(home: &Home, wanted: Option<&str>) {
    eventually(&format!("this process gets {wanted:?}"), async || match (identity(home).await, wanted) {
        (Ok(id), Some(wanted)) => (id == format!("spiffe://example.org/{wanted}")).then_some(()),
        (Err(status), None) => (status.code() == Code::PermissionDenied).then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_another_process_is_pushed_to_a_connected_workload() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[EMPTY]).await;
    let registry = registry(&home).await;
    create(&registry, "one", "node").await;
    gets(&home, Some("one")).await;

    let (requests, outbound) = tokio::sync::mpsc::channel(4);
    requests.send(request(&["default"])).await.unwrap();
    let mut client = SecretDiscoveryServiceClient::new(channel(&home.workload_socket()).await);
    let outbound = tokio_stream::wrappers::ReceiverStream::new(outbound);
    let mut responses = client.stream_secrets(outbound).await.unwrap().into_inner();
    for name in ["one", "two"] {
        let response = responses.message().await.unwrap().unwrap();
        let (chain, _key) = certificate(&secrets(&response)[0]);
        assert_eq!(spiffe_id(&chain), format!("spiffe://example.org/{name}"));
        let mut accepted = request(&["default"]);
        (accepted.version_info, accepted.response_nonce) = (response.version_info, response.nonce);
        requests.send(accepted).await.unwrap();
        if name == "one" {
            let change = Box::new(|old: &mut EntryTerms| *old = terms("two", "node"));
            apply(&registry, Change::Update { id: "one".into(), change }).await;
        }
    }
    apply(&registry, Change::Delete { id: "one".into() }).await;
    gets(&home, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_survive_kill_9() {
    let home = Home::new();
    let mut gateway = Gateway::start(&home, &[EMPTY]).await;
    create(&registry(&home).await, "kept", "node").await;
    gets(&home, Some("kept")).await;
    gateway.process.kill_hard();
    let _gateway = Gateway::start(&home, &[EMPTY]).await;
    gets(&home, Some("kept")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_grants_nothing_once_it_has_expired_and_is_deleted() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[EMPTY]).await;
    let registry = registry(&home).await;
    create(&registry, "short", "node").await;
    gets(&home, Some("short")).await;
    let expires_at: Timestamp = SystemClock::new().now().after(Duration::from_millis(300));
    let change = Box::new(move |old: &mut EntryTerms| old.expires_at = Some(expires_at));
    apply(&registry, Change::Update { id: "short".into(), change }).await;
    gets(&home, None).await;
    eventually("the entry is deleted", async || {
        registry.refresh().await.unwrap();
        registry.load().is_empty().then_some(())
    })
    .await;
    eventually("the log says so", async || {
        gateway.process.output().contains("an expired entry was deleted").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_entries_under_our_parents_are_handed_out() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[EMPTY, ("IDENTITY__PARENTS", "[spiffe://example.org/ours]")]).await;
    let registry = registry(&home).await;
    create(&registry, "for-others", "theirs").await;
    create(&registry, "for-us", "ours").await;
    gets(&home, Some("for-us")).await;
    apply(&registry, Change::Delete { id: "for-us".into() }).await;
    gets(&home, None).await;
    create(&registry, "for-the-only-agent", "spire/agent/portcullis").await;
    gets(&home, Some("for-the-only-agent")).await;
}
