//! Bundles in files: PEM, or a SPIFFE bundle document.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use portcullis_spiffe::bundle::{BundleDocument, DocumentJwtAuthority, DocumentX509Authority};
use portcullis_spiffe_api::spire::api::types::{Bundle, JwtKey, X509Certificate};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::cli::remote::console::Failure;

/// How a bundle is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(in crate::cli::remote) enum BundleFormat {
    /// The certificates, as PEM.
    Pem,
    /// A SPIFFE bundle document.
    Spiffe,
}

/// A bundle as text.
pub(super) fn text(bundle: &Bundle, format: BundleFormat) -> Result<String, Failure> {
    match format {
        BundleFormat::Pem => {
            Ok(certificates_pem(bundle.x509_authorities.iter().map(|authority| authority.asn1.as_slice())))
        }
        BundleFormat::Spiffe => {
            let document = document(bundle).to_json_pretty();
            document.map(|text| text + "\n").map_err(|error| Failure::of("the bundle can't be written", error))
        }
    }
}

/// The bundle of `trust_domain` in `data`.
pub(in crate::cli::remote) fn parse(data: &[u8], format: BundleFormat, trust_domain: &str) -> Result<Bundle, Failure> {
    let document = match format {
        BundleFormat::Pem => of_pem(data)?,
        BundleFormat::Spiffe => {
            BundleDocument::parse(data).map_err(|error| Failure::of("unable to parse to spiffe bundle", error))?
        }
    };
    Ok(Bundle {
        trust_domain: trust_domain.to_owned(),
        x509_authorities: document
            .x509_authorities
            .into_iter()
            .map(|it| X509Certificate { asn1: it.certificate, tainted: it.tainted })
            .collect(),
        jwt_authorities: document
            .jwt_authorities
            .into_iter()
            .map(|it| JwtKey { public_key: it.public_key, key_id: it.key_id, expires_at: 0, tainted: it.tainted })
            .collect(),
        refresh_hint: document.refresh_hint.and_then(|hint| i64::try_from(hint).ok()).unwrap_or_default(),
        sequence_number: document.sequence.unwrap_or_default(),
        wit_authorities: Vec::new(),
    })
}

/// Certificates (DER) as PEM.
pub(in crate::cli::remote) fn certificates_pem<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> String {
    certificates.into_iter().map(|der| pem_block("CERTIFICATE", der)).collect()
}

/// One block of PEM (RFC 7468).
pub(in crate::cli::remote) fn pem_block(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text + &format!("-----END {label}-----\n")
}

fn document(bundle: &Bundle) -> BundleDocument {
    BundleDocument {
        x509_authorities: bundle
            .x509_authorities
            .iter()
            .map(|it| DocumentX509Authority { certificate: it.asn1.clone(), tainted: it.tainted })
            .collect(),
        jwt_authorities: bundle
            .jwt_authorities
            .iter()
            .map(|it| DocumentJwtAuthority {
                key_id: it.key_id.clone(),
                public_key: it.public_key.clone(),
                tainted: it.tainted,
            })
            .collect(),
        sequence: Some(bundle.sequence_number).filter(|sequence| *sequence > 0),
        refresh_hint: u64::try_from(bundle.refresh_hint).ok().filter(|hint| *hint > 0),
    }
}

fn of_pem(data: &[u8]) -> Result<BundleDocument, Failure> {
    let failed = |reason: &dyn std::fmt::Display| Failure::of("unable to parse bundle data", reason);
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(data).collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    if certificates.is_empty() {
        return Err(failed(&"no PEM blocks"));
    }
    let authority = |der: CertificateDer<'_>| DocumentX509Authority { certificate: der.to_vec(), tainted: false };
    let x509_authorities = certificates.into_iter().map(authority).collect();
    Ok(BundleDocument { x509_authorities, ..BundleDocument::default() })
}
