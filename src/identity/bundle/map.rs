//! All bundles that are believed as one document, for those on this machine who verify peers by a file.

use portcullis_spiffe::bundle::{BundleDocument, BundleDocumentError, BundleMap, DocumentX509Authority};

use super::{Bundle, Bundles};

/// The bundle map of `bundles`: ours, and those of others of whom anybody is let in.
///
/// A domain by whose bundle nobody is believed is left out. It would be untrusted just the same if it stood there without
/// keys, but Envoy would refuse all the others with it. So is one that can't be written, which the log says.
///
/// # Errors
/// [`BundleDocumentError`].
pub fn bundle_map(bundles: &Bundles) -> Result<String, BundleDocumentError> {
    let mut map = BundleMap::default();
    for bundle in bundles.iter().filter(|bundle| is_believed(bundle, bundles)) {
        let trust_domain = &bundle.trust_domain;
        if let Err(error) = map.insert(trust_domain.clone(), &document(bundle)) {
            tracing::warn!(%trust_domain, %error, "left a trust bundle out of the bundle map");
        }
    }
    map.to_json()
}

fn is_believed(bundle: &Bundle, bundles: &Bundles) -> bool {
    !bundle.x509_authorities.is_empty() && bundles.foreign().admits_some(&bundle.trust_domain)
}

fn document(bundle: &Bundle) -> BundleDocument {
    let authority = |certificate: &[u8]| DocumentX509Authority { certificate: certificate.to_vec(), tainted: false };
    BundleDocument {
        x509_authorities: bundle.certificates().map(|certificate| authority(certificate)).collect(),
        sequence: Some(bundle.sequence),
        ..BundleDocument::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::identity::bundle::JwtAuthority;
    use crate::identity::foreign::{ForeignDomain, ForeignIdentities};
    use crate::identity::svid::tests::mint::Authority;

    fn written(bundles: &Bundles) -> Value {
        serde_json::from_str(&bundle_map(bundles).unwrap()).unwrap()
    }

    fn names(bundles: &Bundles) -> Vec<String> {
        written(bundles)["trust_domains"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn a_map_has_what_verifies_certificates_and_nothing_that_readers_stumble_over() {
        let (ours, theirs) = (Authority::new("prod.example"), Authority::new("partner.example"));
        let jwt = JwtAuthority { key_id: "k".into(), public_key: vec![1], expires_at: None, tainted: false };
        let refresh_hint = Some(std::time::Duration::from_mins(5));
        let ours = Bundle { jwt_authorities: vec![jwt], refresh_hint, ..ours.bundle(7) };
        let map = written(&Bundles::new([ours, theirs.bundle(3)]));
        assert_eq!(map.as_object().unwrap().keys().collect::<Vec<_>>(), ["trust_domains"]);
        for (name, sequence) in [("prod.example", 7), ("partner.example", 3)] {
            let domain = &map["trust_domains"][name];
            assert_eq!(domain["spiffe_sequence"], sequence);
            assert_eq!(domain.as_object().unwrap().len(), 2, "no refresh hint: {domain}");
            let [key] = domain["keys"].as_array().unwrap().as_slice() else { panic!("{domain}") };
            assert_eq!(key["use"], "x509-svid");
            assert_eq!(key["x5c"].as_array().unwrap().len(), 1);
            assert_eq!(key["kid"], json!(null));
        }
    }

    #[test]
    fn who_is_not_believed_is_left_out() {
        let domains = ["prod.example", "partner.example", "closed.example"];
        let bundles = Bundles::new(domains.map(|name| Authority::new(name).bundle(1)));
        assert_eq!(names(&bundles), ["closed.example", "partner.example", "prod.example"]);
        let emptied = bundles.with(Authority::new("partner.example").bundle(2).emptied()).unwrap();
        assert_eq!(names(&emptied), ["closed.example", "prod.example"]);
        let nobody = [("closed.example".parse().unwrap(), ForeignDomain::default())].into();
        let foreign = ForeignIdentities::new(&"prod.example".parse().unwrap(), nobody, false);
        assert_eq!(names(&bundles.with_foreign(Arc::new(foreign))), ["partner.example", "prod.example"]);
    }
}
