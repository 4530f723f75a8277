//! Texts with substitutions, `tenant-{header.x-tenant}`, and values made of them. This is all there is of a language:
//! `{source.name}` stands for what the request has there, `{{` and `}}` for a brace.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::inputs::{Inputs, spelled};
use super::template::{Template, is_name};
use crate::decision::policy::problem::Position;
use crate::decision::query::Property;
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;
use crate::decision::schema::Type;

/// A value that a route gives to an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// A text with what is put into it.
    Text(Text),
    /// A boolean or a number, as it was written.
    Literal(Json),
    /// A record, or a reference to an entity, by name.
    Record(Vec<(Box<str>, Placed)>),
}

/// An attribute, and what a route gives it.
pub(super) type Attribute = (Box<str>, Placed);

/// An expression and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) expression: Expression,
    pub(super) position: Position,
}

/// Pieces that make a text together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Literal(Box<str>),
    Input(Input),
}

/// Something that a request has, or lacks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Input {
    /// `{path}`: the canonical path.
    Path,
    /// `{path.name}`: the variable of the template with this number.
    Variable(usize),
    /// `{query.name}`.
    Query(Box<str>),
    /// `{header.name}`, in lower case.
    Header(Box<str>),
    /// `{host}`, without port.
    Host,
    /// `{method}`.
    Method,
    /// `{body.a.b}`: a field of a JSON body.
    Body(Box<[Box<str>]>),
    /// `{params.a.b}`: a field of the parameters of an MCP message.
    Params(Box<[Box<str>]>),
    /// `{route.key}`: a context extension of the proxy's route.
    Extension(Box<str>),
}

/// What expressions of one route can stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The route's template, whose variables are `{path.…}`.
    pub(super) template: &'a Template,
    /// Service and method, if the route is of gRPC. Then `{grpc.service}` and `{grpc.method}` are there and `{body.…}` is not.
    pub(super) grpc: Option<(&'a str, Option<&'a str>)>,
    /// Whether the route speaks MCP. Then `{params.…}` is there and `{body.…}` is not.
    pub(super) mcp: bool,
}

impl Text {
    /// Reads a text in which something may be put.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str, scope: Scope<'_>) -> Result<Self, String> {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                literal.extend(from.chars().next());
                rest = after;
                continue;
            }
            let name = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = name.ok_or_else(|| format!("`{text}` has a brace alone; `{{{{` stands for one"))?;
            match scope.resolve(name)? {
                Piece::Literal(known) => literal.push_str(&known),
                input @ Piece::Input(_) => {
                    push_literal(&mut pieces, &mut literal);
                    pieces.push(input);
                }
            }
            rest = after;
        }
        literal.push_str(rest);
        push_literal(&mut pieces, &mut literal);
        let adjacent = pieces.windows(2).any(|pair| match pair {
            [Piece::Input(first), Piece::Input(second)] => {
                first.is_the_clients() && second.is_the_clients() && *second != Input::Path
            }
            _ => false,
        });
        if adjacent {
            return Err(format!("`{text}`: it could not be told where one value ends and the next begins"));
        }
        Ok(Self(pieces))
    }

    /// A text in which nothing is put.
    pub(super) fn literal(text: &str) -> Self {
        Self(vec![Piece::Literal(text.into())])
    }

    /// The input that is all of the text.
    pub(super) fn as_input(&self) -> Option<&Input> {
        match self.0.as_slice() {
            [Piece::Input(input)] => Some(input),
            _ => None,
        }
    }

    fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Input(input) => Some(input),
            Piece::Literal(_) => None,
        })
    }

    /// The first thing that it needs and this request lacks.
    pub(super) fn lacks(&self, inputs: &Inputs<'_>) -> Result<Option<&Input>, Refusal> {
        for input in self.inputs() {
            if inputs.get(input)?.is_none() {
                return Ok(Some(input));
            }
        }
        Ok(None)
    }

    /// What it is for this request; `None` if the request lacks something that it needs.
    pub(super) fn evaluate<'q>(&'q self, inputs: &Inputs<'q>) -> Result<Option<Property<'q>>, Refusal> {
        match self.0.as_slice() {
            [Piece::Input(input)] => inputs.get(input),
            [Piece::Literal(literal)] => Ok(Some(Property::from(&**literal))),
            pieces => {
                // Also an empty text, which has no pieces.
                let mut text = String::new();
                for (at, piece) in pieces.iter().enumerate() {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Input(input) => {
                            let Some(value) = inputs.get(input)? else { return Ok(None) };
                            let value = spelled(input, &value)?;
                            if let Some(separator) = separator(pieces, at) {
                                input.ends_at(separator, &value)?;
                            }
                            text.push_str(&value);
                        }
                    }
                }
                Ok(Some(text.into()))
            }
        }
    }
}

/// What says where the value of the input at this place ends, if that must be told: a client chooses it and a later one.
fn separator(pieces: &[Piece], at: usize) -> Option<&str> {
    let is_chosen = |piece: &Piece| matches!(piece, Piece::Input(input) if input.is_the_clients());
    let (piece, later) = pieces.get(at..)?.split_first()?;
    if !is_chosen(piece) || !later.iter().any(is_chosen) {
        return None;
    }
    match later.first()? {
        Piece::Literal(literal) => Some(literal),
        Piece::Input(Input::Path) => Some("/"),
        Piece::Input(_) => None,
    }
}

impl Input {
    /// Whether a client chooses it, and not the proxy's configuration.
    const fn is_the_clients(&self) -> bool {
        !matches!(self, Self::Extension(_))
    }

    /// Refuses a value in which there is the text that comes after it: of `a-b-c` nobody could tell whether it is made of `a-b` and
    /// `c` or of `a` and `b-c`, which are two different things to the service.
    fn ends_at(&self, separator: &str, value: &str) -> Result<(), Refusal> {
        if format!("{value}{separator}").find(separator) == Some(value.len()) {
            return Ok(());
        }
        let reason = match self {
            Self::Query(_) => Reason::BadQuery,
            Self::Header(_) => Reason::BadHeader,
            Self::Body(_) | Self::Params(_) => Reason::BadBody,
            Self::Path | Self::Variable(_) | Self::Host | Self::Method | Self::Extension(_) => Reason::BadPath,
        };
        let why = format_args!("{self} has `{separator}` in it, which is to stand after it");
        Err(Refusal::new(reason, why, value))
    }
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &mut String) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into()));
    }
}

impl Scope<'_> {
    fn resolve(&self, name: &str) -> Result<Piece, String> {
        let input = match (name.split_once('.'), self.grpc) {
            (None, _) => match name {
                "path" => Input::Path,
                "host" => Input::Host,
                "method" => Input::Method,
                _ => return Err(unknown(name)),
            },
            (Some(("path", variable)), _) => {
                let place = self.template.variables().position(|known| known == variable);
                Input::Variable(place.ok_or_else(|| format!("`{{{name}}}`: the path has no variable `{variable}`"))?)
            }
            (Some(("grpc", "service")), Some((service, _))) => return Ok(Piece::Literal(service.into())),
            (Some(("grpc", "method")), Some((_, Some(method)))) => return Ok(Piece::Literal(method.into())),
            (Some(("grpc", "method")), Some((_, None))) => Input::Variable(0),
            (Some(("grpc", _)), _) => return Err(format!("`{{{name}}}`: only a route with `match.grpc` has it")),
            (Some(("query", query)), _) => Input::Query(parameter(query)?),
            (Some(("header", header)), _) => Input::Header(header_name(header)?),
            (Some(("route", key)), _) if !key.is_empty() => Input::Extension(key.into()),
            (Some(("body", _)), Some(_)) => {
                return Err(format!("`{{{name}}}`: the body of a gRPC call is never read"));
            }
            (Some(("body", _)), None) if self.mcp => {
                return Err(format!("`{{{name}}}`: a route with `mcp` has `{{params.…}}`"));
            }
            (Some(("body", field)), None) => Input::Body(fields(name, field)?),
            (Some(("params", field)), _) if self.mcp => Input::Params(fields(name, field)?),
            (Some(("params", _)), _) => return Err(format!("`{{{name}}}`: only a route with `mcp` has it")),
            _ => return Err(unknown(name)),
        };
        Ok(Piece::Input(input))
    }
}

fn unknown(name: &str) -> String {
    format!(
        "`{{{name}}}` is nothing that a request has; there are path, path.…, query.…, header.…, host, method, body.…, \
         params.…, route.…, grpc.service and grpc.method"
    )
}

/// The members that lead to a field, of the substitution `name`.
fn fields(name: &str, field: &str) -> Result<Box<[Box<str>]>, String> {
    if !field.split('.').all(is_name) {
        return Err(format!("`{{{name}}}`: a field has letters, digits, `-` and `_`"));
    }
    Ok(field.split('.').map(Box::from).collect())
}

/// The name of a query parameter.
pub(super) fn parameter(name: &str) -> Result<Box<str>, String> {
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        return Err(format!("`{name}` can't be the name of a query parameter"));
    }
    Ok(name.into())
}

/// The name of a header, which is a token (RFC 9110 section 5.1).
pub(super) fn header_name(name: &str) -> Result<Box<str>, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        return Err(format!("`{name}` can't be the name of a header"));
    }
    Ok(name.to_ascii_lowercase().into())
}

impl Expression {
    /// What it is for this request, of the type that the schema declares; `None` if the request lacks something it needs.
    pub(super) fn evaluate<'q>(
        &'q self,
        kind: Option<&Type>,
        inputs: &Inputs<'q>,
    ) -> Result<Option<Property<'q>>, Refusal> {
        Ok(match self {
            Self::Text(text) => text.evaluate(inputs)?.map(|value| read_as(kind, value)),
            Self::Literal(json) => Some(json.clone().into()),
            Self::Record(members) => {
                let mut record = Map::new();
                for (name, member) in members {
                    let kind = match kind {
                        Some(Type::Record(record)) => record.get(&**name).map(|attribute| &attribute.kind),
                        _ => None,
                    };
                    if let Some(value) = member.expression.evaluate(kind, inputs)? {
                        record.insert(name.to_string(), value.into());
                    }
                }
                Some(Json::Object(record).into())
            }
        })
    }
}

/// Text for which the schema declares a number or a boolean is read as one, in its one plain spelling. Anything else stays
/// what it is, and does not fit the schema.
pub(super) fn read_as<'q>(kind: Option<&Type>, value: Property<'q>) -> Property<'q> {
    let read = match (kind, value.as_str()) {
        (Some(Type::Long), Some(text)) => {
            text.parse::<i64>().ok().filter(|number| number.to_string() == text).map(Json::from)
        }
        (Some(Type::Bool), Some(text)) => text.parse::<bool>().ok().map(Json::from),
        _ => None,
    };
    read.map_or(value, Property::Json)
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("`{path}`"),
            Self::Variable(number) => write!(f, "variable {number} of the path"),
            Self::Query(name) => write!(f, "`{{query.{name}}}`"),
            Self::Header(name) => write!(f, "`{{header.{name}}}`"),
            Self::Host => f.write_str("`{host}`"),
            Self::Method => f.write_str("`{method}`"),
            Self::Body(field) => write!(f, "`{{body.{}}}`", field.join(".")),
            Self::Params(field) => write!(f, "`{{params.{}}}`", field.join(".")),
            Self::Extension(key) => write!(f, "`{{route.{key}}}`"),
        }
    }
}

#[cfg(test)]
mod tests;
