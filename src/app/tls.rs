//! What encrypted listeners show: a certificate in files, looked at again and again, or an SVID of our own authority,
//! renewed.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::AppError;
use super::build::Common;
use super::identity::IdentityPlane;
use crate::config::ServerTls;
use crate::foundation::digest::{Digest, Hasher};
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::{Shutdown, ShutdownSignal, TaskGroup};
use crate::identity::issue::{Issuer, OwnIdentity};
use crate::server::{ServerCertificate, Tls};

/// How often the files, or the SVID, are looked at.
const PAUSE: Duration = Duration::from_secs(2);

/// A chain and its key, and which they are.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: Zeroizing<PrivateKeyDer<'static>>,
    digest: Digest,
}

/// Where it comes from.
enum Source {
    Files { certificate: PathBuf, key: PathBuf },
    Svid(Arc<Issuer>, Box<OwnIdentity>),
}

/// For which listeners it is.
#[derive(Clone, Debug)]
pub(super) struct Use {
    /// The name of the notice while what is shown is not what should be.
    pub(super) name: Cow<'static, str>,
    /// The setting that says what is shown.
    pub(super) setting: Cow<'static, str>,
}

/// What the listeners of `of` show, kept current.
///
/// # Errors
/// There is nothing to show: without it nothing can be served.
pub(super) async fn certificate(
    of: Use,
    tls: &ServerTls,
    common: &Common,
    identity: &IdentityPlane,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Arc<ServerCertificate>, AppError> {
    let source = match tls.clone() {
        ServerTls::Files { certificate, key } => Source::Files { certificate, key },
        ServerTls::Svid { spiffe_id, dns_names, ttl } => {
            let own = OwnIdentity::new(spiffe_id, dns_names, ttl);
            Source::Svid(Arc::clone(&identity.issuer), Box::new(own))
        }
    };
    let refused = |error: &dyn std::fmt::Display| AppError::Setting(format!("{}: {error}", of.setting));
    let source = Arc::new(source);
    let shown = look(&source, None).await.map_err(|error| refused(&error))?;
    let Shown { chain, key, digest } = shown.ok_or_else(|| refused(&"there is nothing to show"))?;
    let certificate = ServerCertificate::new(chain, &key).map(Arc::new).map_err(|error| refused(&error))?;
    let showing = Arc::clone(&certificate);
    let following = follow(of, source, (certificate, digest), common.readiness.clone(), shutdown.signal());
    tasks.spawn("the certificates of listeners", following);
    Ok(showing)
}

/// TLS that shows `certificate`, and asks clients for theirs if `ask_for_certificates`.
///
/// # Errors
/// The library lacks what it needs.
pub(super) fn server_tls(certificate: Arc<ServerCertificate>, ask_for_certificates: bool) -> Result<Tls, AppError> {
    Tls::new(certificate, ask_for_certificates).map_err(|error| AppError::Setting(error.to_string()))
}

/// Puts in place what is new, until the drain starts. What can't be used leaves what was shown before, and is told.
async fn follow(
    of: Use,
    source: Arc<Source>,
    (certificate, mut current): (Arc<ServerCertificate>, Digest),
    readiness: Readiness,
    mut signal: ShutdownSignal,
) {
    let mut told = None;
    loop {
        tokio::select! {
            () = signal.draining() => return,
            () = sleep(PAUSE) => {}
        }
        let replaced = match look(&source, Some(current)).await {
            Ok(None) => Ok(()),
            Ok(Some(Shown { chain, key, digest })) => {
                let replaced = certificate.replace(chain, &key).map_err(|error| error.to_string());
                replaced.inspect(|()| {
                    current = digest;
                    tracing::info!(setting = &*of.setting, "listeners show another certificate");
                })
            }
            Err(error) => Err(error),
        };
        let failed = replaced.err();
        if failed == told {
            continue;
        }
        match &failed {
            Some(why) => {
                tracing::error!(setting = &*of.setting, "the certificate of listeners is not replaced: {why}");
                readiness.notice(of.name.clone(), why.clone());
            }
            None => readiness.clear_notice(&of.name),
        }
        told = failed;
    }
}

/// What is to be shown now; nothing if that is `current`, which is shown already. It signs, or reads from a disk, so it is
/// done on a thread where that may take its time.
async fn look(source: &Arc<Source>, current: Option<Digest>) -> Result<Option<Shown>, String> {
    let source = Arc::clone(source);
    let read = tokio::task::spawn_blocking(move || source.read(current)).await;
    read.unwrap_or_else(|_panic| Err("it can't be read".to_owned()))
}

impl Source {
    /// No copy of a key is made that is not wanted, and none is left in memory that is done with.
    fn read(&self, current: Option<Digest>) -> Result<Option<Shown>, String> {
        match self {
            Self::Files { certificate, key } => {
                read_files(certificate, key).map(|shown| Some(shown).filter(|shown| Some(shown.digest) != current))
            }
            Self::Svid(issuer, own) => {
                let svid = issuer.own_svid(own).map_err(|error| error.to_string())?;
                // There is no other key to this leaf.
                let digest = digest(&svid.chain, b"");
                Ok((Some(digest) != current).then(|| {
                    let key = PrivatePkcs8KeyDer::from(svid.key.expose().clone()).into();
                    Shown { digest, chain: svid.chain.clone(), key: Zeroizing::new(key) }
                }))
            }
        }
    }
}

fn read_files(certificate: &Path, key: &Path) -> Result<Shown, String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("`{}`: {error}", path.display());
    let read = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain: Vec<_> = read.map_err(|error| failed(certificate, &error))?;
    if chain.is_empty() {
        return Err(failed(certificate, &"there is no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map(Zeroizing::new).map_err(|error| failed(key, &error))?;
    Ok(Shown { digest: digest(&chain, private.secret_der()), chain, key: private })
}

fn digest(chain: &[CertificateDer<'_>], key: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    for certificate in chain {
        hasher.field(certificate);
    }
    hasher.field(key);
    hasher.finish()
}

#[cfg(test)]
mod tests;
