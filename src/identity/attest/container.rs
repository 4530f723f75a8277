//! Which container a process is in, by the name of its control group (cgroups(7)).
//!
//! Container managers name a container's control group after it, and the kernel says which group a process is in. But
//! whoever may make groups can name them as he likes: a user below his own `user@UID.service`, a container below its own
//! group if it may write to that hierarchy. So a name counts only where none but the container manager could have put
//! it: all groups above it are ones that no manager hands over to anybody, and of several names the *outermost* is the
//! container. What lies below is its own affair.
//!
//! The caller's `mountinfo` could name a container too, and is not read: its own mount namespace writes that file.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

use crate::foundation::telemetry::printable;

/// How much of `/proc/PID/cgroup` is read: a line per hierarchy, each a path.
const MAX_CGROUPS: u64 = 256 * 1024;

/// How much of a control group's name an error repeats.
const MAX_SHOWN: usize = 256;

/// What `/proc/self/ns/cgroup` is in the first namespace (`PROC_CGROUP_INIT_INO`, `linux/nsfs.h`).
const FIRST_NAMESPACE: &str = "cgroup:[4026531835]";

/// The container that a process is in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Who runs it.
    pub runtime: Runtime,
    /// The pod that it is part of.
    pub pod: Option<Pod>,
}

/// A container's id: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ContainerId(String);

/// Who runs a container, as far as its control group tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Podman, run by root.
    Podman,
    /// containerd or CRI-O, on behalf of a kubelet.
    Cri,
    /// The name does not say.
    Untold,
}

/// What a control group tells of a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pod {
    /// Its uid: a UUID with dashes, or the 32 digits that a kubelet gives to a pod of its own.
    Uid(String),
    /// There is one; only its container's id is to be seen from where we are.
    Untold,
}

/// Why it can't be said which container a process is in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// procfs failed.
    #[error("can't read the process's control groups: {0}")]
    Unreadable(String),
    /// The kernel does not write so.
    #[error("the process's control groups are not as the kernel writes them")]
    Malformed,
    /// Anybody could have given it this name.
    #[error("the control group `{0}` is named like a container's where not only a container manager can have made it")]
    Unbelievable(String),
    /// Its hierarchies disagree.
    #[error("the process is in the control groups of two containers: {0} and {1}")]
    Ambiguous(ContainerId, ContainerId),
    /// Our view begins with our own container and does not show its name.
    #[error("the process is in the gateway's own container, which can't see its own name")]
    Ours,
}

/// Says which containers processes are in.
#[derive(Clone, Debug)]
pub struct Containers {
    proc: PathBuf,
}

/// From where we see control groups.
#[derive(Clone, Debug, Eq, PartialEq)]
struct View {
    /// Whether `/` is the root of all, and not where a control group namespace begins.
    whole: bool,
    /// Our own control groups.
    own: Vec<String>,
}

impl ContainerId {
    /// The id that `text` is.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Containers {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc") }
    }
}

impl Containers {
    /// Processes whose files are in `proc`, for tests: nobody makes containers for them.
    #[cfg(test)]
    pub(crate) fn at(proc: PathBuf) -> Self {
        Self { proc }
    }

    /// The container that the process with the id `pid` is in; `None` if it is in none. Nothing here guards against
    /// another process taking the id; the caller does. Blocks on procfs.
    ///
    /// # Errors
    /// [`ContainerError`]
    pub fn of(&self, pid: i32) -> Result<Option<Container>, ContainerError> {
        let cgroups = self.cgroups(&pid.to_string())?;
        let namespace = fs::read_link(self.proc.join("self/ns/cgroup")).map_err(unreadable)?;
        let own = self.cgroups("self")?;
        let view = View {
            whole: namespace.to_str() == Some(FIRST_NAMESPACE),
            own: paths(&own).map(|paths| paths.into_iter().map(str::to_owned).collect())?,
        };
        find(&cgroups, &view)
    }

    fn cgroups(&self, process: &str) -> Result<String, ContainerError> {
        let mut bytes = Vec::new();
        let file = File::open(self.proc.join(process).join("cgroup")).map_err(unreadable)?;
        let read = file.take(MAX_CGROUPS).read_to_end(&mut bytes).map_err(unreadable)?;
        if u64::try_from(read).is_ok_and(|read| read < MAX_CGROUPS) {
            // No container's name has other bytes than ASCII, so that what is lost here is none.
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        } else {
            Err(ContainerError::Malformed)
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreadable(error: io::Error) -> ContainerError {
    ContainerError::Unreadable(error.to_string())
}

/// The paths in `/proc/PID/cgroup`, whose lines are `ID:CONTROLLERS:PATH`. Neither of the first two can hold a colon, nor
/// the third a line break.
fn paths(cgroups: &str) -> Result<Vec<&str>, ContainerError> {
    cgroups
        .lines()
        .map(|line| line.splitn(3, ':').nth(2).filter(|path| path.starts_with('/')).ok_or(ContainerError::Malformed))
        .collect()
}

/// The container that all hierarchies in `cgroups` agree on. One that names none has no say: a runtime need not use every
/// hierarchy, and only root can move a process into another's container in any.
fn find(cgroups: &str, view: &View) -> Result<Option<Container>, ContainerError> {
    let mut found: Option<Container> = None;
    for path in paths(cgroups)? {
        let Some(container) = view.container(path)? else { continue };
        match &found {
            Some(known) if known.id != container.id => {
                return Err(ContainerError::Ambiguous(known.id.clone(), container.id));
            }
            Some(known) if known.pod.is_some() || container.pod.is_none() => {}
            _ => found = Some(container),
        }
    }
    Ok(found)
}

impl View {
    /// The container whose control group `path` is, or is below.
    fn container(&self, path: &str) -> Result<Option<Container>, ContainerError> {
        let groups: Vec<&str> = path.split('/').filter(|group| !group.is_empty()).collect();
        let above = groups.iter().take_while(|group| **group == "..").count();
        let (found, below) = if above > 0 {
            // Beside our own container, or beside something above it. The kernel itself writes `..`, and no group can be
            // called so; where our container was put, our manager puts others.
            let rest = groups.get(above..).unwrap_or_default();
            (named(rest).or_else(|| beside(rest)), rest)
        } else if !self.whole && self.own.iter().any(|own| own == "/") {
            return Err(ContainerError::Ours);
        } else {
            let rest = self.node().filter(|node| groups.starts_with(node)).and_then(|node| groups.get(node.len()..));
            let rest = rest.unwrap_or(&groups);
            (named(rest), rest)
        };
        match found {
            None if below.iter().any(|group| resembles_container(group)) => {
                Err(ContainerError::Unbelievable(printable(path, MAX_SHOWN)))
            }
            found => Ok(found),
        }
    }

    /// The group of the machine that we share with our own pod, where that is itself a container: a node of `kind`. Seen
    /// from outside that container's namespace, all pods are below it.
    fn node(&self) -> Option<Vec<&str>> {
        self.own.iter().find_map(|own| {
            let groups: Vec<&str> = own.split('/').filter(|group| !group.is_empty()).collect();
            let of_kubelet = |group: &&str| {
                matches!(*group, "kubelet" | "kubelet.slice" | "kubepods") || group.ends_with("kubepods.slice")
            };
            let pods = groups.iter().position(of_kubelet)?;
            groups.get(..pods).filter(|node| !node.is_empty()).map(<[_]>::to_vec)
        })
    }
}

/// The container by its groups from the root of a machine.
fn named(groups: &[&str]) -> Option<Container> {
    match groups {
        ["docker", id, ..] => plain(id, Runtime::Docker),
        ["libpod_parent", name, ..] => plain(name.strip_prefix("libpod-").unwrap_or(name), Runtime::Podman),
        ["kubelet", "kubepods", rest @ ..] | ["kubepods", rest @ ..] => in_pods(rest),
        // containerd, told to write groups itself and given a slice as their parent.
        ["system.slice", "containerd.service", name, ..] | [name, ..] if name.contains(':') => in_colons(name),
        // systemd hands services and scopes over to others, but never slices (`Delegate=`, systemd.resource-control(5)).
        [slice, rest @ ..] if is_slice(slice) => in_slice(slice, rest),
        _ => None,
    }
}

/// The container by the end of its groups, where the beginning is above the root of our namespace.
fn beside(groups: &[&str]) -> Option<Container> {
    match groups {
        ["burstable" | "besteffort", ..] => in_pods(groups),
        [group, ..] if group.starts_with("pod") => in_pods(groups),
        [name, ..] => {
            scope(name).or_else(|| Some(Container { id: cri_id(name)?, runtime: Runtime::Untold, pod: None }))
        }
        [] => None,
    }
    .map(|found| match found.runtime {
        Runtime::Cri | Runtime::Untold => Container { pod: found.pod.or(Some(Pod::Untold)), ..found },
        Runtime::Docker | Runtime::Podman => found,
    })
}

/// Below the slices of systemd: `a.slice/a-b.slice/docker-ID.scope`.
fn in_slice(slice: &str, rest: &[&str]) -> Option<Container> {
    let [next, below @ ..] = rest else { return None };
    if is_slice(next) {
        return in_slice(next, below);
    }
    let pod = pod_of_slice(slice);
    match (scope(next), &pod) {
        (Some(found), _) => Some(Container { pod, ..found }),
        (None, Some(_)) => Some(Container { id: cri_id(next)?, runtime: Runtime::Untold, pod }),
        (None, None) => None,
    }
}

/// Below `kubepods`, written by the kubelet itself: `burstable/podUID/ID`.
fn in_pods(groups: &[&str]) -> Option<Container> {
    let (["burstable" | "besteffort", pod, name, ..] | [pod, name, ..]) = groups else { return None };
    let pod = pod_uid(pod.strip_prefix("pod")?, '-')?;
    let runtime = if ContainerId::parse(name).is_some() { Runtime::Untold } else { Runtime::Cri };
    Some(Container { id: cri_id(name)?, runtime, pod: Some(pod) })
}

/// `kubepods-burstable-podUID.slice:cri-containerd:ID`.
fn in_colons(name: &str) -> Option<Container> {
    let (slice, rest) = name.split_once(':')?;
    let id = ContainerId::parse(rest.strip_prefix("cri-containerd:")?)?;
    Some(Container { id, runtime: Runtime::Cri, pod: Some(pod_of_slice(slice)?) })
}

fn plain(id: &str, runtime: Runtime) -> Option<Container> {
    Some(Container { id: ContainerId::parse(id)?, runtime, pod: None })
}

/// The id of a container whose group the kubelet's runtime made without systemd. `crio-conmon-ID` is its keeper, and not
/// the container.
fn cri_id(name: &str) -> Option<ContainerId> {
    ContainerId::parse(name.strip_prefix("crio-").unwrap_or(name))
}

fn is_slice(name: &str) -> bool {
    name.strip_suffix(".slice").is_some()
}

/// `docker-ID.scope` and the like.
fn scope(name: &str) -> Option<Container> {
    let (runtime, id) = name.strip_suffix(".scope")?.rsplit_once('-')?;
    let runtime = match runtime {
        "docker" => Runtime::Docker,
        "libpod" => Runtime::Podman,
        "cri-containerd" | "crio" => Runtime::Cri,
        _ => return None,
    };
    plain(id, runtime)
}

/// `kubepods-burstable-podUID.slice`, perhaps with the kubelet's own root before it. systemd wants no dashes in a UID.
fn pod_of_slice(slice: &str) -> Option<Pod> {
    let (class, uid) = slice.strip_suffix(".slice")?.rsplit_once("-pod")?;
    let class = class.strip_suffix("-burstable").or_else(|| class.strip_suffix("-besteffort")).unwrap_or(class);
    if class == "kubepods" || class.ends_with("-kubepods") { pod_uid(uid, '_') } else { None }
}

fn pod_uid(text: &str, dash: char) -> Option<Pod> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths: Vec<usize> = text.split(dash).map(str::len).collect();
    let well_formed = matches!(*lengths, [8, 4, 4, 4, 12] | [32]) && text.split(dash).all(is_hex);
    well_formed.then(|| Pod::Uid(text.replace(dash, "-")))
}

/// Whether some container manager might have chosen this name.
fn resembles_container(group: &str) -> bool {
    group.split(['-', '.', ':']).any(|part| ContainerId::parse(&part.to_ascii_lowercase()).is_some())
}

#[cfg(test)]
mod tests;
