//! What the kubelet knows of its pods (`/pods` on its authenticated port, 10250). Selectors: `k8s:ns`, `sa`, `node-name`,
//! `pod-uid`, `pod-name`, `pod-label:KEY:VALUE`, `pod-owner:KIND:NAME`, `pod-owner-uid:KIND:UID`, `pod-image`,
//! `pod-image-count`, `pod-init-image`, `pod-init-image-count`, and of the caller's own container `container-name` and
//! `container-image`. SPIRE's `ns-label` needs the API server, which is not asked.
//!
//! A container may well ask who it is before the kubelet's list has it, so the list is read again and again for a while.
//! All callers share what was read; the kubelet never gets more than one question at a time, nor two in quick succession.

mod client;
mod pods;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use self::client::KubeletClient;
use self::pods::{Found, Pods};
use crate::foundation::clock::Clock;
use crate::identity::attest::container::{Container, Pod, Runtime};
use crate::identity::attest::{AttestFuture, AttestorError, Caller, WorkloadAttestor};

/// After this many questions that failed in a row, no more is asked on behalf of the same caller.
const MAX_FAILURES: u32 = 3;

/// Where the kubelet is, and how it is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KubeletConfig {
    /// The name of this node, which must be in the kubelet's certificate. Without one the kubelet is taken to be on
    /// loopback, and only who signed its certificate is checked.
    pub node_name: Option<String>,
    /// Its authenticated port.
    pub port: u16,
    /// The certificates, PEM, of those who may have signed its own.
    pub ca_file: PathBuf,
    /// The token of our service account.
    pub token_file: PathBuf,
    /// Take whoever answers for the kubelet.
    pub skip_verification: bool,
    /// How often the list of pods is read for a caller that is not in it.
    pub poll_attempts: u32,
    /// How much time is between two readings, at least.
    pub poll_interval: Duration,
}

/// Asks the kubelet.
#[derive(Debug)]
pub struct Kubelet {
    client: KubeletClient,
    poll_attempts: u32,
    poll_interval: Duration,
    clock: Arc<dyn Clock>,
    /// Held while the list is read.
    latest: Mutex<Latest>,
}

/// The list of pods that was read last.
#[derive(Debug, Default)]
struct Latest {
    /// How many times a list was read.
    version: u64,
    /// When it was last tried, on [`Clock::elapsed`].
    tried: Option<Duration>,
    pods: Option<Arc<Pods>>,
}

impl Kubelet {
    /// Asks the kubelet that `config` says where to find.
    pub fn new(config: KubeletConfig, clock: Arc<dyn Clock>) -> Self {
        let (poll_attempts, poll_interval) = (config.poll_attempts, config.poll_interval);
        let client = KubeletClient::new(config, Arc::clone(&clock));
        Self { client, poll_attempts, poll_interval, clock, latest: Mutex::default() }
    }

    async fn selectors(&self, container: &Container) -> Result<Vec<String>, AttestorError> {
        let uid = match (&container.pod, container.runtime) {
            (Some(Pod::Uid(uid)), _) => Some(uid.as_str()),
            (Some(Pod::Untold), _) => None,
            (None, Runtime::Cri | Runtime::Docker | Runtime::Podman | Runtime::Untold) => return Ok(Vec::new()),
        };
        let (mut seen, mut failures) = (0, 0);
        for _attempt in 0..self.poll_attempts {
            let pods = match self.newer_than(seen).await {
                Ok((version, pods)) => {
                    (seen, failures) = (version, 0);
                    pods
                }
                Err(reason) => {
                    failures += 1;
                    if failures >= MAX_FAILURES {
                        return Err(AttestorError::Daemon(reason));
                    }
                    continue;
                }
            };
            match pods.find(uid, &container.id) {
                Found::One(selectors) => return Ok(selectors),
                Found::Several => {
                    let reason = format!("two pods have the container `{}`", container.id);
                    return Err(AttestorError::Daemon(reason));
                }
                Found::None => {}
            }
        }
        let pod = uid.map(|uid| format!(" of the pod `{uid}`")).unwrap_or_default();
        let reason = format!("the container `{}`{pod} is not in the kubelet's list of pods (yet)", container.id);
        Err(AttestorError::Daemon(reason))
    }

    /// A list that is newer than `seen`: the last one while it is fresh, or a new one.
    async fn newer_than(&self, seen: u64) -> Result<(u64, Arc<Pods>), String> {
        let mut latest = self.latest.lock().await;
        let age = latest.tried.map(|tried| self.clock.elapsed().saturating_sub(tried));
        if let Some(age) = age.filter(|age| *age < self.poll_interval) {
            if let Some(pods) = latest.pods.as_ref().filter(|_| latest.version > seen) {
                return Ok((latest.version, Arc::clone(pods)));
            }
            sleep(self.poll_interval.saturating_sub(age)).await;
        }
        // Whatever comes of it, what was read before is no longer fresh.
        latest.tried = Some(self.clock.elapsed());
        latest.pods = None;
        let pods = Arc::new(self.client.pods().await?);
        latest.version += 1;
        latest.pods = Some(Arc::clone(&pods));
        Ok((latest.version, pods))
    }
}

impl WorkloadAttestor for Kubelet {
    fn kind(&self) -> &'static str {
        "k8s"
    }

    fn attest<'a>(&'a self, caller: &'a Caller) -> AttestFuture<'a> {
        Box::pin(async {
            match &caller.container {
                Ok(Some(container)) => self.selectors(container).await,
                Ok(None) => Ok(Vec::new()),
                Err(error) => Err(error.clone().into()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
