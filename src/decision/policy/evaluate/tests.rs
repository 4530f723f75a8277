use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::decision::policy::fixture::{Directory, entity, object, parent, question};
use crate::decision::query::Entity;

/// The answer to [`question`] with `change` made to it.
fn ask(policies: &str, change: impl FnOnce(&mut Query<'static>)) -> Result<Evaluation, EvaluateError> {
    ask_with(policies, "[]", change)
}

fn ask_with(
    policies: &str,
    entities: &str,
    change: impl FnOnce(&mut Query<'static>),
) -> Result<Evaluation, EvaluateError> {
    let directory = Directory::of(policies);
    directory.write("e.json", entities);
    let mut query = question();
    change(&mut query);
    directory.load().unwrap().evaluate(&query)
}

fn effect(policies: &str, change: impl FnOnce(&mut Query<'static>)) -> Effect {
    ask(policies, change).unwrap().effect
}

/// Whether a question whose context is `context` is permitted if `condition` holds; `None` if it can't be asked.
fn holds(condition: &str, context: Value) -> Option<bool> {
    let policies = format!("permit(principal, action, resource) when {{ {condition} }};");
    let evaluation = ask(&policies, |query| query.context = object(context)).ok()?;
    assert!(evaluation.errors.is_empty(), "{:?}", evaluation.errors);
    Some(evaluation.effect == Effect::Permit)
}

const PERMIT: &str = "@id(\"permit\") permit(principal, action, resource);";
/// Fails for a level of `i64::MAX`: Cedar's arithmetic checks for overflow.
const OVERFLOWS: &str = "when { principal has level && principal.level + 1 > 0 };";

fn at_the_limit(query: &mut Query<'static>) {
    query.subject.properties = object(json!({"level": i64::MAX}));
}

#[test]
fn a_forbid_that_fails_denies_although_a_permit_matches() {
    let policies = format!("{PERMIT} @id(\"guard\") forbid(principal, action, resource) {OVERFLOWS}");
    let evaluation = ask(&policies, at_the_limit).unwrap();
    assert_eq!(evaluation.effect, Effect::ForbidFailed);
    assert_eq!(evaluation.policies.iter().map(|id| &**id).collect::<Vec<_>>(), ["guard"]);
    assert_eq!(evaluation.errors.len(), 1);
    assert!(evaluation.errors[0].starts_with("guard: integer overflow"), "{}", evaluation.errors[0]);
}

#[test]
fn a_permit_that_fails_does_not_permit_and_is_told() {
    let policies = format!("@id(\"half\") permit(principal, action, resource) {OVERFLOWS}");
    let evaluation = ask(&policies, at_the_limit).unwrap();
    assert_eq!((evaluation.effect, evaluation.policies.len()), (Effect::NoPermit, 0));
    assert!(evaluation.errors[0].starts_with("half: "));
    let both = ask(&format!("{policies} {PERMIT}"), at_the_limit).unwrap();
    assert_eq!((both.effect, both.errors.len()), (Effect::Permit, 1));
}

#[test]
fn a_forbid_wins_over_every_permit_and_over_a_forbid_that_failed() {
    let forbid = "@id(\"no\") forbid(principal, action, resource == Document::\"plan\");";
    let evaluation = ask(&format!("{PERMIT} {forbid}"), |_| {}).unwrap();
    assert_eq!(evaluation.effect, Effect::Forbid);
    assert_eq!(evaluation.policies.iter().map(|id| &**id).collect::<Vec<_>>(), ["no"]);
    let policies = format!("{PERMIT} {forbid} @id(\"guard\") forbid(principal, action, resource) {OVERFLOWS}");
    let evaluation = ask(&policies, at_the_limit).unwrap();
    assert_eq!((evaluation.effect, evaluation.errors.len()), (Effect::Forbid, 1));
}

#[test]
fn without_a_permit_the_answer_is_no() {
    assert_eq!(effect("permit(principal == User::\"bob\", action, resource);", |_| {}), Effect::NoPermit);
}

#[test]
fn all_policies_that_decide_are_named_in_order() {
    let policies = "@id(\"b\") permit(principal, action, resource); @id(\"a\") permit(principal, action, resource);
        @id(\"c\") permit(principal == User::\"bob\", action, resource);";
    let evaluation = ask(policies, |_| {}).unwrap();
    assert_eq!(evaluation.policies.iter().map(|id| &**id).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn an_unknown_action_is_not_asked() {
    let error = ask(PERMIT, |query| query.action.name = "fl\ny".to_owned().into()).unwrap_err();
    assert_eq!(error, EvaluateError::UnknownAction("fl\\u{a}y".to_owned()));
    assert!(matches!(
        ask(PERMIT, |query| query.action.name = "Action::\"read\"".to_owned().into()),
        Err(EvaluateError::UnknownAction(_))
    ));
    // A group is no action that anyone can do.
    assert!(matches!(ask(PERMIT, |query| query.action.name = "any".to_owned().into()), Err(EvaluateError::Schema(_))));
}

#[test]
fn unknown_and_misplaced_types_are_not_asked() {
    for (subject, resource) in [
        ("Robot", "Document"),
        ("User", "Robot"),
        ("Document", "Document"),
        ("", "Document"),
        ("User", "Docu ment"),
        ("Action", "Document"),
    ] {
        let refused = ask(PERMIT, |query| {
            query.subject.kind = subject.to_owned().into();
            query.resource.kind = resource.to_owned().into();
        });
        assert!(matches!(refused, Err(EvaluateError::Schema(_))), "{subject} {resource}: {refused:?}");
    }
}

#[test]
fn ids_are_only_ids_whatever_is_in_them() {
    for id in ["a\"b", "a\\b", "a\nb", "\u{0}", "é😀", "", "x\"::User::\"root", "\\u{41}", "' or 1=1"] {
        let literal = id.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\0', "\\0");
        let policies =
            format!("permit(principal == User::\"{literal}\", action == Action::\"say \\\"hi\\\"\", resource);");
        let exact = |given: &str| {
            effect(&policies, |query| {
                query.subject.id = given.to_owned().into();
                query.action.name = "say \"hi\"".to_owned().into();
            })
        };
        assert_eq!(exact(id), Effect::Permit, "{id:?}");
        assert_eq!(exact(&format!("{id} ")), Effect::NoPermit, "{id:?}");
    }
}

proptest! {
    #[test]
    fn no_id_reads_as_another(id in ".*", kind in ".{0,8}") {
        let policies = "permit(principal == User::\"root\", action, resource);";
        let asked = |change: &dyn Fn(&mut Query<'static>)| ask_set(&SET, policies, change);
        let evaluation = asked(&|query: &mut Query<'static>| query.subject.id = id.clone().into()).unwrap();
        prop_assert_eq!(evaluation.effect == Effect::Permit, id == "root");
        let unknown = asked(&|query: &mut Query<'static>| query.subject.kind = kind.clone().into());
        prop_assert!(unknown.is_err() || kind == "User" || kind == "Team");
    }

    #[test]
    fn no_json_panics_or_permits_by_its_shape(value in json_value()) {
        let policies = "permit(principal == User::\"root\", action, resource);";
        let context = json!({"ip": value, "at": value, "by": value, "n": value, "place": value, "junk": value});
        let asked = ask_set(&SET, policies, &|query: &mut Query<'static>| {
            query.context = object(context.clone());
            query.subject.properties = object(json!({"level": value, "manager": value, "home": value}));
            query.action.properties = object(json!({"note": value}));
        });
        prop_assert!(asked.is_err() || asked.is_ok_and(|evaluation| evaluation.effect == Effect::NoPermit));
    }
}

static SET: std::sync::OnceLock<PolicySet> = std::sync::OnceLock::new();

/// As [`ask`], with a set that is compiled once.
fn ask_set(
    set: &std::sync::OnceLock<PolicySet>,
    policies: &str,
    change: &dyn Fn(&mut Query<'static>),
) -> Result<Evaluation, EvaluateError> {
    let mut query = question();
    change(&mut query);
    set.get_or_init(|| Directory::of(policies).load().unwrap()).evaluate(&query)
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("10.0.0.0/8")),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key =
            prop_oneof!["[a-z]{0,3}", Just("__entity".to_owned()), Just("__extn".to_owned()), Just("type".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

#[test]
fn nested_values_keep_their_types() {
    let place =
        |north: Value, floors: Value| json!({"place": {"city": "Ulm", "geo": {"north": north, "floors": floors}}});
    let north = "context has place && context.place.geo.north.greaterThan(decimal(\"48.0\"))";
    let floors = "context has place && context.place.geo.floors.contains(2)";
    assert_eq!(holds(north, place(json!("48.4"), json!([]))), Some(true));
    assert_eq!(holds(north, place(json!("47.9999"), json!([]))), Some(false));
    assert_eq!(holds(north, place(json!("north"), json!([]))), None);
    assert_eq!(holds(floors, place(json!("1.0"), json!([1, 2]))), Some(true));
    assert_eq!(holds(floors, place(json!("1.0"), json!(["1", "2"]))), None);
    assert_eq!(holds(floors, json!({"place": "{\"city\": \"Ulm\"}"})), None);
    let address = "context has ip && context.ip.isInRange(ip(\"10.0.0.0/8\"))";
    assert_eq!(holds(address, json!({"ip": "10.1.2.3"})), Some(true));
    assert_eq!(holds(address, json!({"ip": "11.1.2.3"})), Some(false));
    assert_eq!(holds(address, json!({"ip": "10.1.2"})), None);
    let by = "context has by && context.by == User::\"a\\\"b\"";
    assert_eq!(holds(by, json!({"by": {"type": "User", "id": "a\"b"}})), Some(true));
    assert_eq!(holds(by, json!({"by": "User::\"a\\\"b\""})), None);
    let at = "context has at && context.at < datetime(\"2026-01-01\")
        && context has lasts && context.lasts < duration(\"1h\")";
    assert_eq!(holds(at, json!({"at": "2025-12-31T23:59:59Z", "lasts": "59m"})), Some(true));
}

#[test]
fn what_cedar_has_no_value_for_is_not_asked() {
    for n in [json!(null), json!(1.5), json!(1e3), json!(u64::MAX), json!("1"), json!([1]), json!({})] {
        assert_eq!(holds("context has n && context.n == 1", json!({"n": n})), None, "{n}");
    }
    assert_eq!(holds("context has n && context.n == 1", json!({"n": 1})), Some(true));
}

#[test]
fn a_context_must_have_what_its_action_requires_and_may_have_more() {
    let write = |context: Value| {
        ask(PERMIT, |query| {
            query.action.name = "write".to_owned().into();
            query.context = object(context);
        })
    };
    assert!(matches!(write(json!({})), Err(EvaluateError::Schema(_))));
    assert_eq!(write(json!({"reason": "x", "more": null})).unwrap().effect, Effect::Permit);
}

#[test]
fn properties_of_the_action_are_the_contexts_action_and_nothing_else_is() {
    let policies = "permit(principal, action, resource) when
        { context has action && context.action has note && context.action.note == \"x\" };";
    let properties = |value: Value| effect(policies, |query| query.action.properties = object(value));
    assert_eq!(properties(json!({"note": "x", "undeclared": null})), Effect::Permit);
    assert_eq!(properties(json!({"note": "y"})), Effect::NoPermit);
    assert_eq!(effect(policies, |query| query.context = object(json!({"action": {"note": "x"}}))), Effect::NoPermit);
    assert!(ask(policies, |query| query.action.properties = object(json!({"note": 1}))).is_err());
}

const STORED: &str = r#"[
    {"uid": {"type": "User", "id": "alice"}, "attrs": {"level": 3, "manager": {"type": "User", "id": "boss"}},
     "parents": [{"type": "Team", "id": "blue"}], "tags": {"desk": "7"}},
    {"uid": {"type": "User", "id": "boss"}, "attrs": {"level": 9}, "parents": [{"type": "Team", "id": "board"}]},
    {"uid": {"type": "User", "id": "auditor"}, "attrs": {"level": 5}, "parents": []},
    {"uid": {"type": "Team", "id": "blue"}, "attrs": {}, "parents": [{"type": "Team", "id": "all"}]},
    {"uid": {"type": "Document", "id": "plan"}, "attrs": {"owner": {"type": "User", "id": "boss"}}, "parents": []}
]"#;

fn stored(condition: &str, change: impl FnOnce(&mut Query<'static>)) -> bool {
    let policies = format!("permit(principal, action, resource) when {{ {condition} }};");
    let evaluation = ask_with(&policies, STORED, change).unwrap();
    assert!(evaluation.errors.is_empty(), "{:?}", evaluation.errors);
    evaluation.effect == Effect::Permit
}

#[test]
fn what_is_stored_wins_over_what_a_request_says() {
    let claims = |query: &mut Query<'static>| {
        query.subject.properties = object(json!({"level": 9, "admin": true, "junk": [null]}));
    };
    assert!(stored("principal has level && principal.level == 3", claims));
    assert!(stored("principal has admin && principal.admin", claims));
    assert!(!stored("principal has admin", |_| {}));
}

#[test]
fn a_request_adds_parents_and_takes_none_away() {
    let moves = |query: &mut Query<'static>| {
        query.subject.parents = [parent("Team", "red")].into();
        query.subject.properties = object(json!({"admin": true}));
    };
    for team in ["blue", "all", "red"] {
        assert!(stored(&format!("principal in Team::\"{team}\""), moves), "{team}");
    }
    assert!(stored("principal in Team::\"all\"", |_| {}));
    assert!(!stored("principal in Team::\"red\"", |_| {}));
    let through_extra = |query: &mut Query<'static>| {
        let mut blue = entity("Team", "blue", json!({}));
        blue.parents = [parent("Team", "red")].into();
        query.extra = vec![blue];
    };
    assert!(stored("principal in Team::\"red\" && principal in Team::\"all\"", through_extra));
}

#[test]
fn a_merged_entity_keeps_its_tags() {
    let adds = |query: &mut Query<'static>| query.subject.properties = object(json!({"admin": true}));
    assert!(stored("principal.hasTag(\"desk\") && principal.getTag(\"desk\") == \"7\"", adds));
}

#[test]
fn entities_that_are_reached_and_not_named_are_there() {
    let adds = |query: &mut Query<'static>| query.subject.properties = object(json!({"admin": true}));
    let manager = "principal has manager && principal.manager has level && principal.manager.level == 9";
    assert!(stored(manager, adds));
    assert!(stored("principal has manager && principal.manager in Team::\"board\"", adds));
    assert!(stored("resource has owner && resource.owner has level && resource.owner.level == 9", adds));
    assert!(stored("User::\"auditor\" has level && User::\"auditor\".level == 5", adds));
    let by = |query: &mut Query<'static>| {
        adds(query);
        query.context = object(json!({"by": {"type": "User", "id": "boss"}}));
    };
    assert!(stored("context has by && context.by has level && context.by.level == 9", by));
}

#[test]
fn a_chain_of_folders_comes_with_the_request() {
    let policies = "permit(principal, action, resource in Folder::\"/\");";
    let nested = |query: &mut Query<'static>| {
        query.resource.parents = [parent("Folder", "/a/b")].into();
        for (id, above) in [("/a/b", "/a"), ("/a", "/")] {
            let mut folder = entity("Folder", id, json!({}));
            folder.parents = [parent("Folder", above)].into();
            query.extra.push(folder);
        }
    };
    assert_eq!(effect(policies, nested), Effect::Permit);
    assert_eq!(effect(policies, |_| {}), Effect::NoPermit);
}

#[test]
fn parents_that_the_schema_does_not_allow_or_that_run_in_a_circle_are_not_asked() {
    let refused = |change: &dyn Fn(&mut Query<'static>)| {
        matches!(ask(PERMIT, |query| change(query)), Err(EvaluateError::Schema(_)))
    };
    assert!(refused(&|query| query.subject.parents = [parent("Folder", "/")].into()));
    assert!(refused(&|query| query.subject.parents = [parent("Nope", "/")].into()));
    assert!(refused(&|query| {
        for (id, above) in [("a", "b"), ("b", "a")] {
            let mut folder = entity("Folder", id, json!({}));
            folder.parents = [parent("Folder", above)].into();
            query.extra.push(folder);
        }
    }));
}

#[test]
fn an_entity_described_in_two_ways_is_not_asked() {
    let twice = |level: i64| {
        ask(PERMIT, |query| {
            query.subject.properties = object(json!({"level": 1}));
            query.extra = vec![entity("User", "alice", json!({"level": level}))];
        })
    };
    assert!(matches!(twice(2), Err(EvaluateError::Schema(_))));
    assert_eq!(twice(1).unwrap().effect, Effect::Permit);
}

#[test]
fn an_entity_of_which_nothing_is_known_can_be_asked_about_and_half_of_one_can_not() {
    let schema = "entity User = { age: Long, name?: String }; entity Bar;
        action drink appliesTo { principal: User, resource: Bar };";
    let ask = |policies: &str, properties: Value| {
        let directory = Directory::new(&[("s.cedarschema", schema), ("p.cedar", policies)]);
        let mut query = question();
        query.subject.properties = object(properties);
        query.action.name = "drink".to_owned().into();
        query.resource = entity("Bar", "blue", json!({}));
        directory.load().unwrap().evaluate(&query).map(|evaluation| evaluation.effect)
    };
    let minors = format!("{PERMIT} forbid(principal, action, resource) when {{ principal.age < 18 }};");
    assert_eq!(ask(PERMIT, json!({})), Ok(Effect::Permit));
    assert_eq!(ask(&minors, json!({})), Ok(Effect::ForbidFailed));
    assert_eq!(ask(&minors, json!({"age": 40})), Ok(Effect::Permit));
    assert!(matches!(ask(PERMIT, json!({"name": "alice"})), Err(EvaluateError::Schema(_))));
}

#[test]
fn the_quickstart_decides_as_its_comments_say() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/quickstart");
    let policies = PolicySet::load(&path).unwrap();
    let decide = |caller: &str, method: &str, path: &str| {
        let id = format!("spiffe://example.org/{caller}");
        let mut subject = entity("Workload", &id, json!({"trust_domain": "example.org", "path": format!("/{caller}")}));
        subject.parents = [parent("TrustDomain", "example.org")].into();
        let mut resource = entity("Path", path, json!({}));
        let mut extra = Vec::new();
        let mut above = path.to_owned();
        resource.parents.clear();
        let mut child: Option<Entity<'static>> = None;
        while let Some((head, _)) = above.clone().rsplit_once('/').filter(|_| above != "/") {
            above = if head.is_empty() { "/".to_owned() } else { head.to_owned() };
            let up = vec![parent("Path", &above)];
            match child.as_mut() {
                None => resource.parents = up.into(),
                Some(folder) => folder.parents = up.into(),
            }
            extra.extend(child.take());
            child = Some(entity("Path", &above, json!({})));
        }
        let mut root = child.unwrap();
        root.parents = [parent("Service", "orders")].into();
        extra.push(root);
        let context =
            object(json!({"host": "orders", "path": path, "scheme": "https", "protocol": "HTTP/1.1", "headers": {}}));
        let action = crate::decision::Action::named(method.to_owned());
        let evaluation = policies.evaluate(&Query { subject, action, resource, context, extra }).unwrap();
        let policies: Vec<_> = evaluation.policies.iter().map(ToString::to_string).collect();
        (evaluation.effect, policies.join(","))
    };
    assert_eq!(decide("web", "GET", "/orders/7"), (Effect::Permit, "web-reads-orders".to_owned()));
    assert_eq!(decide("web", "POST", "/orders"), (Effect::Permit, "web-places-orders".to_owned()));
    assert_eq!(decide("web", "POST", "/orders/7"), (Effect::NoPermit, String::new()));
    assert_eq!(decide("web", "GET", "/ordersx"), (Effect::NoPermit, String::new()));
    assert_eq!(decide("batch", "GET", "/stock"), (Effect::Permit, "batch-reads-everything".to_owned()));
    assert_eq!(decide("batch", "GET", "/internal/keys"), (Effect::Forbid, "nobody-reads-internal".to_owned()));
    assert_eq!(decide("other", "GET", "/orders"), (Effect::NoPermit, String::new()));
}

#[test]
fn only_policies_that_decide_say_what_goes_with_the_answer() {
    let said = |policies: &str| ask(policies, |_| {}).unwrap().guidance;
    let header = |policies: &str| {
        let guidance = said(policies)?;
        Some(guidance.headers.first()?.value().to_owned())
    };
    let permit = "@id(\"p\") @header_x_a(\"permit\") permit (principal, action, resource);";
    let forbid = "@id(\"f\") @header_x_a(\"forbid\") forbid (principal, action, resource)";
    assert_eq!(header(permit).as_deref(), Some("permit"));
    assert_eq!(header(&format!("{permit} {forbid};")).as_deref(), Some("forbid"));
    assert_eq!(
        header(&format!("{permit} {forbid} when {{ principal has level && principal.level == 7 }};")).as_deref(),
        Some("permit")
    );
    assert_eq!(said(&format!("{PERMIT} {forbid} when {{ principal has level && principal.level == 7 }};")), None);
    assert_eq!(said(&format!("{forbid};")).map(|guidance| guidance.headers.len()), Some(1), "with no permit either");
}

/// A user who does what the denial says is not denied again.
#[test]
fn a_remedy_is_offered_only_where_it_would_help() {
    let offers = |policies: &str, change: fn(&mut Query<'static>)| {
        let guidance = ask(policies, change).unwrap().guidance;
        guidance.is_some_and(|guidance| guidance.remedy.is_some() && !guidance.obligations.is_empty())
    };
    let step_up = "@step_up(\"acr=mfa\") forbid (principal, action, resource);";
    let no_change = |_: &mut Query<'static>| {};
    assert!(offers(&format!("{PERMIT} {step_up}"), no_change));
    assert!(!offers(step_up, no_change), "nobody permits it");
    assert!(!offers(&format!("{PERMIT} {step_up} forbid (principal, action, resource);"), no_change));
    let fails = format!("{PERMIT} {step_up} forbid (principal, action, resource) {OVERFLOWS}");
    assert!(!offers(&fails, at_the_limit), "what fails would still forbid");
    let itself = format!("{PERMIT} @step_up(\"acr=mfa\") forbid (principal, action, resource) {OVERFLOWS}");
    assert!(!offers(&itself, at_the_limit), "nobody knows what it would say");
}
