//! A token for a token, never a wider one: it says who acts for whom, and grants no more than the first (RFC 8693; transaction
//! tokens: draft-ietf-oauth-transaction-tokens).
//!
//! [`Exchange`] is the use case, in one line: verify what is shown → who acts → which scope → what the policies grant → sign →
//! record. Whatever the new token says of anybody was verified; its scope is never wider, and its end never later, than that of any
//! token that went in and says so.

mod account;
mod chain;
mod client;
mod error;
mod grant;
mod input;
mod metrics;
mod mint;
mod request;
mod scope;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_spiffe::{SpiffeId, TrustDomain};

use self::account::Account;
use self::chain::{check_may_act, extended, is_same, party_of};
pub use self::client::{Client, ClientError, Clients, Credentials};
pub use self::error::{ErrorCode, ExchangeError};
use self::grant::Asked;
pub use self::grant::Grants;
use self::input::Input;
pub use self::metrics::ExchangeMetrics;
use self::metrics::ISSUED;
use self::mint::Draft;
pub use self::request::{ExchangeRequest, ShownToken, TokenType, UnknownTokenType};
use self::scope::{narrowed, text};
use self::transaction::Transaction;
use crate::decision::{Asker, Reason};
use crate::evidence::{Audit, Outcome, Record};
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, random};
use crate::foundation::secret::Secret;
use crate::identity::authority::Authority;
use crate::identity::delegation::{Party, Revocations};
use crate::identity::token::{MAX_TOKEN_BYTES, TokenVerifier};

/// The kind of an actor that the configuration says nothing else of (draft-mcguinness-oauth-actor-profile).
pub const SERVICE: &str = "service";

/// What may be exchanged for what.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// `iss` of the new tokens.
    pub issuer: Arc<str>,
    /// Ours; the audience of transaction tokens.
    pub trust_domain: TrustDomain,
    /// For whom tokens are made, and which workloads each of these is: they may exchange what was made for it.
    pub audiences: BTreeMap<String, BTreeSet<SpiffeId>>,
    /// All scopes that there are.
    pub scopes: BTreeSet<String>,
    /// What tokens without a `scope` grant, by their issuer. Of others they grant nothing.
    pub unscoped: BTreeMap<String, BTreeSet<String>>,
    /// Issuers, by their names, whose tokens may be exchanged by others than who acts in them.
    pub forwarded: BTreeSet<String>,
    /// What kind of actor workloads are, where it is not [`SERVICE`].
    pub profiles: BTreeMap<SpiffeId, String>,
    /// How long a new token lives at most.
    pub max_ttl: Duration,
    /// The most actors of one chain, up to [`MAX_ACTORS`](crate::identity::delegation::MAX_ACTORS).
    pub max_actors: usize,
    /// Whether new tokens are bound to the client's certificate (RFC 8705 section 3.1).
    pub bind_to_certificate: bool,
}

/// What the exchange works with.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Verifies the tokens that go in: those of others, and our own.
    pub tokens: Arc<dyn TokenVerifier>,
    /// Who and what counts no more.
    pub revocations: Arc<Revocations>,
    /// Decides.
    pub grants: Arc<dyn Grants>,
    /// Signs.
    pub authority: Arc<Authority>,
    /// Where every exchange is recorded before its token leaves.
    pub audit: Arc<dyn Audit>,
    /// For the names of tokens.
    pub entropy: Arc<dyn Entropy>,
}

/// A new token.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// In compact form.
    pub token: Secret<String>,
    /// What it is.
    pub kind: TokenType,
    /// What it grants: scopes with single spaces between them, never empty.
    pub scope: String,
    /// For how long from now on, in whole seconds.
    pub expires_in: Duration,
    not_after: Timestamp,
    jti: String,
    transaction: Option<String>,
    authority: Arc<str>,
}

/// Exchanges tokens.
#[derive(Debug)]
pub struct Exchange {
    config: ExchangeConfig,
    ports: Ports,
    metrics: ExchangeMetrics,
}

/// What was found out about an exchange before anybody was asked whether it may be.
struct Understood<'r> {
    subject: Input,
    actors: Vec<Party>,
    audience: &'r str,
    wanted: BTreeSet<String>,
    transaction: Option<Transaction>,
    not_after: Timestamp,
}

impl Exchange {
    /// Exchanges as `config` says.
    pub const fn new(config: ExchangeConfig, ports: Ports, metrics: ExchangeMetrics) -> Self {
        Self { config, ports, metrics }
    }

    /// The token that `client` gets at `now` for what it shows, once that is on record.
    ///
    /// # Errors
    /// [`ExchangeError`]: then there is none, which is on record too.
    pub async fn exchange(
        &self,
        request: &ExchangeRequest<'_>,
        client: &Client,
        now: Timestamp,
    ) -> Result<Exchanged, ExchangeError> {
        let mut account = Account::new(client, request, now);
        let ended = self.answer(request, client, now, &mut account).await;
        let ended = match self.record(account, &ended).await {
            Ok(()) => ended,
            Err(unrecorded) => Err(unrecorded),
        };
        self.metrics.ended(ended.as_ref().map_or_else(ExchangeError::reason, |_issued| ISSUED));
        if let Err(error) = &ended {
            // At this level because any client can bring it about, as often as it likes.
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::debug!(client = %client.id, reason = error.reason(), cause, "refused an exchange: {error}");
        }
        ended
    }

    async fn answer(
        &self,
        request: &ExchangeRequest<'_>,
        client: &Client,
        now: Timestamp,
        account: &mut Account,
    ) -> Result<Exchanged, ExchangeError> {
        let understood = self.understand(request, client, now, account)?;
        let granted = self.granted(&understood, request, client, account).await?;
        self.issue(understood, (&granted, request.wanted), client, now)
    }

    /// All that can be said without asking the policies.
    fn understand<'r>(
        &self,
        request: &ExchangeRequest<'r>,
        client: &Client,
        now: Timestamp,
        account: &mut Account,
    ) -> Result<Understood<'r>, ExchangeError> {
        let audience = self.audience(request)?;
        if self.config.bind_to_certificate && client.certificate.is_none() {
            return Err(ExchangeError::NoCertificate);
        }
        let verifiers = (&*self.ports.tokens, &*self.ports.revocations);
        let subject = Input::verify(request.subject, verifiers, &self.config, ExchangeError::Subject, now)?;
        account.took(&subject);
        self.check_let_in(&subject)?;
        account.is_about(&subject.subject);
        let actor = party_of(client, &self.config);
        if self.ports.revocations.is_member_revoked(&actor, now) {
            return Err(ExchangeError::Revoked);
        }
        let mut not_after = subject.token.not_after.min(now.after(self.config.max_ttl));
        let mut held = subject.scope.clone();
        if let Some(shown) = request.actor {
            let token = Input::verify(shown, verifiers, &self.config, ExchangeError::Actor, now)?;
            account.took(&token);
            self.check_let_in(&token)?;
            if !token.actors.is_empty() || !is_same(&token.subject, &actor) {
                return Err(ExchangeError::ActorIsNotClient);
            }
            token.check_held_by(client)?;
            not_after = not_after.min(token.token.not_after);
            if token.token.claims.contains_key("scope") {
                held = &held & &token.scope;
            }
        }
        subject.check_shown_by(client, &actor, &self.config)?;
        check_may_act(&subject, &actor)?;
        let actors = extended(&subject, actor, self.config.max_actors)?;
        account.has_act(&actors);
        self.check_kind(request.wanted, &subject, &actors)?;
        let wanted = narrowed(request.scope, &held, &self.config.scopes)?;
        let is_transaction = request.wanted == TokenType::TransactionToken;
        let transaction = is_transaction.then(|| Transaction::of(&subject, request, || self.name())).transpose()?;
        Ok(Understood { subject, actors, audience, wanted, transaction, not_after })
    }

    /// Nothing that a token says of a workload outlives what makes it somebody.
    fn check_let_in(&self, input: &Input) -> Result<(), ExchangeError> {
        let bundles = self.ports.authority.bundles().load();
        let all = input.workloads().all(|id| bundles.vouches_for(&id));
        if all { Ok(()) } else { Err(ExchangeError::NotLetIn) }
    }

    /// For whom, if that is somebody: a transaction token is for our whole trust domain, and all others for one audience.
    fn audience<'r>(&self, request: &ExchangeRequest<'r>) -> Result<&'r str, ExchangeError> {
        let is_transaction = request.wanted == TokenType::TransactionToken;
        if !is_transaction && (request.request_context.is_some() || request.request_details.is_some()) {
            return Err(ExchangeError::NoTransaction);
        }
        let is_known = |name: &&str| {
            let ours = *name == self.config.trust_domain.as_str();
            if is_transaction { ours } else { self.config.audiences.contains_key(*name) }
        };
        request.audience.filter(is_known).ok_or(ExchangeError::UnknownAudience)
    }

    /// Whether such a token can be issued on the strength of this one. Whoever shows a JWT-SVID is whom it names to all who
    /// verify these, so it is for a workload of ours that acts itself.
    fn check_kind(&self, wanted: TokenType, subject: &Input, actors: &[Party]) -> Result<(), ExchangeError> {
        if subject.transaction.is_some() && wanted != TokenType::TransactionToken {
            return Err(ExchangeError::OnlyReplaced);
        }
        match wanted {
            TokenType::IdToken => Err(ExchangeError::NotIssued),
            TokenType::Jwt if !actors.is_empty() => Err(ExchangeError::ActsForOther),
            TokenType::Jwt => {
                let ours = format!("spiffe://{}", self.config.trust_domain);
                let is_ours = subject.subject.issuer.as_deref() == Some(&*ours);
                if is_ours { Ok(()) } else { Err(ExchangeError::NotIssued) }
            }
            TokenType::AccessToken | TokenType::TransactionToken => Ok(()),
        }
    }

    /// What the policies grant of what is wanted; never nothing.
    async fn granted(
        &self,
        understood: &Understood<'_>,
        request: &ExchangeRequest<'_>,
        client: &Client,
        account: &mut Account,
    ) -> Result<BTreeSet<String>, ExchangeError> {
        let Understood { subject, actors, audience, wanted, .. } = understood;
        let asked = Asked { client, subject, actors, audience, kind: request.wanted };
        let by = Asker {
            caller: Some(&client.caller),
            request_id: request.request_id,
            traceparent: request.traceparent,
            ..Asker::default()
        };
        // All are asked before any is waited for: their records then reach the disk together.
        let verdicts = wanted.iter().map(|scope| self.ports.grants.grant(asked.about(scope), by, &subject.token));
        let verdicts: Vec<_> = verdicts.collect();
        let mut granted = BTreeSet::new();
        for (scope, verdict) in wanted.iter().zip(verdicts) {
            account.decided(verdict.id);
            let verdict = verdict.settled().await;
            match (verdict.outcome, verdict.reason) {
                (Outcome::Allow, _) => drop(granted.insert(scope.clone())),
                (Outcome::Error, _) => return Err(ExchangeError::Undecided),
                (Outcome::Deny, Reason::UnknownAction | Reason::SchemaMismatch) => tracing::warn!(
                    reason = verdict.reason.name(),
                    decision_id = %verdict.id,
                    "the schema does not let tokens be exchanged: docs/delegation.md has what it must declare"
                ),
                (Outcome::Deny, _) => {}
            }
        }
        if granted.is_empty() { Err(ExchangeError::NotGranted) } else { Ok(granted) }
    }

    fn issue(
        &self,
        understood: Understood<'_>,
        (granted, kind): (&BTreeSet<String>, TokenType),
        client: &Client,
        now: Timestamp,
    ) -> Result<Exchanged, ExchangeError> {
        let Understood { subject, actors, audience, transaction, not_after, .. } = understood;
        let (jti, scope, signed) = (self.name()?, text(granted), kind.signed().ok_or(ExchangeError::NotIssued)?);
        let id = transaction.as_ref().map(|transaction| transaction.id.clone());
        let (subject, actors, scope_text) = (&subject, &*actors, &*scope);
        let draft = Draft { kind, client, subject, actors, audience, scope: scope_text, jti: &jti, transaction };
        if not_after.unix_seconds() <= now.unix_seconds() {
            return Err(ExchangeError::TooShort);
        }
        let claims = draft.claims(&self.config).map_err(ExchangeError::Delegation)?;
        let token = self.ports.authority.sign_delegated(signed, &claims, not_after, now);
        let token = token.map_err(ExchangeError::Unsigned)?;
        if token.token.expose().len() > MAX_TOKEN_BYTES {
            return Err(ExchangeError::TooLong);
        }
        let seconds = token.not_after.unix_seconds().saturating_sub(now.unix_seconds());
        Ok(Exchanged {
            token: token.token,
            kind,
            scope,
            expires_in: Duration::from_secs(seconds),
            not_after: token.not_after,
            jti,
            transaction: id,
            authority: token.authority,
        })
    }

    /// 128 bits that no other token has.
    fn name(&self) -> Result<String, ExchangeError> {
        random::<16>(&*self.ports.entropy).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(ExchangeError::Entropy)
    }

    /// Puts it on record, and waits until that is as durable as the operator wants it.
    async fn record(&self, account: Account, ended: &Result<Exchanged, ExchangeError>) -> Result<(), ExchangeError> {
        let record = Record::Exchange(Box::new(account.concluded(ended)));
        let taken = self.ports.audit.append(record).map_err(ExchangeError::Unrecorded)?;
        taken.durable().await.map_err(ExchangeError::Unrecorded)
    }
}

#[cfg(test)]
pub(crate) mod tests;
