//! What somebody else issued for workloads of ours, and we hold for them.

use std::sync::Arc;

use crate::foundation::secret::Secret;

/// A credential that a workload may show to others, as the value of a header.
#[derive(Clone, Debug)]
pub struct Credential {
    /// What it is known by, unique among all.
    pub name: Arc<str>,
    /// The whole value, e.g. `Bearer …`; `None` if there is none now, which whoever holds an earlier one must be told.
    pub value: Option<Secret<Vec<u8>>>,
}
