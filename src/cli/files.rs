//! What commands leave behind in files.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes what others may read: mode 0644.
pub(super) fn write_public(path: &Path, contents: &[u8]) -> io::Result<()> {
    write(path, contents, 0o644)
}

/// Writes what no other may read: mode 0600, also if the file was there with another.
pub(super) fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    write(path, contents, 0o600)
}

/// Whoever has the old file open keeps the old contents, and never sees half of the new.
fn write(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(beside);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let written = file
        .set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.write_all(contents))
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _gone = std::fs::remove_file(&beside);
    }
    written
}
