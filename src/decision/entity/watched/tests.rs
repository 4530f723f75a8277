//! A `forbid` reads an attribute whose type changes. At no moment may it not apply.

use super::super::intake::Row;
use super::super::progress::Unseen;
use super::*;
use crate::decision::policy::Effect;
use crate::decision::policy::fixture::{Directory, question};

/// The source of the tests, after the policy directory.
const PEOPLE: SourceIndex = 1;
const PERMIT: &str = "@id(\"p\") permit(principal, action, resource);";

/// A gateway's entities and policies.
struct World {
    directory: Directory,
    target: InForce,
}

fn schema(level: &str) -> String {
    format!(
        "entity Team; entity User in [Team] {{ level?: {level} }}; entity Document;
         action read appliesTo {{ principal: User, resource: Document }};"
    )
}

impl World {
    /// Who has a level above 5 may do nothing.
    fn new() -> Self {
        let directory = Directory::new(&[("s.cedarschema", &schema("Long"))]);
        directory.write("p.cedar", &format!("{PERMIT} @id(\"f\") forbid(principal, action, resource) when {{ principal has level && principal.level > 5 }};"));
        let policies = Arc::new(Watched::new(directory.load().unwrap()));
        let sources = ["policies".into(), "people".into(), "machines".into()];
        let entities = Arc::new(EntityStore::new(Arc::clone(&policies), sources));
        Self { directory, target: InForce { policies, entities } }
    }

    /// The same, with words for levels.
    fn change_schema(&self) {
        self.directory.write("s.cedarschema", &schema("String"));
        self.directory.write("p.cedar", &format!("{PERMIT} @id(\"f\") forbid(principal, action, resource) when {{ principal has level && principal.level == \"high\" }};"));
        self.target.put(self.directory.load().unwrap());
    }

    fn intake(&self) -> Intake {
        Intake::new(self.target.entities.readers().borrow().clone(), Arc::new(Unseen))
    }

    fn reading(&self, users: &[(&str, &str)]) -> Intake {
        let mut intake = self.intake();
        for (id, attributes) in users {
            let row = Row { kind: "User", id, attributes, tags: "{}", parents: r#"[{"type": "Team", "id": "red"}]"# };
            intake.row(&"table".into(), row);
        }
        intake
    }

    /// What a source says as a whole.
    fn say(&self, source: SourceIndex, users: &[(&str, &str)]) -> Applied {
        self.target.entities.apply(source, self.reading(users), Extent::Whole).unwrap()
    }

    fn change(&self, source: SourceIndex, users: &[(&str, &str)]) -> Applied {
        self.target.entities.apply(source, self.reading(users), Extent::Changes).unwrap()
    }

    /// Whether alice is forbidden to read.
    fn forbids(&self) -> bool {
        self.target.policies.load().evaluate(&question()).unwrap().effect == Effect::Forbid
    }

    /// Whether the set of the new schema decides.
    fn is_new(&self) -> bool {
        self.target.policies.load().policy_digest() == self.directory.load().unwrap().policy_digest()
    }

    fn owes(&self, source: SourceIndex) -> bool {
        self.target.entities.readers().borrow().owed.contains(&source)
    }

    fn waits_for(&self) -> Vec<String> {
        let awaited = self.target.awaited().borrow().clone().unwrap_or_default();
        awaited.iter().map(ToString::to_string).collect()
    }
}

const HIGH: (&str, &str) = ("alice", r#"{"level": 9}"#);
const HIGH_IN_WORDS: (&str, &str) = ("alice", r#"{"level": "high"}"#);

#[test]
fn policies_of_a_new_schema_wait_for_entities_that_fit_it_and_both_decide_from_one_moment_on() {
    let world = World::new();
    world.say(PEOPLE, &[HIGH, ("bob", r#"{"level": 1}"#), ("carol", "{}")]);
    assert!(world.forbids());
    world.change_schema();
    assert!(world.forbids() && !world.is_new() && world.owes(PEOPLE));
    assert_eq!(world.waits_for(), ["the new schema waits for the source `people`, which has not been read by it yet"]);

    // Read by the new schema, and still of the old one.
    world.say(PEOPLE, &[HIGH, ("bob", r#"{"level": 1}"#), ("carol", "{}")]);
    assert!(world.forbids() && !world.is_new() && !world.owes(PEOPLE));
    let told = world.waits_for();
    assert!(
        told.len() == 1
            && told[0].contains("the source `people`, which has 2 records that the new schema refuses")
            && told[0].contains("table: the entity `User::\"alice\"`: `attrs.level` must be a string"),
        "{told:?}"
    );

    // One row after the other: the first stands as it was until the other follows.
    assert!(world.change(PEOPLE, &[HIGH_IN_WORDS]).refused.is_empty());
    assert!(world.forbids() && !world.is_new());
    assert_eq!(world.target.entities.load().len(), 3);
    world.change(PEOPLE, &[("bob", r#"{"level": "low"}"#)]);
    assert!(world.forbids() && world.is_new());
    assert_eq!(world.waits_for(), [""; 0]);
    assert_eq!(world.target.policies.load().warnings(), []);
    world.change(PEOPLE, &[("alice", r#"{"level": "low"}"#)]);
    assert!(!world.forbids());
}

#[test]
fn all_sources_that_do_not_fit_are_waited_for_and_no_other() {
    let world = World::new();
    world.say(PEOPLE, &[HIGH]);
    world.say(2, &[("robot", "{}")]);
    world.change_schema();
    assert!(world.owes(PEOPLE) && !world.owes(2));
    let error = "away".to_owned();
    world.target.entities.failed(PEOPLE, &error);
    world.target.entities.failed(2, &error);
    assert_eq!(world.waits_for(), ["the new schema waits for the source `people`, which can't be read: away"]);
    // What changes meanwhile counts at once, and afterwards.
    world.change(2, &[("robot", "{}"), ("drone", "{}")]);
    assert_eq!(world.target.entities.load().len(), 3);
    world.say(PEOPLE, &[HIGH_IN_WORDS]);
    assert!(world.is_new() && world.forbids());
    assert_eq!(world.target.entities.load().len(), 3);
}

#[test]
fn what_fits_need_not_be_read_again() {
    let world = World::new();
    world.say(PEOPLE, &[("alice", "{}")]);
    world.change_schema();
    assert!(world.is_new() && !world.owes(PEOPLE));
    // What is refused now may be what a new `forbid` is about.
    world.say(PEOPLE, &[("alice", "{}"), ("bob", r#"{"level": 7}"#)]);
    world.directory.write("s.cedarschema", &schema("Long"));
    world.directory.write("p.cedar", PERMIT);
    world.target.put(world.directory.load().unwrap());
    assert!(!world.is_new() && world.owes(PEOPLE));
    world.say(PEOPLE, &[("alice", "{}"), ("bob", r#"{"level": 7}"#)]);
    assert!(world.is_new());
    assert_eq!(world.target.entities.load().len(), 2);
}

#[test]
fn what_is_of_a_type_that_is_gone_goes_with_it() {
    let world = World::new();
    let printer = |intake: &mut Intake| {
        intake.row(&"table".into(), Row { kind: "Team", id: "red", attributes: "{}", tags: "{}", parents: "[]" });
    };
    let mut intake = world.intake();
    printer(&mut intake);
    world.target.entities.apply(PEOPLE, intake, Extent::Whole).unwrap();
    world.directory.write(
        "s.cedarschema",
        "entity User; entity Document; action read appliesTo { principal: User, resource: Document };",
    );
    world.directory.write("p.cedar", PERMIT);
    world.target.put(world.directory.load().unwrap());
    assert!(!world.is_new());
    let mut intake = world.intake();
    printer(&mut intake);
    let applied = world.target.entities.apply(PEOPLE, intake, Extent::Whole).unwrap();
    assert!(world.is_new());
    assert_eq!((applied.entities, applied.refused.len()), (0, 1));
}

#[test]
fn what_was_read_by_a_schema_that_is_gone_counts_for_nothing() {
    let world = World::new();
    world.say(PEOPLE, &[HIGH]);
    let before = world.reading(&[HIGH]);
    world.change_schema();
    world.say(PEOPLE, &[HIGH_IN_WORDS]);
    assert!(world.is_new());
    let outdated = world.target.entities.apply(PEOPLE, before, Extent::Changes);
    assert_eq!(outdated.unwrap_err(), Outdated);
    assert!(world.forbids());
}

/// It was read before the new schema came, and is put in force after: the new set must have it, too.
#[test]
fn a_change_that_the_new_schema_has_not_seen_is_waited_for() {
    let world = World::new();
    world.say(PEOPLE, &[HIGH]);
    world.say(2, &[("robot", "{}")]);
    let before = world.reading(&[("robot", r#"{"level": 1}"#)]);
    world.change_schema();
    world.target.entities.apply(2, before, Extent::Changes).unwrap();
    world.say(PEOPLE, &[HIGH_IN_WORDS]);
    assert!(!world.is_new() && world.owes(2) && world.forbids());
    world.say(2, &[("robot", r#"{"level": "low"}"#)]);
    assert!(world.is_new() && world.forbids());
}

#[test]
fn what_stood_for_a_schema_that_is_given_up_is_read_again() {
    let world = World::new();
    world.say(PEOPLE, &[HIGH, ("bob", r#"{"level": 1}"#)]);
    world.change_schema();
    world.say(PEOPLE, &[HIGH_IN_WORDS, ("bob", r#"{"level": 1}"#)]);
    let between = world.reading(&[HIGH_IN_WORDS]);
    assert!(world.forbids());
    world.target.withdraw();
    assert!(world.forbids() && world.owes(PEOPLE));
    assert_eq!(world.target.entities.apply(PEOPLE, between, Extent::Changes).unwrap_err(), Outdated);
    let applied = world.say(PEOPLE, &[HIGH_IN_WORDS, ("bob", r#"{"level": 1}"#)]);
    assert_eq!((applied.entities, applied.refused.len()), (1, 1));
    assert!(!world.owes(PEOPLE));
}
