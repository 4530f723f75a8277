//! The rules of one listener, and the tenants that all of them serve.

use std::sync::Arc;

use crate::decision::{Callers, Statements};

/// Who may ask at a listener, and what they may say there.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Who may ask, and how they prove who they are. Without it nobody has to.
    pub callers: Option<Arc<Callers>>,
    /// What they may say of those whom they ask about.
    pub statements: Statements,
    /// Whether it is nobody's to decide who may ask about whom, even if policies decide on that elsewhere.
    pub exempt: bool,
}

/// For which tenant a request came in: the one whose path it was sent to, or none if it was sent to the usual one. It is only
/// with a request where there are tenants at all.
#[derive(Clone, Debug)]
pub(super) struct Tenant(pub(super) Option<Arc<str>>);
