//! Checkpoints: what a log signs of its tree (tlog-checkpoint).

mod signed;

pub use signed::{SignedCheckpoint, SignedCheckpointError};

use std::fmt;
use std::str::FromStr;

use crate::decimal;
use crate::tree::{MAX_SIZE, TreeHead};

/// The name of a log, and the size and root of its tree. Text form: the text of a note, three lines and the extension
/// lines.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Checkpoint {
    origin: String,
    head: TreeHead,
    extensions: Vec<String>,
}

/// Why something is not a checkpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Fewer than three lines, or the last does not end in a newline.
    #[error("a checkpoint is an origin, a size and a root hash, a line each")]
    Lines,
    /// An empty origin, or one with a control character.
    #[error("the origin of a checkpoint is not empty and has no control character")]
    Origin,
    /// The size is not a number in its one spelling, or not below 2^63.
    #[error("the size in a checkpoint is a decimal number below 2^63 without leading zeros")]
    Size,
    /// The root is not a hash.
    #[error("the root in a checkpoint is the base64 of 32 bytes")]
    Root,
    /// An extension line is empty or has a control character.
    #[error("an extension line of a checkpoint is not empty and has no control character")]
    Extension,
}

impl Checkpoint {
    /// The checkpoint of a log with this origin: for others to find it, the URL of the log without scheme and trailing
    /// slash, with neither spaces nor `+`.
    pub fn new(origin: &str, head: TreeHead) -> Result<Self, CheckpointError> {
        if !is_line(origin) {
            return Err(CheckpointError::Origin);
        }
        if head.size > MAX_SIZE {
            return Err(CheckpointError::Size);
        }
        Ok(Self { origin: origin.to_owned(), head, extensions: Vec::new() })
    }

    /// Adds an extension line. No monitor checks those, and ML-DSA-44 cosigners refuse them.
    pub fn with_extension(mut self, line: &str) -> Result<Self, CheckpointError> {
        if !is_line(line) {
            return Err(CheckpointError::Extension);
        }
        self.extensions.push(line.to_owned());
        Ok(self)
    }

    /// Which log it is.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root of its tree.
    pub const fn head(&self) -> &TreeHead {
        &self.head
    }

    /// What else it says.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        let size = decimal::parse(size).ok_or(CheckpointError::Size)?;
        let root = root.parse().map_err(|_malformed| CheckpointError::Root)?;
        lines.try_fold(Self::new(origin, TreeHead { size, root })?, Self::with_extension)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.head.size, self.head.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Whether this can be a line of a checkpoint.
fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c| c < ' ')
}

#[cfg(test)]
mod tests;
