use std::sync::Mutex;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::super::contract::types;
use super::super::source::SourceFuture;
use super::*;
use crate::decision::entity::watched::InForce;
use crate::decision::policy::PolicyTarget as _;
use crate::decision::policy::fixture::Directory;
use crate::foundation::shutdown::{Phase, Shutdown};
use crate::foundation::watched::Watched;

/// Says what it is told to, and writes down what was asked of it.
#[derive(Clone, Debug, Default)]
struct Script(Arc<Said>);

#[derive(Debug)]
struct Said {
    text: Mutex<Result<String, String>>,
    news: Notify,
    readings: Mutex<Vec<bool>>,
}

impl Default for Said {
    fn default() -> Self {
        Self { text: Mutex::new(Err("not there yet".to_owned())), news: Notify::new(), readings: Mutex::default() }
    }
}

impl EntitySource for Script {
    fn read<'a>(&'a mut self, whole: bool, intake: &'a mut Intake) -> SourceFuture<'a, Extent> {
        Box::pin(async move {
            self.0.readings.lock().unwrap().push(whole);
            let text = self.0.text.lock().unwrap().clone().map_err(SourceError::Unavailable)?;
            intake.document(&"script".into(), text.as_bytes())?;
            Ok(Extent::Whole)
        })
    }

    fn wait(&mut self) -> SourceFuture<'_, ()> {
        Box::pin(async {
            self.0.news.notified().await;
            Ok(())
        })
    }
}

impl Script {
    fn say(&self, text: Result<&str, &str>) {
        *self.0.text.lock().unwrap() = text.map(str::to_owned).map_err(str::to_owned);
        self.0.news.notify_one();
    }
}

/// Writes down what it is told, and lets others wait for it.
#[derive(Debug)]
struct Heard(Mutex<Vec<String>>, Semaphore);

impl EntityEvents for Heard {
    fn read(&self, source: &str, applied: &Applied, epoch: Epoch) {
        self.tell(format!("{source} has {} at {epoch}, {} bad", applied.entities, applied.refused.len()));
    }

    fn failed(&self, source: &str, error: &SourceError) {
        self.tell(format!("{source} failed: {error}"));
    }

    fn reached(&self, _source: &str) {}
}

impl Heard {
    fn tell(&self, what: String) {
        self.0.lock().unwrap().push(what);
        self.1.add_permits(1);
    }

    async fn next(&self) -> String {
        self.1.acquire().await.unwrap().forget();
        self.0.lock().unwrap().remove(0)
    }
}

const ALICE: &str = r#"[{"uid": {"type": "User", "id": "alice"}, "attrs": {"level": 1}, "parents": []}]"#;

#[tokio::test(start_paused = true)]
async fn what_a_source_said_stands_while_it_fails() {
    let (script, heard) = (Script::default(), Arc::new(Heard(Mutex::default(), Semaphore::new(0))));
    let store = Arc::new(EntityStore::of_types(&types(), [Arc::from("script")]));
    let events = Arc::clone(&heard) as Arc<dyn EntityEvents>;
    let mut follower =
        Follower::new(("script".into(), 0), Box::new(script.clone()), Arc::clone(&store), Arc::clone(&events));

    let mut patient = JoinSet::new();
    patient.spawn(async move {
        follower.load(Arc::new(Unseen)).await;
        follower
    });
    assert_eq!(heard.next().await, "script failed: not there yet");
    assert_eq!(heard.next().await, "script failed: not there yet");
    script.say(Ok(ALICE));
    let mut told = heard.next().await;
    while told.ends_with("not there yet") {
        told = heard.next().await;
    }
    assert_eq!(told, "script has 1 at 2, 0 bad");
    assert!(script.0.readings.lock().unwrap().iter().all(|whole| *whole));

    let shutdown = Shutdown::default();
    let mut running = JoinSet::new();
    running.spawn(patient.join_next().await.unwrap().unwrap().run(shutdown.signal()));
    // What was told during the load may have left one notice.
    script.say(Err("away"));
    let mut told = heard.next().await;
    while !told.ends_with("away") {
        told = heard.next().await;
    }
    assert_eq!(store.load().len(), 1);
    script.say(Ok("[7]"));
    while !told.starts_with("script has") {
        told = heard.next().await;
    }
    assert_eq!(told, "script has 0 at 3, 1 bad");
    assert_eq!(script.0.readings.lock().unwrap().last(), Some(&false));

    shutdown.advance(Phase::Draining);
    running.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_new_schema_has_the_source_read_by_it() {
    let (script, heard) = (Script::default(), Arc::new(Heard(Mutex::default(), Semaphore::new(0))));
    let schema = |level: &str| {
        format!(
            "entity Team; entity User in [Team] {{ level: {level} }};
             action read appliesTo {{ principal: User, resource: Team }};"
        )
    };
    let directory = Directory::new(&[("s.cedarschema", &schema("Long"))]);
    directory.write("p.cedar", "permit(principal, action, resource);");
    let policies = Arc::new(Watched::new(directory.load().unwrap()));
    let store = Arc::new(EntityStore::new(Arc::clone(&policies), ["policies".into(), "script".into()]));
    let target = InForce { policies, entities: Arc::clone(&store) };
    let events = Arc::clone(&heard) as Arc<dyn EntityEvents>;
    let mut follower = Follower::new(("script".into(), 1), Box::new(script.clone()), Arc::clone(&store), events);
    script.say(Ok(ALICE));
    follower.load(Arc::new(Unseen)).await;
    let shutdown = Shutdown::default();
    let mut running = JoinSet::new();
    running.spawn(follower.run(shutdown.signal()));
    assert_eq!(heard.next().await, "script has 1 at 2, 0 bad");

    directory.write("s.cedarschema", &schema("String"));
    script.say(Ok(&ALICE.replace('1', "\"one\"")));
    target.put(directory.load().unwrap());
    target.awaited().wait_for(Option::is_none).await.unwrap();
    let new = directory.load().unwrap().policy_digest();
    assert_eq!((target.current().policy_digest(), store.load().len()), (new, 1));
    shutdown.advance(Phase::Draining);
    running.join_next().await.unwrap().unwrap();
}
