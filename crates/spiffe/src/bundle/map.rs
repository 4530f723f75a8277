//! Bundle maps: the bundles of several trust domains in one document (SPIFFE Trust Domain and Bundle, section 5), for those
//! who verify peers of all of them: gRPC (gRFC A87) and Envoy.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{BundleDocument, BundleDocumentError, write};
use crate::TrustDomain;

/// The bundles of several trust domains, for verifying X509-SVIDs.
///
/// Of a bundle, it has what verifies certificates and no more. The readers that there are take nothing else: gRPC for Java
/// gives up a domain at the first key with a `kid`, and who reads a file has no use for a refresh hint.
#[derive(Debug, Default, Serialize)]
pub struct BundleMap {
    trust_domains: BTreeMap<TrustDomain, write::Document>,
}

impl BundleMap {
    /// Adds the X.509 authorities of `trust_domain`, in place of those that may be there.
    ///
    /// # Errors
    /// [`BundleDocumentError`]; then the map is what it was.
    pub fn insert(&mut self, trust_domain: TrustDomain, bundle: &BundleDocument) -> Result<(), BundleDocumentError> {
        self.trust_domains.insert(trust_domain, write::Document::of_x509_keys(bundle)?);
        Ok(())
    }

    /// The document, without white space.
    ///
    /// # Errors
    /// [`BundleDocumentError::Unwritable`], for which there is no reason.
    pub fn to_json(&self) -> Result<String, BundleDocumentError> {
        serde_json::to_string(self).map_err(|_reason| BundleDocumentError::Unwritable)
    }
}
