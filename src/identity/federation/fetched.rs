//! What was fetched becomes the bundle of a trust domain: read leniently, and never in place of a newer one.

use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::TrustDomain;
use portcullis_spiffe::bundle::{BundleDocument, BundleDocumentError};
use rustls_pki_types::CertificateDer;

use super::{Federation, FederationError, MAX_SEQUENCE, Relationship, put};
use crate::identity::bundle::{Bundle, JwtAuthority};

/// What became of a bundle that was fetched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// The bundle that is in force now.
    pub bundle: Arc<Bundle>,
    /// Whether it is another than before.
    pub changed: bool,
}

impl Federation {
    /// Takes what was fetched by `relationship`, if that stands still.
    ///
    /// Nothing is merged: what the document does not have is no longer trusted, and one without keys means that nobody is
    /// (SPIFFE Trust Domain and Bundle 4.1.3). A `spiffe_sequence` below that of the bundle which is held is refused, and none
    /// where there was one. The same for other contents is not, since publishers differ in that.
    ///
    /// # Errors
    /// [`FederationError`]; then nothing was changed.
    pub async fn take(&self, relationship: &Arc<Relationship>, fetched: Bundle) -> Result<Taken, FederationError> {
        let (trust_domain, asked) = (relationship.trust_domain.clone(), Arc::clone(relationship));
        let bundle = self.foreign(fetched)?;
        if bundle.sequence > MAX_SEQUENCE {
            return Err(FederationError::Sequence(trust_domain));
        }
        // What is empty only because it is old is not what is kept.
        let was_stale = self.is_stale(&trust_domain);
        let taken = self
            .write(move |known, relationships| {
                let name = &asked.trust_domain;
                if relationships.get(name).is_none_or(|standing| *standing != asked) {
                    return Err(FederationError::Unknown(name.clone()));
                }
                match known.get(name) {
                    Some(held) if !was_stale && **held == *bundle => {
                        Ok((Taken { bundle: Arc::clone(held), changed: false }, Vec::new()))
                    }
                    Some(held) if held.sequence > 0 && bundle.sequence == 0 => {
                        Err(FederationError::Unnumbered { trust_domain: name.clone(), held: held.sequence })
                    }
                    Some(held) if bundle.sequence < held.sequence => {
                        let (trust_domain, held, given) = (name.clone(), held.sequence, bundle.sequence);
                        Err(FederationError::Older { trust_domain, held, given })
                    }
                    _ => Ok((Taken { bundle: Arc::clone(&bundle), changed: true }, vec![put(known, &bundle)?])),
                }
            })
            .await?;
        self.believe(&trust_domain).await?;
        Ok(taken)
    }
}

/// The bundle of `trust_domain` that a document holds. An authority that can't be one of that trust domain is left out, and
/// said in the log; what the reader passes over is not ([`BundleDocument::parse`]).
///
/// # Errors
/// [`BundleDocumentError`].
pub fn read_document(trust_domain: &TrustDomain, json: &[u8]) -> Result<Bundle, BundleDocumentError> {
    let document = BundleDocument::parse(json)?;
    let is_fit = |certificate: &CertificateDer<'_>| {
        let fit = Bundle::from_der(trust_domain.clone(), [certificate.to_vec()], 0);
        fit.map_err(|error| tracing::warn!(%trust_domain, reason = %error.reason, "left an authority out")).is_ok()
    };
    let certificates =
        document.x509_authorities.into_iter().map(|authority| CertificateDer::from(authority.certificate));
    let jwt_authorities = document.jwt_authorities.into_iter().map(|authority| JwtAuthority {
        key_id: authority.key_id,
        public_key: authority.public_key,
        expires_at: None,
        tainted: false,
    });
    let sequence = document.sequence.unwrap_or_default();
    Ok(Bundle {
        jwt_authorities: jwt_authorities.collect(),
        refresh_hint: document.refresh_hint.map(Duration::from_secs),
        ..Bundle::of_x509(trust_domain.clone(), certificates.filter(is_fit), sequence)
    })
}
