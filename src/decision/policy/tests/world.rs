//! A random schema, entities and questions that fit it, and policies that need not.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicyId, Request, Schema};
use serde_json::{Map, Value as Json, json};

use super::dice::Dice;
use super::expression::Expressions;
use crate::decision::entity::{Entities as Store, View};
use crate::decision::policy::draft::Drafts;
use crate::decision::policy::fixture::Directory;
use crate::decision::policy::rule::Workshop;
use crate::decision::policy::rules::Rules;
use crate::decision::policy::source::Sources;
use crate::decision::policy::{Effect, Evaluation, PolicySet};
use crate::decision::query::{Action, Entity, EntityRef, Overlay, Query};

/// The names of attributes.
pub(super) const ATTRIBUTES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// The types of values that an attribute can have; `T?` stands for an entity type.
const TYPES: [&str; 12] = [
    "Bool",
    "Long",
    "String",
    "ipaddr",
    "decimal",
    "datetime",
    "duration",
    "T?",
    "Set<Long>",
    "Set<String>",
    "Set<T?>",
    "{x: Long, y?: String}",
];
/// A policy to have one: the rules of a world are put in their place unchecked. Quick to validate.
const ANY: &str = "permit(principal, action == Action::\"a0\", resource);";
/// How many ids each entity type has; some of them are stored.
const IDS: usize = 5;

type Attributes = BTreeMap<&'static str, (String, bool)>;

pub(super) struct World {
    pub(super) dice: Dice,
    kinds: Vec<Kind>,
    actions: Vec<Operation>,
    pub(super) text: String,
    schema: Schema,
    pub(super) policies: Vec<String>,
    pub(super) stored: BTreeMap<(String, String), Json>,
    pub(super) set: PolicySet,
}

struct Kind {
    name: String,
    within: Vec<String>,
    attributes: Attributes,
    tags: bool,
}

struct Operation {
    name: String,
    principals: Vec<String>,
    resources: Vec<String>,
    context: Attributes,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let names: Vec<_> = (0..2 + dice.below(3)).map(|number| format!("T{number}")).collect();
        let kinds = names.iter().map(|name| Kind {
            name: name.clone(),
            within: dice.some(&names, 50),
            attributes: attributes(&mut dice, &names),
            tags: dice.percent(40),
        });
        let kinds: Vec<_> = kinds.collect();
        let many = if dice.percent(20) { 90 } else { 6 };
        let actions = (0..=dice.below(many)).map(|number| Operation {
            name: format!("a{number}"),
            principals: at_least_one(&mut dice, &names),
            resources: at_least_one(&mut dice, &names),
            context: attributes(&mut dice, &names),
        });
        let actions: Vec<_> = actions.collect();
        let text = schema_text(&mut dice, &kinds, &actions);
        let schema = Schema::from_cedarschema_str(&text).unwrap_or_else(|error| panic!("{error:?}\n{text}")).0;
        let set = Directory::new(&[("s.cedarschema", &text), ("p.cedar", ANY)]);
        let set = set.load().unwrap();
        let (policies, stored) = (Vec::new(), BTreeMap::new());
        let mut world = Self { dice, kinds, actions, text, schema, policies, stored, set };
        world.store();
        world.legislate();
        world
    }

    /// Other entities.
    pub(super) fn store(&mut self) {
        self.stored.clear();
        let all: Vec<_> =
            self.kinds.iter().flat_map(|kind| (0..IDS).map(|id| (kind.name.clone(), id.to_string()))).collect();
        for place in 0..all.len() {
            if self.dice.percent(60) {
                let (kind, id) = all[place].clone();
                let parents = self.parents(&kind, &all[place + 1..]);
                let json = self.entity_json(&kind, &id, &parents);
                self.stored.insert((kind, id), json);
            }
        }
        let text = Json::from(self.stored.values().cloned().collect::<Vec<_>>()).to_string();
        let directory = Directory::new(&[("s.cedarschema", &self.text), ("p.cedar", ANY)]);
        directory.write("e.json", &text);
        let loaded = directory.load().unwrap_or_else(|error| panic!("{error}\n{}\n{text}", self.text));
        self.set.entities = loaded.entities;
    }

    /// Other policies, some of which stay as they were. They are not validated: what can't be valid must fail as it does
    /// in Cedar.
    pub(super) fn legislate(&mut self) {
        self.policies.retain(|_| self.dice.percent(50));
        for _ in 0..=self.dice.below(8) {
            let policy = self.policy();
            self.policies.push(policy);
        }
        let directory = Directory::of(&self.policies.join("\n"));
        let sources = Sources::read(directory.path()).unwrap();
        let mut problems = Vec::new();
        let drafts = Drafts::of(&sources, &mut problems);
        assert_eq!((problems.len(), drafts.all().len()), (0, self.policies.len()));
        let (nobody, vocabulary) = (Store::default(), std::sync::Arc::clone(&self.set.vocabulary));
        let known = View { stored: &nobody, actions: &vocabulary.actions.entities, brought: &[] };
        let actions: Vec<_> = vocabulary.actions.uids().iter().map(|uid| known.lineage(uid.as_ref())).collect();
        let mut workshop = Workshop::new(&actions, known);
        let mut rules = Rules::default();
        for draft in drafts.all() {
            let policy = cedar_policy::Policy::parse(Some(PolicyId::new(&draft.id)), &draft.text);
            let policy = policy.unwrap_or_else(|error| panic!("{error}\n{}", draft.text));
            rules.insert(workshop.rule(&policy, draft.id.as_str().into(), draft, Vec::new()).unwrap().into());
        }
        self.set.rules = std::sync::Arc::new(rules);
    }

    /// A question that the schema allows, about entities that are stored, brought along, or not there at all.
    pub(super) fn question(&mut self) -> Query<'static> {
        let action = self.dice.below(self.actions.len());
        let (principals, resources) = (self.actions[action].principals.clone(), self.actions[action].resources.clone());
        let subject = self.party(&principals);
        let mut resource = self.party(&resources);
        if (&resource.kind, &resource.id) == (&subject.kind, &subject.id) {
            // Two descriptions of one entity must agree.
            resource.properties.clone_from(&subject.properties);
        }
        let context = self.actions[action].context.clone();
        let context = self.values(&context);
        let name = self.actions[action].name.clone();
        Query { subject, action: Action::named(name), resource, context: context.into(), extra: Vec::new() }
    }

    fn party(&mut self, kinds: &[String]) -> Entity<'static> {
        let kind = self.dice.pick(kinds).clone();
        let id = self.dice.below(IDS).to_string();
        let mut entity = Entity::named(kind.clone(), id);
        if self.dice.percent(50) {
            let attributes = self.kind(&kind).attributes.clone();
            let values = self.values(&attributes);
            let names: Vec<_> = values.keys().cloned().collect();
            entity.overlay = Overlay::of(self.dice.some(&names, 30).into_iter().collect());
            entity.properties = values.into();
        }
        if self.dice.percent(30) {
            // Ids that nothing stored has, so that no circle comes about.
            let within = self.kind(&kind).within.clone();
            let parents = within.into_iter().map(|kind| EntityRef::new(kind, "9"));
            entity.parents = parents.take(2).collect();
        }
        entity
    }

    /// What plain Cedar answers, with our rule that a `forbid` which fails forbids. `None` if a question is not possible.
    pub(super) fn owed(&self, query: &Query<'static>) -> Option<(Effect, BTreeSet<String>, BTreeSet<String>)> {
        let mut entities = self.stored.clone();
        for entity in [&query.subject, &query.resource] {
            merge(&mut entities, entity)?;
        }
        let entities = Json::from(entities.into_values().collect::<Vec<_>>());
        let entities = Entities::from_json_value(entities, Some(&self.schema)).ok()?;
        let uid = |kind: &str, id: &str| -> EntityUid { format!("{kind}::\"{id}\"").parse().unwrap() };
        let action = uid("Action", &query.action.name);
        let context = Json::from(query.context.clone());
        let context = Context::from_json_value(context, Some((&self.schema, &action))).unwrap();
        let principal = uid(&query.subject.kind, &query.subject.id);
        let resource = uid(&query.resource.kind, &query.resource.id);
        let request = Request::new(principal, action, resource, context, Some(&self.schema)).unwrap();
        let mut policies = cedar_policy::PolicySet::new();
        for (number, text) in self.policies.iter().enumerate() {
            let id = PolicyId::new(format!("p#{number}"));
            policies.add(cedar_policy::Policy::parse(Some(id), text).unwrap()).unwrap();
        }
        let response = Authorizer::new().is_authorized(&request, &policies, &entities);
        let reasons: BTreeSet<_> = response.diagnostics().reason().map(ToString::to_string).collect();
        let errors = response.diagnostics().errors().map(|error| {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            error.policy_id().to_string()
        });
        let errors: BTreeSet<_> = errors.collect();
        let forbids =
            |id: &&String| policies.policy(&PolicyId::new(id)).unwrap().effect() == cedar_policy::Effect::Forbid;
        let failed: BTreeSet<_> = errors.iter().filter(forbids).cloned().collect();
        let (effect, policies) = match response.decision() {
            cedar_policy::Decision::Deny if !reasons.is_empty() => (Effect::Forbid, reasons),
            _ if !failed.is_empty() => (Effect::ForbidFailed, failed),
            cedar_policy::Decision::Allow => (Effect::Permit, reasons),
            cedar_policy::Decision::Deny => (Effect::NoPermit, BTreeSet::new()),
        };
        Some((effect, policies, errors))
    }

    /// Our answer in the same form.
    pub(super) fn told(evaluation: &Evaluation) -> (Effect, BTreeSet<String>, BTreeSet<String>) {
        let policies = evaluation.policies.iter().map(ToString::to_string).collect();
        let errors = evaluation.errors.iter().map(|error| error.split_once(": ").unwrap().0.to_owned()).collect();
        (evaluation.effect, policies, errors)
    }

    fn kind(&self, name: &str) -> &Kind {
        self.kinds.iter().find(|kind| kind.name == name).unwrap()
    }

    fn parents(&mut self, kind: &str, later: &[(String, String)]) -> Vec<(String, String)> {
        let within = self.kind(kind).within.clone();
        let possible: Vec<_> = later.iter().filter(|(kind, _)| within.contains(kind)).cloned().collect();
        self.dice.some(&possible, 30)
    }

    fn entity_json(&mut self, kind: &str, id: &str, parents: &[(String, String)]) -> Json {
        let (attributes, tagged) = (self.kind(kind).attributes.clone(), self.kind(kind).tags);
        let mut attrs = self.values(&attributes);
        for (name, (kind, required)) in &attributes {
            if *required && !attrs.contains_key(*name) {
                attrs.insert((*name).to_owned(), self.value(kind));
            }
        }
        let tags = self.dice.some(&ATTRIBUTES, if tagged { 40 } else { 0 });
        let tags: Map<_, _> = tags.into_iter().map(|tag| (tag.to_owned(), json!("a"))).collect();
        let parents: Vec<_> = parents.iter().map(|(kind, id)| json!({"type": kind, "id": id})).collect();
        json!({"uid": {"type": kind, "id": id}, "attrs": attrs, "parents": parents, "tags": tags})
    }

    /// Values for some of the attributes, and for all that are required.
    fn values(&mut self, attributes: &Attributes) -> Map<String, Json> {
        let mut values = Map::new();
        for (name, (kind, required)) in attributes {
            if *required || self.dice.percent(70) {
                values.insert((*name).to_owned(), self.value(kind));
            }
        }
        values
    }

    fn value(&mut self, kind: &str) -> Json {
        let dice = &mut self.dice;
        match kind {
            "Bool" => json!(dice.percent(50)),
            "Long" => json!(*dice.pick(&[-1, 0, 1, 2, i64::MAX])),
            "String" => json!(dice.pick(&["", "a", "ab", "b", "a*b"])),
            "ipaddr" => json!(dice.pick(&["10.0.0.1", "10.0.0.0/8", "127.0.0.1", "::1", "::ffff:0:1"])),
            "decimal" => json!(dice.pick(&["0.0", "1.5", "-1.5"])),
            "datetime" => json!(dice.pick(&["2026-11-22", "1969-12-31T23:59:59.999Z", "2026-11-22T10:00:00+0100"])),
            "duration" => json!(dice.pick(&["1d", "-1ms", "0ms", "1h30m"])),
            "{x: Long, y?: String}" => dice.pick(&[json!({"x": 1}), json!({"x": 2, "y": "a"})]).clone(),
            set if set.starts_with("Set<") => {
                let element = set.trim_start_matches("Set<").trim_end_matches('>').to_owned();
                Json::from(
                    (0..dice.below(3))
                        .collect::<Vec<_>>()
                        .into_iter()
                        .map(|_| self.value(&element))
                        .collect::<Vec<_>>(),
                )
            }
            entity => json!({"type": entity, "id": dice.below(IDS).to_string()}),
        }
    }

    fn policy(&mut self) -> String {
        let effect = if self.dice.percent(65) { "permit" } else { "forbid" };
        let (principal, resource) = (self.scope("principal"), self.scope("resource"));
        let action = self.dice.pick(&self.actions).name.clone();
        let action = match self.dice.below(6) {
            0 => format!("action == Action::\"{action}\""),
            1 => "action in Action::\"g0\"".to_owned(),
            2 => format!("action in [Action::\"g1\", Action::\"{action}\"]"),
            _ => "action".to_owned(),
        };
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name.clone()).collect();
        let mut clauses = String::new();
        for _ in 0..self.dice.below(3) {
            let word = if self.dice.percent(80) { "when" } else { "unless" };
            let condition = Expressions { dice: &mut self.dice, kinds: &kinds }.bool(4);
            clauses = format!("{clauses} {word} {{ {condition} }}");
        }
        format!("{effect}({principal}, {action}, {resource}){clauses};")
    }

    fn scope(&mut self, variable: &str) -> String {
        let kind = self.dice.pick(&self.kinds).name.clone();
        let other = self.dice.pick(&self.kinds).name.clone();
        let id = self.dice.below(IDS);
        match self.dice.below(7) {
            0 => format!("{variable} == {kind}::\"{id}\""),
            1 => format!("{variable} in {kind}::\"{id}\""),
            2 => format!("{variable} is {kind}"),
            3 => format!("{variable} is {kind} in {other}::\"{id}\""),
            4 => format!("{variable} in {kind}::\"9\""),
            _ => variable.to_owned(),
        }
    }
}

/// Adds what a question says of an entity: what is stored wins, but over what is overlaid. `None` if it is described in two
/// ways.
fn merge(entities: &mut BTreeMap<(String, String), Json>, entity: &Entity<'static>) -> Option<()> {
    let key = (entity.kind.to_string(), entity.id.to_string());
    if entity.properties.is_empty() && entity.parents.is_empty() && !entities.contains_key(&key) {
        return Some(());
    }
    let empty = json!({"uid": {"type": entity.kind, "id": entity.id}, "attrs": {}, "parents": [], "tags": {}});
    let merged = entities.entry(key).or_insert(empty);
    let Json::Object(properties) = entity.properties.clone().into() else { return None };
    for (name, value) in properties {
        let attributes = merged["attrs"].as_object_mut()?;
        if entity.overlay.covers(&name) {
            attributes.insert(name, value);
        } else {
            attributes.entry(name).or_insert(value);
        }
    }
    let parents = entity.parents.iter().map(|parent| json!({"type": parent.kind, "id": parent.id}));
    merged["parents"].as_array_mut()?.extend(parents);
    Some(())
}

fn attributes(dice: &mut Dice, kinds: &[String]) -> Attributes {
    let names = dice.some(&ATTRIBUTES, 70);
    let typed = names.into_iter().map(|name| {
        let kind = dice.pick(&TYPES).replace("T?", dice.pick(kinds).as_str());
        (name, (kind, dice.percent(30)))
    });
    typed.collect()
}

fn at_least_one(dice: &mut Dice, kinds: &[String]) -> Vec<String> {
    let some = dice.some(kinds, 50);
    if some.is_empty() { vec![dice.pick(kinds).clone()] } else { some }
}

fn schema_text(dice: &mut Dice, kinds: &[Kind], actions: &[Operation]) -> String {
    let record = |attributes: &Attributes| {
        let fields = attributes.iter().map(|(name, (kind, required))| {
            let optional = if *required { "" } else { "?" };
            format!("{name}{optional}: {kind}")
        });
        fields.collect::<Vec<_>>().join(", ")
    };
    let mut text = String::from("action g1; action g0 in [g1];\n");
    for kind in kinds {
        let within = if kind.within.is_empty() { String::new() } else { format!(" in [{}]", kind.within.join(", ")) };
        let tags = if kind.tags { " tags String" } else { "" };
        text = format!("{text}entity {}{within} = {{ {} }}{tags};\n", kind.name, record(&kind.attributes));
    }
    for action in actions {
        let group = dice.pick(&["", " in [g0]", " in [g1]"]);
        let (principals, resources) = (action.principals.join(", "), action.resources.join(", "));
        let context = record(&action.context);
        text = format!(
            "{text}action {}{group} appliesTo {{ principal: [{principals}], resource: [{resources}], context: {{ {context} }} }};\n",
            action.name
        );
    }
    text
}
