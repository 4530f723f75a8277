//! The names that a subject has beside its `sub`: what the token's issuer says that others call it (RFC 9493). They grant nothing
//! and say nothing to policies; a revocation of any of them reaches the token, and all that is exchanged for it.

use serde_json::{Map, Value, json};

use super::revocation::is_name;
use super::{DelegationError, Party};
use crate::identity::token::VerifiedToken;

/// The most names that a token may have beside its `sub`. Each is looked up on every request.
pub const MAX_ALIASES: usize = 8;

/// One name of the subject, under which its issuer knows it (RFC 9493 section 4.1).
const SUBJECT_IDENTIFIER: &str = "sub_id";

/// A claim of our own tokens: the names that the subject has beside those in `sub` and `sub_id`, as a Subject Identifier of the
/// format `aliases` (RFC 9493 section 3.2.8).
const ALIASES: &str = "sub_aliases";

/// All that `token` says its subject is called by others, each once. Formats that name nobody by issuer and subject are passed
/// over: nothing is revoked by these.
pub(super) fn aliases(token: &VerifiedToken) -> Result<Vec<Party>, DelegationError> {
    let mut names = Vec::new();
    for claim in [SUBJECT_IDENTIFIER, ALIASES] {
        let Some(identifier) = token.claims.get(claim).and_then(Value::as_object) else { continue };
        if format_of(identifier) == Some("aliases") {
            let all = identifier.get("identifiers").and_then(Value::as_array).ok_or(DelegationError::Aliases)?;
            for one in all {
                add(one.as_object().ok_or(DelegationError::Aliases)?, &mut names)?;
            }
        } else {
            add(identifier, &mut names)?;
        }
    }
    Ok(names)
}

fn add(identifier: &Map<String, Value>, names: &mut Vec<Party>) -> Result<(), DelegationError> {
    if format_of(identifier) != Some("iss_sub") {
        return Ok(());
    }
    let text = |member: &str| identifier.get(member).and_then(Value::as_str).filter(|text| is_name(text));
    let (issuer, subject) = text("iss").zip(text("sub")).ok_or(DelegationError::Aliases)?;
    let name = Party { issuer: Some(issuer.to_owned()), subject: subject.to_owned(), profile: None };
    if !names.contains(&name) {
        if names.len() == MAX_ALIASES {
            return Err(DelegationError::Aliases);
        }
        names.push(name);
    }
    Ok(())
}

fn format_of(identifier: &Map<String, Value>) -> Option<&str> {
    identifier.get("format").and_then(Value::as_str)
}

/// The subject under the name of who vouched for it before the token's issuer did, as that says: `sub_id`, if it is about the
/// subject at all.
pub fn origin(token: &VerifiedToken) -> Option<Party> {
    let text = |name: &str| token.claims.get(SUBJECT_IDENTIFIER)?.get(name).and_then(Value::as_str);
    let is_subject = text("format") == Some("iss_sub") && text("sub") == Some(&token.subject);
    let issuer = text("iss").filter(|_| is_subject)?.to_owned();
    Some(Party { issuer: Some(issuer), subject: token.subject.clone(), profile: None })
}

/// The claims of a new token that name its subject: `sub_id` as who vouched for it first does, and the rest of its names.
///
/// # Errors
/// [`DelegationError::Aliases`] if there are more than anybody reads.
pub fn naming(vouched: &Party, others: &[Party]) -> Result<Vec<(&'static str, Value)>, DelegationError> {
    let identifier = |party: &Party| json!({"format": "iss_sub", "iss": party.issuer, "sub": party.subject});
    if others.len() >= MAX_ALIASES {
        return Err(DelegationError::Aliases);
    }
    let mut claims = vec![(SUBJECT_IDENTIFIER, identifier(vouched))];
    if !others.is_empty() {
        let identifiers: Vec<Value> = others.iter().map(identifier).collect();
        claims.push((ALIASES, json!({"format": "aliases", "identifiers": identifiers})));
    }
    Ok(claims)
}
