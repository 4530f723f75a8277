//! What the policies are asked before a token is issued: may this workload act with this scope, for this audience, on behalf of
//! this subject? One question for each scope: `Portcullis::Action::"exchange"` by the `Workload` that acts, on the
//! `Portcullis::Audience`, with the chain in the context.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::chain::named;
use super::input::Input;
use super::{Client, TokenType};
use crate::decision::mapping::workload;
use crate::decision::query::Properties;
use crate::decision::{Action, Asker, Authorizer, Entity, Query, Verdict};
use crate::identity::delegation::Party;
use crate::identity::token::VerifiedToken;

/// The action.
const EXCHANGE: &str = "Portcullis::exchange";

/// The type of the resource.
const AUDIENCE: &str = "Portcullis::Audience";

/// What decides. The product has one, [`Authorizer`]; tests have others.
pub trait Grants: fmt::Debug + Send + Sync {
    /// Whether the client `by` may have what `query` asks for, on the strength of the subject's `token`. It is on record.
    fn grant(&self, query: Query<'_>, by: Asker<'_>, token: &Arc<VerifiedToken>) -> Verdict;
}

impl Grants for Authorizer {
    fn grant(&self, query: Query<'_>, by: Asker<'_>, token: &Arc<VerifiedToken>) -> Verdict {
        Self::grant(self, query, by, token)
    }
}

/// What all questions about one exchange have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    pub(super) subject: &'a Input,
    /// Those of the new token.
    pub(super) actors: &'a [Party],
    pub(super) audience: &'a str,
    pub(super) kind: TokenType,
}

impl<'a> Asked<'a> {
    /// The question about one scope.
    pub(super) fn about(&self, scope: &'a str) -> Query<'a> {
        let name = |party: &Party| json!({"iss": party.issuer.as_deref().unwrap_or_default(), "sub": party.subject});
        let actors: Vec<Value> = self.actors.iter().map(name).collect();
        let mut context = Properties::with_capacity(5);
        context.insert("actors", Value::Array(actors));
        context.insert("depth", json!(self.actors.len()));
        context.insert("kind", self.kind.name());
        context.insert("scope", scope);
        context.insert("subject", Value::Object(named(&self.subject.subject)));
        Query {
            subject: workload(&self.client.id),
            action: Action::named(EXCHANGE),
            resource: Entity::named(AUDIENCE, self.audience),
            context,
            extra: Vec::new(),
        }
    }
}
