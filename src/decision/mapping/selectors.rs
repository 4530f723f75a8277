//! Which requests a route is for, beside host and path.

use super::inputs::Inputs;
use crate::decision::request::Refusal;

/// What must hold of a request. What is not named may be anything, but for `upgrade`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Selectors {
    /// Its method is one of these; any, if there are none.
    pub(super) methods: Vec<Box<str>>,
    /// It asks to leave HTTP for this protocol; or, if there is none, it does not ask to leave HTTP.
    pub(super) upgrade: Option<Box<str>>,
    /// These values, each of them exactly.
    pub(super) values: Vec<(Place, Box<str>)>,
}

/// Where a value stands.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Place {
    Header(Box<str>),
    Query(Box<str>),
    Extension(Box<str>),
}

impl Selectors {
    /// Whether they hold.
    pub(super) fn hold(&self, inputs: &Inputs<'_>) -> Result<bool, Refusal> {
        let upgrade = inputs.request.upgrade();
        let as_wished = match (&self.upgrade, upgrade) {
            (None, None) => true,
            (Some(to), Some(wish)) => wish.protocol.as_deref() == Some(&**to),
            _ => false,
        };
        let method = inputs.request.method();
        if !as_wished || !(self.methods.is_empty() || self.methods.iter().any(|named| **named == *method)) {
            return Ok(false);
        }
        for (place, wanted) in &self.values {
            if !place.has(inputs, wanted)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether they hold of no request of which `other` does not.
    pub(super) fn are_within(&self, other: &Self) -> bool {
        let methods = other.methods.is_empty()
            || !self.methods.is_empty() && self.methods.iter().all(|method| other.methods.contains(method));
        methods && self.upgrade == other.upgrade && other.values.iter().all(|value| self.values.contains(value))
    }

    /// Whether there is a request of which both hold.
    pub(super) fn overlap(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || other.methods.is_empty()
            || self.methods.iter().any(|method| other.methods.contains(method));
        let agree = |(place, value): &(Place, Box<str>)| {
            other.values.iter().all(|(theirs, their_value)| theirs != place || their_value == value)
        };
        methods && self.upgrade == other.upgrade && self.values.iter().all(agree)
    }

    /// Orders those of one path so that of two that can both hold the narrower comes first.
    pub(super) fn rank(&self) -> impl Ord {
        let methods = if self.methods.is_empty() { usize::MAX } else { self.methods.len() };
        (std::cmp::Reverse(self.values.len()), methods)
    }
}

impl Place {
    fn has(&self, inputs: &Inputs<'_>, wanted: &str) -> Result<bool, Refusal> {
        Ok(match self {
            Self::Header(name) => inputs.header(name)? == Some(wanted),
            Self::Query(name) => inputs.parameter(name)?.as_deref() == Some(wanted),
            Self::Extension(key) => inputs.check.extensions.get(key) == Some(wanted),
        })
    }
}
