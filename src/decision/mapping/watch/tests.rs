use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::super::fixture::SCHEMA;
use super::*;
use crate::decision::policy::fixture::Directory;
use crate::foundation::shutdown::{Phase, Shutdown};

/// What was told, in order.
#[derive(Default)]
struct Told(Mutex<Vec<String>>, Notify, AtomicBool);

impl Told {
    fn say(&self, what: String) {
        self.0.lock().unwrap().push(what);
        self.1.notify_one();
    }

    /// The next thing that is told.
    async fn next(&self) -> String {
        loop {
            {
                let mut told = self.0.lock().unwrap();
                if !told.is_empty() {
                    return told.remove(0);
                }
            }
            self.1.notified().await;
        }
    }
}

impl MappingEvents for Told {
    fn enter(&self, _next: &Snapshot<Mapping>) -> Result<(), String> {
        if self.2.load(Ordering::SeqCst) { Err("no record".to_owned()) } else { Ok(()) }
    }

    fn held_back(&self, kept: &Snapshot<Mapping>, error: &LoadError) {
        self.say(format!("held back, {} kept: {}", kept.len(), error.problems()[0].message()));
    }

    fn loaded(&self, current: &Snapshot<Mapping>) {
        self.say(format!("loaded {}", current.len()));
    }

    fn refused(&self, kept: &Snapshot<Mapping>, error: &LoadError, misfit: bool) {
        let what = if misfit { "misfit" } else { "refused" };
        let first = error.to_string().lines().next().unwrap().to_owned();
        let from_name = first.find("m.yaml").map_or("", |at| first.split_at(at).1);
        self.say(format!("{what}, {} kept: {from_name}", kept.len()));
    }

    fn recovered(&self, current: &Snapshot<Mapping>) {
        self.say(format!("recovered {}", current.len()));
    }
}

fn routes(routes: &[&str]) -> String {
    let lines: Vec<_> = routes.iter().map(|route| format!("  - {route}\n")).collect();
    format!("version: 1\nroutes:\n{}", lines.concat())
}

const POLICY: (&str, &str) = ("p.cedar", "permit (principal, action, resource);");

fn policies(schema: &str) -> PolicySet {
    Directory::new(&[("s.cedarschema", schema), POLICY]).load().unwrap()
}

#[tokio::test]
async fn good_changes_are_put_in_place_and_bad_ones_are_told() {
    let (one, two) = ("{match: {path: /one, method: GET}}", "{match: {path: /two, method: POST}}");
    let files = Directory::new(&[("m.yaml", &routes(&[one]))]);
    let path = files.path().join("m.yaml");
    let mapping = Arc::new(Watched::new(Mapping::load(&path).unwrap()));
    let policies_in_force = Arc::new(Watched::new(policies(SCHEMA)));
    let (told, shutdown) = (Arc::new(Told::default()), Shutdown::default());
    let poll = Duration::from_millis(20);
    let watching =
        watch(path, Arc::clone(&mapping), Arc::clone(&policies_in_force), told.clone(), poll, shutdown.signal());
    let mut tasks = JoinSet::new();
    tasks.spawn(watching);

    files.write("m.yaml", &routes(&[one, two]));
    assert_eq!(told.next().await, "loaded 2");
    assert_eq!(mapping.load().len(), 2);

    files.write("m.yaml", "version: 1\nroutes: nothing\n");
    assert!(told.next().await.starts_with("refused, 2 kept: m.yaml:2:9: "));
    files.write("m.yaml", &routes(&[one, two]));
    assert_eq!(told.next().await, "recovered 2");

    // What does not fit the schema is refused, and taken up once the schema has room for it.
    let put = "{match: {path: /put, method: PUT}}";
    files.write("m.yaml", &routes(&[put]));
    assert!(told.next().await.contains("the schema has no action `PUT`"));
    policies_in_force.replace(policies(&SCHEMA.replace("action GET,", "action PUT, GET,")));
    assert_eq!(told.next().await, "loaded 1");

    // A schema without room for what is in place is in force all the same, and it is told.
    policies_in_force.replace(policies(SCHEMA));
    assert_eq!(told.next().await, "misfit, 1 kept: m.yaml:3:5: route `PUT /put`: the schema has no action `PUT`");
    assert_eq!(mapping.load().len(), 1);
    policies_in_force.replace(policies(&SCHEMA.replace("action GET,", "action PUT, GET,")));
    assert_eq!(told.next().await, "recovered 1");

    std::fs::remove_file(files.path().join("m.yaml")).unwrap();
    assert!(told.next().await.starts_with("refused, 1 kept: "));
    files.write("m.yaml", &routes(&[one]));
    assert_eq!(told.next().await, "loaded 1");

    // What can't be recorded is not in place until it can.
    told.2.store(true, Ordering::SeqCst);
    files.write("m.yaml", &routes(&[one, two]));
    assert_eq!(told.next().await, "held back, 1 kept: the new routes wait: no record");
    sleep(2 * RETRY).await;
    assert_eq!(mapping.load().len(), 1);
    told.2.store(false, Ordering::SeqCst);
    assert_eq!(told.next().await, "loaded 2");
    assert_eq!(mapping.load().len(), 2);

    shutdown.advance(Phase::Draining);
    tasks.join_next().await.unwrap().unwrap();
    assert!(told.0.lock().unwrap().is_empty());
}
