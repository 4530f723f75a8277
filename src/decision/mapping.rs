//! What a proxy's question means in the terms of policies: which action, on which resource, under which context. The
//! vocabulary is that of the shipped schema, `policies/quickstart/portcullis.cedarschema`.
//!
//! A context holds what the schema declares for its action and nothing else, so that nothing undeclared can enter a
//! decision or a cache key. Who asks has been verified before, and whether they may is decided after.

use std::collections::BTreeSet;

use portcullis_spiffe::SpiffeId;
use serde_json::{Map, Value};

use super::check::Check;
use super::query::{Action, Entity, EntityRef, Query};
use super::reason::Reason;
use super::request::{Host, HttpRequest, Refusal, RequestPath, Target};

/// The action of a check of a bare TCP connection.
const CONNECT_TCP: &str = "connect";

/// The action of a request that wants to leave HTTP.
const UPGRADE: &str = "upgrade";

/// The entity types of the shipped schema whose ids say more than a name.
const WORKLOAD: &str = "Workload";
const PATH: &str = "Path";
const SERVICE_KIND: &str = "Service";

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

/// May `principal` make this request?
///
/// # Errors
/// [`Refusal`] if the schema has no such action, a header that it declares can't be relied on, or nothing says which
/// service this is.
pub fn http_query(
    principal: &SpiffeId,
    request: &HttpRequest<'_>,
    check: &Check<'_>,
    shape: &dyn Shape,
) -> Result<Query, Refusal> {
    let service = service(check)?;
    let (action, resource, extra) = match request.target() {
        Target::Tunnel { port } => {
            let id = format!("{}:{port}", request.host().name());
            (request.method(), entity("Authority", id, vec![service]), Vec::new())
        }
        Target::Path { path, .. } => {
            let action = if request.upgrade().is_some() { UPGRADE } else { request.method() };
            let service = Some(&service);
            (action, path_entity(path.as_str(), path.ancestors().next(), service), enclosing_paths(path, service))
        }
    };
    let context = context(action, Some(request), check, shape)?;
    Ok(Query { subject: workload(principal), action: named(action), resource, context, extra })
}

/// May `principal` open this TCP connection?
///
/// # Errors
/// [`Refusal`] if the schema has no `connect` action or nothing says which service this is.
pub fn connect_query(principal: &SpiffeId, check: &Check<'_>, shape: &dyn Shape) -> Result<Query, Refusal> {
    let EntityRef { kind, id } = service(check)?;
    let context = context(CONNECT_TCP, None, check, shape)?;
    let resource = entity(&kind, id, Vec::new());
    Ok(Query { subject: workload(principal), action: named(CONNECT_TCP), resource, context, extra: Vec::new() })
}

/// An `AuthZEN` question with what follows from its own ids filled in, so that one policy means the same over every
/// wire: a workload's trust domain and path follow from its SPIFFE ID, a path lies within the paths that enclose it. A
/// caller can't say otherwise, nor escape a `forbid` on an enclosing path by not mentioning it.
///
/// # Errors
/// [`Refusal`] if the id of a `Workload` is not a SPIFFE ID, or that of a `Path` can be read in two ways or is not what
/// the context says.
pub fn complete(query: &Query) -> Result<Query, Refusal> {
    let mut query = query.clone();
    if query.subject.kind == WORKLOAD {
        let id = &query.subject.id;
        let id: SpiffeId = id.parse().map_err(|why| Refusal::new(Reason::BadPrincipal, why, id))?;
        let derived = workload(&id);
        query.subject.properties.extend(derived.properties);
        query.subject.parents = derived.parents;
    }
    if query.resource.kind == PATH {
        let id = query.resource.id.as_str();
        let (path, rest) = RequestPath::parse(id).map_err(|why| Refusal::new(Reason::BadPath, why, id))?;
        if rest.is_some() || path.as_str() != id {
            return Err(Refusal::new(Reason::BadPath, "the path is not canonical", id));
        }
        if query.context.get("path").is_some_and(|said| said != id) {
            return Err(Refusal::new(Reason::BadPath, "`context.path` is not the path that is asked about", id));
        }
        let service = query.resource.properties.get(SERVICE).and_then(Value::as_str);
        let service = service.map(|id| EntityRef { kind: SERVICE_KIND.to_owned(), id: id.to_owned() });
        query.extra = enclosing_paths(&path, service.as_ref());
        query.resource.parents = path_entity(path.as_str(), path.ancestors().next(), service.as_ref()).parents;
    }
    Ok(query)
}

/// A verified workload as a subject.
pub fn workload(id: &SpiffeId) -> Entity {
    let trust_domain = id.trust_domain().as_str();
    let mut properties = Map::new();
    properties.insert("trust_domain".to_owned(), trust_domain.into());
    properties.insert("path".to_owned(), id.path().into());
    let parent = EntityRef { kind: "TrustDomain".to_owned(), id: trust_domain.to_owned() };
    Entity { properties, ..entity(WORKLOAD, id.as_str().to_owned(), vec![parent]) }
}

fn named(action: &str) -> Action {
    Action { name: action.to_owned(), properties: Map::new() }
}

fn entity(kind: &str, id: String, parents: Vec<EntityRef>) -> Entity {
    Entity { kind: kind.to_owned(), id, properties: Map::new(), parents }
}

/// A path, whose parent is the path that encloses it or, for the outermost, the service.
fn path_entity(path: &str, enclosing: Option<&str>, service: Option<&EntityRef>) -> Entity {
    let enclosing = enclosing.map(|enclosing| EntityRef { kind: PATH.to_owned(), id: enclosing.to_owned() });
    entity(PATH, path.to_owned(), enclosing.or_else(|| service.cloned()).into_iter().collect())
}

fn enclosing_paths(path: &RequestPath, service: Option<&EntityRef>) -> Vec<Entity> {
    let enclosing_of_each = path.ancestors().skip(1).map(Some).chain([None]);
    path.ancestors().zip(enclosing_of_each).map(|(path, enclosing)| path_entity(path, enclosing, service)).collect()
}

/// The service that the proxy guards: what the route calls it, or else the proxy's own SPIFFE ID.
fn service(check: &Check<'_>) -> Result<EntityRef, Refusal> {
    let id = match check.extensions.get(SERVICE) {
        Some(name) if name.is_empty() || name.len() > MAX_SERVICE || name.chars().any(char::is_control) => {
            return Err(Refusal::new(Reason::NoService, "the route's `service` is not a name", name));
        }
        Some(name) => name.to_owned(),
        None => destination(check).ok_or_else(|| {
            let why = "the route names no `service`, and the proxy has no SPIFFE ID";
            Refusal::new(Reason::NoService, why, check.destination)
        })?,
    };
    Ok(EntityRef { kind: SERVICE_KIND.to_owned(), id })
}

fn destination(check: &Check<'_>) -> Option<String> {
    check.destination.parse::<SpiffeId>().ok().map(|id| id.as_str().to_owned())
}

/// The declared attributes that the question has. A required one that it lacks is left for the schema to miss.
fn context(
    action: &str,
    request: Option<&HttpRequest<'_>>,
    check: &Check<'_>,
    shape: &dyn Shape,
) -> Result<Map<String, Value>, Refusal> {
    let unknown = || Refusal::new(Reason::UnknownAction, "the schema has no such action", action);
    let mut context = Map::new();
    for attribute in shape.context_attributes(action).ok_or_else(unknown)? {
        let value = match (attribute.as_str(), request) {
            ("sni", _) => sni(check)?.map(Value::from),
            ("destination", _) => destination(check).map(Value::from),
            ("route", _) => Some(route(check, shape.route_attributes(action))),
            ("headers", Some(request)) => Some(headers(request, shape.headers(action))?),
            (name, Some(request)) => plain(name, request).map(Value::from),
            (_, None) => None,
        };
        if let Some(value) = value {
            context.insert(attribute.clone(), value);
        }
    }
    Ok(context)
}

fn plain(attribute: &str, request: &HttpRequest<'_>) -> Option<String> {
    let (path, query) = match request.target() {
        Target::Path { path, query } => (Some(path.as_str()), query.as_deref()),
        Target::Tunnel { .. } => (None, None),
    };
    match attribute {
        "host" => Some(request.host().name()),
        "method" => Some(request.method()),
        "path" => path,
        "query" => query,
        "scheme" => request.scheme(),
        "protocol" => request.protocol(),
        "upgrade" => request.upgrade().and_then(|upgrade| upgrade.protocol.as_deref()),
        _ => None,
    }
    .map(str::to_owned)
}

fn headers(request: &HttpRequest<'_>, declared: &BTreeSet<String>) -> Result<Value, Refusal> {
    let mut found = Map::new();
    for name in declared {
        let value = request.headers().unique(name).map_err(|why| Refusal::new(Reason::BadHeader, why, ""))?;
        if let Some(value) = value {
            found.insert(name.clone(), value.into());
        }
    }
    Ok(Value::Object(found))
}

fn route(check: &Check<'_>, declared: &BTreeSet<String>) -> Value {
    let said = |name: &String| check.extensions.get(name).map(|value| (name.clone(), Value::from(value)));
    Value::Object(declared.iter().filter_map(said).collect())
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
