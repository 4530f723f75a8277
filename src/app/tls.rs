//! What `AuthZEN`'s encrypted listeners show: a certificate in files, looked at again and again, or an SVID of our own
//! authority, renewed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::sleep;

use super::AppError;
use super::build::Common;
use super::identity::IdentityPlane;
use crate::config::{self, ServerTls};
use crate::foundation::digest::{Digest, Hasher};
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::{Shutdown, ShutdownSignal, TaskGroup};
use crate::identity::issue::{Issuer, OwnIdentity};
use crate::server::{ServerCertificate, Tls};

/// The name of the notice while what is shown is not what should be.
const NOTICE: &str = "authzen_tls";

/// How often the files, or the SVID, are looked at.
const PAUSE: Duration = Duration::from_secs(2);

/// A chain and its key, and which they are.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    digest: Digest,
}

/// Where it comes from.
enum Source {
    Files { certificate: PathBuf, key: PathBuf },
    Svid(Arc<Issuer>, Box<OwnIdentity>),
}

/// TLS for those listeners, if there are any; what is shown is kept current.
///
/// # Errors
/// There is nothing to show: without it nothing can be served.
pub(super) async fn server_tls(
    config: &config::Authzen,
    common: &Common,
    identity: &IdentityPlane,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Option<Tls>, AppError> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let source = match tls.clone() {
        ServerTls::Files { certificate, key } => Source::Files { certificate, key },
        ServerTls::Svid { spiffe_id, dns_names, ttl } => {
            let own = OwnIdentity::new(spiffe_id, dns_names, ttl);
            Source::Svid(Arc::clone(&identity.issuer), Box::new(own))
        }
    };
    let refused = |error: &dyn std::fmt::Display| AppError::Setting(format!("authzen.tls: {error}"));
    let source = Arc::new(source);
    let Shown { chain, key, digest } = look(&source).await.map_err(|error| refused(&error))?;
    let certificate = ServerCertificate::new(chain, key).map(Arc::new).map_err(|error| refused(&error))?;
    let tls = Tls::new(Arc::clone(&certificate), config.callers.mtls).map_err(|error| refused(&error))?;
    let following = follow(source, certificate, digest, common.readiness.clone(), shutdown.signal());
    tasks.spawn("the certificate of AuthZEN", following);
    Ok(Some(tls))
}

/// Puts in place what is new, until the drain starts. What can't be used leaves what was shown before, and is told.
async fn follow(
    source: Arc<Source>,
    certificate: Arc<ServerCertificate>,
    mut current: Digest,
    readiness: Readiness,
    mut signal: ShutdownSignal,
) {
    let mut told = None;
    loop {
        tokio::select! {
            () = signal.draining() => return,
            () = sleep(PAUSE) => {}
        }
        let replaced = match look(&source).await {
            Ok(shown) if shown.digest == current => Ok(()),
            Ok(Shown { chain, key, digest }) => certificate.replace(chain, key).map(|()| {
                current = digest;
                tracing::info!("AuthZEN's listeners show another certificate");
            }),
            Err(error) => Err(rustls::Error::General(error)),
        };
        let failed = replaced.err().map(|error| error.to_string());
        if failed == told {
            continue;
        }
        match &failed {
            Some(why) => {
                tracing::error!("the certificate of AuthZEN's listeners is not replaced: {why}");
                readiness.notice(NOTICE, why.clone());
            }
            None => readiness.clear_notice(NOTICE),
        }
        told = failed;
    }
}

/// What is to be shown now. It signs, or reads from a disk, so it is done on a thread where that may take its time.
async fn look(source: &Arc<Source>) -> Result<Shown, String> {
    let source = Arc::clone(source);
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    read.unwrap_or_else(|_panic| Err("it can't be read".to_owned()))
}

impl Source {
    fn read(&self) -> Result<Shown, String> {
        match self {
            Self::Files { certificate, key } => read_files(certificate, key),
            Self::Svid(issuer, own) => {
                let svid = issuer.own_svid(own).map_err(|error| error.to_string())?;
                let key = PrivatePkcs8KeyDer::from(svid.key.expose().clone()).into();
                Ok(Shown { digest: digest(&svid.chain, b""), chain: svid.chain.clone(), key })
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
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
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
