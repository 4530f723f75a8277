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

use rustls_pki_types::CertificateDer;

pub use self::statements::{Allowed, Statements};
use super::mapping::workload;
use super::principal::Mapping;
use super::query::Entity;
use super::request::Refusal;
use super::schema::SchemaTypes;
use crate::foundation::clock::Clock;
use crate::identity::api_key::ApiKeys;
use crate::identity::svid::{LeafError, LeafVerifier, VerifiedLeaf};
use crate::identity::token::{TokenError, TokenVerifier, VerifiedToken};

/// The type of callers that are known by a name of the configuration: those with an API key, and users of this machine.
pub const CALLER: &str = "Portcullis::Caller";

/// Who asks, proved.
#[derive(Clone, Debug)]
pub struct Caller {
    name: Arc<str>,
    proof: Proof,
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

/// Why nobody is known to ask. Its words are for the log: a client is told no more than which of these three it is.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// Nothing was shown that could say so.
    #[error("no credentials were shown")]
    Missing,
    /// Two things say so, and it is not for us to choose.
    #[error("both a certificate and a bearer credential were shown")]
    Several,
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
        Self { clock, leaves: None, tokens: None, keys: ApiKeys::new(Vec::new()), users: BTreeMap::new() }
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
            (Some(_), Some(_)) => Err(CallerError::Several),
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
        let Some(Tokens { verifier, mappings }) = &self.tokens else {
            return Err(CallerError::Unproved("it is no API key of ours".into()));
        };
        let token = verifier.verify(bearer, self.clock.now())?;
        let mapping = mappings.get(token.issuer_index).ok_or("an issuer without a mapping");
        let mapping = mapping.map_err(|error| CallerError::Unproved(error.into()))?;
        Ok(Caller::of_token(token, Arc::clone(mapping))?)
    }
}

impl Caller {
    /// The workload of a leaf that was verified.
    pub fn workload(leaf: Arc<VerifiedLeaf>) -> Self {
        Self { name: leaf.id.as_str().into(), proof: Proof::Leaf(leaf) }
    }

    /// Who is known by a name of the configuration.
    pub const fn named(name: Arc<str>) -> Self {
        Self { name, proof: Proof::Name }
    }

    /// Whom a token that was verified names.
    ///
    /// # Errors
    /// [`Refusal`] if it lacks a claim that the name is made of.
    pub fn of_token(token: Arc<VerifiedToken>, mapping: Arc<Mapping>) -> Result<Self, Refusal> {
        let name = mapping.name(&token)?.as_str().into();
        Ok(Self { name, proof: Proof::Token(token, mapping) })
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
        if let Proof::Token(token, _) = &self.proof { Some(token) } else { None }
    }
}

impl From<LeafError> for CallerError {
    fn from(error: LeafError) -> Self {
        Self::Unproved(error.into())
    }
}

impl From<TokenError> for CallerError {
    fn from(error: TokenError) -> Self {
        Self::Unproved(error.into())
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
