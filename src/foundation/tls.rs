//! TLS as a client of others: whom to believe, and what time it is.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;

use super::clock::Clock;

/// Our clock, as TLS wants it.
#[derive(Debug)]
pub struct OurTime(Arc<dyn Clock>);

impl OurTime {
    /// The time of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(clock)
    }
}

impl TimeProvider for OurTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0.now().into())
    }
}

/// The certificates in a PEM file, as those that may have signed another's.
///
/// # Errors
/// What is wrong with the file, with its name.
pub fn roots(file: &Path) -> Result<RootCertStore, String> {
    let failed = |error: &dyn fmt::Display| format!("`{}`: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() { Err(failed(&"there is no certificate in it")) } else { Ok(roots) }
}
