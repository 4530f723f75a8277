//! X.509-SVIDs as they came: parsed, verified against their bundle, shown, written to files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_spiffe::SpiffeId;
use portcullis_spiffe_api::workload::X509svidResponse;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::cli::files::{write_private, write_public};
use crate::cli::remote::bundle::{certificates_pem, pem_block};
use crate::cli::remote::console::{Console, Failure};
use crate::cli::remote::{Outcome, go};
use crate::foundation::clock::Timestamp;
use crate::foundation::watched::Watched;
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::svid::LeafVerifier;

/// What a workload was given.
pub(super) struct Received {
    svids: Vec<Svid>,
    /// By the trust domain's SPIFFE ID.
    federated: BTreeMap<String, Vec<Certificate>>,
}

struct Svid {
    id: String,
    hint: String,
    /// The leaf first; at least that.
    chain: Vec<Certificate>,
    /// PKCS#8 DER.
    key: Zeroizing<Vec<u8>>,
    bundle: Vec<Certificate>,
}

struct Certificate {
    der: Vec<u8>,
    not_before: i64,
    not_after: i64,
}

impl Received {
    /// What is in an answer.
    pub(super) fn parse(answer: &X509svidResponse) -> Result<Self, Failure> {
        if answer.svids.is_empty() {
            return Err(Failure::new("workload response contains no svids"));
        }
        let mut federated = BTreeMap::new();
        for (trust_domain, ders) in &answer.federated_bundles {
            let failed = |error| Failure::of(&format!("failed to parse bundle for {trust_domain:?}"), error);
            federated.insert(trust_domain.clone(), certificates(ders).map_err(failed)?);
        }
        let svid = |(index, svid): (usize, &portcullis_spiffe_api::workload::X509svid)| {
            let what = format!("failed to parse svid entry {index} for spiffe id {:?}", svid.spiffe_id);
            let failed = |error: String| Failure::of(&what, error);
            let chain = certificates(&svid.x509_svid).map_err(failed)?;
            let bundle = certificates(&svid.bundle).map_err(failed)?;
            if chain.is_empty() {
                return Err(failed(String::from("no certificates found")));
            }
            if bundle.is_empty() {
                return Err(failed(String::from("no certificates in trust bundle")));
            }
            let key = Zeroizing::new(svid.x509_svid_key.to_vec());
            Ok(Svid { id: svid.spiffe_id.clone(), hint: svid.hint.clone(), chain, key, bundle })
        };
        Ok(Self { svids: answer.svids.iter().enumerate().map(svid).collect::<Result<_, _>>()?, federated })
    }

    /// Whether each SVID is one by the bundle that came with it.
    pub(super) fn verify(&self) -> Outcome {
        #[expect(clippy::disallowed_methods, reason = "a client's own look at what it was given")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_unix_seconds(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        self.svids.iter().try_for_each(|svid| {
            let failed = |error: &dyn std::fmt::Display| {
                Failure::of(&format!("{:?} SVID failed verification against bundle", svid.id), error)
            };
            let id: SpiffeId = svid.id.parse().map_err(|error| failed(&error))?;
            let authorities = svid.bundle.iter().map(|certificate| CertificateDer::from(certificate.der.clone()));
            let bundle = Bundle::of_x509(id.trust_domain().clone(), authorities, 0);
            let verifier = LeafVerifier::new(Arc::new(Watched::new(Bundles::new([bundle]))), 1);
            let leaf = certificates_pem(svid.chain.iter().take(1).map(|leaf| leaf.der.as_slice()));
            let leaf = utf8_percent_encode(&leaf, NON_ALPHANUMERIC).to_string();
            let proven = verifier.verify(&leaf, now).map_err(|error| failed(&error))?;
            if proven.id == id { Ok(()) } else { Err(failed(&format_args!("it names `{}`", proven.id))) }
        })
    }

    /// For people, with how long it took to come.
    pub(super) fn text(&self, took: Duration) -> String {
        let plural = if self.svids.len() == 1 { "" } else { "s" };
        let mut text = vec![format!("Received {} svid{plural} after {took:?}\n", self.svids.len())];
        for svid in &self.svids {
            text.push(format!("\nSPIFFE ID:\t\t{}\n", svid.id));
            if !svid.hint.is_empty() {
                text.push(format!("Hint:\t\t\t{}\n", svid.hint));
            }
            for (index, certificate) in svid.chain.iter().enumerate() {
                let name = if index == 0 { String::from("SVID") } else { format!("Intermediate #{index}") };
                text.push(validity(&name, certificate));
            }
            text.extend((1..).zip(&svid.bundle).map(|(number, it)| validity(&format!("CA #{number}"), it)));
            for (trust_domain, bundle) in &self.federated {
                let name = |number| format!("[{trust_domain}] CA #{number}");
                text.extend((1..).zip(bundle).map(|(number, it)| validity(&name(number), it)));
            }
        }
        text.concat() + "\n"
    }

    /// Writes all to files in `directory`, and says which.
    pub(super) fn write(&self, directory: &Path, console: &mut Console<'_, '_>) -> Outcome {
        for (index, svid) in self.svids.iter().enumerate() {
            let path = |name: &str| directory.join(name);
            let svid_path = path(&format!("svid.{index}.pem"));
            write("SVID", index, &svid_path, &pem(&svid.chain), console)?;
            let key_path = path(&format!("svid.{index}.key"));
            console.say(format!("Writing key #{index} to file {}.\n", key_path.display()));
            let key = Zeroizing::new(pem_block("PRIVATE KEY", &svid.key));
            write_private(&key_path, key.as_bytes())
                .map_err(|error| Failure::of(&format!("`{}`", key_path.display()), error))?;
            let bundle_path = path(&format!("bundle.{index}.pem"));
            write("bundle", index, &bundle_path, &pem(&svid.bundle), console)?;
            for (number, (trust_domain, bundle)) in self.federated.iter().enumerate() {
                let bundle_path = path(&format!("federated_bundle.{index}.{number}.pem"));
                let shown = bundle_path.display();
                console.say(format!(
                    "Writing federated bundle #{number} for trust domain {trust_domain} to file {shown}.\n"
                ));
                write_public(&bundle_path, pem(bundle).as_bytes())
                    .map_err(|error| Failure::of(&format!("`{shown}`"), error))?;
            }
        }
        Ok(())
    }
}

fn write(what: &str, index: usize, path: &Path, text: &str, console: &mut Console<'_, '_>) -> Outcome {
    console.say(format!("Writing {what} #{index} to file {}.\n", path.display()));
    write_public(path, text.as_bytes()).map_err(|error| Failure::of(&format!("`{}`", path.display()), error))
}

fn pem(certificates: &[Certificate]) -> String {
    certificates_pem(certificates.iter().map(|certificate| certificate.der.as_slice()))
}

fn validity(name: &str, certificate: &Certificate) -> String {
    let (from, until) = (go::time(certificate.not_before), go::time(certificate.not_after));
    format!("{name} Valid After:\t{from}\n{name} Valid Until:\t{until}\n")
}

/// Certificates that stand one after the other (DER).
fn certificates(mut ders: &[u8]) -> Result<Vec<Certificate>, String> {
    let mut certificates = Vec::new();
    while !ders.is_empty() {
        let (rest, parsed) = X509Certificate::from_der(ders).map_err(|error| error.to_string())?;
        let der = ders.get(..ders.len() - rest.len()).unwrap_or_default().to_vec();
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        certificates.push(Certificate { der, not_before, not_after });
        ders = rest;
    }
    Ok(certificates)
}
