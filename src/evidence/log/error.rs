//! Why the log can't be opened, or failed later.

use std::io;
use std::path::{Path, PathBuf};

use portcullis_tlog::note::KeyError;

use crate::foundation::files::PrivateFileError;

/// Why the log can't be opened, or failed later.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is kept by its digest is something else.
    #[error("`{0}` is not what it was: it has another digest than its name says")]
    Altered(PathBuf),
    /// The log's key can't be used.
    #[error(transparent)]
    NotPrivate(#[from] PrivateFileError),
    /// Whole batches follow what is no batch: this is no trace of a crash.
    #[error(
        "`{path}` is damaged at byte {offset}: what was synced there is not there any more. Restore the file from a backup; portcullis audit verify tells what is left"
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
    },
    /// A batch does not go on where the one before it ended.
    #[error("`{path}`: the batch before byte {offset} begins with entry {found} and not with {expected}")]
    OutOfOrder {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Its first entry.
        found: u64,
        /// What should be.
        expected: u64,
    },
    /// A segment was removed while it was appended to: what is written there is lost with the process.
    #[error("`{0}` was removed while the log was written. Restore it and restart")]
    Removed(PathBuf),
    /// A part of the journal is gone.
    #[error("`{path}`: the entries {from} to {to} are neither in the tree nor here. Restore the segment that has them")]
    Missing {
        /// The journal.
        path: PathBuf,
        /// The first that is missing.
        from: u64,
        /// The first that is there.
        to: u64,
    },
    /// The tree on the disk is not the one that the checkpoint is of.
    #[error(
        "`{path}` is not of the tree that the checkpoint names: {why}. Restore the tiles from a backup or a copy that a server of the log has"
    )]
    Tree {
        /// A tile, or the directory.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The checkpoint can't be read, or is of another log.
    #[error("`{path}`: {why}")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The log's name can't be the name of a key.
    #[error("`{origin}` can't be the name of a log: {source}")]
    Origin {
        /// The name.
        origin: String,
        /// Why not.
        source: KeyError,
    },
    /// There are tiles, but no checkpoint.
    #[error(
        "`{0}` has tiles and no checkpoint. Restore the checkpoint; to begin another log, give the gateway another name or directory"
    )]
    NoCheckpoint(PathBuf),
    /// There was a log, and there is nothing of it.
    #[error(
        "`{0}` has the public key of a log, and neither a checkpoint nor an entry of it: what was signed before would be contradicted. Restore the log from a backup; to begin another, use another directory"
    )]
    Emptied(PathBuf),
    /// The key is gone, and another would begin another log.
    #[error("`{key}` is not there, and `{sign}` shows that there was one. Restore the key from a backup; to begin another log, use another directory", key = .key.display(), sign = .sign.display())]
    LostKey {
        /// Where it was.
        key: PathBuf,
        /// What shows that.
        sign: PathBuf,
    },
    /// The key is not one.
    #[error("`{0}` does not hold the key of a log")]
    Key(PathBuf),
    /// There is no randomness for a key.
    #[error("no key can be made: {0}")]
    Entropy(String),
    /// There is no thread to work with.
    #[error("the thread of the log can't be started: {0}")]
    Thread(io::Error),
}

impl LogError {
    /// What becomes of an I/O error about `path`.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path: path.clone(), source }
    }
}
