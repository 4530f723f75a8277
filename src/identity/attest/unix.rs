//! Attestation of a process that called over a Unix socket, with the selectors of SPIRE's `unix` attestor.
//!
//! `uid` and `gid` are those that the kernel recorded at `connect`. All else is what the process is *now*, read from
//! procfs: its supplementary groups and its executable. That order can't be had otherwise, and it means that a process
//! that connects and then executes something else is that something else.
//!
//! Selectors speak of a process, not of all who can use its connection: a process can hand its socket to another. What
//! must be kept apart needs different users; a path alone tells apart only workloads that do not work against each
//! other.

mod digests;
mod procfs;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Group, Uid, User};

use self::digests::Digests;
use self::procfs::{Process, UserIds};
use super::Attested;
use crate::foundation::clock::Clock;
use crate::identity::selector::Selector;
use crate::server::{LookedUp, PeerPidfd, UnixPeer};

/// How often the reading is started again because the process executed another program meanwhile.
const TRIES: usize = 3;

/// What procfs appends to the path of a file that is no more (`proc_pid_exe(5)`).
const DELETED: &str = " (deleted)";

/// Why a caller could not be attested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The process has ended, or another took its id.
    #[error("the calling process has ended")]
    Gone,
    /// It is in a PID namespace that we can't see into.
    #[error("the calling process is not visible in this PID namespace")]
    Invisible,
    /// There is no handle that would tell it from a later process with its id.
    #[error("there is no pidfd of the calling process: it ended before one could be had, or it is hidden from us")]
    NoPidfd,
    /// The kernel can't vouch for callers, and nobody allowed to do without.
    #[error(
        "this kernel can't say which process is calling: it has no SO_PEERPIDFD, which came with Linux 6.5; \
         `identity.attest_by_pid_lookup: true` allows to look the caller up by its process id instead, at the risk \
         that a process that connects and ends at once is mistaken for a later one of the same user with the same id"
    )]
    NotVouched,
    /// The process that has the caller's id was not there yet when the caller connected.
    #[error("the calling process has ended, and another, which started after its connection was accepted, has its id")]
    StartedLater,
    /// The process that has the caller's id does not run as the user who connected.
    #[error("the process with the caller's id runs as another user than the one who connected")]
    OtherUser,
    /// It executed one program after another while we looked.
    #[error("the calling process does not stop changing its executable")]
    Unsettled,
    /// What is true of it changed while others were asked about it.
    #[error("the calling process became another while it was attested")]
    Changed,
    /// Something that must be there could not be read.
    #[error("can't read the calling process's {what}: {source}")]
    Unreadable {
        /// What.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// How callers are attested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnixAttestConfig {
    /// The size in bytes beyond which an executable is not hashed, and yields no `sha256` selector.
    pub max_executable_size: u64,
    /// Where the kernel can't vouch for a caller (before Linux 6.5), take the process that had its id soon after it
    /// connected for the caller: a process that connects and ends at once can then be mistaken for a later one of the
    /// same user. Otherwise nobody is attested there.
    pub accept_pid_lookup: bool,
}

impl Default for UnixAttestConfig {
    fn default() -> Self {
        Self { max_executable_size: 512 * 1024 * 1024, accept_pid_lookup: false }
    }
}

/// Finds out what is true of a process on this machine.
#[derive(Debug)]
pub struct UnixAttestor {
    digests: Digests,
    accept_pid_lookup: bool,
}

impl UnixAttestor {
    /// An attestor that has hashed no executable yet. `clock` must be the one that the kernel stamps files by.
    pub fn new(config: UnixAttestConfig, clock: Arc<dyn Clock>) -> Self {
        let digests = Digests::new(config.max_executable_size, clock);
        Self { digests, accept_pid_lookup: config.accept_pid_lookup }
    }

    /// What is true of `peer` now. `with_sha256` asks for the digest of its executable too, which costs reading it.
    /// Blocks on files and on the user database: call it from a thread that may.
    ///
    /// A selector whose fact can't be had is left out, which can only ever grant less:
    /// - `user`, `group`, `supplementary_group`: the id has no name;
    /// - `path`: we may not read it, the file was deleted, or the path does not name the executed file *for us*. A
    ///   process may mount what it likes where it likes in a mount namespace of its own and so run anything under any
    ///   path;
    /// - `sha256`: we may not read the file, it is too large, or it is on a FUSE file system, whose owner can show us
    ///   other bytes than it runs.
    ///
    /// # Errors
    /// [`AttestError`]
    pub fn attest(&self, peer: &UnixPeer, with_sha256: bool) -> Result<Attested, AttestError> {
        if peer.pid <= 0 {
            return Err(AttestError::Invisible);
        }
        let handle = peer.pidfd.as_ref().ok_or(AttestError::NoPidfd)?;
        if matches!(handle, PeerPidfd::LookedUp(_)) && !self.accept_pid_lookup {
            return Err(AttestError::NotVouched);
        }
        let pidfd = handle.as_fd();
        // Whatever is read of a number is read of our process if that lived before and after: only then was the number
        // its own all the time.
        check_alive(pidfd)?;
        if procfs::pid_of(pidfd)? != peer.pid {
            return Err(AttestError::Gone);
        }
        let process = Process::new(peer.pid);
        let started = process.start_time()?;
        if let PeerPidfd::LookedUp(found) = handle {
            narrow(found, peer, &process)?;
        }
        let mut selectors = ids(peer, &process.supplementary_groups()?);
        selectors.extend(self.executable(&process, with_sha256)?);
        if process.start_time()? != started {
            return Err(AttestError::Gone);
        }
        check_alive(pidfd)?;
        let selectors = selectors.into_iter().map(|value| Selector::new("unix", value)).collect();
        Ok(Attested { pid: peer.pid, selectors, failures: Vec::new() })
    }

    fn executable(&self, process: &Process, with_sha256: bool) -> Result<Vec<String>, AttestError> {
        for _try in 0..TRIES {
            let path = process.executable_path()?;
            let Some(file) = process.executable()? else {
                return Ok(Vec::new());
            };
            let identity = file.metadata().map(|found| (found.dev(), found.ino())).map_err(unreadable("executable"))?;
            let digest = if with_sha256 { self.digests.of(&file).map_err(unreadable("executable"))? } else { None };
            // The two must be of one program, though it may have executed another between them.
            if process.executable_path()? == path && process.executable_identity()? == Some(identity) {
                let path = path.and_then(|path| path_selector(&path, identity));
                return Ok(path.into_iter().chain(digest.map(|digest| format!("sha256:{digest}"))).collect());
            }
        }
        Err(AttestError::Unsettled)
    }
}

/// Refuses a process that was looked up and is certainly not the caller. One that passes may still be another: it then
/// started between the caller's `connect` and our `accept`, and runs as the caller's user.
fn narrow(found: &LookedUp, peer: &UnixPeer, process: &Process) -> Result<(), AttestError> {
    if process.start_time()? != found.started {
        return Err(AttestError::Gone);
    }
    if !found.predates_accept() {
        return Err(AttestError::StartedLater);
    }
    // A caller that changed its user since is refused with the others; it can't be told from them.
    if process.user_ids()? != (UserIds { real: peer.uid, effective: peer.uid }) {
        return Err(AttestError::OtherUser);
    }
    Ok(())
}

fn ids(peer: &UnixPeer, supplementary: &BTreeSet<u32>) -> BTreeSet<String> {
    let mut values = BTreeSet::from([format!("uid:{}", peer.uid), format!("gid:{}", peer.gid)]);
    values.extend(user_name(peer.uid).map(|name| format!("user:{name}")));
    values.extend(group_name(peer.gid).map(|name| format!("group:{name}")));
    for gid in supplementary {
        values.insert(format!("supplementary_gid:{gid}"));
        values.extend(group_name(*gid).map(|name| format!("supplementary_group:{name}")));
    }
    values
}

fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

fn group_name(gid: u32) -> Option<String> {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name)
}

/// The selector, if `path` is a path of the file with `identity` to us too.
fn path_selector(path: &Path, identity: (u64, u64)) -> Option<String> {
    let text = path.to_str()?;
    // A file may really be called so, but nobody could tell that from a deleted one.
    if !text.starts_with('/') || text.ends_with(DELETED) {
        return None;
    }
    let ours = fs::metadata(path).ok()?;
    ((ours.dev(), ours.ino()) == identity).then(|| format!("path:{text}"))
}

/// A pidfd becomes readable when its process ends, before the process is reaped and its id free again (`pidfd_open(2)`).
fn check_alive(pidfd: BorrowedFd<'_>) -> Result<(), AttestError> {
    let mut ended = [PollFd::new(pidfd, PollFlags::POLLIN)];
    match poll(&mut ended, PollTimeout::ZERO) {
        Ok(0) => Ok(()),
        Ok(_) => Err(AttestError::Gone),
        Err(errno) => Err(unreadable("pidfd")(errno.into())),
    }
}

fn unreadable(what: &'static str) -> impl Fn(io::Error) -> AttestError {
    move |source| AttestError::Unreadable { what, source }
}

#[cfg(test)]
mod tests;
