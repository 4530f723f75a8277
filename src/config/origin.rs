//! Where a value came from, so that an error can point at it and `config show --origins` can name it.

use std::fmt;
use std::sync::Arc;

/// The place that a value was given in. Later variants override earlier ones.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// Nowhere: it is what Portcullis does when told nothing.
    Default,
    /// The configuration file.
    File {
        /// The file, as it was named on the command line.
        path: Arc<str>,
        /// From 1.
        line: u64,
        /// From 1, in characters.
        column: u64,
    },
    /// An environment variable, by its name.
    Environment(Arc<str>),
    /// A flag, as one would write it without its value, e.g. `--set log.filter`.
    Flag(Arc<str>),
}

/// What stands before an error message: `file:line:column`, the variable or the flag.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Origin {
    /// What `config show --origins` says: `default`, `file:line`, `env NAME` or `flag NAME`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File { path, line, .. } => format!("{path}:{line}"),
            Self::Environment(name) => format!("env {name}"),
            Self::Flag(name) => format!("flag {name}"),
        }
    }
}
