//! Authorities that sign JWT-SVIDs: making one, opening one, signing a token with one. The `kid` of one is the id of its
//! key, so that no journal can give a key another's name.

use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;
use rcgen::PublicKeyData as _;

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
    key: SigningKey,
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
        let signers = self.signers.load();
        let held = current(&signers.jwt, now).ok_or(AuthorityError::NoSigner(now))?;
        let not_after = whole_seconds(now.after(request.ttl)).min(held.term.validity.not_after);
        if not_after <= now {
            return Err(AuthorityError::TooShort(request.ttl));
        }
        let claims = Claims {
            aud: request.audience,
            exp: not_after.unix_seconds(),
            iat: now.unix_seconds(),
            iss: request.issuer,
            jti: request.jti,
            sub: request.spiffe_id.as_str(),
        };
        let token = held.signer.sign(&held.id, &claims)?;
        Ok(SignedToken { token, authority: held.id.clone(), issued_at: whole_seconds(now), not_after })
    }

    /// The public half of a new authority.
    pub(super) fn jwt_public(&self, key: &SigningKey, now: Timestamp) -> (AuthorityPublic, Validity) {
        let validity = Validity::new(now, self.config.ttl);
        let public_key = key.subject_public_key_info();
        (AuthorityPublic::Jwt { public_key, expires_at: validity.not_after }, validity)
    }

    /// The authority of the journal's `entry`, with its key.
    pub(super) fn open_jwt(&self, entry: &AuthorityEntry, public_key: &[u8]) -> Result<Arc<JwtSigner>, AuthorityError> {
        let key = self.vault.unseal(&entry.id)?;
        if key.subject_public_key_info() != public_key {
            return Err(AuthorityError::Foreign { id: entry.id.clone(), source: LintError::PublicKey });
        }
        let hash = self.config.jwt_rsa_hash;
        let algorithm = match (&key, hash) {
            (SigningKey::P256(_), _) => Algorithm::ES256,
            (SigningKey::P384(_), _) => Algorithm::ES384,
            (SigningKey::Rsa(_), Hash::Sha256) => Algorithm::RS256,
            (SigningKey::Rsa(_), Hash::Sha384) => Algorithm::RS384,
            (SigningKey::Rsa(_), Hash::Sha512) => Algorithm::RS512,
        };
        Ok(Arc::new(JwtSigner { public_key: public_key.to_vec(), key, algorithm, hash }))
    }
}

impl JwtSigner {
    fn sign(&self, kid: &str, claims: &Claims<'_>) -> Result<Secret<String>, AuthorityError> {
        let input = jwt::signing_input(self.algorithm, kid, claims)?;
        let signature = self.algorithm.encode(self.key.sign_with(input.as_bytes(), self.hash)?)?;
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
