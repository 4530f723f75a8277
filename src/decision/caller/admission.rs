//! Whether a caller may ask what it asks: `Portcullis::Action::"evaluate"` or `"search"`, by the caller, on the resource that
//! is asked about; subject, action and resource are in the context by name, and the tenant if there is one. It is put to the same policies as the question
//! itself, and where the schema does not allow it, the answer is no.

use serde_json::json;

use super::{Asker, Caller};
use crate::decision::mapping::complete_resource;
use crate::decision::query::{Action, Entity, Properties, Query};
use crate::decision::request::Refusal;
use crate::decision::schema::{ActionType, AttributeType, SchemaTypes, Type};

/// To ask whether somebody may do something.
pub(in crate::decision) const EVALUATE: &str = "Portcullis::evaluate";

/// To search who may do something, to what, or what.
pub(in crate::decision) const SEARCH: &str = "Portcullis::search";

/// Whether `action` is one of callers, which no request of a proxy ever is: a method has no colon in it.
pub(in crate::decision) fn is_of_callers(action: &str) -> bool {
    action == EVALUATE || action == SEARCH
}

/// May `caller`, who asks as `by` says, ask `asked`? Nothing that the caller says of anybody is in it. What `asked` leaves open
/// has an empty name.
///
/// # Errors
/// [`Refusal`] if the name of the resource can be read in two ways.
pub(in crate::decision) fn question<'q>(
    (caller, by): (&'q Caller, Asker<'q>),
    action: &'static str,
    asked: &'q Query<'_>,
    types: &SchemaTypes,
) -> Result<Query<'q>, Refusal> {
    let named = |entity: &Entity<'_>| json!({"type": entity.kind, "id": entity.id});
    let mut context = Properties::with_capacity(3);
    context.insert("resource", named(&asked.resource));
    context.insert("subject", named(&asked.subject));
    if let Some(tenant) = by.tenant {
        context.insert("tenant", tenant);
    }
    let mut action = Action::named(action);
    action.properties.insert("name", &*asked.action.name);
    let resource = Entity::named(&*asked.resource.kind, &*asked.resource.id);
    let subject = caller.entity(types)?;
    let mut question = Query { subject, action, resource, context, extra: Vec::new() };
    if !question.resource.id.is_empty() {
        complete_resource(&mut question)?;
    }
    Ok(question)
}

/// What keeps a schema from ever letting a caller ask anything; empty if nothing does.
pub(in crate::decision) fn problems(types: &SchemaTypes) -> Vec<String> {
    let mut found = Vec::new();
    for name in [EVALUATE, SEARCH] {
        match types.actions.get(name) {
            None => {
                let id = name.trim_start_matches("Portcullis::");
                found.push(format!(
                    "the schema has no action `Portcullis::Action::\"{id}\"`, by which `authzen.callers.policy` has \
                     callers' rights decided"
                ));
            }
            Some(action) => {
                found.extend(unanswerable(action).into_iter().map(|what| format!("action `{name}`: {what}")));
            }
        }
    }
    found
}

/// What the action's context demands and no caller's question has.
fn unanswerable(action: &ActionType) -> Vec<String> {
    let mut found = Vec::new();
    for (name, attribute) in &action.context {
        let fits = match name.as_str() {
            "subject" | "resource" => is_reference(attribute),
            "action" => has_texts(&attribute.kind, &["name"]),
            "tenant" => attribute.kind == Type::String && !attribute.required,
            _ if attribute.required => {
                found.push(format!("requires `context.{name}`, which no caller's question has; make it optional"));
                continue;
            }
            _ => true,
        };
        if !fits {
            let expected = match name.as_str() {
                "action" => "a record `{name: String}`",
                "tenant" => "an optional `String`",
                _ => "an entity or a record `{type: String, id: String}`",
            };
            found.push(format!("`context.{name}` of a caller's question is {expected}"));
        }
    }
    found
}

fn is_reference(attribute: &AttributeType) -> bool {
    matches!(attribute.kind, Type::Entity(_)) || has_texts(&attribute.kind, &["id", "type"])
}

/// Whether it is a record of which these texts are a value.
fn has_texts(kind: &Type, names: &[&str]) -> bool {
    let Type::Record(record) = kind else { return false };
    record.iter().all(
        |(name, attribute)| {
            if names.contains(&name.as_str()) { attribute.kind == Type::String } else { !attribute.required }
        },
    )
}
