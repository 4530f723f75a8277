//! What batches are written to.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use super::file::AuditFile;
use super::metrics::Metrics;
use super::{Destination, SinkError};

/// An open destination.
#[derive(Debug)]
pub(super) enum Target {
    /// Whoever holds the other end keeps the lines. Not [`io::Stdout`], which would write each line by itself.
    Stdout(File),
    File(AuditFile),
}

impl Target {
    pub(super) fn open(destination: &Destination, metrics: Metrics) -> Result<Self, SinkError> {
        match destination {
            Destination::Stdout => {
                let descriptor = io::stdout().as_fd().try_clone_to_owned().map_err(on_stdout)?;
                Ok(Self::Stdout(descriptor.into()))
            }
            Destination::File(path) => AuditFile::open(path, metrics).map(Self::File),
        }
    }

    /// Writes whole lines and syncs.
    ///
    /// # Errors
    /// [`SinkError`]; some of the lines may be written all the same.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        match self {
            Self::Stdout(stdout) => stdout.write_all(lines).map_err(on_stdout),
            Self::File(file) => {
                file.append(lines)?;
                file.sync()
            }
        }
    }
}

fn on_stdout(source: io::Error) -> SinkError {
    SinkError::Io { path: "standard output".into(), source }
}
