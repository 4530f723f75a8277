//! Authorities that sign JWT-SVIDs: making one, opening one, signing a token with one. The `kid` of one is the id of its
//! key, so that no journal can give a key another's name.

use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;
use rcgen::PublicKeyData as _;
use serde::Serialize;

#[cfg(feature = "pkcs11")]
use super::keys::Curve;
use super::keys::SigningKey;
use super::lint::LintError;
use super::signers::{Held, current};
use super::template::{Validity, whole_seconds};
use super::{Authority, AuthorityError, Hash};
use crate::foundation::clock::Timestamp;
use crate::foundation::secret::Secret;
use crate::identity::bundle::JwtAuthority;
use crate::identity::journal::{AuthorityEntry, AuthorityPublic};
use crate::identity::jwt::{self, Algorithm, Claims};

/// What signs tokens.
#[derive(Debug)]
pub(super) struct JwtSigner {
    public_key: Vec<u8>,
    /// `None` if it ended with an earlier process.
    key: Option<SigningKey>,
    algorithm: Algorithm,
    hash: Hash,
}

/// What a token is to say.
#[derive(Clone, Copy, Debug)]
pub(in crate::identity) struct TokenRequest<'a> {
    pub(in crate::identity) spiffe_id: &'a SpiffeId,
    pub(in crate::identity) audience: &'a [String],
    pub(in crate::identity) ttl: Duration,
    pub(in crate::identity) issuer: Option<&'a str>,
    pub(in crate::identity) jti: Option<&'a str>,
}

/// A token, signed.
#[derive(Clone, Debug)]
pub(in crate::identity) struct SignedToken {
    pub(in crate::identity) token: Secret<String>,
    /// Who signed: its `kid`.
    pub(in crate::identity) authority: Arc<str>,
    pub(in crate::identity) issued_at: Timestamp,
    pub(in crate::identity) not_after: Timestamp,
}

impl Authority {
    /// Signs a token.
    pub(in crate::identity) fn sign_token(
        &self,
        request: &TokenRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedToken, AuthorityError> {
        self.check_ours(request.spiffe_id)?;
        self.sign_claims(request.ttl, now, |iat, exp| Claims {
            aud: request.audience,
            exp,
            iat,
            iss: request.issuer,
            jti: request.jti,
            sub: request.spiffe_id.as_str(),
        })
    }

    /// Signs what `claims` says from `iat` to `exp`, both in seconds since 1970.
    pub(super) fn sign_claims<C: Serialize>(
        &self,
        ttl: Duration,
        now: Timestamp,
        claims: impl FnOnce(u64, u64) -> C,
    ) -> Result<SignedToken, AuthorityError> {
        self.sign_typed(jwt::JWT, ttl, now, claims)
    }

    /// The same as a token of another type (RFC 8725 section 3.11).
    pub(super) fn sign_typed<C: Serialize>(
        &self,
        typ: &'static str,
        ttl: Duration,
        now: Timestamp,
        claims: impl FnOnce(u64, u64) -> C,
    ) -> Result<SignedToken, AuthorityError> {
        let signers = self.signers.load();
        let held = current(&signers.jwt, now).ok_or(AuthorityError::NoSigner(now))?;
        let not_after = whole_seconds(now.after(ttl)).min(held.term.validity.not_after);
        if not_after <= now {
            return Err(AuthorityError::TooShort(ttl));
        }
        let claims = claims(now.unix_seconds(), not_after.unix_seconds());
        let token = held.signer.sign((&held.id, typ), &claims)?;
        Ok(SignedToken { token, authority: held.id.clone(), issued_at: whole_seconds(now), not_after })
    }

    /// Who signs tokens now.
    pub(super) fn token_signer(&self, now: Timestamp) -> Option<Arc<str>> {
        current(&self.signers.load().jwt, now).map(|held| held.id.clone())
    }

    /// The public half of a new authority.
    pub(super) fn jwt_public(&self, key: &SigningKey, now: Timestamp) -> (AuthorityPublic, Validity) {
        let validity = Validity::new(now, self.config.ttl);
        let public_key = key.subject_public_key_info();
        (AuthorityPublic::Jwt { public_key, expires_at: validity.not_after }, validity)
    }

    /// The authority of the journal's `entry`, with its key.
    pub(super) fn open_jwt(&self, entry: &AuthorityEntry, public_key: &[u8]) -> Result<Arc<JwtSigner>, AuthorityError> {
        let key = self.custody.find(&entry.id)?;
        if key.as_ref().is_some_and(|key| key.subject_public_key_info() != public_key) {
            return Err(AuthorityError::Foreign { id: entry.id.clone(), source: LintError::PublicKey });
        }
        let hash = self.config.jwt_rsa_hash;
        let algorithm = match (&key, hash) {
            // Without a key nothing is signed.
            (None | Some(SigningKey::P256(_)), _) => Algorithm::ES256,
            (Some(SigningKey::P384(_)), _) => Algorithm::ES384,
            (Some(SigningKey::Rsa(_)), Hash::Sha256) => Algorithm::RS256,
            (Some(SigningKey::Rsa(_)), Hash::Sha384) => Algorithm::RS384,
            (Some(SigningKey::Rsa(_)), Hash::Sha512) => Algorithm::RS512,
            #[cfg(feature = "pkcs11")]
            (Some(SigningKey::Token(key)), _) => match key.curve {
                Curve::P256 => Algorithm::ES256,
                Curve::P384 => Algorithm::ES384,
            },
            (Some(SigningKey::MlDsa44(_) | SigningKey::MlDsa65(_)), _) => {
                return Err(AuthorityError::Foreign { id: entry.id.clone(), source: LintError::Algorithm });
            }
        };
        Ok(Arc::new(JwtSigner { public_key: public_key.to_vec(), key, algorithm, hash }))
    }
}

impl JwtSigner {
    fn sign(&self, named: (&str, &'static str), claims: &impl Serialize) -> Result<Secret<String>, AuthorityError> {
        let input = jwt::signing_input(self.algorithm, named, claims)?;
        let key = self.key.as_ref().ok_or(AuthorityError::Crypto)?;
        let signature = self.algorithm.encode(key.sign_with(input.as_bytes(), self.hash)?)?;
        Ok(Secret::new(jwt::token(&input, &signature)))
    }

    /// How it stands in the bundle.
    pub(super) fn in_bundle(&self, held: &Held<Self>) -> JwtAuthority {
        JwtAuthority {
            key_id: held.id.to_string(),
            public_key: self.public_key.clone(),
            expires_at: Some(held.term.validity.not_after),
            tainted: held.tainted,
        }
    }
}
