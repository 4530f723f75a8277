//! Tokens that say more than whom they are about: who acts, and what was granted. Such a token counts only if whoever shows it
//! may, and if neither it nor anybody in its chain was revoked. That is looked at on every question, before the cache is asked.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::decision::query::{Properties, Property, Query};
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;
use crate::decision::schema::{SchemaTypes, Type};
use crate::foundation::clock::Timestamp;
use crate::identity::delegation::{Delegation, DelegationError, HolderError, Revocations, is_delegated};
use crate::identity::svid::VerifiedLeaf;
use crate::identity::token::VerifiedToken;

/// The attribute of a context that says who acts for whom, by the word of a verified token alone.
pub(in crate::decision) const DELEGATION: &str = "delegation";

/// What `token` delegates, if whoever showed `leaf` may show it now; nothing if it is simply its subject's own.
pub(in crate::decision) fn delegation(
    (token, by_delegating_issuer): (&VerifiedToken, bool),
    leaf: Option<&VerifiedLeaf>,
    revocations: Option<&Arc<Revocations>>,
    now: Timestamp,
) -> Result<Option<Delegation>, Refusal> {
    let unreadable = |why: DelegationError| Refusal::new(Reason::BadToken, why, "");
    let revoked = || Refusal::new(Reason::RevokedToken, "the token, or somebody that it rests on, was revoked", "");
    if !by_delegating_issuer && !is_delegated(token) {
        let is_revoked = revocations.map(|revocations| revocations.is_token_revoked(token, now)).transpose();
        return if is_revoked.map_err(unreadable)? == Some(true) { Err(revoked()) } else { Ok(None) };
    }
    let delegation = Delegation::read(token).map_err(unreadable)?;
    delegation.check_holder(leaf).map_err(|why| {
        let reason = match why {
            HolderError::NoCertificate => Reason::NoCertificate,
            _ => Reason::OtherHolder,
        };
        Refusal::new(reason, why, "")
    })?;
    if revocations.is_some_and(|revocations| revocations.is_revoked(&delegation, now)) {
        return Err(revoked());
    }
    Ok(Some(delegation))
}

/// Puts into the context what of `delegation` the action declares there, which must be a record.
///
/// # Errors
/// [`Refusal`] if the token names the principal and the action declares no such record: what was granted, the scope above all,
/// would be lost, and whoever acts would have all that its subject has.
pub(in crate::decision) fn enter_delegation<'d>(
    (delegation, names_principal): (&'d Delegation, bool),
    query: &mut Query<'d>,
    types: &SchemaTypes,
) -> Result<(), Refusal> {
    let action = types.actions.get(&*query.action.name);
    let declared = action.and_then(|action| action.context.get(DELEGATION)).map(|attribute| &attribute.kind);
    let Some(Type::Record(declared)) = declared else {
        let why = "the action does not declare context.delegation";
        return if names_principal { Err(Refusal::new(Reason::SchemaMismatch, why, "")) } else { Ok(()) };
    };
    let mut said = Properties::with_capacity(declared.len());
    for (name, value) in statements(delegation) {
        if let Some(value) = value.filter(|_| declared.contains_key(name)) {
            said.insert(name, value);
        }
    }
    query.context.insert(DELEGATION, said);
    Ok(())
}

/// All that can be said of it, by name.
fn statements(delegation: &Delegation) -> [(&'static str, Option<Property<'_>>); 9] {
    let text = |text: &'_ Option<String>| text.clone().map(Property::from);
    let (actor, subject) = (delegation.current(), &delegation.subject);
    // RFC 8693 section 4.1: earlier actors say how it came about, and are no reason to let anybody do anything.
    let earlier: Value = delegation.actors.iter().skip(1).map(|actor| json!(actor.subject)).collect();
    [
        ("actor", Some((&*actor.subject).into())),
        ("actor_profile", text(&actor.profile)),
        ("depth", Some(json!(delegation.actors.len()).into())),
        ("earlier", Some(earlier.into())),
        ("issuer", text(&subject.issuer)),
        ("scope", Some(json!(delegation.scope).into())),
        ("subject", Some((&*subject.subject).into())),
        ("subject_profile", text(&subject.profile)),
        ("transaction", text(&delegation.transaction)),
    ]
}
