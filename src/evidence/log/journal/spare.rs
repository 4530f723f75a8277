//! The file of the segment after this one, made while this one fills up: zeros, already on the disk. To sync what was written over
//! them the file system has to note nothing of its own, which took half the time where it was tried (ext4). Without a spare the
//! next segment begins empty and grows, and nothing else is different.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::evidence::log::{LogError, directory};

/// The name of the spare, below the journal's directory.
const SPARE: &str = "spare";

/// What it is until it is whole.
const NEW: &str = "spare.new";

/// How much is written before each sync, in bytes: few enough that whoever waits for the same disk does not wait long.
const PIECE: usize = 128 << 10;

/// Makes the spare, of `length` bytes, if there is none. One at a time may do this.
///
/// # Errors
/// [`LogError::Io`]; then nothing is left of it.
pub(in crate::evidence::log) fn prepare(directory: &Path, length: usize) -> Result<(), LogError> {
    let (spare, new) = (directory.join(SPARE), directory.join(NEW));
    if spare.exists() {
        return Ok(());
    }
    let made = directory::open_to_write(&new)
        .and_then(|file| fill(&file, length).and_then(|()| fs::rename(&new, &spare)).map_err(LogError::at(&new)));
    if made.is_err() {
        let _may_be_missing = fs::remove_file(&new);
    }
    made
}

fn fill(mut file: &File, length: usize) -> io::Result<()> {
    file.set_len(0)?;
    let zeros = vec![0; PIECE.min(length)];
    let mut left = length;
    while let Some(piece) = zeros.get(..left.min(PIECE)).filter(|piece| !piece.is_empty()) {
        file.write_all(piece)?;
        file.sync_data()?;
        left -= piece.len();
    }
    Ok(())
}

/// Makes the spare the file at `path`, if there is one.
pub(super) fn take(directory: &Path, path: &Path) -> Result<(), LogError> {
    match fs::rename(directory.join(SPARE), path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::at(path)(error)),
        _ => Ok(()),
    }
}
