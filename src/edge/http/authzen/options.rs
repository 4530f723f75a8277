//! Reads `options` (Authorization API 1.0, section 7.1.2): how a batch is gone through, and, beyond the specification,
//! whether a decision is to say why, and what of its receipt.

use serde_json::Value;

use super::question::{Members, QuestionError};
use crate::edge::receipts::ReceiptWanted;

/// How far a batch is gone through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Semantic {
    /// To its end.
    ExecuteAll,
    /// Up to the first denial.
    DenyOnFirstDeny,
    /// Up to the first permission.
    PermitOnFirstPermit,
}

impl Semantic {
    /// Whether a batch ends with a decision.
    pub(super) const fn ends_with(self, permitted: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !permitted,
            Self::PermitOnFirstPermit => permitted,
        }
    }

    /// What `options` ask for, or the default.
    pub(super) fn read(options: Option<&mut Members<'_>>) -> Result<Self, QuestionError> {
        const NAME: &str = "evaluations_semantic";
        let Some(options) = options else { return Ok(Self::ExecuteAll) };
        match options.take(NAME) {
            None => Ok(Self::ExecuteAll),
            Some(Value::String(name)) if name == "execute_all" => Ok(Self::ExecuteAll),
            Some(Value::String(name)) if name == "deny_on_first_deny" => Ok(Self::DenyOnFirstDeny),
            Some(Value::String(name)) if name == "permit_on_first_permit" => Ok(Self::PermitOnFirstPermit),
            Some(_) => Err(options.wrong(NAME, "`execute_all`, `deny_on_first_deny` or `permit_on_first_permit`")),
        }
    }
}

/// When decisions say why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ContextPolicy {
    /// Unless the request says otherwise.
    pub(super) by_default: bool,
    /// Whether a request may say.
    pub(super) on_request: bool,
}

impl ContextPolicy {
    /// Whether decisions on a request with these `options` say why. `decision_context` means something only where a
    /// request may ask for it, and is else one of the members that nobody knows.
    pub(super) fn read(self, options: Option<&mut Members<'_>>) -> Result<bool, QuestionError> {
        const NAME: &str = "decision_context";
        let Some(options) = options.filter(|_| self.on_request) else { return Ok(self.by_default) };
        match options.take(NAME) {
            None => Ok(self.by_default),
            Some(Value::Bool(wanted)) => Ok(wanted),
            Some(_) => Err(options.wrong(NAME, "a boolean")),
        }
    }
}

/// What answers to a request with these `options` say of receipts. `receipt` means something only where receipts `can_be_had`, and is
/// else one of the members that nobody knows.
pub(super) fn receipt(
    options: Option<&mut Members<'_>>,
    can_be_had: bool,
) -> Result<Option<ReceiptWanted>, QuestionError> {
    const NAME: &str = "receipt";
    let Some(options) = options.filter(|_| can_be_had) else { return Ok(None) };
    match options.take(NAME) {
        None => Ok(None),
        Some(value) => {
            let wanted = value.as_str().and_then(ReceiptWanted::parse);
            wanted.map(Some).ok_or_else(|| options.wrong(NAME, "`url` or `proof`"))
        }
    }
}
