//! Files and directories of the evidence, made so that they survive a crash and nobody else can write them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::LogError;
use crate::foundation::files::read_bounded;

/// Makes the directory, and those above it, if it is not there.
pub(in crate::evidence) fn create(path: &Path) -> Result<(), LogError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(LogError::at(path))
}

/// Opens a file to read and to append to; makes it if it is not there.
pub(super) fn open_to_append(path: &Path) -> Result<File, LogError> {
    let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
    opened.and_then(regular).map_err(LogError::at(path))
}

/// What is written to anything else is nowhere afterwards.
fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Opens a file to read and to write anywhere; makes it if it is not there.
pub(super) fn open_to_write(path: &Path) -> Result<File, LogError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.and_then(regular).map_err(LogError::at(path))
}

/// The same, but `None` if it is not there.
pub(super) fn open_existing(path: &Path) -> Result<Option<File>, LogError> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => regular(file).map(Some).map_err(LogError::at(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::at(path)(error)),
    }
}

/// Waits for the lock on a file, which is made if it is missing. It is let go with what this returns, or with the process.
pub(in crate::evidence) fn lock(path: &Path) -> Result<File, LogError> {
    wait_for(path, File::lock)
}

/// The same, beside others who ask for no more than this.
pub(super) fn lock_shared(path: &Path) -> Result<File, LogError> {
    wait_for(path, File::lock_shared)
}

fn wait_for(path: &Path, lock: impl Fn(&File) -> io::Result<()>) -> Result<File, LogError> {
    let file = open_to_append(path)?;
    while let Err(error) = lock(&file) {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(LogError::at(path)(error));
        }
    }
    Ok(file)
}

/// How long what is read whole may be, in bytes: twice the longest bundle of entries.
const MOST: u64 = 32 << 20;

/// What is in a file; `None` if it is not there.
pub(in crate::evidence) fn read(path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    read_up_to(path, MOST)
}

/// The same, of up to so many bytes.
pub(in crate::evidence) fn read_up_to(path: &Path, most: u64) -> Result<Option<Vec<u8>>, LogError> {
    match read_bounded(path, most) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::at(path)(error)),
    }
}

/// Removes a directory with all that is in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), LogError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::at(path)(error)),
        _ => Ok(()),
    }
}

/// Waits until the names in a directory are on the disk.
pub(super) fn sync(directory: &Path) -> Result<(), LogError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(LogError::at(directory))
}

/// Waits until all that was written to the file system of `directory` is on the disk: one wait for any number of files.
pub(super) fn sync_all(directory: &Path) -> Result<(), LogError> {
    let opened = File::open(directory).map_err(LogError::at(directory))?;
    nix::unistd::syncfs(opened.as_fd()).map_err(|error| LogError::at(directory)(error.into()))
}

/// Writes a whole file, in a directory that is made if need be. It is whole and on the disk once [`sync_all`] has returned, and
/// anything before that; but where it had the same bytes already, they are never gone. What it is made of is in `pieces`, one after
/// another.
pub(super) fn write(path: &Path, pieces: &mut [IoSlice<'_>]) -> Result<(), LogError> {
    let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let opened = match (open(), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create(parent)?;
            open()
        }
        (opened, _) => opened,
    };
    opened.and_then(|file| fill(&file, pieces)).map_err(LogError::at(path))
}

/// What is longer is cut short only afterwards.
fn fill(mut file: &File, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match file.write_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut pieces, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if file.metadata()?.len() > length { file.set_len(length) } else { Ok(()) }
}

/// Writes a whole file, which is on the disk when this returns: after a crash there is the old file or the new one.
pub(in crate::evidence) fn write_through(path: &Path, contents: &[u8]) -> Result<(), LogError> {
    let beside = beside(path);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
    let written = opened.and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()));
    written.and_then(|()| fs::rename(&beside, path)).map_err(LogError::at(path))?;
    path.parent().map_or(Ok(()), sync)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
