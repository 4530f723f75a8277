//! Where an issuer's keys come from: the port that feeds implement, and the one source that needs no network.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use tokio::task::spawn_blocking;

use super::keys::{KeySetError, MAX_DOCUMENT_BYTES};

/// Why keys can't be had now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeySourceError {
    /// There is no answer, or not the right one; says from where.
    #[error("{0}")]
    Unavailable(String),
    /// There is one, and it can't be relied on.
    #[error("the key set can't be used: {0}")]
    Document(#[from] KeySetError),
}

/// A reading on its way: the whole document, or `None` if it is what it was the last time.
pub type KeyReading<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>, KeySourceError>> + Send + 'a>>;

/// Where an issuer publishes its keys.
pub trait KeySource: Send {
    /// Reads the document; with `whole` also if it has not changed.
    fn read(&mut self, whole: bool) -> KeyReading<'_>;
}

/// A file of this machine.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// The file at `path`.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl KeySource for KeyFile {
    fn read(&mut self, _whole: bool) -> KeyReading<'_> {
        let path = self.0.clone();
        Box::pin(async move {
            let shown = path.display().to_string();
            let read = spawn_blocking(move || read(&path)).await;
            let failed = |error: &dyn std::fmt::Display| KeySourceError::Unavailable(format!("`{shown}`: {error}"));
            read.map_err(|error| failed(&error))?.map(Some).map_err(|error| failed(&error))
        })
    }
}

/// One byte more than may be there tells that there is too much.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut document = Vec::new();
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut document)?;
    Ok(document)
}
