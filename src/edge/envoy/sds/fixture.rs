//! Identities that the tests hand out, and secrets as a client reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{DataSource, Node};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, SpiffeCertValidatorConfig, TlsCertificate,
};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Any, Struct, Value};
use prost::Message as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, EntropyError};
use crate::foundation::secret::Secret as Hidden;
use crate::identity::bundle::Bundle;
use crate::identity::issue::{Identities, Svid};

pub(super) const NOW: Timestamp = Timestamp::from_unix_nanos(1_000_000_000_000);
pub(super) const LATER: Timestamp = Timestamp::from_unix_nanos(2_000_000_000_000);
pub(super) const WEB: &str = "spiffe://prod.example/web";

/// Gives 1, then 2, and so on, so that nonces can be told apart.
#[derive(Debug, Default)]
pub(super) struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(self.0.fetch_add(1, Ordering::SeqCst) + 1);
        Ok(())
    }
}

pub(super) fn svid(id: &str, serial: u8) -> Arc<Svid> {
    Arc::new(Svid {
        id: id.parse().unwrap(),
        entry_id: "entry".into(),
        hint: String::new(),
        chain: vec![CertificateDer::from(vec![serial; 200]), CertificateDer::from(vec![0xca; 100])],
        key: Hidden::new(vec![serial ^ 0xff; 138]),
        not_after: LATER,
        renew_at: NOW.after(Duration::from_secs(u64::from(serial))),
    })
}

pub(super) fn bundle(trust_domain: &str, authorities: &[u8]) -> Arc<Bundle> {
    let certificate = |&byte: &u8| CertificateDer::from(vec![byte; 90]);
    Arc::new(Bundle::of_x509(trust_domain.parse().unwrap(), authorities.iter().map(certificate), 1))
}

pub(super) fn two_svids_two_bundles() -> Identities {
    Identities {
        svids: vec![svid(WEB, 1), svid("spiffe://prod.example/api", 2)],
        bundles: vec![bundle("prod.example", &[10, 11]), bundle("partner.example", &[20])],
        ..Identities::default()
    }
}

/// The secrets in a response.
pub(super) fn decode<'a>(resources: impl IntoIterator<Item = &'a Any>) -> Vec<Secret> {
    let decode = |any: &Any| {
        assert_eq!(any.type_url, "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret");
        Secret::decode(any.value.as_slice()).unwrap()
    };
    resources.into_iter().map(decode).collect()
}

pub(super) fn bytes(source: Option<&DataSource>) -> &[u8] {
    match &source.unwrap().specifier {
        Some(Specifier::InlineBytes(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

pub(super) fn certificates(source: Option<&DataSource>) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(bytes(source)).map(|der| der.unwrap().to_vec()).collect()
}

pub(super) fn certificate(secret: &Secret) -> &TlsCertificate {
    match &secret.r#type {
        Some(Type::TlsCertificate(certificate)) => certificate,
        other => panic!("{other:?}"),
    }
}

pub(super) fn context(secret: &Secret) -> &CertificateValidationContext {
    match &secret.r#type {
        Some(Type::ValidationContext(context)) => context,
        other => panic!("{other:?}"),
    }
}

/// Trust domain and first byte of each authority, as Envoy's SPIFFE validator gets them.
pub(super) fn trusted(secret: &Secret) -> Vec<(String, Vec<u8>)> {
    let context = context(secret);
    assert_eq!(context.trusted_ca, None, "the validator would be ignored beside it");
    let extension = context.custom_validator_config.as_ref().unwrap();
    assert_eq!(extension.name, "envoy.tls.cert_validator.spiffe");
    let config = extension.typed_config.as_ref().unwrap();
    assert_eq!(
        config.type_url,
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
    );
    let config = SpiffeCertValidatorConfig::decode(config.value.as_slice()).unwrap();
    let first_bytes = |source| certificates(source).iter().map(|der| der[0]).collect();
    config.trust_domains.iter().map(|td| (td.name.clone(), first_bytes(td.trust_bundle.as_ref()))).collect()
}

pub(super) fn prod() -> (String, Vec<u8>) {
    (String::from("prod.example"), vec![10, 11])
}

pub(super) fn partner() -> (String, Vec<u8>) {
    (String::from("partner.example"), vec![20])
}

/// A client that can't tell the validator from anything.
pub(super) fn plain_node() -> Node {
    let value = Value { kind: Some(Kind::StringValue("true".into())) };
    let metadata = Struct { fields: [("disable_spiffe_cert_validation".into(), value)].into() };
    Node { metadata: Some(metadata), ..Node::default() }
}
