//! From what a caller is entitled to, to Envoy's `Secret` messages.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{DataSource, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::spiffe_cert_validator_config::TrustDomain as Trusted;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, GenericSecret, Secret, SpiffeCertValidatorConfig, TlsCertificate,
};
use envoy_types::pb::google::protobuf::Any;
use prost::{Message as _, Name as _};
use zeroize::Zeroize as _;

use super::names::Asked;
use super::node::Validation;
use super::pem;
use crate::foundation::clock::Timestamp;
use crate::identity::bundle::Bundle;
use crate::identity::issue::{Identities, Svid};

/// Envoy's own name for its validator of SPIFFE certificates.
const SPIFFE_VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";

/// Why there is no secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Missing {
    /// It is no name of ours.
    #[error("not a name that is ever answered")]
    Nonsense,
    /// The caller has no right to it, or there is none.
    #[error("no entry grants it")]
    NotGranted,
    /// Envoy would take it without a word.
    #[error("it has expired")]
    Expired,
    /// All bundles can't be told apart as plain authorities.
    #[error("it needs the SPIFFE validator")]
    NeedsValidator,
}

/// The type URL of a secret.
pub(super) fn type_url() -> String {
    Secret::type_url()
}

/// The secret that answers `asked`, under `name`, ready to be sent.
pub(super) fn answer(
    name: &str,
    asked: &Asked,
    identities: &Identities,
    validation: Validation,
    now: Timestamp,
) -> Result<Any, Missing> {
    let bundles = &identities.bundles;
    match asked {
        Asked::DefaultSvid | Asked::Svid(_) => {
            let svid = svid(asked, identities).ok_or(Missing::NotGranted)?;
            if svid.not_after <= now { Err(Missing::Expired) } else { Ok(pack(name, certificate(svid))) }
        }
        Asked::Bundle(trust_domain) => {
            let bundle = bundles.iter().find(|bundle| bundle.trust_domain == *trust_domain);
            Ok(pack(name, trust_in(bundle.ok_or(Missing::NotGranted)?, validation)))
        }
        Asked::AllBundles if bundles.is_empty() => Err(Missing::NotGranted),
        Asked::AllBundles if validation == Validation::TrustedCa => Err(Missing::NeedsValidator),
        Asked::AllBundles => Ok(pack(name, validator(bundles.iter().map(AsRef::as_ref)))),
        Asked::Credential => {
            let credential = identities.credentials.iter().find(|credential| *credential.name == *name);
            let value = &credential.ok_or(Missing::NotGranted)?.value;
            Ok(pack(name, generic(value.as_ref().map_or_else(Vec::new, |value| value.expose().clone()))))
        }
        Asked::Nonsense => Err(Missing::Nonsense),
    }
}

/// The SVID that answers `asked`. Of several entries that grant one ID, the first counts.
pub(super) fn svid<'a>(asked: &Asked, identities: &'a Identities) -> Option<&'a Svid> {
    match asked {
        Asked::DefaultSvid => identities.svids.first(),
        Asked::Svid(id) => identities.svids.iter().find(|svid| svid.id == *id),
        Asked::Bundle(_) | Asked::AllBundles | Asked::Credential | Asked::Nonsense => None,
    }
    .map(AsRef::as_ref)
}

/// What replaces an answer that went away: a bundle that trusts no one, or a credential that is nothing, without which Envoy's
/// injector refuses requests.
pub(super) fn emptied(name: &str, asked: &Asked) -> Any {
    pack(name, if matches!(asked, Asked::Credential) { generic(Vec::new()) } else { validator([]) })
}

/// For Envoy's injector the whole value of the header.
fn generic(value: Vec<u8>) -> Type {
    Type::GenericSecret(GenericSecret { secret: Some(inline(value)), ..GenericSecret::default() })
}

fn certificate(svid: &Svid) -> Type {
    Type::TlsCertificate(TlsCertificate {
        certificate_chain: Some(inline(pem::encode("CERTIFICATE", svid.chain.iter().map(AsRef::as_ref)))),
        private_key: Some(inline(pem::encode("PRIVATE KEY", [svid.key.expose().as_slice()]))),
        ..TlsCertificate::default()
    })
}

/// An empty bundle is a validator without a domain in either spelling: Envoy verifies nothing under an empty
/// `trusted_ca`.
fn trust_in(bundle: &Bundle, validation: Validation) -> Type {
    if validation == Validation::Spiffe || bundle.x509_authorities.is_empty() {
        return validator([bundle]);
    }
    let revocations = revocations(bundle);
    Type::ValidationContext(CertificateValidationContext {
        trusted_ca: Some(inline(authorities(bundle))),
        crl: (!revocations.is_empty()).then(|| inline(revocations)),
        ..CertificateValidationContext::default()
    })
}

/// Each trust domain once, sorted, and none without authorities: Envoy rejects the whole secret otherwise. The validator
/// takes revocation lists from among the authorities, and then wants one of each authority.
fn validator<'a>(bundles: impl IntoIterator<Item = &'a Bundle>) -> Type {
    let usable = bundles.into_iter().filter(|bundle| !bundle.x509_authorities.is_empty());
    let sorted: BTreeMap<_, _> = usable.map(|bundle| (bundle.trust_domain.as_str(), bundle)).collect();
    let trusted = |(name, bundle): (&str, &Bundle)| Trusted {
        name: name.to_owned(),
        trust_bundle: Some(inline([authorities(bundle), revocations(bundle)].concat())),
        ..Trusted::default()
    };
    let config = SpiffeCertValidatorConfig {
        trust_domains: sorted.into_iter().map(trusted).collect(),
        ..SpiffeCertValidatorConfig::default()
    };
    Type::ValidationContext(CertificateValidationContext {
        custom_validator_config: Some(TypedExtensionConfig {
            name: SPIFFE_VALIDATOR.to_owned(),
            typed_config: Some(any(SpiffeCertValidatorConfig::type_url(), config.encode_to_vec())),
        }),
        ..CertificateValidationContext::default()
    })
}

fn authorities(bundle: &Bundle) -> Vec<u8> {
    pem::encode("CERTIFICATE", bundle.certificates().map(AsRef::as_ref))
}

fn revocations(bundle: &Bundle) -> Vec<u8> {
    pem::encode("X509 CRL", bundle.revocations.iter().map(AsRef::as_ref))
}

fn inline(bytes: Vec<u8>) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(bytes)), ..DataSource::default() }
}

/// Encodes a secret and wipes what is secret in the message that it was encoded from.
fn pack(name: &str, secret: Type) -> Any {
    let mut message = Secret { name: name.to_owned(), r#type: Some(secret) };
    let packed = any(Secret::type_url(), message.encode_to_vec());
    let secret = match &mut message.r#type {
        Some(Type::TlsCertificate(certificate)) => certificate.private_key.as_mut(),
        Some(Type::GenericSecret(generic)) => generic.secret.as_mut(),
        _ => None,
    };
    if let Some(Specifier::InlineBytes(bytes)) = secret.and_then(|source| source.specifier.as_mut()) {
        bytes.zeroize();
    }
    packed
}

fn any(type_url: String, value: Vec<u8>) -> Any {
    Any { type_url, value }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateRevocationListDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::super::fixture::{bundle, bytes, context, decode};
    use super::*;

    fn lists(source: Option<&DataSource>) -> Vec<Vec<u8>> {
        CertificateRevocationListDer::pem_slice_iter(bytes(source)).map(|der| der.unwrap().to_vec()).collect()
    }

    fn revoking(trust_domain: &str, authorities: &[u8], list: u8) -> Bundle {
        let revocations = vec![CertificateRevocationListDer::from(vec![list; 60])];
        Bundle { revocations, ..Bundle::clone(&bundle(trust_domain, authorities)) }
    }

    #[test]
    fn revocation_lists_stand_behind_the_authorities_of_their_own_domain() {
        let secret = Secret {
            name: String::from("ALL"),
            r#type: Some(validator([&revoking("prod.example", &[1], 7), &bundle("partner.example", &[2])])),
        };
        let extension = context(&secret).custom_validator_config.as_ref().unwrap().typed_config.as_ref().unwrap();
        let config = SpiffeCertValidatorConfig::decode(extension.value.as_slice()).unwrap();
        let found = config.trust_domains.iter().map(|domain| lists(domain.trust_bundle.as_ref()));
        assert_eq!(found.collect::<Vec<_>>(), [vec![], vec![vec![7; 60]]]);
        let pem = String::from_utf8_lossy(bytes(config.trust_domains[1].trust_bundle.as_ref())).into_owned();
        assert!(pem.find("BEGIN CERTIFICATE") < pem.find("BEGIN X509 CRL"), "{pem}");
    }

    #[test]
    fn plain_authorities_have_their_revocation_lists_beside_them() {
        for (bundle, expected) in [
            (revoking("prod.example", &[1], 7), Some(vec![vec![7; 60]])),
            (Bundle::clone(&bundle("prod.example", &[1])), None),
        ] {
            let packed = pack("ROOTCA", trust_in(&bundle, Validation::TrustedCa));
            let [secret] = decode([&packed]).try_into().unwrap();
            let context = context(&secret);
            assert_eq!(context.crl.as_ref().map(|crl| lists(Some(crl))), expected);
            assert!(lists(context.trusted_ca.as_ref()).is_empty(), "Envoy reads them from one place alone");
        }
    }
}
