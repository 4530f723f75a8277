//! The effective configuration as YAML: what is in force, with or without where each value came from.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::Loaded;
use super::node::{Node, Value};

/// The effective configuration can't be written as YAML, which is a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("the configuration can't be written as YAML: {0}")]
pub struct ShowError(#[from] serde_saphyr::ser::Error);

impl Loaded {
    /// Every key with the value in force, secrets hidden; with `origins`, a comment after each value says where it came
    /// from.
    ///
    /// # Errors
    /// [`ShowError`].
    pub fn show(&self, origins: bool) -> Result<String, ShowError> {
        // Without block scalars every value stands on one line, on which its comment can follow.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        let yaml = serde_saphyr::to_string_with_options(&Shown(&self.effective), options)?;
        if !origins {
            return Ok(yaml);
        }
        let mut labels = Vec::new();
        label_lines(&self.effective, &mut labels);
        let lines = yaml.lines().zip(labels).map(|(line, label)| match label {
            Some(label) => format!("{line} # {label}\n"),
            None => format!("{line}\n"),
        });
        Ok(lines.collect())
    }
}

/// The comment of each line of `node`'s YAML. A line that only opens a section or a list has none.
fn label_lines(node: &Node, labels: &mut Vec<Option<String>>) {
    match &node.value {
        Value::Mapping(members) if !members.is_empty() => {
            for member in members {
                if member.node.value.has_items() {
                    labels.push(None);
                }
                label_lines(&member.node, labels);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for item in items {
                label_lines(item, labels);
            }
        }
        _ => labels.push(Some(node.origin.label())),
    }
}

struct Shown<'a>(&'a Node);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            Value::Nothing => serializer.serialize_unit(),
            Value::Flag(value) => value.serialize(serializer),
            Value::Number(value) => value.serialize(serializer),
            Value::Odd(value) => value.serialize(serializer),
            Value::Text(value) => value.serialize(serializer),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Shown(item))?;
                }
                list.end()
            }
            Value::Mapping(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for member in members {
                    map.serialize_entry(&member.key, &Shown(&member.node))?;
                }
                map.end()
            }
        }
    }
}
