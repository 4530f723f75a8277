//! What a proxy's HTTP request becomes by the routes of a mapping.

use std::borrow::Cow;
use std::sync::Arc;

use super::expression::{Text, read_as};
use super::inputs::Inputs;
use super::mcp::enter;
use super::route::{ActionName, Asks, Meaning, OnError, Resource, Route};
use super::table::Table;
use super::{ROUTE, SERVICE_KIND, context, enclosing_paths, http_query, path_entity, service};
use crate::decision::call::Call;
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

/// A request on its way through the mapping: it is known which route it takes.
#[derive(Debug)]
pub struct Routed<'q> {
    request: &'q HttpRequest<'q>,
    check: &'q Check<'q>,
    taken: Option<Taken<'q>>,
}

/// The route that is taken.
#[derive(Debug)]
struct Taken<'q> {
    route: &'q Route,
    inputs: Inputs<'q>,
    call: Option<Call>,
    /// Why the message in the request can't be relied on, if there must be one and it can't.
    flaw: Option<Refusal>,
}

/// What a request became, and by which route.
#[derive(Clone, Debug)]
pub struct Mapped<'q> {
    /// The question.
    pub query: Query<'q>,
    /// Why it is not put to any policy, if it is not.
    pub registered: Result<(), Refusal>,
    route: Option<&'q Route>,
}

impl<'q> Mapped<'q> {
    /// What became of it by a route.
    pub(super) const fn of(query: Query<'q>, route: &'q Route, registered: Result<(), Refusal>) -> Self {
        Self { query, registered, route: Some(route) }
    }

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

    /// Which route a request takes. A tunnel has no path and takes none.
    ///
    /// # Errors
    /// [`Refusal`] if no route matches, or what routes select by can be read in two ways.
    pub fn route<'q>(&'q self, request: &'q HttpRequest<'_>, check: &'q Check<'_>) -> Result<Routed<'q>, Refusal> {
        let Some(mut inputs) = Inputs::of(request, check) else { return Ok(Routed { request, check, taken: None }) };
        let found = self.table.find(&self.routes, &mut inputs)?;
        let route = found.ok_or_else(|| {
            let what = format_args!("no route matches {} on host `{}`", request.method(), request.host().name());
            Refusal::new(Reason::NoRoute, what, inputs.path.as_str())
        })?;
        let (mut call, mut flaw) = (None, None);
        if let Meaning::Mcp(mcp) = &route.meaning {
            let received = mcp.receive(&inputs);
            call = received.call;
            match received.message {
                Ok(message) => inputs.message = message,
                Err(refusal) => flaw = Some(refusal),
            }
        }
        Ok(Routed { request, check, taken: Some(Taken { route, inputs, call, flaw }) })
    }
}

impl<'q> Routed<'q> {
    /// The call in it that waits for an answer, if it takes a route that has any.
    pub fn call(&self) -> Option<&Call> {
        self.taken.as_ref()?.call.as_ref()
    }

    /// The name of the route, if it takes one.
    pub fn name(&self) -> Option<&Arc<str>> {
        Some(&self.taken.as_ref()?.route.name)
    }

    /// Who is the principal, if the route says so.
    pub fn principal(&self) -> Option<PrincipalRule> {
        self.taken.as_ref()?.route.principal
    }

    /// What is answered if no decision can be made, if it takes a route.
    pub fn on_error(&self) -> Option<OnError> {
        Some(self.taken.as_ref()?.route.on_error)
    }

    /// Whether the route says something of the context's attribute of this name, for whatever requests.
    pub(super) fn names_in_context(&self, name: &str) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.route.context.iter().any(|(known, _)| &**known == name))
    }

    /// The method of the message in it, if there is one.
    pub fn method(&self) -> Option<&str> {
        Some(&self.taken.as_ref()?.inputs.message.as_ref()?.method)
    }

    /// May `subject` make this request? A tunnel is what it is without a mapping.
    ///
    /// # Errors
    /// [`Refusal`] if the route needs something that the request lacks or that can be read in two ways, or the schema has
    /// no such action.
    pub fn query(&self, subject: Entity<'q>, policies: &'q PolicySet) -> Result<Mapped<'q>, Refusal> {
        let Some(Taken { route, inputs, flaw, .. }) = &self.taken else {
            let query = http_query(subject, self.request, self.check, policies.shape())?;
            return Ok(Mapped { query, registered: Ok(()), route: None });
        };
        if let Some(flaw) = flaw {
            return Err(flaw.clone());
        }
        let asks = match &route.meaning {
            Meaning::Http(asks) => asks,
            Meaning::Mcp(mcp) => return mcp.query(subject, route, inputs, policies),
        };
        let action = route.action(asks, inputs);
        let (resource, extra) = route.resource(&asks.resource, inputs, policies)?;
        let mut context = context(action, Some(self.request), self.check, policies.shape())?;
        enter(&mut context, &route.context, policies.types().actions.get(action), inputs)?;
        let query = Query { subject, action: Action::named(action), resource, context, extra };
        Ok(Mapped::of(query, route, Ok(())))
    }
}

impl Route {
    fn action<'q>(&'q self, asks: &'q Asks, inputs: &Inputs<'q>) -> &'q str {
        match &asks.action {
            ActionName::Named(name, _) => name,
            ActionName::Method if self.selectors.upgrade.is_some() => UPGRADE,
            ActionName::Method => inputs.request.method(),
        }
    }

    /// An id that a route writes, for this request.
    pub(super) fn id<'q>(&self, id: &'q Text, inputs: &Inputs<'q>) -> Result<Cow<'q, str>, Refusal> {
        if let Some(lacking) = id.lacks(inputs)? {
            let why = format_args!("route `{}` needs {lacking} for the resource's id", self.name);
            return Err(Refusal::new(Reason::MissingInput, why, ""));
        }
        match id.evaluate(inputs)? {
            Some(Property::Text(id)) => Ok(id),
            Some(Property::Json(json)) if json.is_i64() || json.is_u64() => Ok(json.to_string().into()),
            _ => Err(Refusal::new(Reason::BadBody, "the resource's id is neither a string nor an integer", "")),
        }
    }

    /// The resource, and what encloses it.
    pub(super) fn resource<'q>(
        &'q self,
        resource: &'q Resource,
        inputs: &Inputs<'q>,
        policies: &'q PolicySet,
    ) -> Result<(Entity<'q>, Vec<Entity<'q>>), Refusal> {
        let (kind, id, properties) = match resource {
            Resource::Path => {
                let service = service(inputs.check)?;
                let (path, service) = (inputs.path, Some(&service));
                let extra = enclosing_paths(path, service);
                return Ok((path_entity(path.as_str(), path.ancestors().next(), service), extra));
            }
            Resource::Entity { kind, id, properties, .. } => (&**kind, id, properties),
        };
        let mut resource = Entity::named(kind, self.id(id, inputs)?);
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
