//! Attestors beside the kernel, as workloads and operators see them. The systemd here is its interface by
//! `org.freedesktop.systemd1(5)`, and its bus no more than a `Hello`.
#![expect(clippy::unused_self, reason = "methods of D-Bus are made so")]

use std::path::{Path, PathBuf};

use portcullis_spiffe_api::portcullis::identity::v1::identity_client::IdentityClient;
use portcullis_spiffe_api::portcullis::identity::v1::{ExplainRequest, ExplainResponse};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use zbus::connection::Builder;
use zbus::{Guid, ObjectPath, OwnedFd, OwnedObjectPath, interface};

use crate::support::gateway::{Gateway, Home};
use crate::support::sds::{channel, fetch, fetch_code};

const UNIT: &str = "/org/freedesktop/systemd1/unit/web_2eservice";

struct Bus;

#[interface(name = "org.freedesktop.DBus")]
impl Bus {
    fn hello(&self) -> String {
        ":1.1".to_owned()
    }
}

struct Manager;

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    #[zbus(name = "GetUnitByPIDFD")]
    fn unit_by_pidfd(&self, pidfd: OwnedFd) -> (OwnedObjectPath, String, Vec<u8>) {
        drop(pidfd);
        (ObjectPath::try_from(UNIT).unwrap().into(), "web.service".to_owned(), vec![0; 16])
    }
}

struct Unit;

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn id(&self) -> &'static str {
        "web.service"
    }

    #[zbus(property)]
    fn fragment_path(&self) -> &'static str {
        "/etc/systemd/system/web.service"
    }
}

/// A systemd for which every process is one of `web.service`; says where its bus is. It is there as long as the
/// second of what is returned lives.
fn systemd(home: &Home) -> (PathBuf, JoinSet<()>) {
    let bus = home.path().join("bus");
    let listener = UnixListener::bind(&bus).unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let builder = Builder::unix_stream(stream.into_std().unwrap()).server(Guid::generate()).p2p();
            let builder = builder.serve_at("/org/freedesktop/DBus", Bus).serve_at(UNIT, Unit);
            connections.push(builder.serve_at("/org/freedesktop/systemd1", Manager).build().await.unwrap());
        }
    });
    (bus, serving)
}

fn entry(name: &str, selectors: &[&str]) -> serde_json::Value {
    json!({"id": name, "spiffe_id": format!("spiffe://example.org/{name}"), "selectors": selectors})
}

async fn explain(home: &Home, pid: i32) -> Result<ExplainResponse, Status> {
    let mut client = IdentityClient::new(channel(&home.admin_socket()).await);
    client.explain(ExplainRequest { pid }).await.map(tonic::Response::into_inner)
}

async fn start(home: &Home, bus: &Path, entries: &[serde_json::Value]) -> Gateway {
    let systemd = json!({"bus": bus}).to_string();
    let entries = json!(entries).to_string();
    Gateway::start(home, &[("IDENTITY__ATTESTORS__SYSTEMD", &systemd), ("IDENTITY__ENTRIES", &entries)]).await
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_of_systemd_gets_its_identity_and_an_operator_is_told_why_it_gets_no_other() {
    let home = Home::new();
    let entries = [
        entry("far", &["systemd:id:other.service", "unix:uid:54321"]),
        entry("near", &["systemd:id:web.service", "unix:uid:54321"]),
        entry("web", &["systemd:id:web.service", "systemd:fragment_path:/etc/systemd/system/web.service"]),
    ];
    let (bus, _serving) = systemd(&home);
    let _gateway = start(&home, &bus, &entries).await;
    fetch(&home.workload_socket(), &["spiffe://example.org/web"]).await.unwrap();
    assert_eq!(fetch_code(&home.workload_socket(), &["spiffe://example.org/near"]).await, Code::PermissionDenied);

    let found = explain(&home, own_pid()).await.unwrap();
    let selectors: Vec<_> = found.selectors.iter().map(|one| format!("{}:{}", one.r#type, one.value)).collect();
    for expected in ["systemd:id:web.service", "systemd:fragment_path:/etc/systemd/system/web.service"] {
        assert!(selectors.iter().any(|selector| selector == expected), "{selectors:?}");
    }
    assert!(selectors.contains(&format!("unix:uid:{}", nix::unistd::geteuid())), "{selectors:?}");
    assert_eq!(found.granted.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["web"]);
    let misses: Vec<_> = found.near_misses.iter().map(|miss| (&*miss.entry.as_ref().unwrap().id, miss)).collect();
    let [("near", near), ("far", far)] = &*misses else { panic!("{misses:?}") };
    assert_eq!((near.missing.len(), far.missing.len(), &*near.reason), (1, 2, ""));
    assert_eq!(near.missing[0].value, "uid:54321");
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    assert_eq!(explain(&home, i32::MAX).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(explain(&home, 0).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_not_there_takes_only_its_own_selectors_with_it() {
    let home = Home::new();
    let user = format!("unix:uid:{}", nix::unistd::geteuid());
    let entries = [entry("user", &[&user]), entry("web", &[&user, "systemd:id:web.service"])];
    let gateway = start(&home, Path::new("/nonexistent/bus"), &entries).await;
    fetch(&home.workload_socket(), &["spiffe://example.org/user"]).await.unwrap();
    assert_eq!(fetch_code(&home.workload_socket(), &["spiffe://example.org/web"]).await, Code::PermissionDenied);
    let found = explain(&home, own_pid()).await.unwrap();
    let [failure] = &*found.failures else { panic!("{:?}", found.failures) };
    assert_eq!(failure.attestor, "systemd");
    assert!(failure.reason.contains("/nonexistent/bus"), "{failure:?}");
    let name = "portcullis_attestor_failures_total{attestor=\"systemd\"}";
    assert!(gateway.metric(name).await >= 3.0);
}
