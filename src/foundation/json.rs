//! Reads a JSON text as I-JSON (RFC 7493), the profile in which two readers can't see two different things: UTF-8, no
//! surrogates or noncharacters, and no member name twice. That matters wherever something is decided on a text: the
//! client's library may have taken the first of two `"id"` members where ours would take the last. Nesting is bounded
//! too.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::foundation::telemetry::printable;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

/// How many arrays and objects may enclose each other.
pub const MAX_DEPTH: usize = 32;

/// How much of a client's member name a message repeats.
const SHOWN_OF_NAME: usize = 64;

/// The text is not I-JSON, or nested too deeply; says what and at which line and column.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(#[from] serde_json::Error);

/// Reads one JSON value that fills all of `text`.
///
/// Numbers that are neither `i64` nor `u64` become `f64`, as RFC 7493 section 2.2 lets senders expect; one that does
/// not fit there is an error.
///
/// # Errors
/// [`JsonError`].
pub fn read(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Node { depth: 0 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// A value that stands inside `depth` arrays and objects.
#[derive(Clone, Copy)]
struct Node {
    depth: usize,
}

impl Node {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        interchangeable(value)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            interchangeable(&name)?;
            if object.contains_key(&name) {
                let shown = printable(&name, SHOWN_OF_NAME);
                return Err(A::Error::custom(format_args!("the member name `{shown}` is there twice")));
            }
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

/// Refuses Unicode's 66 noncharacters (RFC 7493 section 2.1); surrogates can't be in a `str`.
fn interchangeable<E: Error>(text: &str) -> Result<(), E> {
    let noncharacter = |c: char| matches!(u32::from(c), 0xFDD0..=0xFDEF) || u32::from(c) & 0xFFFE == 0xFFFE;
    match text.chars().find(|c| noncharacter(*c)) {
        Some(found) => Err(E::custom(format_args!("the noncharacter U+{:04X} is not allowed", u32::from(found)))),
        None => Ok(()),
    }
}
