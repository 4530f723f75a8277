//! Logs and metrics: how they are set up, and how text from outside is made fit for them.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use prometheus_client::registry::Registry;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For a person at a terminal.
    Text,
}

/// Logging, checked.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The look of a line.
    pub format: LogFormat,
    /// A `tracing` filter directive, e.g. `info` or `info,portcullis::edge=debug`.
    pub filter: String,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("the log filter `{0}` is not valid: {1}")]
    Filter(String, tracing_subscriber::filter::ParseError),
    /// Something else already took the global subscriber.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Sends the process's log lines to standard error.
///
/// # Errors
/// [`LogError`].
pub fn start_logging(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| LogError::Filter(config.filter.clone(), error))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
        LogFormat::Text => lines.finish().try_init(),
    }
    .map_err(|_taken| LogError::AlreadySet)
}

/// `text` with every control character escaped and cut at `limit` bytes, so that what a peer sent can't forge a log
/// line, move a terminal's cursor or fill a disk.
pub fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        if shown.len() >= limit {
            shown.push('…');
            break;
        }
        if character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(printable("a\r\nb\u{1b}[2J\u{202e}", 100), "a\\u{d}\\u{a}b\\u{1b}[2J\\u{202e}");
        assert_eq!(printable("aaaaaa", 3), "aaa…");
    }
}
