//! The `cedar-policy` crate alone on the hospital: Cedar's own `Authorizer`, with the entities that a question needs picked
//! beforehand.

use std::path::Path;

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request};

use super::{Asked, Decide};
use crate::Failure;

pub(super) fn load(directory: &Path, asked: &[Asked]) -> Result<Decide, Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::new(directory.display(), error);
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).map_err(|error| fail(&error));
    let policies: PolicySet = read("hospital.cedar")?.parse().map_err(|error| fail(&error))?;
    let all = Entities::from_json_str(&read("hospital.json")?, None).map_err(|error| fail(&error))?;
    let mut prepared = Vec::new();
    for asked in asked {
        let principal = entity(asked, "/subject/type", "/subject/id")?;
        let resource = entity(asked, "/resource/type", "/resource/id")?;
        let action = uid("Action", text(asked, "/action/name")?)?;
        let mut slice = Vec::new();
        for uid in [&principal, &resource] {
            let with_those_above = std::iter::once(uid).chain(all.ancestors(uid).into_iter().flatten());
            slice.extend(with_those_above.filter_map(|uid| all.get(uid)).cloned());
        }
        prepared.push((principal, action, resource, slice));
    }
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

fn entity(asked: &Asked, kind: &str, id: &str) -> Result<EntityUid, Failure> {
    uid(text(asked, kind)?, text(asked, id)?)
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Failure> {
    let kind = kind.parse::<EntityTypeName>().map_err(|error| Failure::new(kind, error))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn text<'a>(asked: &'a Asked, pointer: &str) -> Result<&'a str, Failure> {
    let found = asked.question.pointer(pointer).and_then(serde_json::Value::as_str);
    found.ok_or_else(|| Failure::new(&asked.question, format_args!("there is no {pointer}")))
}
