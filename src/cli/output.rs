//! The only place that writes to standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;

use super::Exit;

/// Where results and complaints go.
pub struct Output<'a> {
    results: Box<dyn Write + 'a>,
    complaints: Box<dyn Write + 'a>,
}

impl Output<'static> {
    /// Results to standard output, complaints to standard error.
    pub fn standard() -> Self {
        Self::new(io::stdout(), io::stderr())
    }
}

impl<'a> Output<'a> {
    /// Output to the given streams.
    pub fn new(results: impl Write + 'a, complaints: impl Write + 'a) -> Self {
        Self { results: Box::new(results), complaints: Box::new(complaints) }
    }

    /// Prints a result. A reader that has seen enough and closed its end, as `head` does, is no error.
    pub fn print(&mut self, text: &str) -> Exit {
        match self.print_on(text) {
            ControlFlow::Continue(()) => Exit::Success,
            ControlFlow::Break(exit) => exit,
        }
    }

    /// The same of one of many results, which says how to end if nobody reads on.
    pub fn print_on(&mut self, text: &str) -> ControlFlow<Exit> {
        match self.results.write_all(text.as_bytes()).and_then(|()| self.results.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => ControlFlow::Break(Exit::Success),
            Err(error) => ControlFlow::Break(self.error(&format!("portcullis: standard output: {error}"), Exit::Fault)),
        }
    }

    /// Prints a complaint as lines of their own, and passes on how to end.
    pub fn error(&mut self, text: &str, exit: Exit) -> Exit {
        // If not even standard error can be written, the exit code has to say it all.
        let _unwritable = writeln!(self.complaints, "{text}").and_then(|()| self.complaints.flush());
        exit
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}
