//! What a foreign bundle may hold. All of it is checked before any of it is kept: one certificate that a client can't
//! parse costs it the good ones beside it (go-spiffe drops the whole X.509 context, Envoy the whole secret).

use std::collections::HashMap;

use portcullis_spiffe::bundle::{
    BundleDocument, BundleDocumentError, DocumentJwtAuthority, JwkError, MAX_DOCUMENT_BYTES,
};

use crate::foundation::telemetry::printable;
use crate::identity::bundle::{Bundle, BundleError};

/// The most authorities of one kind.
const MAX_AUTHORITIES: usize = 256;

/// The longest key ID, in bytes.
const MAX_KEY_ID: usize = 255;

/// How much of a key ID an error repeats.
const MAX_SHOWN: usize = 64;

/// What is wrong with a foreign bundle. Authorities count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleProblem {
    /// Too many authorities of one kind.
    #[error("the bundle has {0} authorities of one kind, more than {MAX_AUTHORITIES}")]
    TooMany(usize),
    /// Too large.
    #[error("the authorities of the bundle have {0} bytes, more than {MAX_DOCUMENT_BYTES}")]
    TooLarge(usize),
    /// A certificate that can't be an authority of the domain.
    #[error(transparent)]
    X509(#[from] BundleError),
    /// A JWT authority that no token can name.
    #[error("JWT authority {0} has no key ID, or one of more than {MAX_KEY_ID} bytes")]
    KeyId(usize),
    /// Two JWT authorities that a token can't tell apart.
    #[error("two JWT authorities have the key ID `{0}`")]
    DuplicateKeyId(String),
    /// A JWT authority whose key is none, or signs no JWT-SVIDs.
    #[error("JWT authority {position} can't be one: {reason}")]
    JwtKey {
        /// Which.
        position: usize,
        /// Why not.
        #[source]
        reason: JwkError,
    },
}

/// `bundle` without what is there twice, if all of it is fit.
pub(super) fn checked(mut bundle: Bundle) -> Result<Bundle, BundleProblem> {
    for count in [bundle.x509_authorities.len(), bundle.jwt_authorities.len()] {
        if count > MAX_AUTHORITIES {
            return Err(BundleProblem::TooMany(count));
        }
    }
    let size = bundle.certificates().map(|certificate| certificate.len()).sum::<usize>()
        + bundle.jwt_authorities.iter().map(|authority| authority.public_key.len()).sum::<usize>();
    if size > MAX_DOCUMENT_BYTES {
        return Err(BundleProblem::TooLarge(size));
    }
    let certificates = bundle.certificates().map(|certificate| certificate.to_vec());
    Bundle::from_der(bundle.trust_domain.clone(), certificates, bundle.sequence)?;
    check_jwt_authorities(&bundle)?;
    let mut seen = Vec::new();
    bundle.x509_authorities.retain(|authority| keep_first(&mut seen, authority.certificate.to_vec()));
    let mut seen = Vec::new();
    bundle.jwt_authorities.retain(|authority| keep_first(&mut seen, authority.key_id.clone()));
    Ok(bundle)
}

fn check_jwt_authorities(bundle: &Bundle) -> Result<(), BundleProblem> {
    let mut keys = HashMap::new();
    for (index, authority) in bundle.jwt_authorities.iter().enumerate() {
        let position = index + 1;
        if !(1..=MAX_KEY_ID).contains(&authority.key_id.len()) {
            return Err(BundleProblem::KeyId(position));
        }
        // What its own domain could not publish as a JWT authority is none.
        let alone = DocumentJwtAuthority {
            key_id: authority.key_id.clone(),
            public_key: authority.public_key.clone(),
            tainted: authority.tainted,
        };
        let document = BundleDocument { jwt_authorities: vec![alone], ..BundleDocument::default() };
        match document.to_standard_jwks() {
            Ok(_published) => {}
            Err(BundleDocumentError::JwtKey { reason, .. }) => return Err(BundleProblem::JwtKey { position, reason }),
            Err(_other) => return Err(BundleProblem::JwtKey { position, reason: JwkError::Malformed }),
        }
        if keys.insert(&authority.key_id, authority).is_some_and(|other| other != authority) {
            return Err(BundleProblem::DuplicateKeyId(printable(&authority.key_id, MAX_SHOWN)));
        }
    }
    Ok(())
}

fn keep_first<T: PartialEq>(seen: &mut Vec<T>, one: T) -> bool {
    let first = !seen.contains(&one);
    if first {
        seen.push(one);
    }
    first
}
