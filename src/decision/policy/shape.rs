//! What of a request the schema has room for. A check over HTTP could say a hundred things; only what an action's
//! context declares is read, carried and hashed, and a header that no policy can read decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::decision::caller::admission::is_of_callers;
use crate::decision::mapping::Shape;
use crate::decision::schema::{ActionType, RecordType, SchemaTypes, Type};

/// What an HTTP check supplies as a string, if the schema asks for it.
const STRINGS: [&str; 9] = ["destination", "host", "method", "path", "protocol", "query", "scheme", "sni", "upgrade"];
/// What it supplies as a record of strings, under the names that the schema asks for.
const RECORDS: [&str; 2] = ["headers", "route"];
/// The principal of an HTTP check.
const PRINCIPAL: &str = "Workload";
/// What an HTTP check can be about.
const RESOURCES: [&str; 3] = ["Authority", "Path", "Service"];

/// The attributes that each action's context declares.
#[derive(Clone, Debug, Default)]
pub struct SchemaShape {
    actions: BTreeMap<String, ActionShape>,
    nothing: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
struct ActionShape {
    context: BTreeSet<String>,
    headers: BTreeSet<String>,
    route: BTreeSet<String>,
}

impl SchemaShape {
    pub(super) fn of(types: &SchemaTypes) -> Self {
        let actions = types.actions.iter().map(|(name, action)| (name.clone(), ActionShape::of(action))).collect();
        Self { actions, nothing: BTreeSet::new() }
    }
}

impl Shape for SchemaShape {
    fn context_attributes(&self, action: &str) -> Option<&BTreeSet<String>> {
        self.actions.get(action).map(|action| &action.context)
    }

    fn headers(&self, action: &str) -> &BTreeSet<String> {
        self.actions.get(action).map_or(&self.nothing, |action| &action.headers)
    }

    fn route_attributes(&self, action: &str) -> &BTreeSet<String> {
        self.actions.get(action).map_or(&self.nothing, |action| &action.route)
    }
}

impl ActionShape {
    fn of(action: &ActionType) -> Self {
        let names = |record: &RecordType| record.keys().cloned().collect();
        let nested = |name: &str| match action.context.get(name).map(|attribute| &attribute.kind) {
            Some(Type::Record(record)) => names(record),
            _ => BTreeSet::new(),
        };
        Self { context: names(&action.context), headers: nested("headers"), route: nested("route") }
    }
}

/// Whether a check over HTTP supplies this attribute of a context by itself, as far as the request has it.
pub(in crate::decision) fn is_supplied(attribute: &str) -> bool {
    STRINGS.contains(&attribute) || RECORDS.contains(&attribute)
}

/// What the schema demands that no question could ever satisfy: such an action would deny everything, which is found
/// better now than by the first request.
pub(super) fn unanswerable(types: &SchemaTypes) -> Vec<String> {
    let mut found = Vec::new();
    for (name, action) in &types.actions {
        // Nobody but a caller ever asks for it, and what that has is looked at where callers are to be asked about.
        if is_of_callers(name) {
            continue;
        }
        if action.context.get("action").is_some_and(|attribute| !matches!(attribute.kind, Type::Record(_))) {
            found.push(format!(
                "action `{name}`: `context.action` holds the action's properties, so it must be a record"
            ));
        }
        let http = action.principals.contains(PRINCIPAL)
            && RESOURCES.iter().any(|resource| action.resources.contains(*resource));
        if http {
            found.extend(unsupplied(action).into_iter().map(|what| format!("action `{name}`: {what}")));
        }
    }
    found
}

/// The attributes of a context that a check over HTTP can't supply.
fn unsupplied(action: &ActionType) -> Vec<String> {
    let mut found = Vec::new();
    for (name, attribute) in &action.context {
        if STRINGS.contains(&name.as_str()) {
            if attribute.kind != Type::String {
                found.push(format!("`context.{name}` of a request is a String"));
            }
        } else if RECORDS.contains(&name.as_str()) {
            let Type::Record(record) = &attribute.kind else {
                found.push(format!("`context.{name}` of a request is a record"));
                continue;
            };
            let others = record.iter().filter(|(_, attribute)| attribute.kind != Type::String);
            found.extend(others.map(|(inner, _)| format!("`context.{name}[\"{inner}\"]` of a request is a String")));
        } else if attribute.required && name != "action" {
            found.push(format!("requires `context.{name}`, which no request supplies; make it optional"));
        }
    }
    found
}

#[cfg(test)]
mod tests;
