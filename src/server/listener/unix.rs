//! Unix sockets in the file system.
//!
//! A socket file outlives its process, so a new process finds one that is stale, or one that somebody still answers on.
//! Whatever it finds, clients must never see a path that is missing, has the wrong mode or does not listen yet: the
//! socket is made complete under another name and then renamed over the path. All steps that look at a path and then
//! act on it are under a lock on the directory, which every Portcullis takes.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};

use super::BindError;

/// `sun_path` has 108 bytes, one of them for the final NUL (unix(7)).
const PATH_LIMIT: usize = 107;

/// How often, every 10 ms, the lock on a directory is tried.
const LOCK_TRIES: usize = 200;

/// The right to remove a path: it names the very socket that we put there, unless a successor has replaced it.
#[derive(Debug)]
pub(in crate::server) struct Claim {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// What a path holds.
enum Occupant {
    Nothing,
    StaleSocket,
    LiveSocket,
}

/// A socket that listens, though not under its path yet. It goes away with the value unless it is published.
#[derive(Debug)]
pub(super) struct Draft {
    listener: UnixListener,
    file: DraftFile,
    claim: Claim,
}

#[derive(Debug)]
struct DraftFile {
    path: PathBuf,
    published: bool,
}

/// Makes a socket for `path` with permission bits `mode`. Until it is published nobody else can make one.
pub(super) fn prepare(path: &Path, mode: u32, takeover: bool) -> Result<Draft, BindError> {
    let io_error = |source| BindError::Io { address: format!("unix:{}", path.display()), source };
    let draft = draft_path(path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    create_missing(directory).map_err(io_error)?;
    let _lock = lock_of(path)?;

    if matches!(occupant(path).map_err(io_error)?.ok_or_else(|| in_the_way(path))?, Occupant::LiveSocket) && !takeover {
        return Err(BindError::Live(path.to_owned()));
    }
    match occupant(&draft).map_err(io_error)?.ok_or_else(|| in_the_way(&draft))? {
        Occupant::Nothing => {}
        // Left behind by a process that was killed between the two names.
        Occupant::StaleSocket => fs::remove_file(&draft).map_err(io_error)?,
        Occupant::LiveSocket => return Err(BindError::Starting(path.to_owned())),
    }
    listen_at(draft, path, mode).map_err(io_error)
}

impl Draft {
    /// Puts the socket under its path, in the place of whatever was there.
    pub(super) fn publish(mut self) -> Result<(UnixListener, Claim), BindError> {
        let path = &self.claim.path;
        let _lock = lock_of(path)?;
        let renamed = fs::rename(&self.file.path, path);
        renamed.map_err(|source| BindError::Io { address: format!("unix:{}", path.display()), source })?;
        self.file.published = true;
        Ok((self.listener, self.claim))
    }
}

impl Drop for DraftFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing hangs on it: the next process replaces what is left behind.
            let _tidied = fs::remove_file(&self.path);
        }
    }
}

impl Claim {
    /// The path.
    pub(in crate::server) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the path if it still names our socket. Blocks for the directory's lock; without it nothing is removed,
    /// as a successor may just be putting its own socket there.
    pub(in crate::server) fn release(self) -> io::Result<()> {
        let Some(_lock) = lock(self.path.parent().unwrap_or(Path::new("/")))? else { return Ok(()) };
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => fs::remove_file(&self.path),
            Ok(_successor) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn in_the_way(path: &Path) -> BindError {
    BindError::NotASocket(path.to_owned())
}

/// The name under which a socket is made: `.sds.sock` for `sds.sock`, cut if that is a byte too long.
fn draft_path(path: &Path) -> Result<PathBuf, BindError> {
    let too_long = || BindError::PathTooLong { path: path.to_owned(), limit: PATH_LIMIT };
    let name = path.file_name().ok_or_else(|| in_the_way(path))?;
    let directory_length = path.as_os_str().len().saturating_sub(name.len());
    let room = PATH_LIMIT.checked_sub(directory_length).filter(|room| *room >= name.len()).ok_or_else(too_long)?;
    let mut draft = OsString::from(".");
    draft.push(std::ffi::OsStr::from_bytes(name.as_bytes().get(..room.saturating_sub(1)).unwrap_or(name.as_bytes())));
    if draft.len() < 2 || draft == ".." { Err(too_long()) } else { Ok(path.with_file_name(draft)) }
}

/// Makes `directory` and what is missing above it, 0755 whatever the umask: callers of other users must get through.
fn create_missing(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_missing(parent)?;
    }
    // The mode from the start, for without a umask others could put something into it before it is set.
    match DirBuilder::new().mode(0o755).create(directory) {
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The lock on the directory of `path`.
fn lock_of(path: &Path) -> Result<Flock<File>, BindError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let locked = lock(directory);
    let locked = locked.map_err(|source| BindError::Io { address: format!("unix:{}", path.display()), source })?;
    locked.ok_or_else(|| BindError::Locked(directory.to_owned()))
}

/// The lock on a directory, or `None` if another holds it for two seconds.
fn lock(directory: &Path) -> io::Result<Option<Flock<File>>> {
    let mut directory = File::open(directory)?;
    for _try in 0..LOCK_TRIES {
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((unlocked, Errno::EWOULDBLOCK | Errno::EINTR)) => directory = unlocked,
            Err((_, errno)) => return Err(errno.into()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(None)
}

/// What `path` holds, or `None` if that is neither a socket nor nothing. A symbolic link is not followed.
fn occupant(path: &Path) -> io::Result<Option<Occupant>> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Ok(None),
        Ok(_socket) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Occupant::Nothing)),
        Err(error) => return Err(error),
    }
    // Without blocking: a process that hangs with a full queue is alive too, and answers EAGAIN.
    let probe = stream_socket()?;
    match socket::connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) | Err(Errno::EAGAIN) => Ok(Some(Occupant::LiveSocket)),
        Err(Errno::ECONNREFUSED) => Ok(Some(Occupant::StaleSocket)),
        // Among them EPROTOTYPE: somebody's datagram socket, which is not ours to replace.
        Err(errno) => Err(errno.into()),
    }
}

fn listen_at(draft: PathBuf, path: &Path, mode: u32) -> io::Result<Draft> {
    let listener = stream_socket()?;
    socket::bind(listener.as_raw_fd(), &UnixAddr::new(&draft)?)?;
    let file = DraftFile { path: draft, published: false };
    fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
    socket::listen(&listener, Backlog::MAXCONN)?;
    let inode = fs::symlink_metadata(&file.path)?;
    let claim = Claim { path: path.to_owned(), device: inode.dev(), inode: inode.ino() };
    Ok(Draft { listener: UnixListener::from(listener), file, claim })
}

fn stream_socket() -> nix::Result<OwnedFd> {
    socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}
