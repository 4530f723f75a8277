//! Records as lines of JSON, in a file or on standard output: for people, and for what collects logs.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use super::file::AuditFile;
use super::{Exported, Sink, SinkError, line, ocsf};

/// Where the lines go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// Standard output, which something else keeps.
    Stdout,
    /// A file of ours in a directory that only we may enter. If it is renamed or removed, a new one is begun. What is
    /// there and not a file, such as a FIFO, is written to as it is; opening a FIFO waits for its reader.
    File(PathBuf),
}

/// What a line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LineForm {
    /// A record as it is.
    Record,
    /// The event of OCSF that a record of this log is.
    Ocsf(String),
}

/// An open destination.
#[derive(Debug)]
pub struct JsonLines {
    target: Target,
    form: LineForm,
    lines: Vec<u8>,
}

#[derive(Debug)]
enum Target {
    /// Whoever holds the other end keeps the lines. Not [`io::Stdout`], which would write each line by itself.
    Stdout(File),
    File(AuditFile),
}

impl JsonLines {
    /// Opens the destination, and repairs the end that a crash may have left.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn open(destination: &Destination, form: LineForm) -> Result<Self, SinkError> {
        let start = match form {
            LineForm::Record => line::START,
            LineForm::Ocsf(_) => ocsf::START,
        };
        let target = match destination {
            Destination::Stdout => {
                let descriptor = io::stdout().as_fd().try_clone_to_owned().map_err(on_stdout)?;
                Target::Stdout(descriptor.into())
            }
            Destination::File(path) => Target::File(AuditFile::open(path, start)?),
        };
        Ok(Self { target, form, lines: Vec::new() })
    }
}

impl Sink for JsonLines {
    fn give(&mut self, records: &[Exported<'_>]) -> Result<(), SinkError> {
        self.lines.clear();
        for exported in records {
            match &self.form {
                LineForm::Record => line::write(&mut self.lines, &exported.record)?,
                LineForm::Ocsf(log) => line::write(&mut self.lines, &ocsf::event(log, exported)?)?,
            }
        }
        match &mut self.target {
            Target::Stdout(stdout) => stdout.write_all(&self.lines).map_err(on_stdout),
            Target::File(file) => {
                file.append(&self.lines)?;
                file.sync()
            }
        }
    }
}

fn on_stdout(source: io::Error) -> SinkError {
    SinkError::Io { path: "standard output".into(), source }
}
