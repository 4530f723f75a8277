mod stale;

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::shutdown::{Phase, Shutdown};
use crate::foundation::watched::Watched;
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::federation::memory::MemoryFederation;
use crate::identity::federation::tests::{domain, relationship as web};
use crate::identity::federation::{BundleAnswer, EndpointProfile, Relationships};
use crate::identity::svid::tests::mint;

/// What an endpoint says: a document, nothing at all, or an error.
#[derive(Clone, Debug)]
enum Says {
    Document(String),
    Nothing,
    Error(&'static str),
}

/// Endpoints that say one thing after the other, and the last of them from then on.
#[derive(Debug, Default)]
struct Script(Mutex<BTreeMap<String, VecDeque<Says>>>);

impl Script {
    fn put(&self, name: &str, says: impl IntoIterator<Item = Says>) {
        self.0.lock().unwrap().insert(name.to_owned(), says.into_iter().collect());
    }
}

impl BundleSource for Script {
    fn fetch<'a>(&'a self, relationship: &'a Relationship, _bundles: Arc<Bundles>) -> BundleAnswer<'a> {
        let name = relationship.trust_domain.to_string();
        let says = {
            let mut all = self.0.lock().unwrap();
            let script = all.entry(name).or_default();
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        Box::pin(async move {
            match says {
                Some(Says::Document(text)) => Ok(text.into_bytes()),
                Some(Says::Error(why)) => Err(FetchError(why.to_owned())),
                Some(Says::Nothing) | None => std::future::pending().await,
            }
        })
    }
}

/// What was told, in order; and what is to be remembered of ages.
#[derive(Debug, Default)]
struct Diary {
    lines: Mutex<Vec<String>>,
    dates: Mutex<BTreeMap<String, Age>>,
}

impl Diary {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    fn write(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

impl PeerEvents for Diary {
    fn fetched(&self, taken: &Taken) {
        let what = if taken.changed { "changed" } else { "same" };
        self.write(format!("{} {what} {}", taken.bundle.trust_domain, taken.bundle.sequence));
    }

    fn failed(&self, trust_domain: &TrustDomain, error: &RefreshError) {
        self.write(format!("{trust_domain} failed: {error}"));
    }

    fn stale(&self, trust_domain: &TrustDomain) {
        self.write(format!("{trust_domain} stale"));
    }

    fn dated(&self, trust_domain: &TrustDomain, age: Age) {
        self.dates.lock().unwrap().insert(trust_domain.to_string(), age);
    }

    fn ended(&self, trust_domain: &TrustDomain) {
        self.write(format!("{trust_domain} ended"));
    }
}

struct World {
    script: Arc<Script>,
    diary: Arc<Diary>,
    clock: Arc<ManualClock>,
    store: Arc<MemoryFederation>,
    bundles: Arc<Watched<Bundles>>,
    federation: Arc<Federation>,
    poller: Arc<Poller>,
}

impl World {
    async fn new(configured: &[&str], max_stale: Option<Duration>) -> Self {
        let ours = Bundle::of_x509(domain("example.org"), [authority("example.org").into()], 1);
        let bundles = Arc::new(Watched::new(Bundles::new([ours])));
        let store = Arc::new(MemoryFederation::default());
        let configured: Relationships = configured.iter().map(|name| (domain(name), Arc::new(web(name)))).collect();
        let federation =
            Federation::load(domain("example.org"), Arc::clone(&store) as _, Arc::clone(&bundles)).await.unwrap();
        let federation = Arc::new(federation.with_configured(configured));
        let (script, diary) = (Arc::new(Script::default()), Arc::new(Diary::default()));
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        let ports = PollPorts {
            source: Arc::clone(&script) as _,
            events: Arc::clone(&diary) as _,
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SystemEntropy::new()),
        };
        let seconds = Duration::from_secs;
        let config = PollConfig { timeout: seconds(10), shortest: seconds(30), longest: seconds(3600), max_stale };
        let poller = Arc::new(Poller::new(Arc::clone(&federation), ports, config));
        Self { script, diary, clock, store, bundles, federation, poller }
    }

    async fn refresh(&self, name: &str) -> Result<Taken, String> {
        self.poller.refresh(&domain(name)).await.map_err(|error| error.to_string())
    }

    /// How many authorities sign X.509-SVIDs of `name`, by the bundle that is in force.
    fn trusted(&self, name: &str) -> Option<usize> {
        self.bundles.load().get(&domain(name)).map(|bundle| bundle.x509_authorities.len())
    }
}

/// A certificate of an authority, DER.
fn authority(name: &'static str) -> Vec<u8> {
    mint::Authority::new(name).bundle(0).certificates().next().unwrap().to_vec()
}

fn jwk(certificate: &[u8]) -> String {
    let x5c = STANDARD.encode(certificate);
    format!(r#"{{"use":"x509-svid","kty":"EC","x5c":["{x5c}","c2Vjb25k"]}}"#)
}

fn document(sequence: Option<u64>, keys: &[String]) -> Says {
    let sequence = sequence.map(|it| format!(r#""spiffe_sequence":{it},"#)).unwrap_or_default();
    Says::Document(format!(r#"{{{sequence}"spiffe_refresh_hint":60,"keys":[{}]}}"#, keys.join(",")))
}

#[tokio::test]
async fn an_older_bundle_never_takes_the_place_of_a_newer_one() {
    let world = World::new(&["peer.org"], None).await;
    let (first, second) = (jwk(&authority("peer.org")), jwk(&authority("peer.org")));
    world.script.put("peer.org", [document(Some(7), &[first.clone(), second])]);
    assert!(world.refresh("peer.org").await.unwrap().changed);
    assert!(!world.refresh("peer.org").await.unwrap().changed);
    world.script.put("peer.org", [document(Some(6), std::slice::from_ref(&first))]);
    let refused = world.refresh("peer.org").await.unwrap_err();
    assert_eq!(refused, "the bundle of `peer.org` has the sequence 6, and 7 is held already");
    assert_eq!(world.trusted("peer.org"), Some(2));
    // The same number for other contents, and none at all, are bad manners and no rollback.
    world.script.put("peer.org", [document(Some(7), std::slice::from_ref(&first))]);
    assert!(world.refresh("peer.org").await.unwrap().changed);
    assert_eq!(world.trusted("peer.org"), Some(1));
    world.script.put("peer.org", [document(Some(8), &[])]);
    assert!(world.refresh("peer.org").await.unwrap().changed);
    assert_eq!(world.trusted("peer.org"), Some(0), "`keys: []` means that nobody is trusted");
    // None at all, where there was one, may be from before there were any.
    world.script.put("peer.org", [document(None, std::slice::from_ref(&first))]);
    let refused = world.refresh("peer.org").await.unwrap_err();
    assert_eq!(refused, "the bundle of `peer.org` came without a sequence, and 8 is held already");
    // One that nobody counts to would shut all later ones out.
    world.script.put("peer.org", [document(Some(1 << 53), &[first])]);
    assert!(world.refresh("peer.org").await.unwrap_err().contains("has a sequence above"));
    assert_eq!(world.trusted("peer.org"), Some(0));
}

#[tokio::test]
async fn what_is_not_understood_is_passed_over_and_another_domains_authority_left_out() {
    let world = World::new(&["peer.org"], None).await;
    let keys = [
        jwk(&authority("peer.org")),
        jwk(&authority("other.org")),
        r#"{"use":"wit-svid","kty":"EC"}"#.to_owned(),
        r#"{"kty":"EC"}"#.to_owned(),
        r#"{"use":"x509-svid","kty":"EC","x5c":[]}"#.to_owned(),
    ];
    world.script.put("peer.org", [document(None, &keys)]);
    let taken = world.refresh("peer.org").await.unwrap();
    assert_eq!((taken.bundle.x509_authorities.len(), taken.bundle.sequence), (1, 0));
    assert_eq!(taken.bundle.refresh_hint, Some(Duration::from_mins(1)));
    assert_eq!(world.trusted("other.org"), None, "nothing is merged into another domain's bundle");
    for text in ["", "[]", "{}", r#"{"keys":1}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
        world.script.put("peer.org", [Says::Document(text.to_owned())]);
        assert!(world.refresh("peer.org").await.is_err(), "{text}");
    }
    assert_eq!(world.trusted("peer.org"), Some(1), "what was good stays");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_costs_nobody_but_itself() {
    let world = World::new(&["good.org", "silent.org"], None).await;
    world.script.put("silent.org", [Says::Nothing]);
    world.script.put("good.org", [document(Some(1), &[jwk(&authority("good.org"))])]);
    let shutdown = Shutdown::default();
    let mut running = JoinSet::new();
    running.spawn(Arc::clone(&world.poller).run(shutdown.signal()));
    sleep(Duration::from_secs(9)).await;
    assert_eq!(world.diary.take(), ["good.org changed 1"]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.diary.take(), ["silent.org failed: no answer within 10s"]);
    // While it is asked again, ending waits for nothing.
    shutdown.advance(Phase::Draining);
    timeout(Duration::from_millis(1), running.join_next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn failures_are_waited_out_longer_each_time_and_the_hint_is_followed() {
    let world = World::new(&["peer.org"], None).await;
    let good = document(Some(1), &[jwk(&authority("peer.org"))]);
    let bad = Says::Error("refused");
    world.script.put("peer.org", [bad.clone(), bad.clone(), bad, good]);
    let shutdown = Shutdown::default();
    let mut running = JoinSet::new();
    running.spawn(Arc::clone(&world.poller).run(shutdown.signal()));
    let mut told = Vec::new();
    let mut elapsed = 0_u128;
    while told.len() < 6 {
        sleep(Duration::from_millis(10)).await;
        elapsed += 10;
        told.extend(world.diary.take().into_iter().map(|line| (elapsed, line)));
    }
    drop(running);
    let waits: Vec<_> = told.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    // Of a pause, half is waited at least; of an interval, nine tenths.
    let bounds = [(500, 1_000), (1_000, 2_000), (2_000, 4_000), (54_000, 60_000), (54_000, 60_000)];
    for (wait, (least, most)) in waits.iter().zip(bounds) {
        assert!((least..=most + 20).contains(wait), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn relationships_are_followed_as_they_come_and_go() {
    let world = World::new(&["fixed.org"], None).await;
    for name in ["fixed.org", "new.org"] {
        world.script.put(name, [document(Some(1), &[jwk(&authority(name))])]);
    }
    let shutdown = Shutdown::default();
    let mut running = JoinSet::new();
    running.spawn(Arc::clone(&world.poller).run(shutdown.signal()));
    let settle = || sleep(Duration::from_secs(1));
    settle().await;
    assert_eq!(world.diary.take(), ["fixed.org changed 1"]);
    world.federation.create_relationship(web("new.org"), None).await.unwrap();
    settle().await;
    assert_eq!(world.diary.take(), ["new.org changed 1"]);
    world.federation.delete_relationship(domain("new.org")).await.unwrap();
    settle().await;
    assert_eq!(world.diary.take(), ["new.org ended"]);
    assert!(world.poller.state(&domain("new.org")).is_none());
    let unknown = world.refresh("new.org").await.unwrap_err();
    assert_eq!(unknown, "there is no relationship with `new.org`");
    // What the configuration says is changed there.
    for refused in [
        world.federation.delete_relationship(domain("fixed.org")).await.unwrap_err(),
        world.federation.create_relationship(web("fixed.org"), None).await.unwrap_err(),
    ] {
        assert!(matches!(refused, FederationError::Configured(_)), "{refused}");
    }
    drop(running);
}

#[tokio::test]
async fn an_answer_to_a_relationship_that_was_changed_meanwhile_is_dropped() {
    let world = World::new(&[], None).await;
    let asked = world.federation.create_relationship(web("peer.org"), None).await.unwrap();
    let moved = |relationship: &mut Relationship| relationship.endpoint = "https://elsewhere/".parse().unwrap();
    world.federation.update_relationship(domain("peer.org"), moved, None).await.unwrap();
    let bundle = Bundle::of_x509(domain("peer.org"), [authority("peer.org").into()], 1);
    let late = world.federation.take(&asked, bundle).await.unwrap_err();
    assert!(matches!(late, FederationError::Unknown(_)), "{late}");
    assert_eq!(world.trusted("peer.org"), None);
}
