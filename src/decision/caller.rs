//! Who puts questions over `AuthZEN`, and what they show for it: the certificate of a workload, a token, an API key, or the
//! user of this machine that the kernel says they are. Exactly one of these makes a [`Caller`].
//!
//! What a caller may ask is a question to the policies, like any other (`admission`); what it may say of those whom it
//! asks about is in [`statements`].

pub(in crate::decision) mod admission;
pub mod statements;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use portcullis_spiffe::SpiffeId;
use rustls_pki_types::CertificateDer;

pub use self::statements::{Allowed, Statements};
use super::mapping::workload;
use super::principal::{self, Mapping};
use super::query::Entity;
use super::request::Refusal;
use super::schema::SchemaTypes;
use crate::foundation::clock::Clock;
use crate::identity::api_key::ApiKeys;
use crate::identity::delegation::{Delegation, Revocations, TRANSACTION_TOKEN};
use crate::identity::svid::jwt::TokenError as JwtError;
use crate::identity::svid::{LeafError, LeafVerifier, VerifiedLeaf};
use crate::identity::token::{TokenError, TokenVerifier, VerifiedToken};

/// The type of callers that are known by a name of the configuration: those with an API key, and users of this machine.
pub const CALLER: &str = "Portcullis::Caller";

/// Who asks, proved.
#[derive(Clone, Debug)]
pub struct Caller {
    name: Arc<str>,
    proof: Proof,
    /// What was delegated to the workload that asks.
    delegated: Option<Arc<VerifiedToken>>,
}

#[derive(Clone, Debug)]
enum Proof {
    Leaf(Arc<VerifiedLeaf>),
    Token(Arc<VerifiedToken>, Arc<Mapping>),
    Name,
}

/// Who asks, if that has to be proved, and what they call their request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// Who; `None` where nobody has to say.
    pub caller: Option<&'a Caller>,
    /// For which tenant, where there are several.
    pub tenant: Option<&'a str>,
    /// Whether no policy is asked whether they may: where they ask that is nobody's to decide.
    pub exempt: bool,
    /// The client's name for its request.
    pub request_id: Option<&'a str>,
    /// `traceparent`, as it was sent.
    pub traceparent: Option<&'a str>,
}

/// What came with a request that may say whose it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'r> {
    /// The certificate of the TLS handshake.
    pub certificate: Option<&'r CertificateDer<'static>>,
    /// What stood after `Bearer`: a token or an API key.
    pub bearer: Option<&'r str>,
    /// The user at the other end of a Unix socket.
    pub user: Option<u32>,
}

/// Why nobody is known to ask. Its words are for the log: a client is told no more than which of these four it is.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// Nothing was shown that could say so.
    #[error("no credentials were shown")]
    Missing,
    /// Two things say so, and it is not for us to choose.
    #[error("both a certificate and a bearer credential were shown")]
    Several,
    /// What was shown proves a workload of another trust domain that is not let in.
    #[error("`{0}` is of another trust domain, and not one of its identities that are let in")]
    NotAdmitted(SpiffeId),
    /// What was shown proves nobody.
    #[error("{0}")]
    Unproved(Box<dyn std::error::Error + Send + Sync>),
}

/// Whoever may put questions, and how they prove who they are.
#[derive(Debug)]
pub struct Callers {
    clock: Arc<dyn Clock>,
    leaves: Option<LeafVerifier>,
    tokens: Option<Tokens>,
    keys: ApiKeys,
    users: BTreeMap<u32, Arc<str>>,
    revocations: Option<Arc<Revocations>>,
}

/// Whose tokens are believed, and what becomes of the claims of each of these issuers.
#[derive(Debug)]
struct Tokens {
    verifier: Arc<dyn TokenVerifier>,
    mappings: Vec<Arc<Mapping>>,
}

impl Callers {
    /// Nobody yet.
    pub const fn new(clock: Arc<dyn Clock>) -> Self {
        let keys = ApiKeys::new(Vec::new());
        Self { clock, leaves: None, tokens: None, keys, users: BTreeMap::new(), revocations: None }
    }

    /// But nobody by a token that `revocations` has.
    #[must_use]
    pub fn with_revocations(self, revocations: Arc<Revocations>) -> Self {
        Self { revocations: Some(revocations), ..self }
    }

    /// And workloads, by the certificates that `leaves` verifies.
    #[must_use]
    pub fn with_workloads(self, leaves: LeafVerifier) -> Self {
        Self { leaves: Some(leaves), ..self }
    }

    /// And whom the tokens name that `verifier` verifies, each of whose issuers has a mapping here, in the same order.
    #[must_use]
    pub fn with_tokens(self, verifier: Arc<dyn TokenVerifier>, mappings: Vec<Mapping>) -> Self {
        let mappings = mappings.into_iter().map(Arc::new).collect();
        Self { tokens: Some(Tokens { verifier, mappings }), ..self }
    }

    /// And who has one of `keys`.
    #[must_use]
    pub fn with_keys(self, keys: ApiKeys) -> Self {
        Self { keys, ..self }
    }

    /// And these users of this machine, by name. One who shows anything else is whom that proves.
    #[must_use]
    pub fn with_users(self, users: BTreeMap<u32, Arc<str>>) -> Self {
        Self { users, ..self }
    }

    /// Whose request it is that came with these credentials, now.
    ///
    /// # Errors
    /// [`CallerError`]
    pub fn authenticate(&self, shown: Credentials<'_>) -> Result<Caller, CallerError> {
        match (shown.certificate, shown.bearer) {
            (Some(certificate), Some(bearer)) => self.by_both(certificate, bearer),
            (Some(certificate), None) => self.by_certificate(certificate),
            (None, Some(bearer)) => self.by_bearer(bearer),
            (None, None) => {
                let user = shown.user.and_then(|user| self.users.get(&user));
                user.cloned().map(Caller::named).ok_or(CallerError::Missing)
            }
        }
    }

    fn by_certificate(&self, certificate: &CertificateDer<'_>) -> Result<Caller, CallerError> {
        let Some(leaves) = &self.leaves else { return Err(CallerError::Missing) };
        Ok(Caller::workload(leaves.verify_der(certificate, self.clock.now())?))
    }

    /// A key is looked for first: whether it is one takes a comparison, and no token is one.
    fn by_bearer(&self, bearer: &str) -> Result<Caller, CallerError> {
        if let Some(name) = self.keys.find(bearer) {
            return Ok(Caller::named(Arc::clone(name)));
        }
        let (token, mapping) = self.verified(bearer)?;
        self.delegation(&token, &mapping, None)?;
        Ok(Caller::of_token(token, mapping)?)
    }

    /// Who shows a token that was made for it asks, and not whom it acts for: the grant is narrower than what its subject may.
    /// Such a token and the certificate are one credential. Any other and a certificate are two.
    fn by_both(&self, certificate: &CertificateDer<'_>, bearer: &str) -> Result<Caller, CallerError> {
        let Some(leaves) = self.leaves.as_ref().filter(|_| self.keys.find(bearer).is_none()) else {
            return Err(CallerError::Several);
        };
        let (token, mapping) = self.verified(bearer).map_err(|error| match error {
            CallerError::NotAdmitted(_) => error,
            _ => CallerError::Several,
        })?;
        let leaf = leaves.verify_der(certificate, self.clock.now())?;
        match self.delegation(&token, &mapping, Some(&leaf))? {
            // Nothing that a token says of somebody outlives what makes them somebody.
            Some(delegation) => match delegation.workloads().find(|id| !leaves.vouches_for(id)) {
                Some(id) => Err(CallerError::Unproved(format!("the token rests on `{id}`, who is not let in").into())),
                None => Ok(Caller { delegated: Some(token), ..Caller::workload(leaf) }),
            },
            None => Err(CallerError::Several),
        }
    }

    fn verified(&self, bearer: &str) -> Result<(Arc<VerifiedToken>, Arc<Mapping>), CallerError> {
        let Some(Tokens { verifier, mappings }) = &self.tokens else {
            return Err(CallerError::Unproved("it is no API key of ours".into()));
        };
        let token = verifier.verify(bearer, self.clock.now())?;
        // draft-ietf-oauth-transaction-tokens section 8.2: it never stands here, and says who asks to nobody.
        if token.kind == TRANSACTION_TOKEN {
            return Err(CallerError::Unproved("it is a transaction token".into()));
        }
        let mapping = mappings.get(token.issuer_index).ok_or("an issuer without a mapping");
        let mapping = mapping.map_err(|error| CallerError::Unproved(error.into()))?;
        Ok((token, Arc::clone(mapping)))
    }

    /// What the token delegates to whoever shows it, if anything; no token that was revoked counts.
    fn delegation(
        &self,
        token: &VerifiedToken,
        mapping: &Mapping,
        leaf: Option<&VerifiedLeaf>,
    ) -> Result<Option<Delegation>, CallerError> {
        let now = self.clock.now();
        Ok(principal::delegation((token, mapping.is_delegated()), leaf, self.revocations.as_ref(), now)?)
    }
}

impl Caller {
    /// The workload of a leaf that was verified.
    pub fn workload(leaf: Arc<VerifiedLeaf>) -> Self {
        Self { name: leaf.id.as_str().into(), proof: Proof::Leaf(leaf), delegated: None }
    }

    /// Who is known by a name of the configuration.
    pub const fn named(name: Arc<str>) -> Self {
        Self { name, proof: Proof::Name, delegated: None }
    }

    /// Whom a token that was verified names.
    ///
    /// # Errors
    /// [`Refusal`] if it lacks a claim that the name is made of.
    pub fn of_token(token: Arc<VerifiedToken>, mapping: Arc<Mapping>) -> Result<Self, Refusal> {
        let name = mapping.name(&token)?.as_str().into();
        Ok(Self { name, proof: Proof::Token(token, mapping), delegated: None })
    }

    /// The name of the configuration, the workload's SPIFFE ID, or whom the token names as policies write it:
    /// `Human::"alice"`. None of the three can pass for another.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The caller in the terms of policies.
    fn entity(&self, types: &SchemaTypes) -> Result<Entity<'_>, Refusal> {
        match &self.proof {
            Proof::Leaf(leaf) => Ok(workload(&leaf.id)),
            Proof::Token(token, mapping) => mapping.entity(token, types),
            Proof::Name => Ok(Entity::named(CALLER, &*self.name)),
        }
    }

    pub(super) fn leaf(&self) -> Option<&VerifiedLeaf> {
        if let Proof::Leaf(leaf) = &self.proof { Some(leaf) } else { None }
    }

    pub(super) fn token(&self) -> Option<&VerifiedToken> {
        if let Proof::Token(token, _) = &self.proof { Some(token) } else { self.delegated.as_deref() }
    }

    /// The token by which somebody else's rights were delegated to it, for the record.
    pub(super) const fn delegated(&self) -> Option<&Arc<VerifiedToken>> {
        self.delegated.as_ref()
    }
}

impl From<LeafError> for CallerError {
    fn from(error: LeafError) -> Self {
        match error {
            LeafError::NotAdmitted(id) => Self::NotAdmitted(id),
            error => Self::Unproved(error.into()),
        }
    }
}

impl From<TokenError> for CallerError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Jwt(JwtError::NotAdmitted(id)) => Self::NotAdmitted(id),
            error => Self::Unproved(error.into()),
        }
    }
}

impl From<Refusal> for CallerError {
    fn from(error: Refusal) -> Self {
        Self::Unproved(error.into())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests;
