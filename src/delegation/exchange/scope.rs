//! What a new token may grant: never more than was asked for, and never more than the subject's token grants.

use std::collections::BTreeSet;

use super::ExchangeError;
use crate::identity::delegation::parse_scope;

/// The scopes that the policies are to be asked about: those that are `requested`, or all that is `held` by the tokens that went in, as
/// far as they are `known` here. Who asks for one that there is not, or for one more than is held, gets none.
pub(super) fn narrowed(
    requested: Option<&str>,
    held: &BTreeSet<String>,
    known: &BTreeSet<String>,
) -> Result<BTreeSet<String>, ExchangeError> {
    let wanted = match requested {
        Some(text) => parse_scope(text).ok_or(ExchangeError::MalformedScope)?,
        None => held & known,
    };
    if !wanted.is_subset(known) {
        return Err(ExchangeError::UnknownScope);
    }
    if !wanted.is_subset(held) {
        return Err(ExchangeError::WiderScope);
    }
    if wanted.is_empty() { Err(ExchangeError::NoScope) } else { Ok(wanted) }
}

/// As it stands in a token: sorted, so that the same grants have the same text.
pub(super) fn text(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
