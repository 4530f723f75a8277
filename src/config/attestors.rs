//! The section `identity.attestors`: who is asked about callers, beside the kernel. One that is not there is not asked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::node::Node;
use super::reader::{Bound as _, Section, Setting};
use super::values::text;
use crate::daemons::docker::DockerConfig;
use crate::daemons::kubelet::KubeletConfig;
use crate::identity::registry::ConfiguredEntry;

const SECOND: Duration = Duration::from_secs(1);

/// Where Kubernetes puts what a pod needs to talk to it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The section `identity.attestors`.
#[derive(Clone, Debug)]
pub struct Attestors {
    /// How long one may take, before its selectors are done without.
    pub timeout: Duration,
    /// Docker and Podman.
    pub docker: Option<DockerConfig>,
    /// The kubelet.
    pub k8s: Option<KubeletConfig>,
    /// systemd: the socket of the system bus.
    pub systemd: Option<PathBuf>,
}

impl Attestors {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let timeout = section.bounded("timeout", "10s", (SECOND, 60 * SECOND));
        let docker = section.optional_section("docker", |section| {
            let socket = section.value("socket", "/run/docker.sock");
            let podman_socket = section.value("podman_socket", "/run/podman/podman.sock");
            Some(DockerConfig { socket: socket?, podman_socket: podman_socket? })
        });
        let k8s = section.optional_section("k8s", |section| read_k8s(section, timeout));
        let systemd =
            section.optional_section("systemd", |section| section.value("bus", "/run/dbus/system_bus_socket"));
        Some(Self { timeout: timeout?, docker: docker.valid()?, k8s: k8s.valid()?, systemd: systemd.valid()? })
    }

    /// No workload would ever fit an entry that asks for what nobody is asked about.
    pub(super) fn check_entries(&self, section: &mut Section<'_>, entries: &[ConfiguredEntry]) {
        let asked =
            [("docker", self.docker.is_some()), ("k8s", self.k8s.is_some()), ("systemd", self.systemd.is_some())];
        let of_entry = |entry: &ConfiguredEntry| -> BTreeSet<String> {
            entry.terms.selectors.iter().map(|selector| selector.kind().to_owned()).collect()
        };
        for (index, kinds) in entries.iter().map(of_entry).enumerate() {
            for (kind, _) in asked.iter().filter(|(kind, asked)| !asked && kinds.contains(*kind)) {
                let message = format!("no workload has `{kind}` selectors unless there is `identity.attestors.{kind}`");
                section.complain(section.origin("entries"), &format!("entries[{index}].selectors"), message);
            }
        }
    }
}

fn read_k8s(section: &mut Section<'_>, timeout: Option<Duration>) -> Option<KubeletConfig> {
    let node_name = section.value::<NodeName>("node_name", "\"\"");
    let port = section.bounded::<u32>("kubelet_port", "10250", (1, 65_535));
    let ca_file = section.value("kubelet_ca_file", &format!("{SERVICE_ACCOUNT}/ca.crt"));
    let token_file = section.value("token_file", &format!("{SERVICE_ACCOUNT}/token"));
    let skip_verification = section.value("skip_kubelet_verification", "false");
    let poll_attempts = section.bounded::<u32>("poll_attempts", "16", (1, 600));
    let poll_interval = section.bounded("poll_interval", "500ms", (SECOND / 10, 10 * SECOND));
    if let (Some(timeout), Some(attempts), Some(interval)) = (timeout, poll_attempts, poll_interval)
        && interval.saturating_mul(attempts) >= timeout
    {
        let key = section.culprit(&["poll_attempts", "poll_interval"]);
        let message = format!(
            "{attempts} attempts, one in {}, do not fit into `identity.attestors.timeout`, which is {}",
            interval.spoken(),
            timeout.spoken()
        );
        section.fault(key, message);
    }
    Some(KubeletConfig {
        node_name: node_name?.0,
        port: u16::try_from(port?).ok()?,
        ca_file: ca_file?,
        token_file: token_file?,
        skip_verification: skip_verification?,
        poll_attempts: poll_attempts?,
        poll_interval: poll_interval?,
    })
}

/// The name of a node, or none.
struct NodeName(Option<String>);

impl Setting for NodeName {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let name = text(node, "the name of this node")?;
        match rustls::pki_types::ServerName::try_from(name) {
            Ok(_) => Ok(Self(Some(name.to_owned()))),
            Err(_) if name.is_empty() => Ok(Self(None)),
            Err(_) => Err(format!("`{name}` is neither a host name nor an IP address")),
        }
    }
}
