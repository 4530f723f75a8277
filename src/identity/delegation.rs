//! On whose behalf a token speaks: whom it is about, who acts for them now, who did before, and what was granted. It is read
//! from verified tokens only (RFC 8693 section 4.1, RFC 7800, draft-ietf-oauth-transaction-tokens).
//!
//! Only the subject and the current actor count where access is decided; earlier actors say how the token came to be, and
//! whom a revocation reaches.
//!
//! A token that delegates is not a bearer's: [`Delegation::check_holder`] says who may show it, and [`Revocations`] whether it
//! still counts.

mod holder;
#[cfg(test)]
pub(crate) mod memory;
mod names;
mod revocation;
mod revocations;
mod store;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

pub use self::holder::HolderError;
pub use self::names::{MAX_ALIASES, naming, origin};
pub use self::revocation::{Revocation, Revoked, RevokedError, RevokedKind};
pub use self::revocations::{MAX_REVOCATIONS, Revocations, RevokeError};
pub use self::store::{KeptRevocations, RevocationFuture, RevocationStore, RevocationStoreError};
use super::SpiffeId;
use super::token::VerifiedToken;

/// The type of a transaction token, as [`VerifiedToken::kind`] has it (draft-ietf-oauth-transaction-tokens section 7).
pub const TRANSACTION_TOKEN: &str = "txntoken+jwt";

/// The most actors of one chain. Each costs whoever sends them, and every reader of the record.
pub const MAX_ACTORS: usize = 8;

/// The most that a token may grant, in scopes.
pub const MAX_SCOPES: usize = 64;

/// Somebody in a chain. Two are the same only if both names are (draft-mcguinness-oauth-actor-profile section 3).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Party {
    /// Who vouches for the name: `iss`, or of a SPIFFE ID that came without one its trust domain.
    pub issuer: Option<String>,
    /// The name itself: `sub`.
    pub subject: String,
    /// What kind of one it is: `sub_profile`, such as `ai_agent`, `service` or `user`.
    pub profile: Option<String>,
}

/// What a verified token delegates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delegation {
    /// Whom the token is about.
    pub subject: Party,
    /// The same under the name of who vouched for it before the token's issuer did: `sub_id` (RFC 9493 section 3.2.3). It is no
    /// more than what the issuer says.
    pub origin: Option<Party>,
    /// All names that the token says others have for its subject, that of [`Self::origin`] among them; [`MAX_ALIASES`] at most.
    pub aliases: Vec<Party>,
    /// Who acts, the current one first. None acts for a subject that acts itself.
    pub actors: Vec<Party>,
    /// The workload that asked for a transaction token: `req_wl`. Who acts, if no actor is named.
    pub requester: Option<Party>,
    /// What was granted; nothing, if the token names no scope.
    pub scope: BTreeSet<String>,
    /// The token's own name, by which it alone is revoked: `jti`.
    pub id: Option<String>,
    /// Whom the token names as its issuer: `iss`. Of a JWT-SVID, which its trust domain vouches for, another than the subject's.
    pub named_issuer: Option<String>,
    /// The transaction that the token is of: `txn`.
    pub transaction: Option<String>,
    /// SHA-256 of the only certificate whose holder may show the token: `cnf` with `x5t#S256` (RFC 8705 section 3.1).
    pub confirmation: Option<[u8; 32]>,
}

/// Why a token says nothing that can be relied on about a delegation.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// An actor that is not an object with a name.
    #[error("`act` is no actor: an object with `sub`, and `iss` where it is known")]
    Actor,
    /// Too many hops.
    #[error("the chain has more than {MAX_ACTORS} actors")]
    TooDeep,
    /// Not a text of single scopes.
    #[error("`scope` is no list of up to {MAX_SCOPES} scopes, each of printable ASCII")]
    Scope,
    /// Names of the subject that can't be looked up, so that nobody could tell whether they were revoked.
    #[error("`sub_id` or `sub_aliases` names the subject by no `iss` and `sub`, or by more than {MAX_ALIASES} in all")]
    Aliases,
    /// A claim of another type than it has.
    #[error("`{0}` is no text")]
    NotText(&'static str),
    /// A transaction token of which it can't be told who may show it.
    #[error("a transaction token names neither an actor in `act` nor the workload that asked for it in `req_wl`")]
    NoRequester,
    /// A binding that can't be checked here: who shows such a token could be anybody.
    #[error("`cnf` binds the token to something else than the SHA-256 of a certificate")]
    Confirmation,
}

/// Whether `token` says of itself that it is about more than its subject: that somebody acts, that it is bound to who may
/// show it, or that it is of a transaction.
pub fn is_delegated(token: &VerifiedToken) -> bool {
    token.kind == TRANSACTION_TOKEN || ["act", "cnf"].iter().any(|claim| token.claims.contains_key(*claim))
}

impl Delegation {
    /// What `token` says, or that it says something that can't be relied on.
    ///
    /// # Errors
    /// [`DelegationError`]: such a token must not count at all, not even as one that delegates nothing.
    pub fn read(token: &VerifiedToken) -> Result<Self, DelegationError> {
        let claims = &token.claims;
        let (actors, requester) = (actors(claims)?, requester(token)?);
        if token.kind == TRANSACTION_TOKEN && actors.is_empty() && requester.is_none() {
            return Err(DelegationError::NoRequester);
        }
        Ok(Self {
            subject: Party {
                issuer: Some(token.issuer.to_string()),
                subject: token.subject.clone(),
                profile: text(claims, "sub_profile")?,
            },
            origin: origin(token),
            aliases: names::aliases(token)?,
            actors,
            requester,
            scope: scopes(claims)?,
            id: text(claims, "jti")?,
            named_issuer: text(claims, "iss")?,
            transaction: text(claims, "txn")?,
            confirmation: confirmation(claims)?,
        })
    }

    /// Who acts: the current actor, or who asked for the transaction token, or the subject itself.
    pub fn current(&self) -> &Party {
        self.actors.first().or(self.requester.as_ref()).unwrap_or(&self.subject)
    }

    /// The workloads among the members: those that a trust domain vouched for, or nobody but the token's issuer.
    pub fn workloads(&self) -> impl Iterator<Item = SpiffeId> {
        let by_trust_domain =
            |party: &&Party| party.issuer.as_deref().is_none_or(|issuer| issuer.starts_with("spiffe://"));
        self.members().filter(by_trust_domain).filter_map(|party| party.subject.parse().ok())
    }

    /// Everyone that the chain rests on, under every name that they have in it; the subject last.
    pub fn members(&self) -> impl Iterator<Item = &Party> {
        self.actors.iter().chain(&self.requester).chain(&self.aliases).chain([&self.subject])
    }
}

/// Of a transaction token alone: another's `req_wl` is no word of any standard.
fn requester(token: &VerifiedToken) -> Result<Option<Party>, DelegationError> {
    if token.kind != TRANSACTION_TOKEN {
        return Ok(None);
    }
    let workload = text(&token.claims, "req_wl")?.filter(|workload| !workload.is_empty());
    Ok(workload.map(|subject| Party { issuer: None, subject, profile: None }))
}

/// The chain of `act`, from the outermost in.
fn actors(claims: &Map<String, Value>) -> Result<Vec<Party>, DelegationError> {
    let mut actors = Vec::new();
    let mut next = claims.get("act");
    while let Some(act) = next {
        let act = act.as_object().ok_or(DelegationError::Actor)?;
        if actors.len() == MAX_ACTORS {
            return Err(DelegationError::TooDeep);
        }
        let subject = text(act, "sub")?.filter(|subject| !subject.is_empty()).ok_or(DelegationError::Actor)?;
        actors.push(Party { issuer: text(act, "iss")?, subject, profile: text(act, "sub_profile")? });
        next = act.get("act");
    }
    Ok(actors)
}

/// The scopes of `scope`: RFC 6749 section 3.3.
fn scopes(claims: &Map<String, Value>) -> Result<BTreeSet<String>, DelegationError> {
    let Some(scope) = text(claims, "scope")? else { return Ok(BTreeSet::new()) };
    parse_scope(&scope).ok_or(DelegationError::Scope)
}

/// The scopes that `text` lists with single spaces between them, or nothing if it is no such list or too long a one.
pub fn parse_scope(text: &str) -> Option<BTreeSet<String>> {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let mut scopes = BTreeSet::new();
    for scope in text.split(' ') {
        if scope.is_empty() || !scope.bytes().all(allowed) {
            return None;
        }
        scopes.insert(scope.to_owned());
    }
    (scopes.len() <= MAX_SCOPES).then_some(scopes)
}

fn confirmation(claims: &Map<String, Value>) -> Result<Option<[u8; 32]>, DelegationError> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(None) };
    let members = confirmation.as_object().filter(|members| members.len() == 1);
    let thumbprint = members.and_then(|members| members.get("x5t#S256")).and_then(Value::as_str);
    let digest = thumbprint.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let digest = digest.and_then(|digest| digest.try_into().ok()).ok_or(DelegationError::Confirmation)?;
    Ok(Some(digest))
}

fn text(claims: &Map<String, Value>, name: &'static str) -> Result<Option<String>, DelegationError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(DelegationError::NotText(name)),
    }
}

#[cfg(test)]
mod tests;
