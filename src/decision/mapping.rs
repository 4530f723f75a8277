//! What a proxy's question means in the terms of policies: which action, on which resource, under which context. Here is
//! what it means by itself, in the vocabulary of the shipped schema, `policies/quickstart/portcullis.cedarschema`; in
//! [`routes`] what the routes of a mapping make of it, which `docs/mapping.md` tells its users.
//!
//! A context holds what the schema declares for its action and nothing else, so that nothing undeclared can enter a
//! decision or a cache key. Who asks has been verified before, and whether they may is decided after.

mod compile;
mod document;
mod expression;
mod fit;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fuzz;
pub(in crate::decision) mod gateway;
mod inputs;
pub mod load;
mod mcp;
mod route;
pub mod routes;
mod selectors;
mod table;
mod template;
pub mod watch;

use std::borrow::Cow;
use std::collections::BTreeSet;

use portcullis_spiffe::SpiffeId;

pub use self::load::MappingFiles;
pub use self::route::OnError;
pub use self::routes::{Mapped, Mapping, Routed};
pub use self::template::check_template;
pub use self::watch::{MappingEvents, watch};
use super::check::Check;
use super::query::{Action, Entity, EntityRef, Properties, Property, Query};
use super::reason::Reason;
use super::request::{Host, HttpRequest, Refusal, RequestPath, Target};

/// The action of a check of a bare TCP connection.
const CONNECT_TCP: &str = "connect";

/// The action of a request that wants to leave HTTP.
const UPGRADE: &str = "upgrade";

/// The entity types of the shipped schema whose ids say more than a name.
pub(super) const WORKLOAD: &str = "Workload";
const TRUST_DOMAIN: &str = "TrustDomain";
const PATH: &str = "Path";
const SERVICE_KIND: &str = "Service";

/// The type of a resource of which a route says nothing, as API gateways name it.
const ROUTE: &str = "route";

/// The route's context extension that names the service behind the proxy.
const SERVICE: &str = "service";

/// The longest name of a service, in bytes.
const MAX_SERVICE: usize = 2048;

/// What the loaded schema lets policies read of a request, by the name of the action.
pub trait Shape {
    /// The attributes of the action's context, or `None` if the schema has no such action.
    fn context_attributes(&self, action: &str) -> Option<&BTreeSet<String>>;

    /// The attributes of `context.headers`: names of headers.
    fn headers(&self, action: &str) -> &BTreeSet<String>;

    /// The attributes of `context.route`: keys of the route's context extensions.
    fn route_attributes(&self, action: &str) -> &BTreeSet<String>;
}

/// May `subject` make this request?
///
/// # Errors
/// [`Refusal`] if the schema has no such action, a header that it declares can't be relied on, or nothing says which
/// service this is.
pub fn http_query<'q>(
    subject: Entity<'q>,
    request: &'q HttpRequest<'_>,
    check: &'q Check<'_>,
    shape: &'q dyn Shape,
) -> Result<Query<'q>, Refusal> {
    let service = service(check)?;
    let (action, resource, extra) = match request.target() {
        Target::Tunnel { port } => {
            let id = format!("{}:{port}", request.host().name());
            (request.method(), Entity { parents: [service].into(), ..Entity::named("Authority", id) }, Vec::new())
        }
        Target::Path { path, .. } => {
            let action = if request.upgrade().is_some() { UPGRADE } else { request.method() };
            let service = Some(&service);
            (action, path_entity(path.as_str(), path.ancestors().next(), service), enclosing_paths(path, service))
        }
    };
    let context = context(action, Some(request), check, shape)?;
    Ok(Query { subject, action: Action::named(action), resource, context, extra })
}

/// May `subject` open this TCP connection?
///
/// # Errors
/// [`Refusal`] if the schema has no `connect` action or nothing says which service this is.
pub fn connect_query<'q>(
    subject: Entity<'q>,
    check: &'q Check<'_>,
    shape: &'q dyn Shape,
) -> Result<Query<'q>, Refusal> {
    let EntityRef { kind, id } = service(check)?;
    let context = context(CONNECT_TCP, None, check, shape)?;
    let (action, resource) = (Action::named(CONNECT_TCP), Entity::named(kind, id));
    Ok(Query { subject, action, resource, context, extra: Vec::new() })
}

/// Fills in what follows from the ids of an `AuthZEN` question itself, so that one policy means the same over every
/// wire: a workload's trust domain and path follow from its SPIFFE ID, a path lies within the paths that enclose it. A
/// caller can't say otherwise, nor escape a `forbid` on an enclosing path by not mentioning it.
///
/// # Errors
/// [`Refusal`] if the id of a `Workload` is not a SPIFFE ID, or that of a `Path` can be read in two ways or is not what
/// the context says.
pub fn complete(query: &mut Query<'_>) -> Result<(), Refusal> {
    complete_subject(query)?;
    complete_resource(query)
}

/// What of [`complete`] follows from the subject's id.
///
/// # Errors
/// [`Refusal`] if the id of a `Workload` is not a SPIFFE ID.
pub fn complete_subject(query: &mut Query<'_>) -> Result<(), Refusal> {
    if parents_of_subject(&query.subject.kind).is_none() {
        return Ok(());
    }
    let id = &query.subject.id;
    let id: SpiffeId = id.parse().map_err(|why| Refusal::new(Reason::BadPrincipal, why, id))?;
    let derived = workload(&id).into_owned();
    query.subject.properties.extend(derived.properties);
    query.subject.parents = derived.parents;
    Ok(())
}

/// What of [`complete`] follows from the resource's id.
///
/// # Errors
/// [`Refusal`] if the id of a `Path` can be read in two ways or is not what the context says.
pub fn complete_resource(query: &mut Query<'_>) -> Result<(), Refusal> {
    if parents_of_resource(&query.resource.kind).is_none() {
        return Ok(());
    }
    let id = &*query.resource.id;
    let (path, rest) = RequestPath::parse(id).map_err(|why| Refusal::new(Reason::BadPath, why, id))?;
    if rest.is_some() || path.as_str() != id {
        return Err(Refusal::new(Reason::BadPath, "the path is not canonical", id));
    }
    if query.context.get("path").is_some_and(|said| said.as_str() != Some(id)) {
        return Err(Refusal::new(Reason::BadPath, "`context.path` is not the path that is asked about", id));
    }
    let service = query.resource.properties.get(SERVICE).and_then(Property::as_str);
    let service = service.map(|id| EntityRef::new(SERVICE_KIND, id));
    let extra = enclosing_paths(&path, service.as_ref()).into_iter().map(Entity::into_owned).collect();
    let resource = path_entity(path.as_str(), path.ancestors().next(), service.as_ref()).into_owned();
    (query.extra, query.resource.parents) = (extra, resource.parents);
    Ok(())
}

/// The types of the parents that follow from the id of a subject of this type; `None` if nothing follows from it.
pub fn parents_of_subject(kind: &str) -> Option<&'static [&'static str]> {
    (kind == WORKLOAD).then_some(&[TRUST_DOMAIN])
}

/// The types of the parents that follow from the id of a resource of this type; `None` if nothing follows from it.
pub fn parents_of_resource(kind: &str) -> Option<&'static [&'static str]> {
    (kind == PATH).then_some(&[PATH, SERVICE_KIND])
}

/// A verified workload as a subject.
pub fn workload(id: &SpiffeId) -> Entity<'_> {
    let trust_domain = id.trust_domain().as_str();
    let mut properties = Properties::with_capacity(2);
    properties.insert("path", id.path());
    properties.insert("trust_domain", trust_domain);
    let parents = [EntityRef::new(TRUST_DOMAIN, trust_domain)].into();
    Entity { properties, parents, ..Entity::named(WORKLOAD, id.as_str()) }
}

/// A path, whose parent is the path that encloses it or, for the outermost, the service.
fn path_entity<'q>(path: &'q str, enclosing: Option<&'q str>, service: Option<&EntityRef<'q>>) -> Entity<'q> {
    let enclosing = enclosing.map(|enclosing| EntityRef::new(PATH, enclosing));
    let parents = enclosing.or_else(|| service.cloned()).into_iter().collect();
    Entity { parents, ..Entity::named(PATH, path) }
}

fn enclosing_paths<'q>(path: &'q RequestPath, service: Option<&EntityRef<'q>>) -> Vec<Entity<'q>> {
    let enclosing_of_each = path.ancestors().skip(1).map(Some).chain([None]);
    path.ancestors().zip(enclosing_of_each).map(|(path, enclosing)| path_entity(path, enclosing, service)).collect()
}

/// The service that the proxy guards: what the route calls it, or else the proxy's own SPIFFE ID.
fn service<'q>(check: &'q Check<'_>) -> Result<EntityRef<'q>, Refusal> {
    let id = match check.extensions.get(SERVICE) {
        Some(name) if name.is_empty() || name.len() > MAX_SERVICE || name.chars().any(char::is_control) => {
            return Err(Refusal::new(Reason::NoService, "the route's `service` is not a name", name));
        }
        Some(name) => Cow::Borrowed(name),
        None => destination(check).map(Cow::Owned).ok_or_else(|| {
            let why = "the route names no `service`, and the proxy has no SPIFFE ID";
            Refusal::new(Reason::NoService, why, check.destination)
        })?,
    };
    Ok(EntityRef::new(SERVICE_KIND, id))
}

fn destination(check: &Check<'_>) -> Option<String> {
    check.destination.parse::<SpiffeId>().ok().map(|id| id.as_str().to_owned())
}

/// The declared attributes that the question has. A required one that it lacks is left for the schema to miss.
fn context<'q>(
    action: &str,
    request: Option<&'q HttpRequest<'_>>,
    check: &'q Check<'_>,
    shape: &'q dyn Shape,
) -> Result<Properties<'q>, Refusal> {
    let unknown = || Refusal::new(Reason::UnknownAction, "the schema has no such action", action);
    let declared = shape.context_attributes(action).ok_or_else(unknown)?;
    let mut context = Properties::with_capacity(declared.len());
    for attribute in declared {
        let value = match (attribute.as_str(), request) {
            ("sni", _) => sni(check)?.map(Property::from),
            ("destination", _) => destination(check).map(Property::from),
            ("route", _) => Some(route(check, shape.route_attributes(action)).into()),
            ("headers", Some(request)) => Some(headers(request, shape.headers(action))?.into()),
            (name, Some(request)) => plain(name, request).map(Property::from),
            (_, None) => None,
        };
        if let Some(value) = value {
            context.insert(attribute.as_str(), value);
        }
    }
    Ok(context)
}

fn plain<'q>(attribute: &str, request: &'q HttpRequest<'_>) -> Option<&'q str> {
    match (attribute, request.target()) {
        ("path", Target::Path { path, .. }) => Some(path.as_str()),
        ("query", Target::Path { query, .. }) => query.as_deref(),
        ("host", _) => Some(request.host().name()),
        ("method", _) => Some(request.method()),
        ("scheme", _) => request.scheme(),
        ("protocol", _) => request.protocol(),
        ("upgrade", _) => request.upgrade().and_then(|upgrade| upgrade.protocol.as_deref()),
        _ => None,
    }
}

fn headers<'q>(request: &'q HttpRequest<'_>, declared: &'q BTreeSet<String>) -> Result<Properties<'q>, Refusal> {
    let mut found = Properties::default();
    for name in declared {
        let value = request.headers().unique(name).map_err(|why| Refusal::new(Reason::BadHeader, why, ""))?;
        if let Some(value) = value {
            found.insert(name.as_str(), value);
        }
    }
    Ok(found)
}

fn route<'q>(check: &'q Check<'_>, declared: &'q BTreeSet<String>) -> Properties<'q> {
    let mut found = Properties::default();
    for name in declared {
        if let Some(value) = check.extensions.get(name) {
            found.insert(name.as_str(), value);
        }
    }
    found
}

/// The client chose it, so it is held to what RFC 6066 section 3 allows: a host name.
fn sni(check: &Check<'_>) -> Result<Option<String>, Refusal> {
    if check.sni.is_empty() {
        return Ok(None);
    }
    match Host::parse(check.sni) {
        Ok(host) if host.port().is_none() => Ok(Some(host.name().to_owned())),
        Ok(_) => Err(Refusal::new(Reason::BadHost, "the server name has a port", check.sni)),
        Err(why) => Err(Refusal::new(Reason::BadHost, format_args!("the server name is not one: {why}"), check.sni)),
    }
}

#[cfg(test)]
mod tests;
