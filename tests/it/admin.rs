//! SPIRE's server API on the admin socket of the running gateway, spoken by the test itself as SPIRE's clients do.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use portcullis_spiffe_api::spire::api::server::entry::v1::entry_client::EntryClient;
use portcullis_spiffe_api::spire::api::server::entry::v1::{
    BatchCreateEntryRequest, BatchDeleteEntryRequest, BatchUpdateEntryRequest, GetEntryRequest, ListEntriesRequest,
};
use portcullis_spiffe_api::spire::api::server::logger::v1::logger_client::LoggerClient;
use portcullis_spiffe_api::spire::api::server::logger::v1::{ResetLogLevelRequest, SetLogLevelRequest};
use portcullis_spiffe_api::spire::api::server::svid::v1::MintJwtsvidRequest;
use portcullis_spiffe_api::spire::api::server::svid::v1::svid_client::SvidClient;
use portcullis_spiffe_api::spire::api::types::entry::AdditionalAttributes;
use portcullis_spiffe_api::spire::api::types::{Entry, EntryMask, LogLevel, Selector, Spiffeid};
use serde_json::Value;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::gateway::{Gateway, Home};
use crate::support::{eventually, sds};

#[expect(clippy::unnecessary_wraps, reason = "as messages have it")]
fn id(path: &str) -> Option<Spiffeid> {
    Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() })
}

/// An entry for this test process.
pub(crate) fn mine(name: &str) -> Entry {
    let tests = std::env::current_exe().unwrap();
    let selector = Selector { r#type: "unix".into(), value: format!("path:{}", tests.display()) };
    Entry {
        id: name.into(),
        spiffe_id: id(&format!("/{name}")),
        parent_id: id("/spire/agent/portcullis"),
        selectors: vec![selector],
        ..Entry::default()
    }
}

struct Admin {
    home: Home,
    gateway: Gateway,
    entries: EntryClient<Channel>,
}

impl Admin {
    async fn start() -> Self {
        let home = Home::new();
        let gateway = Gateway::start(&home, &[]).await;
        let entries = EntryClient::new(sds::channel(&home.admin_socket()).await);
        Self { home, gateway, entries }
    }

    async fn create(&mut self, entry: Entry) -> (i32, Option<Entry>) {
        let question = BatchCreateEntryRequest { entries: vec![entry], output_mask: None };
        let mut answer = self.entries.batch_create_entry(question).await.unwrap().into_inner();
        let result = answer.results.remove(0);
        (result.status.unwrap().code, result.entry)
    }

    async fn update(&mut self, entry: Entry) -> (i32, Option<Entry>) {
        let question = BatchUpdateEntryRequest { entries: vec![entry], input_mask: None, output_mask: None };
        let mut answer = self.entries.batch_update_entry(question).await.unwrap().into_inner();
        let result = answer.results.remove(0);
        (result.status.unwrap().code, result.entry)
    }

    async fn delete(&mut self, id: &str) -> i32 {
        let question = BatchDeleteEntryRequest { ids: vec![id.into()] };
        let mut answer = self.entries.batch_delete_entry(question).await.unwrap().into_inner();
        answer.results.remove(0).status.unwrap().code
    }

    /// The records of calls of `method`, once there are `count`.
    async fn records(&self, method: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} records of `{method}`"), async || {
            let mut records = self.home.records();
            records.retain(|record| record["method"].as_str().is_some_and(|found| found.ends_with(method)));
            (records.len() >= count).then_some(records)
        })
        .await
    }
}

/// I4. An entry's whole life, as `spire-server entry` leads it, and what becomes of the workload that it is for.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_made_found_changed_and_deleted_and_the_workload_follows() {
    let mut admin = Admin::start().await;
    let workload = admin.home.workload_socket();
    let name = "spiffe://example.org/made";
    assert_eq!(sds::fetch_code(&workload, &[name]).await, Code::PermissionDenied);

    let (code, made) = admin.create(mine("made")).await;
    assert_eq!((code, made.unwrap().id.as_str()), (0, "made"));
    sds::fetch(&workload, &[name]).await.unwrap();
    let listed = ListEntriesRequest { page_size: 2, ..ListEntriesRequest::default() };
    let first = admin.entries.list_entries(listed.clone()).await.unwrap().into_inner();
    assert_eq!(first.entries.iter().map(|entry| &*entry.id).collect::<Vec<_>>(), ["web", "batch"]);
    let listed = ListEntriesRequest { page_token: first.next_page_token, page_size: 9, ..listed };
    let rest = admin.entries.list_entries(listed).await.unwrap().into_inner();
    assert_eq!(rest.entries.last().unwrap().id, "made");

    let (code, changed) = admin.update(Entry { spiffe_id: id("/other"), ..mine("made") }).await;
    assert_eq!((code, changed.unwrap().revision_number), (0, 1));
    sds::fetch(&workload, &["spiffe://example.org/other"]).await.unwrap();
    assert_eq!(admin.delete("made").await, 0);
    assert_eq!(sds::fetch_code(&workload, &["spiffe://example.org/other"]).await, Code::PermissionDenied);
    assert_eq!(admin.delete("made").await, i32::from(Code::NotFound));
    assert_eq!(admin.delete("web").await, i32::from(Code::FailedPrecondition), "the configuration keeps it");

    let records = admin.records("Entry/BatchUpdateEntry", 2).await;
    let (uid, pid) = (own_ids().0, std::process::id());
    for record in &records {
        assert_eq!((&record["uid"], &record["pid"]), (&uid.into(), &pid.into()));
    }
    assert_eq!((&records[0]["code"], &records[0]["subjects"][0]), (&Value::Null, &"made".into()));
    assert_eq!(
        (&records[1]["code"], &records[1]["subjects"][0]),
        (&"ok".into(), &"made=spiffe://example.org/other".into())
    );
    let records = admin.records("Entry/BatchDeleteEntry", 6).await;
    assert_eq!(records.last().unwrap()["subjects"], Value::Array(Vec::new()), "nothing was deleted");
}

/// Effective user and group of this process.
fn own_ids() -> (u32, u32) {
    let metadata = std::fs::metadata("/proc/self").unwrap();
    (metadata.uid(), metadata.gid())
}

/// I4. What is made here is there after a restart, whole.
#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_an_entry_survives_a_restart() {
    let mut admin = Admin::start().await;
    let full = Entry {
        x509_svid_ttl: 60,
        jwt_svid_ttl: 30,
        federates_with: vec!["partner.example".into()],
        admin: true,
        downstream: true,
        expires_at: 4_000_000_000,
        dns_names: vec!["b.example.org".into(), "a.example.org".into()],
        store_svid: true,
        hint: "internal".into(),
        additional_attributes: Some(AdditionalAttributes {
            disable_x509_svid_prefetch: true,
            jwt_svid_include_jti: true,
        }),
        ..mine("full")
    };
    let (_, made) = admin.create(full.clone()).await;
    let made = made.unwrap();
    assert_eq!(Entry { created_at: 0, ..made.clone() }, full);
    let Admin { home, mut gateway, .. } = admin;
    gateway.process.terminate();
    assert!(gateway.process.ended().await.success());
    let _gateway = Gateway::start(&home, &[]).await;
    let mut entries = EntryClient::new(sds::channel(&home.admin_socket()).await);
    let question = GetEntryRequest { id: "full".into(), output_mask: None };
    assert_eq!(entries.get_entry(question).await.unwrap().into_inner(), made);
    let question =
        GetEntryRequest { id: "full".into(), output_mask: Some(EntryMask { hint: true, ..EntryMask::default() }) };
    let masked = Entry { id: "full".into(), hint: "internal".into(), ..Entry::default() };
    assert_eq!(entries.get_entry(question).await.unwrap().into_inner(), masked);
}

/// The socket is closed to other users; and if its mode is not, the gateway itself refuses them.
#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_refused_and_recorded() {
    let admin = Admin::start().await;
    let socket = admin.home.admin_socket();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    if own_ids().0 != 0 {
        eprintln!("not root: can't become another user");
        return;
    }
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    std::fs::set_permissions(admin.home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    // A gRPC call with what every machine has: HTTP/2 by hand, written and read by a process of another user.
    let script = include_str!("support/call_as.py");
    let called = Command::new("python3").args(["-c", script]).arg(&socket).args(["61999", "61999"]).output().unwrap();
    assert!(called.status.success(), "{}", String::from_utf8_lossy(&called.stderr));
    let records = admin.records("Logger/GetLogger", 1).await;
    assert_eq!((&records[0]["uid"], &records[0]["code"]), (&61999.into(), &"permission_denied".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_changes_while_the_gateway_runs() {
    let admin = Admin::start().await;
    let mut logger = LoggerClient::new(sds::channel(&admin.home.admin_socket()).await);
    let log = || std::fs::read_to_string(admin.home.path().join("portcullis.log")).unwrap();
    let refused = async || sds::fetch_code(&admin.home.workload_socket(), &["spiffe://example.org/none"]).await;
    let set = |level: LogLevel| SetLogLevelRequest { new_level: level.into() };
    let levels = logger.set_log_level(set(LogLevel::Trace)).await.unwrap().into_inner();
    assert_eq!((levels.current_level(), levels.launch_level()), (LogLevel::Trace, LogLevel::Info));
    // What ends a connection is told at this level and no other.
    eventually("a line of the level `debug`", async || {
        refused().await;
        log().contains("DEBUG").then_some(())
    })
    .await;
    let levels = logger.reset_log_level(ResetLogLevelRequest {}).await.unwrap().into_inner();
    assert_eq!((levels.current_level(), levels.launch_level()), (LogLevel::Info, LogLevel::Info));
    let error = logger.set_log_level(set(LogLevel::Unspecified)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_minted_and_neither_it_nor_any_call_is_missing_from_the_records() {
    let admin = Admin::start().await;
    let mut svids = SvidClient::new(sds::channel(&admin.home.admin_socket()).await);
    let question = MintJwtsvidRequest { id: id("/minted"), audience: vec!["tests".into()], ttl: 60 };
    let svid = svids.mint_jwtsvid(question).await.unwrap().into_inner().svid.unwrap();
    let records = admin.records("SVID/MintJWTSVID", 1).await;
    assert_eq!(
        (&records[0]["code"], &records[0]["subjects"][0]),
        (&"ok".into(), &"spiffe://example.org/minted".into())
    );
    let all = admin.home.records();
    let issuance = all.iter().find(|record| record["record"] == "jwt_issuance").unwrap();
    assert_eq!((&issuance["spiffe_id"], &issuance["entry_id"]), (&"spiffe://example.org/minted".into(), &"".into()));
    assert!(!serde_json::to_string(&all).unwrap().contains(&svid.token));
    assert!(admin.gateway.metric(r#"portcullis_admin_calls_total{code="ok"}"#).await > 0.5);
}
