//! What a proxy's HTTP request becomes by the routes of a mapping.

use std::sync::Arc;

use super::expression::read_as;
use super::inputs::Inputs;
use super::route::{ActionName, OnError, Resource, Route};
use super::table::Table;
use super::{ROUTE, SERVICE_KIND, context, enclosing_paths, http_query, path_entity, service};
use crate::decision::check::Check;
use crate::decision::policy::PolicySet;
use crate::decision::principal::PrincipalRule;
use crate::decision::query::{Action, Entity, Properties, Property, Query};
use crate::decision::reason::Reason;
use crate::decision::request::{HttpRequest, Refusal};
use crate::decision::schema::{RecordType, Type};
use crate::foundation::digest::Digest;

/// The action of a request that wants to leave HTTP.
const UPGRADE: &str = "upgrade";

/// Routes that fit together: for every request it is clear which one it takes, if any. Immutable.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(super) table: Table,
    pub(super) routes: Vec<Route>,
    pub(super) digest: Digest,
}

/// The route that a request takes, and what its variables stand for.
#[derive(Debug)]
pub struct Found<'q> {
    route: &'q Route,
    inputs: Inputs<'q>,
}

/// What a request became, and by which route.
#[derive(Clone, Debug)]
pub struct Mapped<'q> {
    /// The question.
    pub query: Query<'q>,
    route: Option<&'q Route>,
}

impl Mapped<'_> {
    /// The route's name, and where it is written as `file:line:column`; `None` for a tunnel, which takes none.
    pub fn route(&self) -> Option<(&str, String)> {
        self.route.map(|route| (&*route.name, route.place()))
    }
}

impl Mapping {
    /// How many routes there are.
    pub const fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no route, so that every request is denied.
    pub const fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// SHA-256 over the names and bytes of its files.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// May `subject` make this request? A tunnel has no path and is what it is without a mapping.
    ///
    /// # Errors
    /// [`Refusal`] if no route matches, the route needs something that the request lacks or that can be read in two ways,
    /// or the schema has no such action.
    pub fn query<'q>(
        &'q self,
        subject: Entity<'q>,
        request: &'q HttpRequest<'_>,
        check: &'q Check<'_>,
        policies: &'q PolicySet,
    ) -> Result<Mapped<'q>, Refusal> {
        match self.find(request, check)? {
            Some(found) => Ok(Mapped { query: found.query(subject, policies)?, route: Some(found.route) }),
            None => Ok(Mapped { query: http_query(subject, request, check, policies.shape())?, route: None }),
        }
    }

    /// The route of this request; `None` for a tunnel, which takes none.
    ///
    /// # Errors
    /// [`Refusal`] if no route matches, or something that one asks for can be read in two ways.
    pub fn find<'q>(
        &'q self,
        request: &'q HttpRequest<'_>,
        check: &'q Check<'_>,
    ) -> Result<Option<Found<'q>>, Refusal> {
        let Some(mut inputs) = Inputs::of(request, check) else { return Ok(None) };
        let found = self.table.find(&self.routes, &mut inputs)?;
        let route = found.ok_or_else(|| {
            let what = format_args!("no route matches {} on host `{}`", request.method(), request.host().name());
            Refusal::new(Reason::NoRoute, what, inputs.path.as_str())
        })?;
        Ok(Some(Found { route, inputs }))
    }
}

impl<'q> Found<'q> {
    /// The route's name.
    pub const fn name(&self) -> &Arc<str> {
        &self.route.name
    }

    /// Who is the principal, if the route says so.
    pub const fn principal(&self) -> Option<PrincipalRule> {
        self.route.principal
    }

    /// What is answered if no decision can be made.
    pub const fn on_error(&self) -> OnError {
        self.route.on_error
    }

    /// May `subject` make this request?
    ///
    /// # Errors
    /// [`Refusal`] if the route needs something that the request lacks or that can be read in two ways, or the schema has
    /// no such action.
    pub fn query(&self, subject: Entity<'q>, policies: &'q PolicySet) -> Result<Query<'q>, Refusal> {
        let Self { route, inputs } = self;
        let action = route.action(inputs);
        let (resource, extra) = route.resource(inputs, policies)?;
        let mut context = context(action, Some(inputs.request), inputs.check, policies.shape())?;
        let declared = policies.types().actions.get(action).map(|action| &action.context);
        for (name, value) in &route.context {
            let Some(attribute) = declared.and_then(|record| record.get(&**name)) else { continue };
            if let Some(value) = value.expression.evaluate(Some(&attribute.kind), inputs)? {
                context.insert(&**name, value);
            }
        }
        Ok(Query { subject, action: Action::named(action), resource, context, extra })
    }
}

impl Route {
    fn action<'q>(&'q self, inputs: &Inputs<'q>) -> &'q str {
        match &self.action {
            ActionName::Named(name, _) => name,
            ActionName::Method if self.selectors.upgrade.is_some() => UPGRADE,
            ActionName::Method => inputs.request.method(),
        }
    }

    /// The resource, and what encloses it.
    fn resource<'q>(
        &'q self,
        inputs: &Inputs<'q>,
        policies: &'q PolicySet,
    ) -> Result<(Entity<'q>, Vec<Entity<'q>>), Refusal> {
        let (kind, id, properties) = match &self.resource {
            Resource::Path => {
                let service = service(inputs.check)?;
                let (path, service) = (inputs.path, Some(&service));
                let extra = enclosing_paths(path, service);
                return Ok((path_entity(path.as_str(), path.ancestors().next(), service), extra));
            }
            Resource::Entity { kind, id, properties, .. } => (&**kind, id, properties),
        };
        if let Some(lacking) = id.lacks(inputs)? {
            let why = format_args!("route `{}` needs {lacking} for the resource's id", self.name);
            return Err(Refusal::new(Reason::MissingInput, why, ""));
        }
        let id = match id.evaluate(inputs)? {
            Some(Property::Text(id)) => id,
            Some(Property::Json(json)) if json.is_i64() || json.is_u64() => json.to_string().into(),
            _ => return Err(Refusal::new(Reason::BadBody, "the resource's id is neither a string nor an integer", "")),
        };
        let mut resource = Entity::named(kind, id);
        let Some(types) = policies.types().entities.get(kind) else { return Ok((resource, Vec::new())) };
        if types.ancestors.contains(SERVICE_KIND) {
            resource.parents.push(service(inputs.check)?);
        }
        resource.properties = match properties {
            None if kind == ROUTE => described(&types.attributes, self, inputs),
            None => Properties::default(),
            Some(given) => {
                let mut properties = Properties::with_capacity(given.len());
                for (name, value) in given {
                    let Some(attribute) = types.attributes.get(&**name) else { continue };
                    if let Some(value) = value.expression.evaluate(Some(&attribute.kind), inputs)? {
                        properties.insert(&**name, value);
                    }
                }
                properties
            }
        };
        Ok((resource, Vec::new()))
    }
}

/// The properties that gateways send with a route, as far as the schema declares them.
fn described<'q>(declared: &'q RecordType, route: &'q Route, inputs: &Inputs<'q>) -> Properties<'q> {
    let mut properties = Properties::with_capacity(declared.len());
    for (name, attribute) in declared {
        let value = match (name.as_str(), &attribute.kind) {
            ("params", Type::Record(record)) => Some(params(record, route, inputs).into()),
            (name, _) => DESCRIBED.contains(&name).then(|| plain(name, inputs)).flatten().map(Property::from),
        };
        if let Some(value) = value {
            properties.insert(name.as_str(), value);
        }
    }
    properties
}

/// The names of those that are strings.
pub(super) const DESCRIBED: [&str; 5] = ["hostname", "method", "path", "query", "scheme"];

fn plain<'q>(name: &str, inputs: &Inputs<'q>) -> Option<&'q str> {
    match name {
        "hostname" => Some(inputs.request.host().name()),
        name => super::plain(name, inputs.request),
    }
}

/// The variables of the path that the schema declares.
fn params<'q>(declared: &RecordType, route: &'q Route, inputs: &Inputs<'q>) -> Properties<'q> {
    let mut params = Properties::default();
    for (name, value) in route.template.variables().zip(&inputs.captures) {
        if let Some(attribute) = declared.get(name) {
            params.insert(name, read_as(Some(&attribute.kind), Property::from(*value)));
        }
    }
    params
}

#[cfg(test)]
mod tests;
