//! The effective configuration as YAML: what is in force, with or without where each value came from.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_saphyr::Commented;

use super::Loaded;
use super::node::{Node, Value};

/// The effective configuration can't be written as YAML, which is a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("the configuration can't be written as YAML: {0}")]
pub struct ShowError(#[from] serde_saphyr::ser::Error);

impl Loaded {
    /// Every key with the value in force, secrets hidden; with `origins`, each line says where its value came from.
    ///
    /// # Errors
    /// [`ShowError`].
    pub fn show(&self, origins: bool) -> Result<String, ShowError> {
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        Ok(serde_saphyr::to_string_with_options(&Shown { node: &self.effective, origins }, options)?)
    }
}

struct Shown<'a> {
    node: &'a Node,
    origins: bool,
}

impl Shown<'_> {
    fn scalar<S: Serializer>(&self, serializer: S, value: impl Serialize) -> Result<S::Ok, S::Error> {
        if self.origins {
            Commented(value, self.node.origin.label()).serialize(serializer)
        } else {
            value.serialize(serializer)
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let origins = self.origins;
        match &self.node.value {
            Value::Nothing => self.scalar(serializer, ()),
            Value::Flag(value) => self.scalar(serializer, value),
            Value::Number(value) => self.scalar(serializer, value),
            Value::Odd(value) => self.scalar(serializer, value),
            Value::Text(value) => self.scalar(serializer, value),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for node in items {
                    list.serialize_element(&Shown { node, origins })?;
                }
                list.end()
            }
            Value::Mapping(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for member in members {
                    map.serialize_entry(&member.key, &Shown { node: &member.node, origins })?;
                }
                map.end()
            }
        }
    }
}
