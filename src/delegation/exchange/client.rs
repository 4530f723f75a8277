//! Who asks for tokens: a workload, by the certificate of its TLS handshake or by a JWT-SVID as client assertion
//! (draft-ietf-oauth-spiffe-client-auth). Exactly one of the two makes a [`Client`].

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;
use rustls_pki_types::CertificateDer;

use crate::decision::Caller;
use crate::decision::principal::Mapping;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::identity::delegation::Revocations;
use crate::identity::svid::LeafVerifier;
use crate::identity::token::{TokenError, TokenVerifier, UseStore, UsesError};

/// How far the clocks of processes may be from each other: until all of them refuse an assertion for its end, it is kept that it was used.
const CLOCKS: Duration = Duration::from_mins(5);

/// A workload that asks, proved.
#[derive(Clone, Debug)]
pub struct Client {
    /// Who.
    pub id: SpiffeId,
    /// The same, as records and policies know those who ask.
    pub(super) caller: Caller,
    /// SHA-256 of the certificate that proved it, if one did.
    pub(super) certificate: Option<Digest>,
}

/// What came with a request that may say whose it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'r> {
    /// The certificate of the TLS handshake.
    pub certificate: Option<&'r CertificateDer<'static>>,
    /// A JWT-SVID.
    pub assertion: Option<&'r str>,
    /// Whom the client says that it is, if it says so.
    pub client_id: Option<&'r str>,
}

/// Why nobody is known to ask. Its words are for the log.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing was shown that could say so.
    #[error("neither a certificate nor an assertion was shown")]
    Missing,
    /// Two things say so, and it is not for us to choose.
    #[error("both a certificate and an assertion were shown")]
    Several,
    /// What was shown is of another than the client says.
    #[error("what was shown is of `{0}`, and not of the `client_id`")]
    OtherName(SpiffeId),
    /// Whether an assertion was used at another process can't be told.
    #[error("it can't be told whether the assertion was used: {0}")]
    Unknown(#[from] UsesError),
    /// What was shown proves nobody.
    #[error("{0}")]
    Unproved(Box<dyn Error + Send + Sync>),
}

/// What verifies clients.
#[derive(Debug)]
pub struct Clients {
    leaves: LeafVerifier,
    assertions: Arc<dyn TokenVerifier>,
    uses: Arc<dyn UseStore>,
    revocations: Arc<Revocations>,
}

impl Clients {
    /// Believes the leaves that `leaves` verifies, and the JWT-SVIDs that `assertions` does and `revocations` does not name:
    /// each of these for us alone, and but once at all processes that have these `uses`.
    pub fn new(
        leaves: LeafVerifier,
        (assertions, uses): (Arc<dyn TokenVerifier>, Arc<dyn UseStore>),
        revocations: Arc<Revocations>,
    ) -> Self {
        Self { leaves, assertions, uses, revocations }
    }

    /// Whose request it is that came with these credentials at `now`. An assertion is used up by it.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn authenticate(&self, shown: Credentials<'_>, now: Timestamp) -> Result<Client, ClientError> {
        let client = match (shown.certificate, shown.assertion) {
            (Some(_), Some(_)) => return Err(ClientError::Several),
            (None, None) => return Err(ClientError::Missing),
            (Some(certificate), None) => self.by_certificate(certificate, now)?,
            (None, Some(assertion)) => self.by_assertion(assertion, now).await?,
        };
        match shown.client_id {
            Some(name) if name != client.id.as_str() => Err(ClientError::OtherName(client.id)),
            _ => Ok(client),
        }
    }

    fn by_certificate(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<Client, ClientError> {
        let leaf = self.leaves.verify_der(certificate, now).map_err(unproved)?;
        Ok(Client { id: leaf.id.clone(), certificate: Some(leaf.digest), caller: Caller::workload(leaf) })
    }

    async fn by_assertion(&self, assertion: &str, now: Timestamp) -> Result<Client, ClientError> {
        let token = self.assertions.verify(assertion, now).map_err(unproved)?;
        if self.revocations.is_token_revoked(&token, now).map_err(unproved)? {
            return Err(ClientError::Unproved("the assertion, or whom it names, was revoked".into()));
        }
        // Whoever else it is for holds it too, and could be the client here.
        if token.audience.len() != 1 {
            return Err(ClientError::Unproved("the assertion is for others, too".into()));
        }
        if let Some(claim) = ["act", "cnf"].iter().find(|claim| token.claims.contains_key(**claim)) {
            return Err(ClientError::Unproved(
                format!("the assertion has `{claim}`, so it is not simply the client's").into(),
            ));
        }
        let id: SpiffeId = token.subject.parse().map_err(unproved)?;
        // Where this process itself knows of no use, another may.
        let forgotten = token.not_after.after(CLOCKS);
        if !self.uses.take(token.name().map_err(unproved)?, forgotten, now).await? {
            return Err(unproved(TokenError::Replayed));
        }
        let caller = Caller::of_token(token, Arc::new(Mapping::Spiffe)).map_err(unproved)?;
        Ok(Client { id, certificate: None, caller })
    }
}

fn unproved(error: impl Error + Send + Sync + 'static) -> ClientError {
    ClientError::Unproved(Box::new(error))
}
