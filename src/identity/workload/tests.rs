use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::evidence::{AppendError, Audit, Backlog, BacklogMetrics, Record, RefusalRecord, Taken};
use crate::foundation::clock::{Clock, ManualClock, SystemClock, Timestamp};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::readiness::Readiness;
use crate::identity::attest::attestors::Metrics;
use crate::identity::attest::unix::UnixAttestConfig;
use crate::identity::attest::{AttestFuture, AttestorError, WorkloadAttestor};
use crate::identity::authority::{self, Authority, AuthorityConfig, Hash, KeyCustody, KeyType};
use crate::identity::issue::{self, IssueConfig, Ports};
use crate::identity::journal::memory::MemoryJournal;
use crate::identity::registry::memory::MemoryRegistry;
use crate::identity::registry::{ConfiguredEntry, EntryTerms, Registry};
use crate::identity::selector::Selector;

#[derive(Debug)]
struct Unread;

impl Audit for Unread {
    fn append(&self, _record: Record<'_>) -> Result<Taken, AppendError> {
        Ok(Taken::NOW)
    }
}

/// Callers and those who attest them.
pub(crate) struct House {
    directory: TempDir,
    pub(crate) authority: Arc<Authority>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<SystemClock>,
    issuer: Arc<Issuer>,
}

impl House {
    pub(crate) async fn new(entries: impl IntoIterator<Item = ConfiguredEntry>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy::new()));
        let config = AuthorityConfig {
            trust_domain: "example.org".parse().unwrap(),
            ttl: Duration::from_hours(1),
            data_dir: directory.path().join("data"),
            key_type: KeyType::default(),
            jwt_key_type: KeyType::default(),
            jwt_rsa_hash: Hash::default(),
            custody: KeyCustody::Sealed { seal_key_file: directory.path().join("data/seal.key") },
        };
        let (journal, audit) = (Arc::new(MemoryJournal::default()), Arc::new(Unread));
        let ports = authority::Ports { journal, audit, entropy: entropy.clone() };
        let authority = Authority::open(config, ports, authority::Metrics::default(), clock.now()).await.unwrap();
        let store = Arc::new(MemoryRegistry::default());
        let registry = Registry::open(authority.trust_domain().clone(), store, entropy.clone()).await.unwrap();
        registry.reconcile(entries.into_iter().collect(), clock.now()).await.unwrap();
        let registry = Arc::new(registry);
        let (authority, audit) = (Arc::new(authority), Arc::new(Unread));
        let ports = Ports {
            authority: Arc::clone(&authority),
            registry: registry.clone(),
            audit,
            clock: clock.clone(),
            entropy,
        };
        let ttl = Duration::from_mins(5);
        let issuing = IssueConfig { x509_svid_ttl: ttl, jwt_svid_ttl: ttl, jwt_issuer: None };
        let issuer = Arc::new(Issuer::new(ports, issuing, issue::Metrics::default()));
        Self { directory, authority, registry, clock, issuer }
    }

    /// Says that the process with the id `pid`, or this one, is in the control group `path`.
    pub(crate) fn put(&self, pid: &str, path: &str) {
        let process = self.proc().join(pid);
        std::fs::create_dir_all(process.join("ns")).unwrap();
        std::fs::write(process.join("cgroup"), format!("0::{path}\n")).unwrap();
    }

    fn proc(&self) -> PathBuf {
        self.directory.path().join("proc")
    }

    pub(crate) fn workloads(&self, others: Vec<Arc<dyn WorkloadAttestor>>, deadline: Duration) -> Workloads {
        self.put("self", "/system.slice/portcullis.service");
        let namespace = self.proc().join("self/ns/cgroup");
        let _there = std::os::unix::fs::symlink("cgroup:[4026531835]", namespace);
        let config = UnixAttestConfig { accept_pid_lookup: true, ..UnixAttestConfig::default() };
        let unix = Arc::new(UnixAttestor::new(config, self.clock.clone()));
        let attestors = Attestors::new(others, deadline, self.clock.clone(), &Metrics::default());
        Workloads::new(self.issuer.clone(), unix).with_attestors(attestors, Containers::at(self.proc()))
    }
}

/// Says what it is told to, when it is told to.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) kind: &'static str,
    pub(crate) answer: Result<Vec<String>, AttestorError>,
    pub(crate) asked: Notify,
    pub(crate) go: Option<Notify>,
    pub(crate) callers: Mutex<Vec<Caller>>,
}

impl Told {
    pub(crate) fn new(kind: &'static str, answer: Result<&str, &str>) -> Arc<Self> {
        Self::waiting(kind, answer, None)
    }

    fn waiting(kind: &'static str, answer: Result<&str, &str>, go: Option<Notify>) -> Arc<Self> {
        let answer = answer.map(|value| vec![value.to_owned()]);
        let answer = answer.map_err(|reason| AttestorError::Daemon(reason.to_owned()));
        Arc::new(Self { kind, answer, asked: Notify::new(), go, callers: Mutex::default() })
    }
}

impl WorkloadAttestor for Told {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn attest<'a>(&'a self, caller: &'a Caller) -> AttestFuture<'a> {
        Box::pin(async {
            self.callers.lock().unwrap().push(caller.clone());
            self.asked.notify_one();
            if let Some(go) = &self.go {
                go.notified().await;
            }
            self.answer.clone()
        })
    }
}

/// A process that waits to be killed.
pub(crate) struct Sleeper(pub(crate) Child);

impl Sleeper {
    pub(crate) fn start() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn peer(&self) -> UnixPeer {
        UnixPeer::named(self.pid()).unwrap().unwrap()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// An entry for processes that have `selectors`.
pub(crate) fn entry<const N: usize>(name: &str, selectors: [&str; N]) -> ConfiguredEntry {
    let id = format!("spiffe://example.org/{name}").parse().unwrap();
    let agent = "spiffe://example.org/spire/agent/portcullis".parse().unwrap();
    let selectors: BTreeSet<Selector> = selectors.iter().map(|text| text.parse().unwrap()).collect();
    ConfiguredEntry { id: name.into(), terms: EntryTerms::new(id, agent, selectors) }
}

const DOCKER: &str = "/docker/09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6";
const LONG: Duration = Duration::from_mins(10);

fn of_kind(attested: &Attested, kind: &str) -> Vec<String> {
    attested.selectors.iter().filter(|found| found.kind() == kind).map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_all_attestors_know_is_put_together_and_failures_leave_only_their_own_out() {
    let (house, sleeper) = (House::new([]).await, Sleeper::start());
    house.put(&sleeper.pid().to_string(), DOCKER);
    let (docker, k8s) = (Told::new("docker", Ok("label:app:web")), Told::new("k8s", Err("not found\u{1b}[2J yet")));
    let workloads = house.workloads(vec![docker.clone(), k8s], LONG);
    let attested = workloads.attest(&sleeper.peer()).await.unwrap();
    assert_eq!(of_kind(&attested, "docker"), ["docker:label:app:web"]);
    assert!(!of_kind(&attested, "unix").is_empty());
    let [failure] = &*attested.failures else { panic!("{:?}", attested.failures) };
    assert_eq!((failure.attestor, &*failure.reason), ("k8s", "not found\\u{1b}[2J yet"));
    let callers = docker.callers.lock().unwrap();
    assert!(callers[0].container.as_ref().unwrap().is_some(), "{callers:?}");
}

#[tokio::test]
async fn a_process_that_ends_while_daemons_are_asked_is_not_attested_at_all() {
    let (house, mut sleeper) = (House::new([]).await, Sleeper::start());
    house.put(&sleeper.pid().to_string(), DOCKER);
    let slow = Told::waiting("docker", Ok("label:app:web"), Some(Notify::new()));
    let (workloads, peer) = (house.workloads(vec![slow.clone()], LONG), sleeper.peer());
    let end = async {
        slow.asked.notified().await;
        sleeper.0.kill().unwrap();
        sleeper.0.wait().unwrap();
        slow.go.as_ref().unwrap().notify_one();
    };
    let (attested, ()) = tokio::join!(workloads.attest(&peer), end);
    assert!(matches!(attested, Err(IdentifyError::NotAttested(AttestError::Gone))), "{attested:?}");
}

/// The daemon speaks of the program that was there when it was asked, and the container of another.
#[tokio::test]
async fn a_process_that_becomes_another_while_daemons_are_asked_is_not_attested_at_all() {
    for moved in [true, false] {
        let house = House::new([]).await;
        let mut shell = Command::new("sh");
        shell.args(["-c", "read line; exec sleep 600"]).stdin(Stdio::piped());
        let mut process = Sleeper(shell.spawn().unwrap());
        house.put(&process.pid().to_string(), DOCKER);
        let slow = Told::waiting("docker", Ok("label:app:web"), Some(Notify::new()));
        let (workloads, peer) = (house.workloads(vec![slow.clone()], LONG), process.peer());
        let change = async {
            slow.asked.notified().await;
            if moved {
                house.put(&process.pid().to_string(), &DOCKER.replace("/09bc", "/ffff"));
            } else {
                let exe = PathBuf::from(format!("/proc/{}/exe", process.pid()));
                let before = std::fs::read_link(&exe).unwrap();
                std::io::Write::write_all(process.0.stdin.as_mut().unwrap(), b"\n").unwrap();
                while std::fs::read_link(&exe).unwrap() == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            slow.go.as_ref().unwrap().notify_one();
        };
        let (attested, ()) = tokio::join!(workloads.attest(&peer), change);
        assert!(matches!(attested, Err(IdentifyError::NotAttested(AttestError::Changed))), "{moved}: {attested:?}");
    }
}

#[tokio::test]
async fn a_daemon_that_hangs_holds_nobody_up_for_longer_than_its_time_and_keeps_no_turn() {
    let house = House::new([]).await;
    let sleepers: Vec<_> = (0..MAX_IDENTIFYING + 8).map(|_| Sleeper::start()).collect();
    for sleeper in &sleepers {
        house.put(&sleeper.pid().to_string(), DOCKER);
    }
    let hanging = Told::waiting("docker", Ok("label:app:web"), Some(Notify::new()));
    let workloads = house.workloads(vec![hanging.clone(), Told::new("k8s", Ok("ns:shop"))], Duration::from_secs(2));
    let peers: Vec<_> = sleepers.iter().map(Sleeper::peer).collect();
    let all = futures_util::future::join_all(peers.iter().map(|peer| workloads.attest(peer)));
    // Were a turn held while a daemon is asked, no more than so many would ever be asked at once.
    let asked_at_once = async {
        while hanging.callers.lock().unwrap().len() <= MAX_IDENTIFYING {
            hanging.asked.notified().await;
        }
    };
    let (attested, ()) = tokio::join!(all, asked_at_once);
    for attested in attested {
        let attested = attested.unwrap();
        assert_eq!(of_kind(&attested, "k8s"), ["k8s:ns:shop"]);
        assert_eq!(attested.failures[0].reason, "there was no answer within 2s");
    }
}

#[tokio::test]
async fn identities_follow_from_what_daemons_know() {
    let (house, sleeper) = (House::new([entry("web", ["docker:label:app:web"])]).await, Sleeper::start());
    house.put(&sleeper.pid().to_string(), DOCKER);
    let knowing = house.workloads(vec![Told::new("docker", Ok("label:app:web"))], LONG);
    assert_eq!(knowing.identities(&sleeper.peer()).await.unwrap().svids.len(), 1);
    let failing = house.workloads(vec![Told::new("docker", Err("is not there"))], LONG);
    assert!(failing.identities(&sleeper.peer()).await.unwrap().svids.is_empty());
}

/// Keeps refusals, unless it is full.
#[derive(Debug, Default)]
struct Refused(Mutex<Vec<RefusalRecord>>);

impl Audit for Refused {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        let Record::Refusal(record) = record else { panic!("{record:?}") };
        self.0.lock().unwrap().push(*record);
        Ok(Taken::NOW)
    }
}

#[tokio::test]
async fn who_gets_nothing_is_on_record_once_a_minute_with_the_number_of_times() {
    let (house, mut sleeper) = (House::new([]).await, Sleeper::start());
    house.put(&sleeper.pid().to_string(), "/user.slice");
    let (log, clock) = (Arc::<Refused>::default(), Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1))));
    let backlog = Backlog::new(log.clone(), Readiness::default(), BacklogMetrics::default());
    let workloads = house.workloads(Vec::new(), LONG).with_record(backlog, clock.clone());
    let peer = sleeper.peer();
    assert!(workloads.identify(&peer).await.unwrap().1.svids.is_empty());
    assert!(workloads.bundles(&peer).await.unwrap().1.is_empty(), "which is no identity, and on no record");
    assert!(workloads.jwt_svids(&peer, &["orders".to_owned()], None).await.unwrap().is_empty());
    clock.advance(Duration::from_mins(1));
    workloads.identify(&peer).await.unwrap();
    sleeper.0.kill().unwrap();
    sleeper.0.wait().unwrap();
    workloads.identify(&peer).await.unwrap_err();
    let records = log.0.lock().unwrap();
    let told: Vec<_> = records.iter().map(|record| (&*record.reason, record.count)).collect();
    assert_eq!(told, [("no_entry", 1), ("no_entry", 2), ("not_attested", 1)]);
    assert_eq!((records[0].uid, records[0].pid), (peer.uid, peer.pid));
    assert!(records[0].selectors.iter().any(|selector| *selector == format!("unix:uid:{}", peer.uid)));
    assert!(records[2].error.is_some() && records[2].selectors.is_empty());
}
