//! From what is written of one route to the [`Route`]. Whatever is wrong with it is told, where it is written.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;
use serde_saphyr::Spanned;

use super::document::{ActionText, GrpcText, MatchText, Members, OnErrorText, ResourceText, RouteText, Value, place};
use super::expression::{Expression, Placed, Scope, Text, header_name, parameter};
use super::mcp::{HTTP_METHODS, SUPPLIED};
use super::route::{ActionName, Asks, HostPattern, Meaning, OnError, Resource, Route};
use super::selectors::{Place, Selectors};
use super::template::{Segment, Template, is_name};
use super::{PATH, ROUTE};
use crate::decision::policy::Problem;
use crate::decision::policy::problem::Position;
use crate::decision::policy::shape::is_supplied;
use crate::decision::principal::PrincipalRule;
use crate::decision::request::{Host, Method};
use crate::foundation::telemetry::is_unprintable;

/// The longest value or name, in bytes.
const MAX_TEXT: usize = 1024;

/// Compiles the routes of one file.
pub(super) struct Compiler<'p> {
    pub(super) file: Arc<Path>,
    pub(super) problems: &'p mut Vec<Problem>,
}

/// Service and method of a gRPC route.
type Grpc<'a> = (&'a str, Option<&'a str>);

impl Compiler<'_> {
    /// One route; `None` if something is wrong with it, which is then told.
    pub(super) fn route(&mut self, text: &Spanned<RouteText>) -> Option<Route> {
        let position = place(text);
        let text = &text.value;
        let matches = &text.matches.value;
        let grpc = self.grpc(&text.matches)?;
        let template = self.template(&text.matches, grpc)?;
        let scope = Scope { template: &template, grpc, mcp: text.mcp.is_some() };
        let host = self.host(matches.host.as_ref());
        let selectors = self.selectors(matches, grpc.is_some(), text.mcp.is_some());
        let meaning = self.meaning(text, position, (grpc, scope));
        let context = self.context(&text.context, scope);
        let (principal, on_error) = (self.principal(text.principal.as_ref()), self.on_error(text.on_error.as_ref()));
        let (host, selectors, meaning, context) = (host?, selectors?, meaning?, context?);
        let (principal, on_error) = (principal?, on_error?);
        let name = match &text.name {
            Some(name) => self.name(name)?,
            None if text.mcp.is_some() => ["MCP ", template.as_str()].concat().into(),
            None => name(&selectors, &template),
        };
        let file = Arc::clone(&self.file);
        Some(Route { name, file, position, host, template, selectors, meaning, context, principal, on_error })
    }

    fn meaning(
        &mut self,
        text: &RouteText,
        position: Position,
        (grpc, scope): (Option<Grpc<'_>>, Scope<'_>),
    ) -> Option<Meaning> {
        if let Some(mcp) = &text.mcp {
            return Some(Meaning::Mcp(Box::new(self.mcp(mcp, text, scope)?)));
        }
        let action = self.action(text.action.as_ref(), &text.matches, grpc);
        let resource = self.resource(text.resource.as_ref(), position, scope);
        Some(Meaning::Http(Asks { action: action?, resource: resource? }))
    }

    pub(super) fn complain<T>(&mut self, position: Position, message: impl std::fmt::Display) -> Option<T> {
        self.problems.push(Problem::positioned(&self.file, position, message));
        None
    }

    /// The value, or the complaint at `position`.
    pub(super) fn told<T>(&mut self, position: Position, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(message) => self.complain(position, message),
        }
    }

    fn name(&mut self, name: &Spanned<String>) -> Option<Arc<str>> {
        let is_one = !name.value.is_empty() && name.value.len() <= 256 && !name.value.chars().any(is_unprintable);
        if !is_one {
            return self.complain(place(name), "a name has 1 to 256 bytes and no control characters");
        }
        Some(name.value.as_str().into())
    }

    #[expect(clippy::option_option, reason = "the outer one is only there for `?`")]
    fn grpc<'t>(&mut self, matches: &'t Spanned<MatchText>) -> Option<Option<Grpc<'t>>> {
        let Some(grpc) = &matches.value.grpc else { return Some(None) };
        let GrpcText { service, method } = &grpc.value;
        if !service.value.split('.').all(is_name) {
            return self.complain(place(service), "a service is named as `package.Service`");
        }
        if let Some(method) = method.as_ref().filter(|method| !is_name(&method.value)) {
            return self.complain(place(method), "this can't be the name of a method");
        }
        if matches.value.path.is_some() || matches.value.method.is_some() || matches.value.upgrade.is_some() {
            return self
                .complain(place(grpc), "`grpc` says path and method, so neither they nor `upgrade` can be beside it");
        }
        Some(Some((&service.value, method.as_ref().map(|method| &*method.value))))
    }

    fn template(&mut self, matches: &Spanned<MatchText>, grpc: Option<Grpc<'_>>) -> Option<Template> {
        match (grpc, &matches.value.path) {
            (Some((service, method)), _) => {
                let method =
                    method.map_or(Segment::Variable("method".into()), |method| Segment::Literal(method.into()));
                Some(Template::of(vec![Segment::Literal(service.into()), method]))
            }
            (None, Some(path)) => self.told(place(path), Template::parse(&path.value)),
            (None, None) => self.complain(place(matches), "a route needs `path` or `grpc`"),
        }
    }

    fn host(&mut self, host: Option<&Spanned<String>>) -> Option<HostPattern> {
        let Some(host) = host else { return Some(HostPattern::Any) };
        let (name, below) = host.value.strip_prefix("*.").map_or((&*host.value, false), |name| (name, true));
        match Host::parse(name) {
            Ok(parsed) if parsed.port().is_none() && parsed.name() == name => {
                Some(if below { HostPattern::Below(name.into()) } else { HostPattern::Exact(name.into()) })
            }
            Ok(_) => self.complain(place(host), "a host is written in lower case, without port and final dot"),
            Err(error) => self.complain(place(host), format_args!("this is no host, nor `*.` and one: {error}")),
        }
    }

    fn selectors(&mut self, matches: &MatchText, grpc: bool, mcp: bool) -> Option<Selectors> {
        let methods = match (grpc, mcp) {
            (true, _) => Some(vec!["POST".into()]),
            (_, true) => Some(HTTP_METHODS.map(Box::from).to_vec()),
            _ => self.methods(matches.method.as_ref()),
        };
        let upgrade = match &matches.upgrade {
            Some(upgrade) => Some(Some(self.upgrade(upgrade)?)),
            None => Some(None),
        };
        let mut values = self.values(&matches.headers, |name| header_name(name).map(Place::Header))?;
        values.extend(self.values(&matches.query, |name| parameter(name).map(Place::Query))?);
        values.extend(self.values(&matches.extensions, |name| match name {
            "" => Err("a context extension has a name".to_owned()),
            name => Ok(Place::Extension(name.into())),
        })?);
        values.sort_unstable();
        // YAML has told of any other name that is there twice.
        if values.iter().zip(values.iter().skip(1)).any(|(one, next)| one.0 == next.0) {
            let position = matches.headers.0.last().map(|(name, _)| place(name))?;
            return self.complain(position, "a header is there twice, its name in two cases");
        }
        Some(Selectors { methods: methods?, upgrade: upgrade?, values })
    }

    fn methods(&mut self, given: Option<&Spanned<Value>>) -> Option<Vec<Box<str>>> {
        let Some(given) = given else { return Some(Vec::new()) };
        let mut methods: Vec<Box<str>> = Vec::new();
        let one = [(place(given), &given.value)];
        let items = match &given.value {
            Value::List(items) => items.iter().map(|item| (place(item), &item.value)).collect(),
            _ => one.to_vec(),
        };
        for (position, item) in items {
            match item {
                Value::Text(method) if method == "CONNECT" => {
                    return self.complain(position, "a tunnel has no path, so no route can match it; see `upgrade`");
                }
                Value::Text(method) => {
                    self.told(position, Method::parse(method))?;
                    if methods.iter().any(|known| **known == **method) {
                        return self.complain(position, "this method is there twice");
                    }
                    methods.push(method.as_str().into());
                }
                _ => return self.complain(position, "a method is a text, e.g. `GET`"),
            }
        }
        if methods.is_empty() {
            return self.complain(place(given), "without any method nothing matches");
        }
        Some(methods)
    }

    fn upgrade(&mut self, upgrade: &Spanned<String>) -> Option<Box<str>> {
        let protocol = header_name(&upgrade.value).ok().filter(|protocol| **protocol == *upgrade.value);
        match protocol {
            Some(protocol) => Some(protocol),
            None => self.complain(place(upgrade), "an upgrade names a protocol in lower case, e.g. `websocket`"),
        }
    }

    fn values(
        &mut self,
        members: &Members,
        read: impl Fn(&str) -> Result<Place, String>,
    ) -> Option<Vec<(Place, Box<str>)>> {
        let mut values = Vec::with_capacity(members.0.len());
        for (name, value) in &members.0 {
            let key = self.told(place(name), read(&name.value))?;
            match &value.value {
                Value::Text(text) if text.len() <= MAX_TEXT => values.push((key, text.as_str().into())),
                _ => {
                    return self
                        .complain(place(value), "what is compared is a text of 1024 bytes at most; put it in quotes");
                }
            }
        }
        Some(values)
    }

    fn action(
        &mut self,
        action: Option<&ActionText>,
        matches: &Spanned<MatchText>,
        grpc: Option<Grpc<'_>>,
    ) -> Option<ActionName> {
        let position = place(matches);
        match (action, grpc, &matches.value) {
            (Some(action), ..) if action.name.value.is_empty() || action.name.value.len() > MAX_TEXT => {
                self.complain(place(&action.name), "an action has a name of 1024 bytes at most")
            }
            (Some(action), ..) => Some(ActionName::Named(action.name.value.as_str().into(), place(&action.name))),
            (None, Some((_, Some(method))), _) => Some(ActionName::Named(method.into(), position)),
            (None, Some((_, None)), _) => {
                self.complain(position, "a route of all methods of a service needs `action.name`")
            }
            (None, None, MatchText { upgrade: Some(_), .. }) => Some(ActionName::Named("upgrade".into(), position)),
            (None, None, MatchText { method: Some(_), .. }) => Some(ActionName::Method),
            (None, None, _) => self.complain(position, "a route needs `method` or `action.name`, or both"),
        }
    }

    pub(super) fn resource(
        &mut self,
        text: Option<&ResourceText>,
        route: Position,
        scope: Scope<'_>,
    ) -> Option<Resource> {
        let (kind, id, properties) =
            text.map_or((None, None, None), |text| (text.kind.as_ref(), text.id.as_ref(), text.properties.as_ref()));
        let position = kind.map_or(route, place);
        let kind = kind.map_or(ROUTE, |kind| &kind.value);
        if kind == PATH {
            return match (id, properties) {
                (None, None) => Some(Resource::Path),
                _ => self.complain(position, "a `Path` is the path of the request; its id and parents follow from it"),
            };
        }
        let id = match id {
            Some(id) if id.value.len() > MAX_TEXT => self.complain(place(id), "an id has 1024 bytes at most"),
            Some(id) => self.told(place(id), Text::parse(&id.value, scope)),
            None => Some(Text::literal(scope.template.as_str())),
        };
        let properties = match properties {
            Some(members) => Some(Some(self.members(members, scope)?)),
            None => Some(None),
        };
        Some(Resource::Entity { kind: kind.into(), position, id: id?, properties: properties? })
    }

    pub(super) fn context(&mut self, members: &Members, scope: Scope<'_>) -> Option<Vec<(Box<str>, Placed)>> {
        for (name, _) in &members.0 {
            let by_message = scope.mcp && SUPPLIED.contains(&name.value.as_str());
            if is_supplied(&name.value) || by_message || name.value == "action" {
                let what =
                    format_args!("`context.{}` follows from the request itself; name yours otherwise", name.value);
                return self.complain(place(name), what);
            }
        }
        self.members(members, scope)
    }

    #[expect(clippy::option_option, reason = "the outer one is only there for `?`")]
    fn principal(&mut self, rule: Option<&Spanned<String>>) -> Option<Option<PrincipalRule>> {
        let Some(rule) = rule else { return Some(None) };
        self.told(place(rule), rule.value.parse::<PrincipalRule>()).map(Some)
    }

    fn on_error(&mut self, text: Option<&OnErrorText>) -> Option<OnError> {
        let mut on_error = OnError::default();
        if let Some(fail) = text.and_then(|text| text.fail.as_ref()) {
            on_error.is_closed = match &*fail.value {
                "closed" => true,
                "envoy" => false,
                _ => return self.complain(place(fail), "`fail` is `closed` or `envoy`"),
            };
        }
        if let Some(status) = text.and_then(|text| text.status.as_ref()) {
            let Some(known) = OnError::status(status.value) else {
                return self.complain(place(status), "the status is one of 500 to 599 that Envoy can answer with");
            };
            on_error.status = Some(known);
        }
        Some(on_error)
    }

    fn members(&mut self, members: &Members, scope: Scope<'_>) -> Option<Vec<(Box<str>, Placed)>> {
        let read =
            members.0.iter().map(|(name, value)| Some((name.value.as_str().into(), self.expression(value, scope)?)));
        let read: Vec<Option<_>> = read.collect();
        read.into_iter().collect()
    }

    fn expression(&mut self, value: &Spanned<Value>, scope: Scope<'_>) -> Option<Placed> {
        let position = place(value);
        let expression = match &value.value {
            Value::Text(text) if text.len() > MAX_TEXT => {
                return self.complain(position, "a text has 1024 bytes at most");
            }
            Value::Text(text) => Expression::Text(self.told(position, Text::parse(text, scope))?),
            Value::Flag(flag) => Expression::Literal(Json::Bool(*flag)),
            Value::Number(number) => Expression::Literal(Json::from(*number)),
            Value::Members(members) => Expression::Record(self.members(members, scope)?),
            Value::List(_) => return self.complain(position, "a list can't be written here; `{body.…}` can be one"),
        };
        Some(Placed { expression, position })
    }
}

/// What a route without a name is called.
fn name(selectors: &Selectors, template: &Template) -> Arc<str> {
    let methods = selectors.methods.join(",");
    [&methods, template.as_str()].join(if methods.is_empty() { "" } else { " " }).into()
}
