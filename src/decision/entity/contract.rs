//! What every source must do, and a schema to do it by.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::SchemaFragment;
use tokio::time::timeout;

use super::catalog::Applied;
use super::intake::Intake;
use super::progress::Unseen;
use super::source::{EntitySource, Extent, SourceError};
use super::uid::UidRef;
use super::watched::EntityStore;
use crate::decision::schema::SchemaTypes;
use crate::decision::value::Value;

/// The schema of the tests of sources.
const SCHEMA: &str = "
    entity Team in [Team];
    entity User in [Team] { level: Long } tags String;
    action read appliesTo { principal: User, resource: Team };
";

/// How long a source may take to say that something changed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The types of that schema.
pub(in crate::decision) fn types() -> Arc<SchemaTypes> {
    let (fragment, _warnings) = SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
    Arc::new(SchemaTypes::of(&[fragment.to_json_value().unwrap()]).unwrap())
}

/// Whoever stands behind a source and changes what it says.
pub(crate) trait Backstage {
    /// Has the source say exactly this of the users: id, level, team.
    async fn say(&mut self, users: &[(&str, i64, &str)]);

    /// Has it say something beside that can't be a user, under the id `broken`.
    async fn say_nonsense(&mut self);

    /// Has it be out of reach, or back again.
    async fn reach(&mut self, reachable: bool);
}

/// A source with a store of its own.
pub(crate) struct Bench {
    source: Box<dyn EntitySource>,
    store: EntityStore,
}

impl Bench {
    /// For `source` alone.
    pub(crate) fn new(source: Box<dyn EntitySource>) -> Self {
        Self { source, store: EntityStore::of_types(&types(), [Arc::from("tested")]) }
    }

    /// Reads once, and takes what came.
    async fn read(&mut self, whole: bool) -> Result<(Extent, Applied), SourceError> {
        let mut intake = Intake::new(self.store.readers().borrow().clone(), Arc::new(Unseen));
        let extent = self.source.read(whole, &mut intake).await?;
        Ok((extent, self.store.apply(0, intake, extent).unwrap()))
    }

    /// Reads all there is.
    pub(crate) async fn read_all(&mut self) -> Applied {
        self.read(true).await.unwrap().1
    }

    /// Reads all there is, which must fail.
    pub(crate) async fn read_error(&mut self) -> String {
        self.read(true).await.unwrap_err().to_string()
    }

    /// Waits and reads until `wanted` holds.
    async fn until(&mut self, wanted: impl Fn(&Self, &Applied) -> bool) -> Applied {
        let looking = async {
            loop {
                let woken = self.source.wait().await;
                if let (Ok(()), Ok((_, applied))) = (woken, self.read(false).await)
                    && wanted(self, &applied)
                {
                    return applied;
                }
            }
        };
        timeout(PATIENCE, looking).await.expect("the source never said so")
    }

    /// Waits and reads until there are just these users.
    pub(crate) async fn until_users(&mut self, users: &[(&str, i64, &str)]) {
        self.until(|bench, _| bench.says(users)).await;
    }

    /// The level and the parents of each user, sorted.
    fn users(&self) -> Vec<(String, i64, Vec<String>)> {
        let entities = self.store.load();
        let mut users: Vec<_> = entities
            .iter()
            .map(|node| {
                let Some(Value::Long(level)) = node.attributes().get("level") else { panic!("{node:?}") };
                let parents = node.parents().iter().map(|parent| parent.id().to_owned()).collect();
                (node.uid().id().to_owned(), *level, parents)
            })
            .collect();
        users.sort();
        users
    }

    fn says(&self, expected: &[(&str, i64, &str)]) -> bool {
        let expected: Vec<_> =
            expected.iter().map(|(id, level, team)| ((*id).to_owned(), *level, vec![(*team).to_owned()])).collect();
        self.users() == expected
    }
}

/// Runs a source through all that it must do. It says nothing yet.
pub(crate) async fn keeps_the_contract(source: Box<dyn EntitySource>, mut backstage: impl Backstage) {
    let mut bench = Bench::new(source);
    let first = [("alice", 1, "red"), ("bob \"b\"\n", -2, "blue")];
    backstage.say(&first).await;
    let (extent, applied) = bench.read(true).await.unwrap();
    assert_eq!((extent, applied.entities, applied.refused.len()), (Extent::Whole, 2, 0));
    assert!(bench.says(&first), "{:?}", bench.users());

    // Nothing new is nothing new, however often it is asked for.
    let epoch = bench.store.load().epoch();
    bench.read(false).await.unwrap();
    assert!(!bench.read(true).await.unwrap().1.changed);
    assert_eq!(bench.store.load().epoch(), epoch);

    // A change, an addition and a removal in one; whoever holds a snapshot sees none of it.
    let held = bench.store.load();
    let second = [("alice", 5, "blue"), ("carol", 3, "red")];
    backstage.say(&second).await;
    bench.until(|bench, _| bench.says(&second)).await;
    assert_eq!(held.get(UidRef::new("User", "alice")).unwrap().attributes().get("level"), Some(&Value::Long(1)));

    // A bad record is told by name, and the others stand.
    backstage.say_nonsense().await;
    let applied = bench.until(|_, applied| !applied.refused.is_empty()).await;
    assert!(bench.says(&second), "{:?}", bench.users());
    let told = applied.refused[0].to_string();
    assert!(told.contains("`User::\"broken\"`") && !told.starts_with(':'), "{told}");

    // What is out of reach keeps what it said, and is not missed when it is back.
    backstage.reach(false).await;
    let failed = async { while bench.source.wait().await.is_ok() && bench.read(false).await.is_ok() {} };
    timeout(PATIENCE, failed).await.expect("the source never failed");
    assert!(bench.says(&second), "{:?}", bench.users());
    backstage.reach(true).await;
    let third = [("dave", 9, "red")];
    backstage.say(&third).await;
    let applied = bench.until(|bench, _| bench.says(&third)).await;
    assert!(applied.refused.is_empty(), "{:?}", applied.refused);
}
