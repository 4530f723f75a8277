//! What each stream tells of what a caller is entitled to, and whether that is the same as before.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use portcullis_spiffe::bundle::{BundleDocument, DocumentJwtAuthority};
use portcullis_spiffe_api::workload::{JwtBundlesResponse, X509BundlesResponse, X509svid, X509svidResponse};
use prost::bytes::Bytes;
use rustls_pki_types::CertificateRevocationListDer;
use tonic::Status;

use super::refusal;
use super::service::Shared;
use crate::foundation::telemetry::printable;
use crate::identity::attest::Attested;
use crate::identity::bundle::Bundle;
use crate::identity::issue::{Identities, Svid};
use crate::identity::workload::IdentifyError;
use crate::server::UnixPeer;

/// What was found out of a caller, and what there is to tell it.
pub(super) type Look = (Attested, Option<Identities>);

/// One kind of stream. What it looks at has the form of [`Identities`], with only those parts filled that it tells.
pub(super) trait View: Send + Sync + 'static {
    /// What it sends.
    type Message: Send + 'static;

    /// Finds out what is true of `peer` now, and what there is to tell it for that; nothing, if it is entitled to nothing.
    fn look<'a>(shared: &'a Shared, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Look, IdentifyError>>;

    /// Whether both would be told in the same words.
    fn is_same(one: &Identities, other: &Identities) -> bool;

    /// The words.
    fn message(standing: &Identities) -> Result<Self::Message, Status>;
}

/// `FetchX509SVID`.
pub(super) enum X509Svids {}

/// `FetchX509Bundles`.
pub(super) enum X509Bundles {}

/// `FetchJWTBundles`.
pub(super) enum JwtBundles {}

impl View for X509Svids {
    type Message = X509svidResponse;

    fn look<'a>(shared: &'a Shared, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Look, IdentifyError>> {
        Box::pin(async {
            let (attested, mut identities) = shared.plane.identify(peer).await?;
            keep_first_of_hint(&mut identities.svids, |svid| &svid.hint);
            Ok((attested, (!identities.svids.is_empty()).then_some(identities)))
        })
    }

    fn is_same(one: &Identities, other: &Identities) -> bool {
        let same = |(one, other): (&Arc<Svid>, &Arc<Svid>)| {
            Arc::ptr_eq(one, other) || (&one.id, &one.hint, &one.chain) == (&other.id, &other.hint, &other.chain)
        };
        one.svids.len() == other.svids.len()
            && one.svids.iter().zip(&other.svids).all(same)
            && X509Bundles::is_same(one, other)
    }

    fn message(standing: &Identities) -> Result<X509svidResponse, Status> {
        let (own, foreign) = standing.bundles.split_first().ok_or_else(refusal::no_bundle)?;
        let bundle = certificates(own);
        let svid = |svid: &Arc<Svid>| X509svid {
            spiffe_id: svid.id.to_string(),
            x509_svid: svid.chain.iter().flat_map(|certificate| certificate.iter().copied()).collect(),
            x509_svid_key: Bytes::from_owner(KeyOf(Arc::clone(svid))),
            bundle: bundle.clone(),
            hint: svid.hint.clone(),
        };
        Ok(X509svidResponse {
            svids: standing.svids.iter().map(svid).collect(),
            crl: revocations(&standing.bundles),
            federated_bundles: by_id(foreign, certificates),
        })
    }
}

impl View for X509Bundles {
    type Message = X509BundlesResponse;

    fn look<'a>(shared: &'a Shared, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Look, IdentifyError>> {
        Box::pin(shared.bundles(peer))
    }

    fn is_same(one: &Identities, other: &Identities) -> bool {
        same_bundles(
            one,
            other,
            |bundle| (&bundle.trust_domain, bundle.certificates(), &bundle.revocations),
            |a, b| a.0 == b.0 && a.1.eq(b.1) && a.2 == b.2,
        )
    }

    fn message(standing: &Identities) -> Result<X509BundlesResponse, Status> {
        Ok(X509BundlesResponse { crl: revocations(&standing.bundles), bundles: by_id(&standing.bundles, certificates) })
    }
}

impl View for JwtBundles {
    type Message = JwtBundlesResponse;

    fn look<'a>(shared: &'a Shared, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Look, IdentifyError>> {
        Box::pin(shared.bundles(peer))
    }

    fn is_same(one: &Identities, other: &Identities) -> bool {
        same_bundles(one, other, |bundle| (&bundle.trust_domain, jwt_keys(bundle)), |a, b| a == b)
    }

    fn message(standing: &Identities) -> Result<JwtBundlesResponse, Status> {
        let mut bundles = HashMap::new();
        for bundle in &standing.bundles {
            let jwt_authorities = jwt_keys(bundle);
            let document = BundleDocument { jwt_authorities, ..BundleDocument::default() };
            match document.to_standard_jwks() {
                Ok(keys) => drop(bundles.insert(bundle.trust_domain.id_string(), keys.into_bytes())),
                // One that can't be told must not take the others with it.
                Err(error) => {
                    let (trust_domain, error) = (&bundle.trust_domain, printable(&error.to_string(), 300));
                    tracing::error!(%trust_domain, error, "a bundle of JWT keys can't be told");
                }
            }
        }
        if bundles.is_empty() { Err(refusal::no_bundle()) } else { Ok(JwtBundlesResponse { bundles }) }
    }
}

/// Leaves of several with one hint only the first.
pub(super) fn keep_first_of_hint<T>(all: &mut Vec<T>, hint: impl Fn(&T) -> &str) {
    let mut seen = BTreeSet::new();
    all.retain(|one| {
        let hint = hint(one);
        hint.is_empty() || seen.insert(hint.to_owned())
    });
}

fn same_bundles<'a, P>(
    one: &'a Identities,
    other: &'a Identities,
    part: impl Fn(&'a Bundle) -> P,
    same: impl Fn(P, P) -> bool,
) -> bool {
    one.bundles.len() == other.bundles.len()
        && one
            .bundles
            .iter()
            .zip(&other.bundles)
            .all(|(one, other)| Arc::ptr_eq(one, other) || same(part(one), part(other)))
}

fn by_id<T>(bundles: &[Arc<Bundle>], of: impl Fn(&Bundle) -> T) -> HashMap<String, T> {
    bundles.iter().map(|bundle| (bundle.trust_domain.id_string(), of(bundle))).collect()
}

/// The certificates of a bundle, DER, one after the other.
fn certificates(bundle: &Bundle) -> Vec<u8> {
    bundle.certificates().flat_map(|certificate| certificate.iter().copied()).collect()
}

fn revocations(bundles: &[Arc<Bundle>]) -> Vec<Vec<u8>> {
    let lists = bundles.iter().flat_map(|bundle| &bundle.revocations);
    lists.map(|list: &CertificateRevocationListDer<'static>| list.to_vec()).collect()
}

fn jwt_keys(bundle: &Bundle) -> Vec<DocumentJwtAuthority> {
    let authorities = bundle.jwt_authorities.iter();
    let told = authorities.map(|authority| DocumentJwtAuthority {
        key_id: authority.key_id.clone(),
        public_key: authority.public_key.clone(),
        tainted: false,
    });
    told.collect()
}

/// The key of an SVID where the issuer keeps it: a message refers to it and makes no copy that nobody wipes. The buffer
/// that it is sent from is the transport's and does hold one for a moment.
struct KeyOf(Arc<Svid>);

impl AsRef<[u8]> for KeyOf {
    fn as_ref(&self) -> &[u8] {
        self.0.key.expose()
    }
}

#[cfg(test)]
mod tests;
