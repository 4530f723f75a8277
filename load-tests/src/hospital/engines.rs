//! Portcullis's engine and plain Cedar, each from a question about the hospital to a yes or no.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use portcullis::decision::policy::Effect;
use portcullis::decision::query::{Action, Entity as Described, EntityRef, Query};
use serde_json::{Map, json};

use super::scenario::{Hospital, Question};
use crate::Failure;

/// Answers the question of this number.
type Decide = Box<dyn Fn(usize) -> Result<bool, Failure>>;

/// What a Check pays for when the cache misses: building Cedar's request and entities, and deciding.
pub(super) fn portcullis(hospital: &Hospital, directory: &Path) -> Result<Decide, Failure> {
    let policies = portcullis::decision::policy::PolicySet::load(directory);
    let policies = policies.map_err(|error| Failure::new(directory.display(), error))?;
    let queries: Vec<_> = hospital.questions().iter().enumerate().map(|(number, asked)| query(number, asked)).collect();
    Ok(Box::new(move |number| {
        let query = queries.get(number).ok_or_else(|| Failure::new(number, "no such question"))?;
        let evaluation = policies.evaluate(query).map_err(|error| Failure::new(number, error))?;
        Ok(evaluation.effect == Effect::Permit)
    }))
}

fn query(number: usize, asked: &Question) -> Query {
    let described =
        |kind: &str, id: String, properties, parents| Described { kind: kind.to_owned(), id, properties, parents };
    let properties =
        [("kind".to_owned(), json!(asked.kind)), ("sensitivity".to_owned(), json!(asked.sensitivity))].into_iter();
    let department = EntityRef { kind: "Department".to_owned(), id: format!("dept_{}", asked.department) };
    Query {
        subject: described("Staff", format!("staff_{}", asked.staff), Map::new(), Vec::new()),
        action: Action { name: asked.action.to_owned(), properties: Map::new() },
        resource: described("Record", format!("record_{number}"), properties.collect(), vec![department]),
        context: Map::new(),
        extra: Vec::new(),
    }
}

/// The same with Cedar's own `Authorizer`; the entities that a question needs are picked beforehand.
pub(super) fn plain_cedar(hospital: &Hospital, directory: &Path) -> Result<Decide, Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::new(directory.display(), error);
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).map_err(|error| fail(&error));
    let policies: PolicySet = read("hospital.cedar")?.parse().map_err(|error| fail(&error))?;
    let all = Entities::from_json_str(&read("staff.json")?, None).map_err(|error| fail(&error))?;
    let kind = |name: &str| name.parse::<EntityTypeName>().map_err(|error| fail(&error));
    let (staff, action, record, department) = (kind("Staff")?, kind("Action")?, kind("Record")?, kind("Department")?);
    let uid = |kind: &EntityTypeName, id: String| EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
    let mut prepared = Vec::new();
    for (number, asked) in hospital.questions().iter().enumerate() {
        let principal = uid(&staff, format!("staff_{}", asked.staff));
        let resource = uid(&record, format!("record_{number}"));
        let attributes = HashMap::from([
            ("kind".to_owned(), RestrictedExpression::new_string(asked.kind.to_owned())),
            ("sensitivity".to_owned(), RestrictedExpression::new_long(asked.sensitivity)),
        ]);
        let parents = HashSet::from([uid(&department, format!("dept_{}", asked.department))]);
        let described = Entity::new(resource.clone(), attributes, parents).map_err(|error| fail(&error))?;
        let above = all.ancestors(&principal).into_iter().flatten().filter_map(|uid| all.get(uid));
        let slice: Vec<_> = all.get(&principal).into_iter().chain(above).cloned().chain([described]).collect();
        prepared.push((principal, uid(&action, asked.action.to_owned()), resource, slice));
    }
    debug_assert_eq!(hospital.staff().len(), hospital.departments() * 5);
    let authorizer = Authorizer::new();
    Ok(Box::new(move |number| {
        let fail = |error: &dyn std::fmt::Display| Failure::new(number, error);
        let (principal, action, resource, slice) =
            prepared.get(number).cloned().ok_or_else(|| fail(&"no such question"))?;
        let entities = Entities::from_entities(slice, None).map_err(|error| fail(&error))?;
        let request =
            Request::new(principal, action, resource, Context::empty(), None).map_err(|error| fail(&error))?;
        Ok(authorizer.is_authorized(&request, &policies, &entities).decision() == Decision::Allow)
    }))
}
