//! Files that must survive a crash and must not be read by others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

/// Why a private file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The operating system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or write it.
    #[error("`{path}` has mode {mode:04o}, but must be closed to group and others (chmod go= {path})")]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("`{path}` belongs to uid {owner}, but this process runs as uid {expected}")]
    NotOurs {
        /// The file or directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        expected: u32,
    },
}

/// Reads a file that only we may read; refuses one whose mode or owner is looser.
///
/// # Errors
/// [`PrivateFileError`]; a missing file is `Io` with [`io::ErrorKind::NotFound`].
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let failed = |source| PrivateFileError::Io { path: path.to_owned(), source };
    // Without waiting, lest a FIFO in the place of the file holds up the start for ever.
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let mut file = opened.map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    check_private(path, &metadata)?;
    let mut contents = Zeroizing::new(Vec::new());
    file.read_to_end(&mut contents).map_err(failed)?;
    Ok(contents)
}

/// Reads a regular file of at most `most` bytes. What else stands in its place, a FIFO for instance, holds up nobody.
///
/// # Errors
/// That of the system, or [`io::ErrorKind::Other`] for what is no file and [`io::ErrorKind::FileTooLarge`].
pub fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    // It may grow while it is read.
    read_up_to(file, metadata.len(), most)
}

/// Reads all that `from` has, if that is at most `most` bytes; `expected` is how much is thought to be there.
///
/// # Errors
/// That of the system, or [`io::ErrorKind::FileTooLarge`].
pub fn read_up_to(from: impl io::Read, expected: u64, most: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes"));
    if expected > most {
        return Err(too_large());
    }
    let mut contents = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    from.take(most.saturating_add(1)).read_to_end(&mut contents)?;
    if u64::try_from(contents.len()).is_ok_and(|length| length <= most) { Ok(contents) } else { Err(too_large()) }
}

/// Writes a file of mode 0600 so that after a crash there is either the old file or the new one, whole.
///
/// # Errors
/// [`PrivateFileError::Io`].
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), PrivateFileError> {
    write_with_mode(path, contents, 0o600)
}

/// The same with a file that anybody may read: of mode 0644, as far as the process's mask allows.
///
/// # Errors
/// [`PrivateFileError::Io`].
pub fn write_public(path: &Path, contents: &[u8]) -> Result<(), PrivateFileError> {
    write_with_mode(path, contents, 0o644)
}

fn write_with_mode(path: &Path, contents: &[u8], mode: u32) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Io { path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(name);
    let _stale = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).map_err(failed)?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    sync_parent(path).map_err(failed)
}

/// Makes a directory that only we may enter, or checks that an existing one is so. Missing directories above it get
/// the usual mode: what else is put there may be for others.
///
/// # Errors
/// [`PrivateFileError`].
pub fn private_directory(path: &Path) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Io { path: path.to_owned(), source };
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    check_private(path, &fs::metadata(path).map_err(failed)?)
}

fn check_private(path: &Path, metadata: &fs::Metadata) -> Result<(), PrivateFileError> {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::TooOpen { path: path.to_owned(), mode });
    }
    let expected = nix::unistd::geteuid().as_raw();
    if metadata.uid() == expected {
        Ok(())
    } else {
        Err(PrivateFileError::NotOurs { path: path.to_owned(), owner: metadata.uid(), expected })
    }
}

/// A rename is durable only once its directory is.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_reads_back_and_a_looser_mode_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_private(&path, b"first").unwrap();
        write_private(&path, b"second").unwrap();
        assert_eq!(*read_private(&path).unwrap(), b"second");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_private(&path), Err(PrivateFileError::TooOpen { mode: 0o640, .. })));
    }

    #[test]
    fn a_public_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("map.json");
        write_public(&path, b"first, and longer").unwrap();
        write_public(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o700, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(write_public(&directory.path().join("nowhere/map.json"), b"x").is_err());
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(read_private(&path).unwrap_err().to_string().contains("not a regular file"));
        assert!(read_private(directory.path()).is_err());
    }

    #[test]
    fn an_open_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("above/data");
        private_directory(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let usual = directory.path().join("usual");
        fs::create_dir(&usual).unwrap();
        let mode_of = |path: &Path| fs::metadata(path).unwrap().mode();
        assert_eq!(mode_of(path.parent().unwrap()), mode_of(&usual), "others must get past it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(private_directory(&path), Err(PrivateFileError::TooOpen { .. })));
    }
}
