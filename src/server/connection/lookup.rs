//! Looking a peer up by its process id, for kernels that can't vouch for it: those before Linux 6.5, which do not know
//! `SO_PEERPIDFD`.
//!
//! A lookup proves little. Between `connect` and the lookup the caller can end and its id go to another process, whose
//! handle we then take. What is kept here narrows that race and does not close it: a process that started between
//! `connect` and `accept` can't be told from the caller. Whether that is good enough is for the operator to say.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{PeerPidfd, UnixPeer};
use crate::foundation::clock::since_boot;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The process that had a peer's id when we looked, soon after its connection was accepted.
#[derive(Clone, Debug)]
pub struct LookedUp {
    /// A handle on that process, be it the peer or not.
    pub pidfd: Arc<OwnedFd>,
    /// When it started. A process that started later than [`Self::accepted`] is certainly not the peer.
    pub started: BootTicks,
    /// When the connection was accepted.
    pub accepted: BootTicks,
}

impl LookedUp {
    /// Whether the process may have been there when the connection was accepted.
    ///
    /// Both moments are rounded down to ticks, of 10 ms as a rule, and within one tick the answer is yes: a small
    /// program may well connect in the tick that it was started in.
    pub fn predates_accept(&self) -> bool {
        self.started <= self.accepted
    }

    /// The process that has the id `pid` now; `None` if there is none, if we may not see it, or if this system gives out
    /// no handles.
    pub(super) fn by_id(pid: i32, accepted: BootTicks) -> io::Result<Option<Self>> {
        let Some(pidfd) = open(pid)? else { return Ok(None) };
        match BootTicks::of_start(pid) {
            Ok(started) => Ok(Some(Self { pidfd, started, accepted })),
            Err(error) if is_out_of_sight(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The process that has the id `pid` now, as a peer. It may become another user between the two things that are read
/// here; who asks about it learns what it was at one moment of those.
pub(super) fn named(pid: i32) -> io::Result<Option<UnixPeer>> {
    let Some(pidfd) = open(pid)? else { return Ok(None) };
    let status = match fs::read(format!("/proc/{pid}/status")) {
        Ok(status) => status,
        Err(error) if is_out_of_sight(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (Some(uid), Some(gid)) = (effective(&status, b"Uid:"), effective(&status, b"Gid:")) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(Some(UnixPeer { pid, uid, gid, pidfd: Some(PeerPidfd::Named(pidfd)) }))
}

/// A handle on the process that has the id `pid` now.
fn open(pid: i32) -> io::Result<Option<Arc<OwnedFd>>> {
    use rustix::io::Errno;

    let Some(id) = Pid::from_raw(pid.max(0)) else {
        return Ok(None);
    };
    match pidfd_open(id, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(Arc::new(pidfd))),
        // No such process; a mere thread has the id (EINVAL, later ENOENT); a kernel before 5.3; a sandbox.
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT | Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The effective id in a line of `/proc/PID/status`: the second of four (`proc_pid_status(5)`).
fn effective(status: &[u8], key: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(key))?;
    str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A moment in clock ticks since boot, rounded down: how the kernel tells when a process started.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BootTicks(u64);

impl BootTicks {
    /// Now.
    pub fn now() -> Self {
        let ticks = since_boot().as_nanos().saturating_mul(u128::from(clock_ticks_per_second())) / NANOS_PER_SECOND;
        Self(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    /// When the process that has the id `pid` now was started, by its parent's `fork`; what it executed since does not
    /// change it.
    ///
    /// # Errors
    /// There is no such process, or procfs can't be read.
    pub fn of_start(pid: i32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse_stat(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Field 22 of `/proc/PID/stat` (`proc_pid_stat(5)`). The second field, the name, may hold spaces, parentheses and
    /// any other byte; what follows the last parenthesis of all is the third.
    fn parse_stat(stat: &[u8]) -> Option<Self> {
        let name_end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = str::from_utf8(stat.get(name_end + 1..)?).ok()?;
        rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok().map(Self)
    }
}

/// Ended meanwhile, or hidden by how procfs is mounted (`hidepid`, proc(5)).
fn is_out_of_sight(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests;
