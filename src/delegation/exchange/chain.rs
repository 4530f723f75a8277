//! Who acts, and who did before (RFC 8693 sections 4.1 and 4.4): rebuilt member by member from what was verified, and never
//! copied.

use serde_json::{Map, Value, json};

use super::input::Input;
use super::{Client, ExchangeConfig, ExchangeError, SERVICE};
use crate::identity::delegation::Party;

/// The client as a member of a chain.
pub(super) fn party_of(client: &Client, config: &ExchangeConfig) -> Party {
    let profile = config.profiles.get(&client.id).map_or(SERVICE, String::as_str);
    Party {
        issuer: Some(format!("spiffe://{}", client.id.trust_domain())),
        subject: client.id.as_str().to_owned(),
        profile: Some(profile.to_owned()),
    }
}

/// Two are the same if both names are; of what kind they are said to be does not matter.
pub(super) fn is_same(one: &Party, other: &Party) -> bool {
    (&one.issuer, &one.subject) == (&other.issuer, &other.subject)
}

/// The chain of the new token, the current actor first. Whoever acts already is not there twice in a row, and a subject that
/// acts itself has nobody act for it.
pub(super) fn extended(subject: &Input, actor: Party, most: usize) -> Result<Vec<Party>, ExchangeError> {
    let current = subject.actors.first().unwrap_or(&subject.subject);
    let mut chain = subject.actors.clone();
    if !is_same(current, &actor) {
        chain.insert(0, actor);
    }
    if chain.len() > most { Err(ExchangeError::TooDeep) } else { Ok(chain) }
}

/// Whether the subject's token lets `actor` act: anybody, unless it has `may_act` (RFC 8693 section 4.4). That must then say
/// who by `sub` and perhaps `iss`; what else it says can't be checked here, so it lets nobody act.
pub(super) fn check_may_act(subject: &Input, actor: &Party) -> Result<(), ExchangeError> {
    let Some(may_act) = subject.token.claims.get("may_act") else { return Ok(()) };
    let said = |members: &Map<String, Value>| {
        let is_actor = members.get("sub").and_then(Value::as_str) == Some(actor.subject.as_str());
        let by_issuer = members.get("iss").is_none_or(|issuer| issuer.as_str() == actor.issuer.as_deref());
        let known = members.keys().all(|name| matches!(name.as_str(), "sub" | "iss"));
        is_actor && by_issuer && known
    };
    let may = may_act.as_object().is_some_and(said);
    if may { Ok(()) } else { Err(ExchangeError::MayNotAct) }
}

/// `act`, the first of `actors` outermost; nothing if nobody acts.
pub(super) fn claim(actors: &[Party]) -> Option<Value> {
    actors.iter().rfold(None, |inner, actor| {
        let mut act = named(actor);
        act.extend(inner.map(|inner| ("act".to_owned(), inner)));
        Some(Value::Object(act))
    })
}

/// `iss`, `sub` and `sub_profile`.
pub(super) fn named(party: &Party) -> Map<String, Value> {
    let members =
        [("iss", party.issuer.as_ref()), ("sub", Some(&party.subject)), ("sub_profile", party.profile.as_ref())];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
}
