//! The little that attestation reads from procfs (proc(5)).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use nix::errno::Errno;

use super::AttestError;
use crate::server::BootTicks;

/// A process by its id. Nothing here guards against another taking the id; the caller does.
pub(super) struct Process {
    pid: i32,
    directory: PathBuf,
}

impl Process {
    pub(super) fn new(pid: i32) -> Self {
        Self { pid, directory: PathBuf::from(format!("/proc/{pid}")) }
    }

    pub(super) fn start_time(&self) -> Result<BootTicks, AttestError> {
        BootTicks::of_start(self.pid).map_err(failed("status"))
    }

    pub(super) fn user_ids(&self) -> Result<UserIds, AttestError> {
        let status = fs::read(self.directory.join("status")).map_err(failed("user"))?;
        parse_user_ids(&status).ok_or_else(|| malformed("user"))
    }

    pub(super) fn supplementary_groups(&self) -> Result<BTreeSet<u32>, AttestError> {
        let status = fs::read(self.directory.join("status")).map_err(failed("groups"))?;
        parse_groups(&status).ok_or_else(|| malformed("groups"))
    }

    /// The path it executes, as procfs tells it; `None` if we may not know.
    pub(super) fn executable_path(&self) -> Result<Option<PathBuf>, AttestError> {
        permitted(fs::read_link(self.directory.join("exe")))
    }

    /// The very file it executes, whatever its path names by now; `None` if we may not read it.
    pub(super) fn executable(&self) -> Result<Option<File>, AttestError> {
        permitted(File::open(self.directory.join("exe")))
    }

    /// Device and inode of the file it executes; `None` if we may not know.
    pub(super) fn executable_identity(&self) -> Result<Option<(u64, u64)>, AttestError> {
        permitted(fs::metadata(self.directory.join("exe"))).map(|found| found.map(|file| (file.dev(), file.ino())))
    }
}

/// As whom a process runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct UserIds {
    pub(super) real: u32,
    pub(super) effective: u32,
}

/// The id of the process that `pidfd` is a handle on.
pub(super) fn pid_of(pidfd: BorrowedFd<'_>) -> Result<i32, AttestError> {
    let info = fs::read(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).map_err(failed("pidfd"))?;
    match field(&info, b"Pid:").and_then(|pid| str::from_utf8(pid).ok()?.trim().parse().ok()) {
        Some(pid) if pid > 0 => Ok(pid),
        // 0: not in our PID namespace. -1: reaped.
        Some(_) => Err(AttestError::Gone),
        None => Err(malformed("pidfd")),
    }
}

/// The `Groups` line of `/proc/PID/status`. The kernel escapes line breaks in the name on an earlier line, so nobody
/// can put a line of their own before it.
pub(super) fn parse_groups(status: &[u8]) -> Option<BTreeSet<u32>> {
    let groups = str::from_utf8(field(status, b"Groups:")?).ok()?;
    groups.split_ascii_whitespace().map(|gid| gid.parse().ok()).collect()
}

/// The `Uid` line of `/proc/PID/status`: real, effective, saved, of the file system.
pub(super) fn parse_user_ids(status: &[u8]) -> Option<UserIds> {
    let ids = str::from_utf8(field(status, b"Uid:")?).ok()?;
    let ids: Vec<u32> = ids.split_ascii_whitespace().map(|id| id.parse().ok()).collect::<Option<_>>()?;
    let [real, effective, _saved, _file_system] = *ids else { return None };
    Some(UserIds { real, effective })
}

fn field<'a>(lines: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    lines.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(key))
}

fn permitted<T>(result: io::Result<T>) -> Result<Option<T>, AttestError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(failed("executable")(error)),
    }
}

/// A file of procfs that is missing means a process that is.
fn failed(what: &'static str) -> impl Fn(io::Error) -> AttestError {
    move |source| {
        let gone = source.kind() == io::ErrorKind::NotFound || source.raw_os_error() == Some(Errno::ESRCH as i32);
        if gone { AttestError::Gone } else { AttestError::Unreadable { what, source } }
    }
}

fn malformed(what: &'static str) -> AttestError {
    AttestError::Unreadable { what, source: io::ErrorKind::InvalidData.into() }
}
