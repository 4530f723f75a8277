//! Bundles on the wire.

use std::time::Duration;

use portcullis_spiffe::TrustDomain;
use portcullis_spiffe_api::spire::api::types::{self, BundleMask};

use crate::foundation::clock::Timestamp;
use crate::identity::bundle::{Bundle, JwtAuthority, X509Authority};

/// What is wrong with a bundle, besides its authorities, which are for the domain to judge.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::edge::spire_api) enum BundleFault {
    #[error("refresh hint is negative")]
    RefreshHint,
    #[error("JWT authority {0} expires before 1970")]
    Expiry(usize),
}

/// All fields.
const ALL: BundleMask = BundleMask {
    x509_authorities: true,
    jwt_authorities: true,
    refresh_hint: true,
    sequence_number: true,
    wit_authorities: true,
};

/// The bundle of `trust_domain` that `given` is. Keys of WIT-SVIDs are passed over: nobody here verifies any.
pub(in crate::edge::spire_api) fn read(trust_domain: TrustDomain, given: types::Bundle) -> Result<Bundle, BundleFault> {
    let x509 = given.x509_authorities.into_iter();
    let jwt = given.jwt_authorities.into_iter().enumerate().map(|(index, key)| {
        let expires_at = u64::try_from(key.expires_at).map_err(|_negative| BundleFault::Expiry(index + 1))?;
        Ok(JwtAuthority {
            key_id: key.key_id,
            public_key: key.public_key,
            expires_at: (expires_at > 0).then(|| Timestamp::from_unix_seconds(key.expires_at)),
            tainted: key.tainted,
        })
    });
    let refresh_hint = u64::try_from(given.refresh_hint).map_err(|_negative| BundleFault::RefreshHint)?;
    Ok(Bundle {
        trust_domain,
        x509_authorities: x509.map(|a| X509Authority { certificate: a.asn1.into(), tainted: a.tainted }).collect(),
        jwt_authorities: jwt.collect::<Result<_, _>>()?,
        revocations: Vec::new(),
        refresh_hint: (refresh_hint > 0).then(|| Duration::from_secs(refresh_hint)),
        sequence: given.sequence_number,
    })
}

/// Puts what `mask` names of `given` into `bundle`.
pub(super) fn overwrite(bundle: &mut Bundle, given: &Bundle, mask: Option<&BundleMask>) {
    let mask = mask.unwrap_or(&ALL);
    if mask.x509_authorities {
        bundle.x509_authorities.clone_from(&given.x509_authorities);
    }
    if mask.jwt_authorities {
        bundle.jwt_authorities.clone_from(&given.jwt_authorities);
    }
    if mask.refresh_hint {
        bundle.refresh_hint = given.refresh_hint;
    }
    if mask.sequence_number {
        bundle.sequence = given.sequence;
    }
}

/// What `mask` names of `bundle`, as it goes over the wire.
pub(in crate::edge::spire_api) fn masked(bundle: &Bundle, mask: Option<&BundleMask>) -> types::Bundle {
    let mask = mask.unwrap_or(&ALL);
    let mut wire = types::Bundle { trust_domain: bundle.trust_domain.to_string(), ..types::Bundle::default() };
    if mask.x509_authorities {
        wire.x509_authorities = bundle.x509_authorities.iter().map(x509).collect();
    }
    if mask.jwt_authorities {
        wire.jwt_authorities = bundle.jwt_authorities.iter().map(jwt).collect();
    }
    if mask.refresh_hint {
        wire.refresh_hint = bundle.refresh_hint.map_or(0, |hint| i64::try_from(hint.as_secs()).unwrap_or(i64::MAX));
    }
    if mask.sequence_number {
        wire.sequence_number = bundle.sequence;
    }
    wire
}

fn x509(authority: &X509Authority) -> types::X509Certificate {
    types::X509Certificate { asn1: authority.certificate.to_vec(), tainted: authority.tainted }
}

fn jwt(authority: &JwtAuthority) -> types::JwtKey {
    types::JwtKey {
        public_key: authority.public_key.clone(),
        key_id: authority.key_id.clone(),
        expires_at: authority.expires_at.map_or(0, |at| i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX)),
        tainted: authority.tainted,
    }
}
