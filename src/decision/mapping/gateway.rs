//! Questions that an API gateway asks over `AuthZEN` about an HTTP request, as the de-facto profile of gateways has them: the
//! action is the method, the resource a `route` whose properties describe the request. By the routes of a mapping they
//! become the same question as the request itself does behind an Envoy.
//!
//! What identifies the route is the request; the gateway's own `id` and `params` are not looked at, since they follow from
//! it by routes that may be others than ours.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{Mapping, ROUTE, SERVICE, complete_subject};
use crate::decision::check::{Check, HeaderLine, HttpAttributes};
use crate::decision::mapping::Routed;
use crate::decision::policy::PolicySet;
use crate::decision::query::{Action, Properties, Property, Query};
use crate::decision::reason::Reason;
use crate::decision::request::{HttpRequest, Refusal};

/// The member of a question's context that has the request's headers: texts, or lists of texts, by name.
const HEADERS: &str = "headers";

/// What a request has in its context by itself, if it has it: of one that is described, the description alone says so.
const DESCRIBED: [&str; 4] = [HEADERS, "query", "scheme", "upgrade"];

/// Whether the question is about a request.
pub(in crate::decision) fn is_request(query: &Query<'_>) -> bool {
    query.resource.kind == ROUTE
}

/// What the request becomes that `asked` describes; `found` is told of its route.
///
/// # Errors
/// [`Refusal`] as for a request: it can be read in two ways, no route matches, something is missing.
pub(in crate::decision) fn query(
    asked: &Query<'_>,
    mapping: &Mapping,
    policies: &PolicySet,
    found: impl FnOnce(&Routed<'_>),
) -> Result<Query<'static>, Refusal> {
    let mut completed = asked.clone();
    complete_subject(&mut completed)?;
    let (path, lines) = (path(&asked.resource.properties)?, headers(&asked.context)?);
    let text = |name| text(&asked.resource.properties, name);
    let http = HttpAttributes {
        method: &asked.action.name,
        path: &path,
        host: text("hostname")?.unwrap_or_default(),
        scheme: text("scheme")?.unwrap_or_default(),
        headers: Some(lines),
        ..HttpAttributes::default()
    };
    let service = text(SERVICE)?.map(|service| (SERVICE, service));
    let extensions = service.into_iter().collect::<Vec<_>>().into();
    let check = Check { extensions, ..Check::default() };
    let request = HttpRequest::from_attributes(&http)?;
    let routed = mapping.route(&request, &check)?;
    if routed.name().is_none() {
        return Err(Refusal::new(Reason::NoRoute, "a tunnel takes no route", &asked.action.name));
    }
    found(&routed);
    let mapped = routed.query(completed.subject.into_owned(), policies)?;
    mapped.registered?;
    let mut mapped = mapped.query.into_owned();
    for (name, value) in asked.context.clone().into_owned() {
        // What the route makes of the request is nobody else's to say, also where it comes to nothing.
        let is_the_requests = DESCRIBED.contains(&&*name) || routed.names_in_context(&name);
        if !is_the_requests && mapped.context.get(&name).is_none() {
            mapped.context.insert(name, value);
        }
    }
    let properties = asked.action.properties.clone().into_owned();
    Ok(Query { action: Action { properties, ..mapped.action }, ..mapped })
}

/// The path with its query, as on the wire.
fn path(properties: &Properties<'_>) -> Result<String, Refusal> {
    let path = text(properties, "path")?
        .ok_or_else(|| Refusal::new(Reason::BadPath, "`resource.properties.path` says no path", ""))?;
    if path.contains('?') {
        return Err(Refusal::new(Reason::BadPath, "the query stands in `resource.properties.query`", path));
    }
    let query = text(properties, "query")?.filter(|query| !query.is_empty());
    Ok(query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}

/// The header lines, each with its name in lower case.
fn headers<'q>(context: &'q Properties<'_>) -> Result<Vec<HeaderLine<'q>>, Refusal> {
    let wrong = |why: &str| Refusal::new(Reason::BadHeader, why, "");
    let Some(headers) = context.get(HEADERS) else { return Ok(Vec::new()) };
    let Property::Json(Json::Object(headers)) = headers else {
        return Err(wrong("`context.headers` is not an object"));
    };
    let mut lines = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong("the names in `context.headers` are not in lower case"));
        }
        match value {
            Json::String(value) => lines.push((name.as_str(), value.as_bytes())),
            Json::Array(values) => {
                for value in values {
                    let value = value.as_str().ok_or_else(|| wrong("a header in `context.headers` is not a text"))?;
                    lines.push((name.as_str(), value.as_bytes()));
                }
            }
            _ => return Err(wrong("a header in `context.headers` is neither a text nor a list of texts")),
        }
    }
    Ok(lines)
}

fn text<'q>(properties: &'q Properties<'_>, name: &str) -> Result<Option<&'q str>, Refusal> {
    match properties.get(name) {
        None => Ok(None),
        Some(Property::Text(text)) => Ok(Some(Cow::as_ref(text))),
        Some(_) => {
            let what = format_args!("`resource.properties.{name}` is not a text");
            Err(Refusal::new(Reason::SchemaMismatch, what, ""))
        }
    }
}

#[cfg(test)]
mod tests;
