//! A token that goes in: verified, for us, not revoked, and shown by who may show it.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_spiffe::SpiffeId;

use super::chain::is_same;
use super::{Client, ExchangeConfig, ExchangeError, ShownToken, TokenType};
use crate::foundation::clock::Timestamp;
use crate::identity::delegation::{Delegation, Party, Revocations, TRANSACTION_TOKEN};
use crate::identity::token::{TokenError, TokenVerifier, VerifiedToken};

/// A token that goes in.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) token: Arc<VerifiedToken>,
    /// Whom it is about, under the name of who first vouched for that.
    pub(super) subject: Party,
    /// What else it says that the subject is called, by others: revocations of these reach what is made of it, too.
    pub(super) aliases: Vec<Party>,
    /// Who acts, the current one first, each under the name of who vouches for it.
    pub(super) actors: Vec<Party>,
    /// What it grants.
    pub(super) scope: BTreeSet<String>,
    /// Its own name.
    pub(super) id: Option<String>,
    /// The transaction, if it is a transaction token of ours.
    pub(super) transaction: Option<String>,
    is_own: bool,
    confirmation: Option<[u8; 32]>,
}

impl Input {
    /// What `shown` proves at `now`; `refused` says whose token it is that proves nothing.
    pub(super) fn verify(
        shown: ShownToken<'_>,
        (verifier, revocations): (&dyn TokenVerifier, &Revocations),
        config: &ExchangeConfig,
        refused: fn(TokenError) -> ExchangeError,
        now: Timestamp,
    ) -> Result<Self, ExchangeError> {
        let token = verifier.verify(shown.token, now).map_err(refused)?;
        let delegation = Delegation::read(&token).map_err(ExchangeError::Delegation)?;
        if revocations.is_revoked(&delegation, now) {
            return Err(ExchangeError::Revoked);
        }
        let is_own = *token.issuer == *config.issuer;
        let transaction = delegation.transaction.filter(|_| is_own);
        // Those of others are of transactions that we know nothing of, and are for their own trust domain.
        let is_transaction = token.kind == TRANSACTION_TOKEN;
        if is_transaction != (shown.kind == TokenType::TransactionToken) || is_transaction != transaction.is_some() {
            return Err(ExchangeError::OtherType);
        }
        let origin = delegation.origin.filter(|_| is_own).and_then(|origin| origin.issuer);
        let subject = Party { issuer: origin.or(delegation.subject.issuer), ..delegation.subject };
        let aliases = delegation.aliases.into_iter().filter(|alias| !is_same(alias, &subject)).collect();
        let scope = match config.unscoped.get(&*token.issuer) {
            Some(worth) if !token.claims.contains_key("scope") => worth.clone(),
            _ => delegation.scope,
        };
        // Who is named without an issuer is named by whoever issued the token.
        let vouched = |actor: Party| Party { issuer: actor.issuer.or_else(|| Some(token.issuer.to_string())), ..actor };
        let actors = delegation.actors.into_iter().map(vouched).collect();
        let (id, confirmation) = (delegation.id, delegation.confirmation);
        Ok(Self { token, subject, aliases, actors, scope, id, transaction, is_own, confirmation })
    }

    /// Whether `client` may show it as the subject's token. One of ours was made for somebody: it is they who exchange it, or
    /// who acts in it already. So is one of others that says who acts; to hold the certificate that it is bound to is as good as to
    /// act. That workloads of ours acted is not for others to say, but for the one that shows the token. One that is bound to a
    /// certificate is shown with that; of ours also by whom it was made for, as they have seen the certificate when they were given the
    /// token.
    pub(super) fn check_shown_by(
        &self,
        client: &Client,
        actor: &Party,
        config: &ExchangeConfig,
    ) -> Result<(), ExchangeError> {
        let acts = is_same(self.actors.first().unwrap_or(&self.subject), actor);
        let is_meant = self.is_made_for(client, config);
        let ours = [format!("spiffe://{}", config.trust_domain), config.issuer.to_string()];
        let is_ours = |party: &Party| party.issuer.as_ref().is_some_and(|issuer| ours.contains(issuer));
        if !self.is_own && self.actors.iter().skip(usize::from(acts)).any(is_ours) {
            return Err(ExchangeError::NamesOurs);
        }
        let may = is_meant || if self.is_own { acts } else { self.is_passed_on_by(client, config) };
        if !may {
            return Err(ExchangeError::MadeForOthers);
        }
        if is_meant && self.is_own { Ok(()) } else { self.check_held_by(client) }
    }

    /// Whether a token of others is in the hands that it was left in, or may be in any. What says nobody acts is whoever's who shows
    /// it; what the client is called where it does goes by its SPIFFE ID, as in a Check, whoever vouches for that name.
    fn is_passed_on_by(&self, client: &Client, config: &ExchangeConfig) -> bool {
        let Some(current) = self.actors.first() else { return true };
        current.subject == client.id.as_str()
            || self.confirmation.is_some()
            || config.forwarded.contains(&*self.token.issuer)
    }

    /// Whether `client` has shown the certificate that the token is bound to, if it is bound.
    pub(super) fn check_held_by(&self, client: &Client) -> Result<(), ExchangeError> {
        let shown = client.certificate.as_ref().map(|digest| *digest.as_bytes());
        match self.confirmation {
            Some(bound) if Some(bound) != shown => Err(ExchangeError::OtherHolder),
            _ => Ok(()),
        }
    }

    /// The workloads that it rests on, as far as a trust domain vouched for them.
    pub(super) fn workloads(&self) -> impl Iterator<Item = SpiffeId> {
        let parties = self.actors.iter().chain(&self.aliases).chain([&self.subject]);
        let vouched =
            parties.filter(|party| party.issuer.as_deref().is_some_and(|issuer| issuer.starts_with("spiffe://")));
        vouched.filter_map(|party| party.subject.parse().ok())
    }

    /// Whether one of its audiences is the client: a transaction token is for all of our trust domain.
    fn is_made_for(&self, client: &Client, config: &ExchangeConfig) -> bool {
        let is_ours = *client.id.trust_domain() == config.trust_domain;
        self.token.audience.iter().any(|name| match config.audiences.get(name) {
            Some(workloads) => workloads.contains(&client.id),
            None => self.transaction.is_some() && is_ours && name == config.trust_domain.as_str(),
        })
    }
}
