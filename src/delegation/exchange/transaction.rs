//! What a transaction token says beside who and what (draft-ietf-oauth-transaction-tokens): which transaction it is of, what
//! that is about, and under which circumstances it began. Who replaces one can add to this, and change nothing.

use serde_json::{Map, Value};

use super::input::Input;
use super::{ExchangeError, ExchangeRequest};

/// A transaction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transaction {
    /// `txn`.
    pub(super) id: String,
    /// `tctx`.
    pub(super) details: Map<String, Value>,
    /// `rctx`.
    pub(super) context: Map<String, Value>,
}

impl Transaction {
    /// The one that goes on if the subject's token is of one, or else a new one with the id that `new` makes.
    pub(super) fn of(
        subject: &Input,
        request: &ExchangeRequest<'_>,
        new: impl FnOnce() -> Result<String, ExchangeError>,
    ) -> Result<Self, ExchangeError> {
        let (id, kept) = match &subject.transaction {
            Some(id) => (id.clone(), Some(&subject.token.claims)),
            None => (new()?, None),
        };
        let claim = |name: &str| kept.and_then(|claims| claims.get(name));
        let details = added(claim("tctx"), request.request_details.as_ref())?;
        let context = added(claim("rctx"), request.request_context.as_ref())?;
        Ok(Self { id, details, context })
    }

    /// Adds its claims.
    pub(super) fn enter(self, claims: &mut Map<String, Value>) {
        claims.insert("txn".to_owned(), self.id.into());
        for (name, members) in [("tctx", self.details), ("rctx", self.context)] {
            if !members.is_empty() {
                claims.insert(name.to_owned(), Value::Object(members));
            }
        }
    }
}

/// What stands there, with what is new.
fn added(kept: Option<&Value>, new: Option<&Map<String, Value>>) -> Result<Map<String, Value>, ExchangeError> {
    let mut members = match kept {
        None => Map::new(),
        Some(Value::Object(members)) => members.clone(),
        Some(_) => return Err(ExchangeError::ChangesTransaction),
    };
    for (name, value) in new.into_iter().flatten() {
        match members.get(name) {
            Some(said) if said != value => return Err(ExchangeError::ChangesTransaction),
            Some(_) => {}
            None => drop(members.insert(name.clone(), value.clone())),
        }
    }
    Ok(members)
}
