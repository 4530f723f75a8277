//! The systemd here is its interface by `org.freedesktop.systemd1(5)`, and the bus no more than a `Hello`.
#![expect(clippy::unused_self, clippy::needless_pass_by_value, reason = "methods of D-Bus are made so")]

use std::collections::BTreeSet;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex as SyncMutex};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use zbus::{DBusError, Guid, ObjectPath, OwnedFd, interface};

use super::*;
use crate::daemons::contract::{Behaviour, Daemon, caller, keeps_the_contract};

/// What the fake was asked, and how it behaves.
#[derive(Debug)]
struct Told {
    behaviour: Behaviour,
    /// Whether it knows pidfds, as systemd does since version 253.
    modern: bool,
    has_unit: bool,
    questions: Vec<String>,
    connections: Vec<Connection>,
}

type State = Arc<SyncMutex<Told>>;

#[derive(Debug, DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
enum SystemdError {
    #[zbus(error)]
    ZBus(Error),
    NoUnitForPID(String),
}

struct Bus;

#[interface(name = "org.freedesktop.DBus")]
impl Bus {
    fn hello(&self) -> String {
        ":1.1".to_owned()
    }
}

struct Modern(State);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Modern {
    #[zbus(name = "GetUnitByPIDFD")]
    fn unit_by_pidfd(&self, pidfd: OwnedFd) -> Result<(OwnedObjectPath, String, Vec<u8>), SystemdError> {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd())).unwrap();
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap().trim();
        let unit = self.0.lock().unwrap().unit(format!("pidfd {pid}"))?;
        Ok((unit, "web.service".to_owned(), vec![0; 16]))
    }
}

struct Old(State);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Old {
    #[zbus(name = "GetUnitByPID")]
    fn unit_by_pid(&self, pid: u32) -> Result<OwnedObjectPath, SystemdError> {
        self.0.lock().unwrap().unit(format!("pid {pid}"))
    }
}

impl Told {
    fn unit(&mut self, question: String) -> Result<OwnedObjectPath, SystemdError> {
        self.questions.push(question);
        let none = || SystemdError::NoUnitForPID("PID does not belong to any loaded unit.".to_owned());
        let path = ObjectPath::try_from("/org/freedesktop/systemd1/unit/web_2eservice").unwrap();
        self.has_unit.then(|| path.into()).ok_or_else(none)
    }
}

struct Web;

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Web {
    #[zbus(property)]
    fn id(&self) -> &'static str {
        "web.service"
    }

    #[zbus(property)]
    fn fragment_path(&self) -> &'static str {
        "/etc/systemd/system/web.service"
    }
}

struct FakeSystemd {
    _directory: TempDir,
    _serving: JoinSet<()>,
    state: State,
    attestor: Arc<Systemd>,
}

impl FakeSystemd {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bus = directory.path().join("bus");
        let told = Told {
            behaviour: Behaviour::Answers,
            modern: true,
            has_unit: true,
            questions: Vec::new(),
            connections: Vec::new(),
        };
        let state = Arc::new(SyncMutex::new(told));
        let mut serving = JoinSet::new();
        serving.spawn(serve(UnixListener::bind(&bus).unwrap(), Arc::clone(&state)));
        Self { _directory: directory, _serving: serving, state, attestor: Arc::new(Systemd::new(bus)) }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.state.lock().unwrap()
    }
}

async fn serve(listener: UnixListener, state: State) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let behaviour = state.lock().unwrap().behaviour;
        let state = Arc::clone(&state);
        connections.spawn(async move {
            match behaviour {
                Behaviour::Answers => {
                    let stream = stream.into_std().unwrap();
                    let (bus, manager, unit) =
                        ("/org/freedesktop/DBus", MANAGER_PATH, "/org/freedesktop/systemd1/unit/web_2eservice");
                    let bus = Builder::unix_stream(stream).server(Guid::generate()).p2p().serve_at(bus, Bus);
                    let bus = if state.lock().unwrap().modern {
                        bus.serve_at(manager, Modern(Arc::clone(&state)))
                    } else {
                        bus.serve_at(manager, Old(Arc::clone(&state)))
                    };
                    let connection = bus.serve_at(unit, Web).build().await.unwrap();
                    state.lock().unwrap().connections.push(connection);
                }
                Behaviour::Hangs => std::future::pending().await,
                Behaviour::HangsUp => {}
                Behaviour::Raves => {
                    let _hung_up = stream.write_all(b"\x1b[2J\r\n\0 I am no protocol\n\n").await;
                }
            }
        });
    }
}

impl Daemon for FakeSystemd {
    fn attestor(&self) -> Arc<dyn WorkloadAttestor> {
        Arc::clone(&self.attestor) as _
    }

    fn behave(&self, behaviour: Behaviour) {
        self.told().behaviour = behaviour;
    }

    fn known(&self) -> Caller {
        caller(Ok(None))
    }

    fn selectors(&self) -> BTreeSet<String> {
        ["id:web.service", "fragment_path:/etc/systemd/system/web.service"].map(str::to_owned).into()
    }

    fn strangers(&self) -> Vec<Caller> {
        self.told().has_unit = false;
        vec![caller(Ok(None))]
    }
}

#[tokio::test]
async fn systemd_keeps_the_contract_of_attestors() {
    keeps_the_contract(async || FakeSystemd::new()).await;
}

#[tokio::test]
async fn systemd_is_asked_by_a_handle_and_an_old_one_by_the_number() {
    for modern in [true, false] {
        let systemd = FakeSystemd::new();
        systemd.told().modern = modern;
        let found = systemd.attestor.attest(&systemd.known()).await.unwrap();
        assert_eq!(found, ["id:web.service", "fragment_path:/etc/systemd/system/web.service"]);
        let question = format!("{} {}", if modern { "pidfd" } else { "pid" }, std::process::id());
        assert_eq!(systemd.told().questions, [question]);
    }
}

#[tokio::test]
async fn one_connection_serves_all_and_is_replaced_when_it_ends() {
    let systemd = FakeSystemd::new();
    for _again in 0..3 {
        systemd.attestor.attest(&systemd.known()).await.unwrap();
    }
    assert_eq!(systemd.told().connections.len(), 1);
    let ended = systemd.told().connections.remove(0);
    ended.close().await.unwrap();
    let ours = systemd.attestor.connection.lock().await.clone().unwrap();
    ours.closed().await;
    systemd.attestor.attest(&systemd.known()).await.unwrap();
    assert_eq!(systemd.told().connections.len(), 1);
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_named() {
    let systemd = Systemd::new("/nonexistent/bus".into());
    let error = systemd.attest(&caller(Ok(None))).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/bus"), "{error}");
}
