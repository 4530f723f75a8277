//! Who is the principal of a request: the workload whose certificate the peer showed, or whom a verified token names. One
//! of the two is, by rule; the other is in the context, as `context.peer` or `context.token`, where the schema declares it.
//!
//! Both are proved on every question before the cache is asked, so nothing outlives what proves it.

mod attributes;
mod claims;
mod delegated;
mod presets;
mod shown;
mod template;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use portcullis_spiffe::SpiffeId;
use serde_json::json;

pub use self::claims::{ClaimMapping, GroupMapping, Mapping};
pub(super) use self::delegated::{DELEGATION, delegation, enter_delegation};
pub use self::presets::Preset;
pub use self::template::{ClaimPath, Template, TemplateError};
use super::mapping::{WORKLOAD, workload};
use super::query::{Entity, Query};
use super::reason::Reason;
use super::request::{Headers, Refusal};
use super::schema::{SchemaTypes, Type};
use crate::foundation::clock::Timestamp;
use crate::identity::delegation::{Delegation, Revocations, TRANSACTION_TOKEN};
use crate::identity::svid::VerifiedLeaf;
use crate::identity::token::{TokenFault, TokenVerifier, VerifiedToken};

/// The attribute of a context that holds the peer's workload if a token's entity is the principal.
const PEER: &str = "peer";

/// The attribute of a context that holds the token's entity if the peer's workload is the principal.
const TOKEN: &str = "token";

/// The header of transaction tokens, which stand in no other (draft-ietf-oauth-transaction-tokens section 8.2).
const TXN_TOKEN: &str = "txn-token";

/// The header in which a token stands after a scheme (RFC 6750 section 2.1).
const AUTHORIZATION: &str = "authorization";

/// Who was proved to ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Principal {
    /// A workload, by its certificate or its JWT-SVID.
    Workload(SpiffeId),
    /// Whom a token names, as policies write it, in ASCII: `Human::"alice"`. The type is always there, so that no id can
    /// pass for a SPIFFE ID.
    Token(Arc<str>),
}

/// Which of the two is the principal.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PrincipalRule {
    /// The peer's workload.
    #[default]
    Svid,
    /// Whom the token names; without one nobody is.
    Token,
    /// Whom the token names, or else the peer's workload.
    TokenOrSvid,
}

/// What the gateway demands of a request's credentials.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrincipalRules {
    /// Who is the principal.
    pub principal: PrincipalRule,
    /// Whether a peer may be without a certificate, if a token's entity is the principal. A certificate that is there is
    /// verified all the same.
    pub peer_is_optional: bool,
    /// Whether a token that can't be verified counts as none. Else it denies the request.
    pub ignore_unverified: bool,
    /// The headers that tokens stand in, in lower case: in `authorization` after `Bearer`, in others alone.
    pub headers: Vec<String>,
}

/// Settles principals by rule.
#[derive(Debug)]
pub struct Principals {
    rules: PrincipalRules,
    verifier: Arc<dyn TokenVerifier>,
    /// What becomes of the claims of each of the verifier's issuers.
    mappings: Vec<Mapping>,
    revocations: Option<Arc<Revocations>>,
}

/// Who asks, in the terms of policies.
#[derive(Debug)]
pub(super) struct Callers<'c> {
    pub(super) subject: Entity<'c>,
    /// The other one, under its name in the context.
    other: Option<(&'static str, Entity<'c>)>,
}

/// Nobody knows a rule of this name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is none of `svid`, `token` and `token_or_svid`")]
pub struct UnknownPrincipalRule(String);

impl FromStr for PrincipalRule {
    type Err = UnknownPrincipalRule;

    fn from_str(text: &str) -> Result<Self, UnknownPrincipalRule> {
        match text {
            "svid" => Ok(Self::Svid),
            "token" => Ok(Self::Token),
            "token_or_svid" => Ok(Self::TokenOrSvid),
            other => Err(UnknownPrincipalRule(other.to_owned())),
        }
    }
}

impl Principals {
    /// Tokens are verified by `verifier`, whose every issuer has a mapping here, in the same order.
    pub fn new(rules: PrincipalRules, verifier: Arc<dyn TokenVerifier>, mappings: Vec<Mapping>) -> Self {
        Self { rules, verifier, mappings, revocations: None }
    }

    /// The same, but what `revocations` has counts no more.
    #[must_use]
    pub fn with_revocations(self, revocations: Arc<Revocations>) -> Self {
        Self { revocations: Some(revocations), ..self }
    }

    /// Who is the principal wherever no route says otherwise.
    pub(super) const fn rule(&self) -> PrincipalRule {
        self.rules.principal
    }

    /// Whether a peer may be without a certificate.
    pub(super) fn peer_is_optional(&self) -> bool {
        self.rules.peer_is_optional && self.rule() != PrincipalRule::Svid
    }

    /// What the token among `headers` proves at `now`; nothing if there is none.
    pub(super) fn token(&self, headers: Headers<'_>, now: Timestamp) -> Result<Option<Arc<VerifiedToken>>, Refusal> {
        let Some((header, shown)) = shown::token(headers, &self.rules.headers)? else { return Ok(None) };
        match self.verifier.verify(shown, now) {
            Ok(token) => check_place(&token, header).map(|()| Some(token)),
            Err(error) if self.rules.ignore_unverified && error.fault() != TokenFault::Foreign => {
                tracing::debug!("a token that proves nothing counts as none: {error}");
                Ok(None)
            }
            Err(error) => {
                let reason = match error.fault() {
                    TokenFault::Bad => Reason::BadToken,
                    TokenFault::OutOfTime => Reason::ExpiredToken,
                    TokenFault::Untrusted => Reason::UntrustedToken,
                    TokenFault::Replayed => Reason::ReplayedToken,
                    TokenFault::NoRoom => Reason::TokensFull,
                    TokenFault::Foreign => Reason::ForeignIdentity,
                };
                // Never the token itself: who reads the log must not be able to use it.
                Err(Refusal::new(reason, error, ""))
            }
        }
    }

    /// What `token` delegates to whoever showed `leaf`, if it is not simply its subject's own. One that was stolen, revoked or
    /// can't be relied on is never as good as none.
    pub(super) fn delegation(
        &self,
        token: &VerifiedToken,
        leaf: Option<&VerifiedLeaf>,
        now: Timestamp,
    ) -> Result<Option<Delegation>, Refusal> {
        let delegates = self.mappings.get(token.issuer_index).is_some_and(Mapping::is_delegated);
        delegation((token, delegates), leaf, self.revocations.as_ref(), now)
    }

    /// Who of the two is the principal, by `rule`.
    pub(super) fn settle<'c>(
        &self,
        rule: PrincipalRule,
        peer: Option<&'c SpiffeId>,
        token: Option<&'c VerifiedToken>,
        types: &SchemaTypes,
    ) -> Result<Callers<'c>, Refusal> {
        let peer = peer.map(workload);
        let token = token.map(|token| self.entity(token, types)).transpose()?;
        let (subject, other) = match (rule, peer, token) {
            (PrincipalRule::Svid, Some(peer), token) => (peer, token.map(|token| (TOKEN, token))),
            (PrincipalRule::TokenOrSvid, Some(peer), None) => (peer, None),
            (PrincipalRule::Token | PrincipalRule::TokenOrSvid, peer, Some(token)) => {
                (token, peer.map(|peer| (PEER, peer)))
            }
            (PrincipalRule::Svid, None, _) => {
                return Err(Refusal::new(Reason::NoCertificate, "the client showed no certificate", ""));
            }
            (PrincipalRule::Token, _, None) | (PrincipalRule::TokenOrSvid, None, None) => {
                return Err(Refusal::new(Reason::NoToken, "there is no token that says who asks", ""));
            }
        };
        Ok(Callers { subject, other })
    }

    fn entity<'c>(&self, token: &'c VerifiedToken, types: &SchemaTypes) -> Result<Entity<'c>, Refusal> {
        match self.mappings.get(token.issuer_index) {
            Some(mapping) => mapping.entity(token, types),
            None => Err(Refusal::new(Reason::Internal, "an issuer without a mapping", &token.issuer)),
        }
    }
}

/// Refuses a transaction token in the place of an access token, and any other in the place of a transaction token: what is
/// made for one must not pass for the other.
fn check_place(token: &VerifiedToken, header: &str) -> Result<(), Refusal> {
    let is_transaction = token.kind == TRANSACTION_TOKEN;
    if (header == TXN_TOKEN) != is_transaction {
        return Err(Refusal::new(Reason::BadToken, "a transaction token stands in `txn-token`, and no other does", ""));
    }
    Ok(())
}

impl<'c> Callers<'c> {
    /// The peer's workload, where no tokens are taken.
    pub(super) fn peer(peer: &'c SpiffeId) -> Self {
        Self { subject: workload(peer), other: None }
    }

    /// Takes the principal, for the query, and leaves what [`Self::enter`] needs.
    pub(super) fn take_subject(&mut self) -> Entity<'c> {
        std::mem::replace(&mut self.subject, Entity::named("", ""))
    }

    /// Puts the other one into the context, if the action declares an entity of its type there.
    pub(super) fn enter(self, query: &mut Query<'c>, types: &SchemaTypes) {
        let Some((name, entity)) = self.other else { return };
        let action = types.actions.get(&*query.action.name);
        let declared = action.and_then(|action| action.context.get(name)).map(|attribute| &attribute.kind);
        if let Some(Type::Entity(reference)) = declared
            && *reference.kind == *entity.kind
        {
            query.context.insert(name, json!({"type": entity.kind, "id": entity.id}));
            query.extra.push(entity);
        }
    }
}

impl Principal {
    /// Who `entity` is: one that was proved, and so never a workload that only a name says to be one.
    pub(crate) fn of(entity: &Entity<'_>) -> Self {
        match (&*entity.kind, entity.id.parse()) {
            (WORKLOAD, Ok(id)) => Self::Workload(id),
            (kind, _) => Self::Token(format!("{kind}::\"{}\"", entity.id.escape_default()).into()),
        }
    }

    /// A SPIFFE ID, or the entity as policies write it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Workload(id) => id.as_str(),
            Self::Token(entity) => entity,
        }
    }
}

impl From<SpiffeId> for Principal {
    fn from(id: SpiffeId) -> Self {
        Self::Workload(id)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
