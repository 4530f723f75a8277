//! Routes that speak the Model Context Protocol over its streamable HTTP transport: which tool, prompt or resource of
//! which server a message is about. `docs/mcp.md` tells users; the names of actions and types follow the `AuthZEN`
//! working group's draft, COAZ-MCP, sections "Default Mappings" and "Pass-through Operations", of which nothing is passed
//! through here.

mod arguments;
mod compile;
mod fit;
#[cfg(test)]
mod fuzz;
mod message;
mod metadata;
mod method;
#[cfg(test)]
mod tests;
mod uri;

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value as Json;

pub(super) use self::arguments::SUPPLIED;
pub(super) use self::message::Message;
use self::method::Target;
use super::expression::{Attribute, Text};
use super::inputs::{Inputs, body};
use super::route::{ActionName, Asks, Route};
use super::{Mapped, context};
use crate::decision::call::Call;
use crate::decision::check::{Body, Check};
use crate::decision::entity::UidRef;
use crate::decision::policy::PolicySet;
use crate::decision::query::{Action, Entity, EntityRef, Properties, Query};
use crate::decision::reason::Reason;
use crate::decision::request::{HttpRequest, Refusal};
use crate::decision::schema::{ActionType, Type};

/// The methods of HTTP that the transport has.
pub(super) const HTTP_METHODS: [&str; 3] = ["POST", "GET", "DELETE"];

/// The longest name of a tool, a prompt or a task, in bytes.
const MAX_NAME: usize = 256;

/// What a route makes of MCP.
#[derive(Clone, Debug)]
pub(super) struct Mcp {
    /// The id of the server that is behind the route.
    server: Text,
    /// What the ids of tools, prompts, resources and tasks begin with.
    prefix: Text,
    /// The namespace of actions, with the `::` behind it.
    namespace: Option<Box<str>>,
    kinds: Kinds,
    source: Source,
    /// The longest body, in bytes.
    max_bytes: usize,
    /// Whether denials of calls have the HTTP status 200.
    in_band: bool,
    /// Tools whose calls become something else than calls of a tool.
    tools: HashMap<Box<str>, Declared>,
}

/// The names of the entity types.
#[derive(Clone, Debug)]
struct Kinds {
    server: Box<str>,
    tool: Box<str>,
    prompt: Box<str>,
    resource: Box<str>,
    task: Box<str>,
}

/// Where a message is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    /// In the body; what the proxy's filter says must agree, if it says anything.
    Body,
    /// In the body; the filter must say the same.
    Both,
    /// In what the filter says; the body is not looked at.
    Metadata,
}

/// What calls of one tool become.
#[derive(Clone, Debug)]
struct Declared {
    asks: Asks,
    context: Vec<Attribute>,
}

/// What was posted.
#[derive(Debug)]
pub(super) struct Received {
    /// Who waits for an answer.
    pub(super) call: Option<Call>,
    /// The message; `None` if the request is to have none.
    pub(super) message: Result<Option<Message>, Refusal>,
}

/// What a message is about.
struct About<'q> {
    kind: &'q str,
    /// Its name, and the property that has it if the schema wants it; the server has none.
    named: Option<(&'static str, String)>,
}

impl Mcp {
    /// Reads what was posted, and holds the proxy's reading of it against ours.
    pub(super) fn receive(&self, inputs: &Inputs<'_>) -> Received {
        if inputs.request.method() != "POST" {
            return Received { call: None, message: nothing(inputs.check).map(|()| None) };
        }
        let json = match self.read(inputs) {
            Ok(json) => json,
            Err(refusal) => return Received { call: Some(Call { id: None, in_band: false }), message: Err(refusal) },
        };
        let id = message::id_of(&json);
        let message = self.understood(json, inputs);
        // Nobody waits for an answer to a notification or an answer.
        let waits = message.as_ref().map_or(true, |message| message.is_call);
        let in_band = self.in_band && id.is_some();
        Received { call: waits.then_some(Call { id, in_band }), message: message.map(Some) }
    }

    fn read(&self, inputs: &Inputs<'_>) -> Result<Json, Refusal> {
        if self.source == Source::Metadata {
            let metadata = inputs.check.mcp.as_ref().ok_or_else(|| metadata::mismatch("it says nothing"))?;
            metadata::sound(metadata)?;
            return Ok(metadata::message(metadata));
        }
        // Envoy's filter takes no other spelling for MCP and lets the request through.
        let said = inputs.header("content-type")?.unwrap_or_default();
        if said.split(';').next().map(str::trim) != Some("application/json") {
            let why = "the body: its `content-type` is not `application/json`";
            return Err(Refusal::new(Reason::BadBody, why, said));
        }
        body::read(inputs, self.max_bytes)
    }

    fn understood(&self, json: Json, inputs: &Inputs<'_>) -> Result<Message, Refusal> {
        let metadata = inputs.check.mcp.as_ref().filter(|_| self.source != Source::Metadata);
        if let Some(metadata) = metadata {
            metadata::sound(metadata)?;
            metadata::agree(metadata, &json)?;
        }
        let message = Message::parse(json)?;
        if metadata.is_none() && self.source == Source::Both {
            return Err(metadata::mismatch("it says nothing"));
        }
        metadata::headers_agree(inputs, &message)?;
        Ok(message)
    }

    /// May `subject` do this?
    pub(super) fn query<'q>(
        &'q self,
        subject: Entity<'q>,
        route: &'q Route,
        inputs: &Inputs<'q>,
        policies: &'q PolicySet,
    ) -> Result<Mapped<'q>, Refusal> {
        let server = EntityRef::new(&*self.kinds.server, route.id(&self.server, inputs)?);
        let Some(message) = &inputs.message else {
            let action = if inputs.request.method() == "GET" { method::LISTEN } else { method::END };
            let resource = Entity::named(server.kind, server.id);
            return self.mapped(subject, action, resource, (route, inputs, policies), Ok(()));
        };
        let about = self.about(message)?;
        let Some((property, name)) = about.named else {
            let resource = Entity::named(server.kind, server.id);
            return self.mapped(subject, &message.method, resource, (route, inputs, policies), Ok(()));
        };
        let prefix = route.id(&self.prefix, inputs)?;
        let id = if prefix.is_empty() { name.clone() } else { format!("{prefix}{name}") };
        let is_tool = message.target() == Target::Tool;
        let registered = registered(UidRef::new(about.kind, &id), &server, is_tool, policies);
        if let (true, Ok(()), Some(declared)) = (is_tool, &registered, self.tools.get(&*name)) {
            return declared.mapped(subject, (route, inputs, policies));
        }
        let mut resource = Entity::named(about.kind, id);
        // The catalogue says where a tool belongs, and all that is known of it.
        if let Some(types) = policies.types().entities.get(about.kind).filter(|_| !is_tool) {
            if types.ancestors.contains(&*server.kind) {
                resource.parents.push(server);
            }
            if types.attributes.get(property).is_some_and(|attribute| attribute.kind == Type::String) {
                resource.properties.insert(property, name);
            }
        }
        self.mapped(subject, &message.method, resource, (route, inputs, policies), registered)
    }

    /// What a message names.
    fn about<'q>(&'q self, message: &Message) -> Result<About<'q>, Refusal> {
        let kinds = &self.kinds;
        let target = message.target();
        let kind = match target {
            Target::Server => return Ok(About { kind: &kinds.server, named: None }),
            Target::Tool => &kinds.tool,
            Target::Prompt => &kinds.prompt,
            Target::Resource => &kinds.resource,
            Target::Task => &kinds.task,
            Target::Reference => {
                return match message.text(&["ref", "type"])? {
                    "ref/prompt" => Ok(About {
                        kind: &kinds.prompt,
                        named: Some(("name", named(message.text(&["ref", "name"])?)?)),
                    }),
                    "ref/resource" => {
                        Ok(About { kind: &kinds.resource, named: Some(("uri", uri(message.text(&["ref", "uri"])?)?)) })
                    }
                    other => {
                        Err(Refusal::new(Reason::BadMessage, "what is completed is of no type that there is", other))
                    }
                };
            }
        };
        let place = target.place().unwrap_or_default();
        let text = message.text(&[place])?;
        let name = if target == Target::Resource { uri(text)? } else { named(text)? };
        Ok(About { kind, named: Some((place, name)) })
    }

    /// The question of `action` on `resource`, with what its context declares.
    fn mapped<'q>(
        &'q self,
        subject: Entity<'q>,
        method: &str,
        resource: Entity<'q>,
        (route, inputs, policies): (&'q Route, &Inputs<'q>, &'q PolicySet),
        registered: Result<(), Refusal>,
    ) -> Result<Mapped<'q>, Refusal> {
        let action = self.qualified(method);
        let mut context = said(&action, inputs, policies)?;
        enter(&mut context, &route.context, policies.types().actions.get(&*action), inputs)?;
        let action = Action::named(action.into_owned());
        let query = Query { subject, action, resource, context, extra: Vec::new() };
        Ok(Mapped::of(query, route, registered))
    }

    /// The full name of an action.
    fn qualified<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match &self.namespace {
            None => Cow::Borrowed(name),
            Some(namespace) => Cow::Owned(format!("{namespace}{name}")),
        }
    }
}

impl Declared {
    fn mapped<'q>(
        &'q self,
        subject: Entity<'q>,
        (route, inputs, policies): (&'q Route, &Inputs<'q>, &'q PolicySet),
    ) -> Result<Mapped<'q>, Refusal> {
        let ActionName::Named(action, _) = &self.asks.action else {
            return Err(Refusal::new(Reason::Internal, "a tool has no action of its own", ""));
        };
        let (resource, extra) = route.resource(&self.asks.resource, inputs, policies)?;
        let mut context = said(action, inputs, policies)?;
        let declared = policies.types().actions.get(&**action);
        enter(&mut context, &route.context, declared, inputs)?;
        enter(&mut context, &self.context, declared, inputs)?;
        let query = Query { subject, action: Action::named(&**action), resource, context, extra };
        Ok(Mapped::of(query, route, Ok(())))
    }
}

/// The context that a request and its message make by themselves, as far as the action declares it.
fn said<'q>(action: &str, inputs: &Inputs<'q>, policies: &'q PolicySet) -> Result<Properties<'q>, Refusal> {
    let (request, check): (&'q HttpRequest<'q>, &'q Check<'q>) = (inputs.request, inputs.check);
    let mut context = context(action, Some(request), check, policies.shape())?;
    if let Some(declared) = policies.types().actions.get(action) {
        arguments::enter(&mut context, &declared.context, inputs)?;
    }
    Ok(context)
}

/// Gives a context what a route says of it, as far as it is declared.
pub(super) fn enter<'q>(
    context: &mut Properties<'q>,
    given: &'q [Attribute],
    declared: Option<&ActionType>,
    inputs: &Inputs<'q>,
) -> Result<(), Refusal> {
    for (name, value) in given {
        let Some(attribute) = declared.and_then(|action| action.context.get(&**name)) else { continue };
        if let Some(value) = value.expression.evaluate(Some(&attribute.kind), inputs)? {
            context.insert(&**name, value);
        }
    }
    Ok(())
}

/// A tool must be in the catalogue of its server; anything else must not be in that of another.
fn registered(uid: UidRef<'_>, server: &EntityRef<'_>, is_tool: bool, policies: &PolicySet) -> Result<(), Refusal> {
    let entities = policies.stored();
    let why = match entities.get(uid) {
        None if !is_tool => return Ok(()),
        None => "it is not in the catalogue",
        Some(node) if entities.is_within(node, UidRef::new(&server.kind, &server.id)) => return Ok(()),
        Some(node) if !is_tool && entities.ancestors(node).iter().all(|above| *above.kind() != *server.kind) => {
            return Ok(());
        }
        Some(_) => "the catalogue has it for another server",
    };
    Err(Refusal::new(Reason::Unregistered, format_args!("{} of {server}: {why}", uid.kind()), uid.id()))
}

/// A request that only opens or closes something has nothing to say.
fn nothing(check: &Check<'_>) -> Result<(), Refusal> {
    match check.http.as_ref().map(|http| http.body) {
        None | Some(Body::Bytes(&[])) if check.mcp.is_none() => Ok(()),
        _ => Err(Refusal::new(Reason::BadBody, "the body: a GET or DELETE of MCP has none", "")),
    }
}

fn named(text: &str) -> Result<String, Refusal> {
    if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        let why = "a name has 1 to 256 bytes and no control characters";
        return Err(Refusal::new(Reason::BadMessage, why, text));
    }
    Ok(text.to_owned())
}

fn uri(text: &str) -> Result<String, Refusal> {
    match uri::check(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(Refusal::new(Reason::BadMessage, format_args!("the URI {why}"), text)),
    }
}
