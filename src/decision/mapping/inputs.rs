//! What a route can read of a request. Whatever a service might read otherwise than we do is refused, but only if the
//! route reads it at all.

pub(super) mod body;
mod parameter;

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::Value as Json;
use smallvec::SmallVec;

use super::expression::Input;
use super::mcp::Message;
use crate::decision::check::Check;
use crate::decision::query::Property;
use crate::decision::reason::Reason;
use crate::decision::request::{HttpRequest, Refusal, RequestPath, Target};

/// What the variables of a path template stand for, in order.
pub(super) type Captures<'q> = SmallVec<[&'q str; 8]>;

/// A request on its way through the mapping.
#[derive(Debug)]
pub(super) struct Inputs<'q> {
    pub(super) request: &'q HttpRequest<'q>,
    pub(super) check: &'q Check<'q>,
    pub(super) path: &'q RequestPath,
    query: Option<&'q str>,
    pub(super) captures: Captures<'q>,
    /// Read when the first expression asks for it.
    body: OnceCell<Json>,
    /// The message, where the route speaks MCP and there is one.
    pub(super) message: Option<Message>,
}

impl<'q> Inputs<'q> {
    /// Those of a request; `None` if it has no path.
    pub(super) fn of(request: &'q HttpRequest<'q>, check: &'q Check<'q>) -> Option<Self> {
        let Target::Path { path, query } = request.target() else { return None };
        let query = query.as_deref();
        Some(Self { request, check, path, query, captures: Captures::new(), body: OnceCell::new(), message: None })
    }

    /// What the request has there, if anything.
    pub(super) fn get(&self, input: &Input) -> Result<Option<Property<'q>>, Refusal> {
        Ok(match input {
            Input::Path => Some(self.path.as_str().into()),
            Input::Variable(number) => self.captures.get(*number).map(|text| Property::from(*text)),
            Input::Query(name) => self.parameter(name)?.map(Property::from),
            Input::Header(name) => self.header(name)?.map(Property::from),
            Input::Host => Some(self.request.host().name().into()),
            Input::Method => Some(self.request.method().into()),
            Input::Body(field) => owned(body::field(self.body()?, field)?)?,
            Input::Params(field) => match &self.message {
                Some(message) => owned(body::field(&message.params, field)?)?,
                None => None,
            },
            Input::Extension(key) => self.check.extensions.get(key).map(Property::from),
        })
    }

    /// A header that is there once at most.
    pub(super) fn header(&self, name: &str) -> Result<Option<&'q str>, Refusal> {
        self.request.headers().unique(name).map_err(|why| Refusal::new(Reason::BadHeader, why, ""))
    }

    /// A query parameter that is there once at most.
    pub(super) fn parameter(&self, name: &str) -> Result<Option<Cow<'q, str>>, Refusal> {
        self.query.map_or(Ok(None), |query| parameter::unique(query, name))
    }

    fn body(&self) -> Result<&Json, Refusal> {
        if let Some(read) = self.body.get() {
            return Ok(read);
        }
        let read = body::read(self, body::MAX_BYTES)?;
        Ok(self.body.get_or_init(|| read))
    }
}

fn owned(json: Option<&Json>) -> Result<Option<Property<'static>>, Refusal> {
    Ok(json.map(body::exact).transpose()?.map(|json| json.clone().into()))
}

/// A value as a part of a text.
pub(super) fn spelled<'v>(input: &Input, value: &'v Property<'_>) -> Result<Cow<'v, str>, Refusal> {
    match value {
        Property::Text(text) => Ok(Cow::Borrowed(text)),
        Property::Json(json) if json.is_i64() || json.is_u64() => Ok(Cow::Owned(json.to_string())),
        _ => Err(Refusal::new(Reason::BadBody, format_args!("{input} is neither a string nor an integer"), "")),
    }
}

#[cfg(test)]
mod tests;
