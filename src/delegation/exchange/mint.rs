//! What a new token says (RFC 9068, RFC 8693 section 4, RFC 9493, draft-ietf-oauth-transaction-tokens).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::chain::{claim, named};
use super::input::Input;
use super::transaction::Transaction;
use super::{Client, ExchangeConfig, TokenType};
use crate::identity::delegation::{DelegationError, Party, naming};

/// What a new token says, but for when it was made and when it ends.
#[derive(Clone, Debug)]
pub(super) struct Draft<'a> {
    pub(super) kind: TokenType,
    pub(super) client: &'a Client,
    pub(super) subject: &'a Input,
    pub(super) actors: &'a [Party],
    pub(super) audience: &'a str,
    pub(super) scope: &'a str,
    pub(super) jti: &'a str,
    pub(super) transaction: Option<Transaction>,
}

impl Draft<'_> {
    /// Its claims.
    ///
    /// # Errors
    /// [`DelegationError`] if the subject has more names than anybody reads.
    pub(super) fn claims(self, config: &ExchangeConfig) -> Result<Map<String, Value>, DelegationError> {
        let subject = &self.subject.subject;
        let mut claims = named(subject);
        claims.insert("iss".to_owned(), json!(&*config.issuer));
        // Under our own name, two issuers' alice would be one; and whoever is revoked by another name would go on.
        let names = naming(subject, &self.subject.aliases)?;
        claims.extend(names.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let audience = if self.kind == TokenType::Jwt { json!([self.audience]) } else { json!(self.audience) };
        claims.insert("aud".to_owned(), audience);
        claims.insert("scope".to_owned(), json!(self.scope));
        claims.insert("jti".to_owned(), json!(self.jti));
        claims.extend(claim(self.actors).map(|act| ("act".to_owned(), act)));
        // Who asked: an OAuth client in one draft, a requesting workload in the other.
        let client = match self.kind {
            TokenType::AccessToken => Some("client_id"),
            TokenType::TransactionToken => Some("req_wl"),
            TokenType::Jwt | TokenType::IdToken => None,
        };
        claims.extend(client.map(|name| (name.to_owned(), json!(self.client.id.as_str()))));
        let bound = self.client.certificate.filter(|_| config.bind_to_certificate);
        let bound = bound.map(|digest| json!({"x5t#S256": URL_SAFE_NO_PAD.encode(digest.as_bytes())}));
        claims.extend(bound.map(|bound| ("cnf".to_owned(), bound)));
        if let Some(transaction) = self.transaction {
            transaction.enter(&mut claims);
        }
        Ok(claims)
    }
}
