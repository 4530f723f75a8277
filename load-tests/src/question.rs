//! The questions that are asked, as the driver writes them down, with the answers that are right.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::Failure;

/// Stands in a path where each request has an id of its own.
pub const ITEM: &str = "{item}";

/// What all servers are asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Questions {
    /// Leaf certificates in PEM, by SPIFFE ID.
    pub certificates: HashMap<String, String>,
    /// The questions, each to be asked as often as any other.
    pub questions: Vec<Question>,
}

/// May this workload send this request?
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The caller's SPIFFE ID.
    pub principal: String,
    /// The groups that the caller is in, for servers that don't look that up themselves.
    pub groups: Vec<String>,
    /// The HTTP method.
    pub method: String,
    /// What the route calls the service behind the proxy.
    pub service: String,
    /// The path, with [`ITEM`] in it.
    pub path: String,
    /// The header `x-tenant`.
    pub tenant: Option<String>,
    /// The right answer.
    pub allow: bool,
}

impl Questions {
    /// Reads the driver's file.
    ///
    /// # Errors
    /// [`Failure`] if it can't be read, is no such file, or asks nothing.
    pub fn load(file: &Path) -> Result<Self, Failure> {
        let fail = |why: String| Failure::new(file.display(), why);
        let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
        let read: Self = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        if read.questions.is_empty() {
            return Err(fail("no questions".to_owned()));
        }
        Ok(read)
    }
}
