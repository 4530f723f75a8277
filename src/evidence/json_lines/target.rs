//! What batches are written to.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use super::file::AuditFile;
use super::metrics::Metrics;
use super::{Destination, SinkError, line};
use crate::evidence::record::Record;

/// How much is collected before it is written, within a batch too: it bounds memory when records are large.
const BUFFER: usize = 1 << 20;

/// An open destination.
#[derive(Debug)]
pub(super) struct Target {
    kind: Kind,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Kind {
    /// Whoever holds the other end keeps the lines. Not [`io::Stdout`], which would write each line by itself.
    Stdout(File),
    File(AuditFile),
}

impl Target {
    pub(super) fn open(destination: &Destination, metrics: Metrics) -> Result<Self, SinkError> {
        let kind = match destination {
            Destination::Stdout => {
                let descriptor = io::stdout().as_fd().try_clone_to_owned().map_err(on_stdout)?;
                Kind::Stdout(descriptor.into())
            }
            Destination::File(path) => Kind::File(AuditFile::open(path, metrics)?),
        };
        Ok(Self { kind, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Writes the records in order, each a line, and syncs.
    ///
    /// # Errors
    /// [`SinkError`]; some of the records may be written all the same.
    pub(super) fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
        for record in records {
            line::write(&mut self.buffer, record)?;
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        self.flush()?;
        match &self.kind {
            Kind::Stdout(_) => Ok(()),
            Kind::File(file) => file.sync(),
        }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match &mut self.kind {
            Kind::Stdout(stdout) => stdout.write_all(&self.buffer).map_err(on_stdout)?,
            Kind::File(file) => file.append(&self.buffer)?,
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        Ok(())
    }
}

fn on_stdout(source: io::Error) -> SinkError {
    SinkError::Io { path: "standard output".into(), source }
}
