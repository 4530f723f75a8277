//! Logs and metrics: how they are set up, and how text from outside is made fit for them.

mod levels;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use prometheus_client::registry::Registry;

pub use self::levels::{LogEnded, LogLevels};

/// How many lines may wait for a slow reader.
const WAITING_LINES: usize = 8192;

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

/// Writes out what was logged when it is dropped, which waits a second at most.
#[must_use = "what is logged last is lost unless this is dropped at the very end"]
pub struct LogWriter {
    levels: LogLevels,
    _guard: WorkerGuard,
}

impl LogWriter {
    /// How much it writes, to be changed while it does.
    pub fn levels(&self) -> LogLevels {
        self.levels.clone()
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogWriter")
    }
}

/// Sends the process's log lines to standard error, from a thread of its own: whoever reads them may stall or go away,
/// and no decision may wait or fail for that. Lines that find no room are dropped.
///
/// # Errors
/// [`LogError`].
pub fn start_logging(config: &LogConfig) -> Result<LogWriter, LogError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| LogError::Filter(config.filter.clone(), error))?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let lines = tracing_subscriber::fmt()
        .with_writer(writer)
        // They would go to standard error by `eprintln!`, which panics if that is closed.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    // The two looks are of different types, and so are the handles on their filters.
    let (set, reload): (_, Box<dyn Fn(EnvFilter) -> bool + Send + Sync>) = match config.format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_env_filter(filter.clone()).with_filter_reloading();
            let handle = lines.reload_handle();
            (lines.finish().try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
        }
        LogFormat::Text => {
            let lines = lines.with_env_filter(filter.clone()).with_filter_reloading();
            let handle = lines.reload_handle();
            (lines.finish().try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
        }
    };
    set.map_err(|_taken| LogError::AlreadySet)?;
    Ok(LogWriter { levels: LogLevels::new(&config.filter, &filter, reload), _guard: guard })
}

/// Lets a log line through once in a while: for what a peer can bring about as often as it likes.
#[derive(Debug)]
pub struct Seldom {
    pause_nanos: u64,
    next: AtomicU64,
    withheld: AtomicU64,
}

impl Seldom {
    /// One that lets a line through at most every `pause`.
    pub fn every(pause: Duration) -> Self {
        let pause_nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        Self { pause_nanos, next: AtomicU64::new(0), withheld: AtomicU64::new(0) }
    }

    /// Whether a line may be written at `elapsed` ([`Clock::elapsed`](crate::foundation::clock::Clock::elapsed)), and how
    /// many were withheld since the last one that was.
    pub fn admit(&self, elapsed: Duration) -> Option<u64> {
        let now = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        let after = now.saturating_add(self.pause_nanos);
        if now >= next && self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            Some(self.withheld.swap(0, Ordering::Relaxed))
        } else {
            self.withheld.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// `text` with every control character escaped and cut at `limit` bytes, so that what a peer sent can't forge a log
/// line, move a terminal's cursor or fill a disk.
pub fn printable(text: &str, limit: usize) -> String {
    as_printable(text, limit).into_owned()
}

/// [`printable`], which most texts are as they stand.
pub fn as_printable(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit && is_printable(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        if shown.len() >= limit {
            shown.push('…');
            break;
        }
        if is_unprintable(character) {
            let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether nothing in `text` is unprintable. Most texts are ASCII, which is found out at once.
pub fn is_printable(text: &str) -> bool {
    // Without stopping at the first that is not, which compiles to a few wide instructions.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    is_plain || !text.contains(is_unprintable)
}

/// Whether a character could move a terminal's cursor, break a line or turn its direction. All of these are in the BMP.
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_becomes_one_in_a_while_and_a_count() {
        let seldom = Seldom::every(Duration::from_secs(1));
        assert_eq!(seldom.admit(Duration::ZERO), Some(0));
        for milliseconds in 1..=999 {
            assert_eq!(seldom.admit(Duration::from_millis(milliseconds)), None);
        }
        assert_eq!(seldom.admit(Duration::from_secs(1)), Some(999));
    }

    #[test]
    fn control_and_direction_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(printable("a\r\nb\u{1b}[2J\u{202e}", 100), "a\\u{d}\\u{a}b\\u{1b}[2J\\u{202e}");
        assert_eq!(printable("aaaaaa", 3), "aaa…");
    }
}
