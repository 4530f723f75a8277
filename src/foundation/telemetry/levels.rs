//! How much the process logs, while it runs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Puts a filter in force; says whether it could.
type Reload = dyn Fn(EnvFilter) -> bool + Send + Sync;

/// The log level, which can be changed and set back. Cheap to clone.
#[derive(Clone)]
pub struct LogLevels(Arc<Inner>);

struct Inner {
    /// The configured directives.
    launch: String,
    launch_level: LevelFilter,
    current: Mutex<LevelFilter>,
    reload: Box<Reload>,
}

/// The log is no more, so it has no level either.
#[derive(Debug, thiserror::Error)]
#[error("the log has ended")]
pub struct LogEnded;

impl LogLevels {
    /// Levels of a log that started with the directives `launch`, whose filter `reload` replaces.
    pub(super) fn new(launch: &str, filter: &EnvFilter, reload: Box<Reload>) -> Self {
        // Without a hint anything may be let through.
        let launch_level = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
        Self(Arc::new(Inner { launch: launch.to_owned(), launch_level, current: Mutex::new(launch_level), reload }))
    }

    /// The finest level of the lines that are written now.
    pub fn current(&self) -> LevelFilter {
        *self.level()
    }

    /// The finest level that the configuration asks for.
    pub fn launch(&self) -> LevelFilter {
        self.0.launch_level
    }

    /// From now on writes our own lines up to `level`, and those of libraries up to `info` at most: what they say beyond
    /// that is about every frame and would drown ours.
    ///
    /// # Errors
    /// [`LogEnded`].
    pub fn set(&self, level: LevelFilter) -> Result<(), LogEnded> {
        let libraries = level.min(LevelFilter::INFO);
        self.put(&format!("{libraries},portcullis={level}"), level)
    }

    /// Back to what the configuration says.
    ///
    /// # Errors
    /// [`LogEnded`].
    pub fn reset(&self) -> Result<(), LogEnded> {
        self.put(&self.0.launch, self.0.launch_level)
    }

    fn put(&self, directives: &str, level: LevelFilter) -> Result<(), LogEnded> {
        let mut current = self.level();
        if !(self.0.reload)(EnvFilter::new(directives)) {
            return Err(LogEnded);
        }
        *current = level;
        Ok(())
    }

    fn level(&self) -> MutexGuard<'_, LevelFilter> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevels").field("launch", &self.0.launch).field("current", &self.current()).finish()
    }
}

#[cfg(test)]
impl LogLevels {
    /// Levels of no log at all, and the directives that were put in force.
    pub(crate) fn unheard(launch: &str) -> (Self, Arc<Mutex<Vec<String>>>) {
        let put = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&put);
        let reload = Box::new(move |filter: EnvFilter| {
            seen.lock().unwrap().push(filter.to_string());
            true
        });
        (Self::new(launch, &EnvFilter::new(launch), reload), put)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_set_for_our_own_lines_and_reset_to_the_very_directives() {
        let (levels, put) = LogLevels::unheard("warn,portcullis::edge=debug");
        assert_eq!((levels.launch(), levels.current()), (LevelFilter::DEBUG, LevelFilter::DEBUG));
        levels.set(LevelFilter::TRACE).unwrap();
        assert_eq!((levels.launch(), levels.current()), (LevelFilter::DEBUG, LevelFilter::TRACE));
        levels.set(LevelFilter::ERROR).unwrap();
        assert_eq!(levels.current(), LevelFilter::ERROR);
        levels.reset().unwrap();
        assert_eq!(levels.current(), LevelFilter::DEBUG);
        let canonical = |text: &str| EnvFilter::new(text).to_string();
        assert_eq!(
            *put.lock().unwrap(),
            ["info,portcullis=trace", "error,portcullis=error", "warn,portcullis::edge=debug"].map(canonical)
        );
    }

    #[test]
    fn a_level_that_could_not_be_set_is_not_claimed() {
        let levels = LogLevels::new("info", &EnvFilter::new("info"), Box::new(|_filter| false));
        assert!(levels.set(LevelFilter::DEBUG).is_err());
        assert_eq!(levels.current(), LevelFilter::INFO);
    }
}
