//! A route: which requests it is for, and what becomes of them.

use std::path::Path;
use std::sync::Arc;

use super::expression::{Placed, Text};
use super::mcp::Mcp;
use super::selectors::Selectors;
use super::template::Template;
use crate::decision::guidance::is_status;
use crate::decision::policy::Problem;
use crate::decision::policy::problem::Position;
use crate::decision::principal::PrincipalRule;

/// One route, understood.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) name: Arc<str>,
    /// Where it is written.
    pub(super) file: Arc<Path>,
    pub(super) position: Position,
    pub(super) host: HostPattern,
    pub(super) template: Template,
    pub(super) selectors: Selectors,
    pub(super) meaning: Meaning,
    /// Attributes of the context, by name.
    pub(super) context: Vec<(Box<str>, Placed)>,
    /// Who is the principal of its requests, if not who the configuration says.
    pub(super) principal: Option<PrincipalRule>,
    pub(super) on_error: OnError,
}

/// What is answered to a request of a route if no decision can be made, through a fault of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OnError {
    /// Whether the answer is a denial, which no proxy lets through. Else it is an error, and what the proxy does with
    /// errors is its own setting.
    pub is_closed: bool,
    /// The status of the answer, 500 to 599; `None` for that of the reason.
    pub status: Option<u16>,
}

impl Default for OnError {
    fn default() -> Self {
        Self { is_closed: true, status: None }
    }
}

impl OnError {
    /// Reads a status.
    pub(super) fn status(number: u64) -> Option<u16> {
        u16::try_from(number).ok().filter(|status| *status >= 500 && is_status(*status))
    }
}

/// What becomes of a route's requests.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// What the request itself says.
    Http(Asks),
    /// What the message in it says.
    Mcp(Box<Mcp>),
}

/// Which action on which resource.
#[derive(Clone, Debug)]
pub(super) struct Asks {
    pub(super) action: ActionName,
    pub(super) resource: Resource,
}

/// Which hosts a route is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum HostPattern {
    /// This one.
    Exact(Box<str>),
    /// All below this one, at any depth.
    Below(Box<str>),
    /// All that no other route names.
    Any,
}

/// The action of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ActionName {
    /// This one.
    Named(Box<str>, Position),
    /// The request's method.
    Method,
}

/// The resource of a request.
#[derive(Clone, Debug)]
pub(super) enum Resource {
    /// The path itself, within the paths that enclose it: what every request is about without a mapping.
    Path,
    /// An entity.
    Entity {
        kind: Box<str>,
        /// Where the type is written, or else the route.
        position: Position,
        id: Text,
        /// Its attributes by name; if none are given, a `route` has those that follow from any request.
        properties: Option<Vec<(Box<str>, Placed)>>,
    },
}

impl Route {
    /// A problem of this route, written at `position`.
    pub(super) fn problem(&self, position: Position, message: impl std::fmt::Display) -> Problem {
        Problem::positioned(&self.file, position, format_args!("route `{}`: {message}", self.name))
    }

    /// Where it is, as `file:line:column`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.position)
    }

    /// The names of the actions that its requests can have by this.
    pub(super) fn actions<'r>(&'r self, asks: &'r Asks) -> impl Iterator<Item = &'r str> {
        let (named, methods) = match &asks.action {
            ActionName::Named(name, _) => (Some(&**name), &[][..]),
            ActionName::Method => (None, self.selectors.methods.as_slice()),
        };
        named.into_iter().chain(methods.iter().map(|method| &**method))
    }

    /// Whether it matches no request that `other` does not match.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.template.is_within(&other.template) && self.selectors.are_within(&other.selectors)
    }

    /// Why it is not clear which of the two a request takes, if there is a request of which that is so. The narrower one
    /// is taken; so one of two that have a request in common must be within the other.
    pub(super) fn conflict(&self, other: &Self) -> Option<Problem> {
        if self.host != other.host || !self.template.overlaps(&other.template) {
            return None;
        }
        if !self.selectors.overlap(&other.selectors) {
            return None;
        }
        let why = match (self.is_within(other), other.is_within(self)) {
            (true, true) => "matches the same requests as",
            (false, false) => "matches some of the same requests, and neither is the narrower of the two, as",
            _ => return None,
        };
        Some(self.problem(self.position, format_args!("{why} route `{}` at {}", other.name, other.place())))
    }
}
