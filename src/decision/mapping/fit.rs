//! Whether what routes make of requests can fit the schema: a route that no request could ever pass is found better when
//! it is loaded than by the first request.

use super::expression::{Attribute, Expression, Input, Placed, Text};
use super::mcp::SUPPLIED;
use super::route::{ActionName, Asks, Meaning, Resource, Route};
use super::routes::{DESCRIBED, Mapping};
use super::{PATH, ROUTE};
use crate::decision::policy::problem::refuse_if_any;
use crate::decision::policy::shape::is_supplied;
use crate::decision::policy::{LoadError, PolicySet, Problem};
use crate::decision::principal::DELEGATION;
use crate::decision::schema::{ActionType, RecordType, SchemaTypes, Type};
use crate::decision::value::read::{Place, read};

impl Mapping {
    /// Whether every route fits the schema of `policies`.
    ///
    /// # Errors
    /// [`LoadError`] with every problem, where it is written.
    pub fn fit(&self, policies: &PolicySet) -> Result<(), LoadError> {
        refuse_if_any(self.routes.iter().flat_map(|route| route.misfits(policies.types())).collect())
    }
}

impl Route {
    fn misfits(&self, types: &SchemaTypes) -> Vec<Problem> {
        let mut problems = Vec::new();
        match &self.meaning {
            Meaning::Http(asks) => self.asks_misfits(asks, (&self.context, &[]), types, &mut problems),
            Meaning::Mcp(mcp) => mcp.misfits(self, types, &mut problems),
        }
        problems
    }

    /// What of a question can't be, if its context has what is given: what all must fit, and what enters it where it does.
    pub(super) fn asks_misfits(
        &self,
        asks: &Asks,
        given: (&[Attribute], &[Attribute]),
        types: &SchemaTypes,
        problems: &mut Vec<Problem>,
    ) {
        let kind = match &asks.resource {
            Resource::Path => PATH,
            Resource::Entity { kind, .. } => kind,
        };
        self.resource_misfits(&asks.resource, types, problems);
        let place = match &asks.action {
            ActionName::Named(_, position) => *position,
            ActionName::Method => self.position,
        };
        for name in self.actions(asks) {
            let Some(action) = types.actions.get(name) else {
                problems.push(self.problem(place, format_args!("the schema has no action `{name}`")));
                continue;
            };
            if !action.resources.contains(kind) {
                let what = format_args!("the resource of action `{name}` can't be a `{kind}`");
                problems.push(self.problem(place, what));
            }
            self.context_misfits(name, action, given, problems);
        }
    }

    fn resource_misfits(&self, resource: &Resource, types: &SchemaTypes, problems: &mut Vec<Problem>) {
        let Resource::Entity { kind, position, id: _, properties } = resource else { return };
        let Some(entity) = types.entities.get(&**kind) else {
            problems.push(self.problem(*position, format_args!("the schema has no entity type `{kind}`")));
            return;
        };
        if let Some(properties) = properties {
            for (name, value) in properties {
                self.misfit(&format!("`{kind}`"), &entity.attributes, name, value, problems);
            }
            return;
        }
        for (name, attribute) in entity.attributes.iter().filter(|_| **kind == *ROUTE) {
            let fits = match &attribute.kind {
                Type::Record(_) if name == "params" => true,
                Type::String => true,
                _ => !DESCRIBED.contains(&name.as_str()) && name != "params",
            };
            if !fits {
                let what =
                    format_args!("`{kind}.{name}` must be a String, and `params` a record, or `properties` given");
                problems.push(self.problem(*position, what));
            }
        }
    }

    fn context_misfits(
        &self,
        name: &str,
        action: &ActionType,
        (own, further): (&[Attribute], &[Attribute]),
        problems: &mut Vec<Problem>,
    ) {
        for (attribute, value) in own {
            if **attribute == *DELEGATION {
                let what = "`context.delegation` is what a verified token says, so no route can say it";
                problems.push(self.problem(value.position, what));
            }
            self.misfit(&format!("the context of action `{name}`"), &action.context, attribute, value, problems);
        }
        for (attribute, kind) in &action.context {
            let given = own.iter().chain(further).any(|(given, _)| **given == **attribute);
            let by_message = matches!(self.meaning, Meaning::Mcp(_)) && SUPPLIED.contains(&attribute.as_str());
            if kind.required && !given && !by_message && !is_supplied(attribute) {
                let what =
                    format_args!("action `{name}` requires `context.{attribute}`, which the route does not give");
                problems.push(self.problem(self.position, what));
            }
        }
    }

    /// What is wrong with one value, if anything.
    pub(super) fn misfit(
        &self,
        of: &str,
        declared: &RecordType,
        name: &str,
        value: &Placed,
        problems: &mut Vec<Problem>,
    ) {
        let Some(attribute) = declared.get(name) else {
            problems.push(self.problem(value.position, format_args!("{of} declares no `{name}`")));
            return;
        };
        match (&value.expression, &attribute.kind) {
            (Expression::Text(text), kind) if text.can_be(kind) => {}
            (Expression::Literal(json), kind) if read(kind, json, &Place::new(name)).is_ok() => {}
            (Expression::Record(members), Type::Entity(_)) => {
                for (member, value) in members {
                    if !matches!(&**member, "type" | "id") || !matches!(value.expression, Expression::Text(_)) {
                        let what = "a reference to an entity has a `type` and an `id`, which are texts";
                        problems.push(self.problem(value.position, what));
                    }
                }
            }
            (Expression::Record(members), Type::Record(record)) => {
                for (member, value) in members {
                    self.misfit(&format!("`{name}`"), record, member, value, problems);
                }
            }
            _ => {
                problems
                    .push(self.problem(value.position, format_args!("`{name}` is declared as another type in {of}")));
            }
        }
    }
}

impl Text {
    /// Whether it can be a value of this type. What is read of a body has whatever type it has there.
    fn can_be(&self, kind: &Type) -> bool {
        matches!(
            (kind, self.as_input()),
            (_, Some(Input::Body(_) | Input::Params(_)))
                | (Type::String | Type::Extension(_), _)
                | (Type::Long | Type::Bool, Some(_))
        )
    }
}
