//! What is wrong in a policy directory, and where: always with the file, and with line and column where they are known.

use std::fmt;
use std::path::{Path, PathBuf};

use miette::Diagnostic;

use super::source::{File, Sources};
use crate::decision::entity::Awaited;
use crate::foundation::telemetry::printable;

/// How many problems one refusal lists; the rest is only counted.
const MOST_LISTED: usize = 50;
/// How much of one message is kept, in bytes.
const MESSAGE_LIMIT: usize = 1024;

/// One thing that is wrong or odd. Displays as `path/file.cedar:12:3: message`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Problem {
    path: PathBuf,
    position: Option<Position>,
    message: String,
}

/// A line and a column, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Why a directory was refused: every problem found in it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct LoadError {
    problems: Vec<Problem>,
    omitted: usize,
}

impl Problem {
    /// A problem of a whole file or directory.
    pub fn new(path: &Path, message: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), position: None, message: printable(&message.to_string(), MESSAGE_LIMIT) }
    }

    /// A problem `offset` bytes into a file.
    pub(super) fn at(file: &File, offset: usize, message: impl fmt::Display) -> Self {
        Self { position: Some(file.position(offset)), ..Self::new(&file.path, message) }
    }

    /// A problem at a position that is known already.
    pub(in crate::decision) fn positioned(path: &Path, position: Position, message: impl fmt::Display) -> Self {
        Self { position: Some(position), ..Self::new(path, message) }
    }

    /// What Cedar says, where Cedar says it is: its spans count in the text it was given, so the file is found by its
    /// text. `home` is the file it is reported for if Cedar does not say.
    pub(super) fn of(diagnostic: &dyn Diagnostic, sources: &Sources, home: &Path) -> Self {
        let home_file = sources.files().find(|file| file.path == home);
        let named = diagnostic.source_code().and_then(|text| {
            home_file.into_iter().chain(sources.files()).find(|file| {
                let whole = (0, file.text.len()).into();
                text.read_span(&whole, 0, 0).is_ok_and(|read| read.data() == file.text.as_bytes())
            })
        });
        match (named.or(home_file), label(diagnostic)) {
            (Some(file), Some(offset)) => Self::at(file, offset, told(diagnostic)),
            (Some(file), None) => Self::new(&file.path, told(diagnostic)),
            (None, _) => Self::new(home, told(diagnostic)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where in the file, if that is known.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl LoadError {
    /// A refusal for one reason.
    pub fn single(problem: Problem) -> Self {
        Self { problems: vec![problem], omitted: 0 }
    }

    /// A refusal because reading `directory` failed within, which says nothing of the files.
    pub fn fault(directory: &Path) -> Self {
        Self::single(Problem::new(directory, "reading the policies failed within"))
    }

    /// A refusal for as long as the sources of entities have something that does not fit `directory`.
    pub(super) fn waiting(directory: &Path, awaited: &[Awaited]) -> Self {
        Self { problems: awaited.iter().map(|awaited| Problem::new(directory, awaited)).collect(), omitted: 0 }
    }

    /// What was found, in order of place.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// What Cedar says is wrong, with what it says might help.
pub(super) fn told(diagnostic: &dyn Diagnostic) -> String {
    match diagnostic.help() {
        Some(help) => format!("{diagnostic} ({help})"),
        None => diagnostic.to_string(),
    }
}

/// Where in its text Cedar says it is.
pub(super) fn label(diagnostic: &dyn Diagnostic) -> Option<usize> {
    diagnostic.labels().and_then(|mut labels| labels.next()).map(|label| label.offset())
}

/// A refusal if anything was found at all.
pub(in crate::decision) fn refuse_if_any(mut problems: Vec<Problem>) -> Result<(), LoadError> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort_by(|a, b| (&a.path, a.position, &a.message).cmp(&(&b.path, b.position, &b.message)));
    problems.dedup();
    let omitted = problems.len().saturating_sub(MOST_LISTED);
    problems.truncate(MOST_LISTED);
    Err(LoadError { problems, omitted })
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.path.to_string_lossy(), MESSAGE_LIMIT))?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One problem a line.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\nand {omitted} more"),
        }
    }
}

impl std::error::Error for LoadError {}
