//! What a command says, in the format that was asked for.

use std::fmt;

use clap::ValueEnum;
use prost::{Message, Name};
use tonic::{Code, Status};

use super::super::{Exit, Output};
use super::json;

/// How answers are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Pretty,
    /// As JSON, with every field that the message has, on one line.
    Json,
}

/// Why a command failed, in a line.
#[derive(Debug)]
pub(super) struct Failure(String);

/// Where a command's words go.
#[derive(Debug)]
pub(super) struct Console<'a, 'o> {
    output: &'a mut Output<'o>,
    exit: Exit,
    pub(super) format: Format,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// `what` failed for this reason.
    pub(super) fn of(what: &str, reason: impl fmt::Display) -> Self {
        Self(format!("{what}: {reason}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self(rpc_error(&status))
    }
}

/// A status in the words of Go's gRPC, which scripts look for.
pub(super) fn rpc_error(status: &Status) -> String {
    format!("rpc error: code = {} desc = {}", code_name(status.code()), status.message())
}

/// A code's name in Go.
pub(super) fn code_name(code: Code) -> String {
    match code {
        Code::Ok => String::from("OK"),
        Code::Cancelled => String::from("Canceled"),
        other => format!("{other:?}"),
    }
}

impl<'a, 'o> Console<'a, 'o> {
    pub(super) fn new(output: &'a mut Output<'o>) -> Self {
        Self { output, exit: Exit::Success, format: Format::Pretty }
    }

    /// How the process ends if nothing failed.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints text as it is.
    pub(super) fn say(&mut self, text: impl AsRef<str>) {
        let exit = self.output.print(text.as_ref());
        if self.exit == Exit::Success {
            self.exit = exit;
        }
    }

    /// Has the process end as one that was refused.
    pub(super) fn refuse(&mut self) {
        self.exit = Exit::Refused;
    }

    /// Prints text where complaints go.
    pub(super) fn complain(&mut self, text: impl AsRef<str>) {
        self.output.error(text.as_ref(), Exit::Refused);
    }

    /// Prints a message as JSON if that was asked for; says whether it was.
    pub(super) fn json<M: Message + Name>(&mut self, message: &M) -> Result<bool, Failure> {
        if self.format == Format::Json {
            let line = json::line(&json::value(message)?);
            self.say(line);
        }
        Ok(self.format == Format::Json)
    }
}
