use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::decision::entity::EntityStore;
use crate::decision::entity::intake::{Intake, Row};
use crate::decision::entity::progress::Unseen;
use crate::decision::entity::source::Extent;
use crate::decision::entity::watched::InForce;
use crate::decision::policy::Effect;
use crate::decision::policy::fixture::{Directory, SCHEMA, question};
use crate::foundation::shutdown::{Phase, Shutdown};

const PERMIT: &str = "@id(\"p\") permit(principal, action, resource);";
const FORBID: &str = "@id(\"f\") forbid(principal, action, resource);";
/// Long enough on any machine.
const SOON: Duration = Duration::from_secs(20);
/// Long enough to show that nothing comes.
const QUIET: Duration = Duration::from_millis(700);
/// Looks so rarely that what is seen was seen by inotify.
const NEVER: Duration = Duration::from_hours(1);

#[derive(Debug, PartialEq)]
enum Told {
    Loaded(u64),
    Refused(u64, String),
    HeldBack(u64, String),
    Recovered(u64),
}

struct Teller(mpsc::UnboundedSender<Told>);

impl PolicyEvents for Teller {
    fn loaded(&self, current: &Snapshot<PolicySet>) {
        self.0.send(Told::Loaded(current.epoch().number())).unwrap();
    }

    fn refused(&self, kept: &Snapshot<PolicySet>, error: &LoadError) {
        self.0.send(Told::Refused(kept.epoch().number(), error.to_string())).unwrap();
    }

    fn held_back(&self, kept: &Snapshot<PolicySet>, error: &LoadError) {
        self.0.send(Told::HeldBack(kept.epoch().number(), error.to_string())).unwrap();
    }

    fn recovered(&self, current: &Snapshot<PolicySet>) {
        self.0.send(Told::Recovered(current.epoch().number())).unwrap();
    }
}

struct Watching<T = Watched<PolicySet>> {
    target: Arc<T>,
    told: mpsc::UnboundedReceiver<Told>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Watching {
    async fn start(directory: &Path) -> Self {
        Self::looking_every(NEVER, directory).await
    }

    async fn looking_every(poll: Duration, directory: &Path) -> Self {
        Self::over(Arc::new(Watched::new(PolicySet::load(directory).unwrap())), poll, directory).await
    }
}

impl<T: PolicyTarget> Watching<T> {
    async fn over(target: Arc<T>, poll: Duration, directory: &Path) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let shutdown = Shutdown::default();
        let follower = Follower::new(directory.to_owned(), Arc::<T>::clone(&target), Arc::new(Teller(sender)));
        #[expect(clippy::disallowed_methods, reason = "the test itself owns the task and joins it")]
        let task = tokio::spawn(follower.run(poll, shutdown.signal()));
        // Long enough for the watch to stand; what changes before that would be seen by its first look.
        sleep(Duration::from_millis(200)).await;
        Self { target, told, shutdown, task }
    }

    async fn within(&mut self, limit: Duration) -> Told {
        timeout(limit, self.told.recv()).await.expect("nothing was told in time").unwrap()
    }

    async fn silence(&mut self, span: Duration) {
        if let Ok(told) = timeout(span, self.told.recv()).await {
            panic!("told {told:?}");
        }
    }

    fn effect(&self) -> Effect {
        self.target.current().evaluate(&question()).unwrap().effect
    }

    async fn stop(self) {
        self.shutdown.advance(Phase::Draining);
        timeout(SOON, self.task).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_followed_and_one_that_changes_nothing_makes_no_epoch() {
    let directory = Directory::of(PERMIT);
    let mut watching = Watching::start(directory.path()).await;
    directory.write("p.cedar", FORBID);
    assert_eq!(watching.within(SOON).await, Told::Loaded(2));
    assert_eq!(watching.effect(), Effect::Forbid);
    directory.write("p.cedar", FORBID);
    directory.write("notes.txt", "not a policy");
    watching.silence(QUIET).await;
    directory.write("e.json", "[]");
    assert_eq!(watching.within(SOON).await, Told::Loaded(3));
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_swap_of_a_kubernetes_volume_is_followed() {
    let volume = Directory::new(&[]);
    let root = volume.path();
    let version = |name: &str, policies: &str| {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("p.cedar"), policies).unwrap();
        fs::write(root.join(name).join("s.cedarschema"), SCHEMA).unwrap();
    };
    version("..2026_1", PERMIT);
    symlink("..2026_1", root.join("..data")).unwrap();
    for name in ["p.cedar", "s.cedarschema"] {
        symlink(Path::new("..data").join(name), root.join(name)).unwrap();
    }
    let mut watching = Watching::start(root).await;
    version("..2026_2", FORBID);
    symlink("..2026_2", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    fs::remove_dir_all(root.join("..2026_1")).unwrap();
    assert_eq!(watching.within(SOON).await, Told::Loaded(2));
    assert_eq!(watching.effect(), Effect::Forbid);
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_keeps_the_last_good_set_and_is_told_once() {
    let directory = Directory::of(PERMIT);
    let mut watching = Watching::start(directory.path()).await;
    directory.write("p.cedar", "// soon\npermit(principal action, resource);");
    let Told::Refused(1, error) = watching.within(SOON).await else { panic!("a broken edit was not refused") };
    assert!(error.contains("p.cedar:2:18: "), "{error}");
    assert_eq!(watching.effect(), Effect::Permit);
    directory.write("p.cedar", "// soon\npermit(principal action, resource);");
    watching.silence(QUIET).await;
    directory.write("p.cedar", "permit(principal, action resource);");
    assert!(matches!(watching.within(SOON).await, Told::Refused(1, other) if other != error));
    directory.write("p.cedar", PERMIT);
    assert_eq!(watching.within(SOON).await, Told::Recovered(1));
    directory.write("p.cedar", "permit(");
    assert!(matches!(watching.within(SOON).await, Told::Refused(1, _)));
    directory.write("p.cedar", FORBID);
    assert_eq!(watching.within(SOON).await, Told::Loaded(2));
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_all_policies_keeps_the_last_good_set() {
    let directory = Directory::of(PERMIT);
    let mut watching = Watching::start(directory.path()).await;
    fs::remove_file(directory.path().join("p.cedar")).unwrap();
    assert!(matches!(watching.within(SOON).await, Told::Refused(1, error) if error.contains("no policies")));
    assert_eq!(watching.effect(), Effect::Permit);
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_deleted_and_made_again_is_followed() {
    let above = Directory::new(&[]);
    let path = above.path().join("policies");
    let fill = |policies: &str| {
        fs::create_dir(&path).unwrap();
        fs::write(path.join("s.cedarschema"), SCHEMA).unwrap();
        fs::write(path.join("p.cedar"), policies).unwrap();
    };
    fill(PERMIT);
    let mut watching = Watching::start(&path).await;
    fs::remove_dir_all(&path).unwrap();
    assert!(matches!(watching.within(SOON).await, Told::Refused(1, _)));
    assert_eq!(watching.effect(), Effect::Permit);
    fill(FORBID);
    // What is told of the directory while it is half made depends on when it was looked at.
    while watching.within(SOON).await != Told::Loaded(2) {}
    fs::write(path.join("e.json"), "[]").unwrap();
    assert_eq!(watching.within(SOON).await, Told::Loaded(3), "the new directory is not watched");
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_an_event_is_seen_by_the_look_every_few_seconds() {
    let elsewhere = Directory::new(&[("real", PERMIT)]);
    let directory = Directory::new(&[("s.cedarschema", SCHEMA)]);
    symlink(elsewhere.path().join("real"), directory.path().join("p.cedar")).unwrap();
    let mut watching = Watching::looking_every(Duration::from_millis(100), directory.path()).await;
    elsewhere.write("real", FORBID);
    assert_eq!(watching.within(SOON).await, Told::Loaded(2));
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_between_the_first_load_and_the_watch_is_not_lost() {
    let directory = Directory::of(PERMIT);
    let target = Arc::new(Watched::new(directory.load().unwrap()));
    directory.write("p.cedar", FORBID);
    let (sender, mut told) = mpsc::unbounded_channel();
    let shutdown = Shutdown::default();
    let following =
        watch(directory.path().to_owned(), target, Arc::new(Teller(sender)), Duration::from_secs(2), shutdown.signal());
    let first = async {
        let told = timeout(SOON, told.recv()).await;
        shutdown.advance(Phase::Draining);
        told
    };
    let ((), told) = tokio::join!(following, first);
    assert_eq!(told.unwrap(), Some(Told::Loaded(2)));
}

/// Two files that only make sense together: a reader that saw one of each would find a permit and no forbid.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_during_reloads_see_one_state_and_never_a_mixture() {
    let directory = Directory::of(PERMIT);
    directory.write("q.cedar", "@id(\"f\") forbid(principal, action, resource);");
    let mut watching = Watching::start(directory.path()).await;
    let (stop, decided) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (target, stop, decided) = (Arc::clone(&watching.target), Arc::clone(&stop), Arc::clone(&decided));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let evaluation = target.load().evaluate(&question()).unwrap();
                    assert_eq!(evaluation.effect, Effect::Forbid);
                    decided.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..5_u64 {
        directory.write("p.cedar", &format!("{PERMIT} // {round}"));
        assert_eq!(watching.within(SOON).await, Told::Loaded(round + 2));
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    assert!(decided.load(Ordering::Relaxed) > 100);
    watching.stop().await;
}

/// The files are replaced again and again, all at once by a rename; every set that is read is one of the two.
#[test]
fn a_read_in_the_middle_of_a_swap_is_read_again() {
    const FILES: usize = 100;
    const READS: usize = 30;
    let volume = Directory::new(&[]);
    let root = volume.path().to_owned();
    for (name, digit) in [("one", "1"), ("two", "2")] {
        fs::create_dir(root.join(name)).unwrap();
        for index in 0..FILES {
            fs::write(root.join(name).join(format!("{index}.json")), digit.repeat(1000)).unwrap();
        }
    }
    symlink("one", root.join("..data")).unwrap();
    for index in 0..FILES {
        symlink(format!("..data/{index}.json"), root.join(format!("{index}.json"))).unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (root, stop) = (root.clone(), Arc::clone(&stop));
        move || {
            let names = ["one", "two"].into_iter().cycle();
            for (name, pause) in names.zip([200, 500, 1000, 2000, 20_000].into_iter().cycle()) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                symlink(name, root.join("..new")).unwrap();
                fs::rename(root.join("..new"), root.join("..data")).unwrap();
                std::thread::sleep(Duration::from_micros(pause));
            }
        }
    });
    let mut consistent = 0;
    let mut mixtures = 0;
    for sources in (0..READS).filter_map(|_| Sources::read(&root).ok()) {
        let texts: std::collections::BTreeSet<_> = sources.files().map(|file| file.text.as_str()).collect();
        if texts.len() == 1 { consistent += 1 } else { mixtures += 1 }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(mixtures, 0, "a mixture of two states was read");
    assert!(consistent > READS / 2, "only {consistent} reads found the directory at rest");
}

/// Policies and entities in force, of which one has a level.
fn with_a_level(directory: &Directory) -> InForce {
    let policies = Arc::new(Watched::new(directory.load().unwrap()));
    let entities = Arc::new(EntityStore::new(Arc::clone(&policies), ["policies".into(), "people".into()]));
    let target = InForce { policies, entities };
    say(&target, r#"{"level": 1}"#);
    target
}

/// Has the source say this of alice.
fn say(target: &InForce, attributes: &str) {
    let mut intake = Intake::new(target.entities.readers().borrow().clone(), Arc::new(Unseen));
    intake.row(&"table".into(), Row { kind: "User", id: "alice", attributes, tags: "{}", parents: "[]" });
    target.entities.apply(1, intake, Extent::Whole).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_waits_for_entities_is_told_and_comes_later_or_is_taken_back() {
    let directory = Directory::of(PERMIT);
    let target = Arc::new(with_a_level(&directory));
    let mut watching =
        Watching::over(Arc::<InForce>::clone(&target), Duration::from_millis(100), directory.path()).await;
    let digest = || target.policies.load().policy_digest();
    let (before, mut readers) = (digest(), target.entities.readers());
    let other = SCHEMA.replace("level?: Long", "level?: String");

    directory.write("s.cedarschema", &other);
    readers.changed().await.unwrap();
    target.entities.failed(1, "away");
    let Told::Refused(_, told) = watching.within(SOON).await else { panic!("it was not told that it waits") };
    assert!(told.ends_with("the new schema waits for the source `people`, which can't be read: away"), "{told}");
    directory.write("s.cedarschema", SCHEMA);
    assert!(matches!(watching.within(SOON).await, Told::Recovered(_)));
    say(&target, r#"{"level": "one"}"#);
    assert_eq!(digest(), before, "what was taken back came all the same");

    say(&target, r#"{"level": 1}"#);
    readers.mark_unchanged();
    directory.write("s.cedarschema", &other);
    readers.changed().await.unwrap();
    say(&target, r#"{"level": 1}"#);
    let Told::Refused(_, told) = watching.within(SOON).await else { panic!("it was not told that it waits") };
    assert!(told.contains("`people`, which has 1 records that the new schema refuses"), "{told}");
    assert_eq!(digest(), before);
    say(&target, r#"{"level": "one"}"#);
    assert_ne!(digest(), before);
    assert!(matches!(watching.within(SOON).await, Told::Loaded(_)));
    watching.stop().await;
}

/// A log that is full at times.
#[derive(Debug, Default)]
struct Full(AtomicBool);

impl PolicyGate for Full {
    fn enter(&self, next: &Snapshot<PolicySet>) -> Result<(), String> {
        let told = format!("no record of epoch {}", next.epoch());
        if self.0.load(Ordering::SeqCst) { Err(told) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_can_not_be_recorded_do_not_decide_until_they_can() {
    let directory = Directory::of(PERMIT);
    let policies = Arc::new(Watched::new(directory.load().unwrap()));
    let gate = Arc::new(Full::default());
    let entities = EntityStore::new(Arc::clone(&policies), ["policies".into(), "people".into()]);
    let entities = Arc::new(entities.with_gate(Arc::clone(&gate) as Arc<dyn PolicyGate>));
    let target = Arc::new(InForce { policies, entities });
    say(&target, r#"{"level": 1}"#);
    let mut watching = Watching::over(Arc::<InForce>::clone(&target), NEVER, directory.path()).await;
    let epoch = target.policies.load().epoch().number();

    gate.0.store(true, Ordering::SeqCst);
    directory.write("p.cedar", FORBID);
    let Told::HeldBack(kept, told) = watching.within(SOON).await else { panic!("it was not told that it waits") };
    assert_eq!(kept, epoch);
    assert!(told.ends_with(&format!("the new policies wait: no record of epoch {}", epoch + 1)), "{told}");
    watching.silence(QUIET).await;
    assert_eq!(watching.effect(), Effect::Permit, "it decides without a record");
    // Entities go on, and none of them is lost.
    say(&target, r#"{"level": 2}"#);
    assert_eq!(watching.effect(), Effect::Permit);
    let Told::HeldBack(kept, _) = watching.within(SOON).await else { panic!("the epoch is another now") };
    assert_eq!(kept, epoch + 1);
    gate.0.store(false, Ordering::SeqCst);
    assert_eq!(watching.within(SOON).await, Told::Loaded(epoch + 2));
    assert_eq!(watching.effect(), Effect::Forbid);

    // What is taken back while it waits never decides.
    gate.0.store(true, Ordering::SeqCst);
    directory.write("p.cedar", PERMIT);
    assert!(matches!(watching.within(SOON).await, Told::HeldBack(..)));
    directory.write("p.cedar", FORBID);
    assert!(matches!(watching.within(SOON).await, Told::Recovered(_)));
    gate.0.store(false, Ordering::SeqCst);
    watching.silence(QUIET).await;
    assert_eq!(watching.effect(), Effect::Forbid);
    watching.stop().await;
}
