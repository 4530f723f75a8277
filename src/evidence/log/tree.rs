//! The tree on the disk: tiles, entry bundles and the checkpoint, laid out as C2SP's tlog-tiles wants them served.

use std::collections::HashSet;
use std::io::IoSlice;
use std::iter;
use std::path::{Path, PathBuf};

use portcullis_tlog::bundle::{self, Bundle, BundleError, bundles_between};
use portcullis_tlog::checkpoint::{Checkpoint, SignedCheckpoint};
use portcullis_tlog::note::VerifierKey;
use portcullis_tlog::policy::Policy;
use portcullis_tlog::tile::{FULL_WIDTH, Tile, tiles_between};
use portcullis_tlog::tree::{Frontier, ReadError, TreeHead, TreeReader};
use portcullis_tlog::walk::{self, LogSource};
use portcullis_tlog::{TileSource, leaf_hash};

use super::checkpoints::{CHECKPOINT, Checkpoints};
use super::key::Signer;
use super::{LogError, directory};
use crate::foundation::clock::Timestamp;

/// The tree of a log, to append to.
#[derive(Debug)]
pub struct Tree {
    directory: PathBuf,
    origin: String,
    frontier: Frontier,
    /// How many entries are under the checkpoint on the disk.
    published: u64,
    /// The last tile of each level, as far as it goes. Empty right after one is full.
    tails: Vec<Vec<u8>>,
    /// The last bundle, likewise.
    tail: Vec<u8>,
    /// The directories that have partial tiles and bundles.
    partial: HashSet<PathBuf>,
    /// Whether these are all: a crash may have left others than those of the last checkpoint.
    knows_all: bool,
    /// The directories of what is full by now: no checkpoint needs them once there is another.
    stale: Vec<PathBuf>,
}

/// Reads the tiles of a log from its directory.
#[derive(Clone, Copy, Debug)]
pub struct Tiles<'a>(pub &'a Path);

impl TileSource for Tiles<'_> {
    type Error = LogError;

    fn tile(&self, tile: Tile) -> Result<impl AsRef<[u8]>, LogError> {
        let full = Tile::new(tile.level(), tile.index(), FULL_WIDTH);
        let mut bytes = self.read(&tile.to_string(), full.map(|full| full.to_string()))?;
        bytes.truncate(tile.bytes());
        Ok(bytes)
    }
}

impl LogSource for Tiles<'_> {
    fn bundle(&self, bundle: Bundle) -> Result<impl AsRef<[u8]>, LogError> {
        let full = Bundle::new(bundle.index(), FULL_WIDTH);
        let mut bytes = self.read(&bundle.to_string(), full.map(|full| full.to_string()))?;
        let refused =
            |error: BundleError| LogError::Tree { path: self.0.join(bundle.to_string()), why: error.to_string() };
        let length = bundle::narrow(&bytes, bundle.width()).map_err(refused)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl Tiles<'_> {
    /// What is there under this name, or else under that which it has once it is full: the partial ones may go then.
    fn read(&self, name: &str, full: Option<String>) -> Result<Vec<u8>, LogError> {
        let path = self.0.join(name);
        if let Some(bytes) = directory::read(&path)? {
            return Ok(bytes);
        }
        let bytes = full.map_or(Ok(None), |full| directory::read(&self.0.join(full)))?;
        bytes.ok_or_else(|| LogError::Tree { path, why: "it is not there".to_owned() })
    }
}

impl Tree {
    /// Opens the tree in `directory`, which is that of the checkpoint there; without one, an empty tree.
    ///
    /// # Errors
    /// [`LogError`]: the checkpoint is of another log or by another key, or the tiles are not those of its tree.
    pub fn open(directory: &Path, origin: &str, key: &VerifierKey) -> Result<Self, LogError> {
        let mut tree = Self {
            directory: directory.to_owned(),
            origin: origin.to_owned(),
            frontier: Frontier::new(),
            published: 0,
            tails: Vec::new(),
            tail: Vec::new(),
            partial: HashSet::new(),
            knows_all: false,
            stale: Vec::new(),
        };
        let path = directory.join(CHECKPOINT);
        let Some(bytes) = directory::read(&path)? else {
            let has_tiles = directory.join("tile").exists();
            return if has_tiles { Err(LogError::NoCheckpoint(directory.to_owned())) } else { Ok(tree) };
        };
        let refused = |why: String| LogError::Checkpoint { path: path.clone(), why };
        let signed = SignedCheckpoint::parse(&bytes).map_err(|error| refused(error.to_string()))?;
        let policy = Policy::log_only(origin, key.clone());
        let head = *policy.verify(&signed).map_err(|error| refused(error.to_string()))?.checkpoint.head();
        tree.restore(head)?;
        Ok(tree)
    }

    /// Reads back the right edge, which must be that of `head`.
    fn restore(&mut self, head: TreeHead) -> Result<(), LogError> {
        let unlike = |why: String| LogError::Tree { path: self.directory.clone(), why };
        let source = Tiles(&self.directory);
        let failed = |error| match error {
            // That names the file and says what to do.
            ReadError::Source { error, .. } => error,
            other => unlike(other.to_string()),
        };
        let mut reader = TreeReader::new(head.size, &source).map_err(failed)?;
        let frontier = reader.frontier().map_err(failed)?;
        if frontier.root() != head.root {
            return Err(unlike("its root is another".to_owned()));
        }
        for tile in tiles_between(0, head.size).filter(|tile| !tile.is_full()) {
            let level = usize::from(tile.level());
            if self.tails.len() <= level {
                self.tails.resize(level + 1, Vec::new());
            }
            let bytes = source.tile(tile)?.as_ref().to_vec();
            if let Some(tail) = self.tails.get_mut(level) {
                *tail = bytes;
            }
            self.partial.extend(self.directory_of(&tile.to_string()));
        }
        let last = bundles_between(0, head.size).last().filter(|bundle| !bundle.is_full());
        if let Some(last) = last {
            walk::verify_piece(&source, head.size, last).map_err(|error| unlike(error.to_string()))?;
            self.tail = source.bundle(last)?.as_ref().to_vec();
            self.partial.extend(self.directory_of(&last.to_string()));
        }
        (self.frontier, self.published) = (frontier, head.size);
        Ok(())
    }

    /// How many entries there are.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// How many of them are under a checkpoint.
    pub(super) const fn published(&self) -> u64 {
        self.published
    }

    /// Appends entries until there are no more, or a bundle is full: then writes it, and the tiles that are full. Says whether it is.
    /// Entries that were taken count as appended only if this went well.
    pub(super) fn append<'e>(&mut self, entries: &mut impl Iterator<Item = &'e [u8]>) -> Result<bool, LogError> {
        let place = self.frontier.size() / u64::from(FULL_WIDTH);
        let mut taken = Vec::with_capacity(usize::from(FULL_WIDTH));
        let mut full = Vec::new();
        while full.is_empty()
            && let Some(entry) = entries.next()
        {
            let prefix = bundle::prefix(entry);
            let too_long = |error: BundleError| LogError::Tree { path: self.directory.clone(), why: error.to_string() };
            taken.push((prefix.map_err(too_long)?, entry));
            self.grow(entry, &mut full);
        }
        let pieces = taken.iter().flat_map(|(prefix, entry)| [&prefix[..], entry]);
        if full.is_empty() {
            pieces.for_each(|piece| self.tail.extend_from_slice(piece));
            return Ok(false);
        }
        // What is not in the tail yet is written from where it is.
        let mut pieces: Vec<_> = iter::once(&self.tail[..]).chain(pieces).map(IoSlice::new).collect();
        let bundle = Bundle::new(place, FULL_WIDTH).map(|bundle| bundle.to_string());
        self.write(bundle.clone(), &mut pieces)?;
        self.filled(bundle);
        self.tail.clear();
        for (level, index) in full {
            self.write_full(level, index)?;
        }
        Ok(true)
    }

    /// Hashes an entry, and says in `full` which tiles that fills.
    fn grow(&mut self, entry: &[u8], full: &mut Vec<(u8, u64)>) {
        let tails = &mut self.tails;
        self.frontier.append(leaf_hash(entry), |grown| {
            let level = usize::from(grown.level);
            if tails.len() <= level {
                tails.resize(level + 1, Vec::new());
            }
            if let Some(tail) = tails.get_mut(level) {
                tail.extend_from_slice(grown.hash.as_bytes());
            }
            if u16::from(grown.offset()) + 1 == FULL_WIDTH {
                full.push((grown.level, grown.index()));
            }
        });
    }

    /// Writes a tile that is full.
    fn write_full(&mut self, level: u8, index: u64) -> Result<(), LogError> {
        let tile = Tile::new(level, index, FULL_WIDTH).map(|tile| tile.to_string());
        if let Some(tail) = self.tails.get(usize::from(level)) {
            self.write(tile.clone(), &mut [IoSlice::new(tail)])?;
        }
        self.filled(tile);
        if let Some(tail) = self.tails.get_mut(usize::from(level)) {
            tail.clear();
        }
        Ok(())
    }

    /// Writes what is not full yet, and then a checkpoint of all entries so far. Everything that it vouches for is on
    /// the disk before it is.
    pub(super) fn publish(&mut self, signer: &Signer, now: Timestamp) -> Result<SignedCheckpoint, LogError> {
        let head = self.frontier.head();
        for tile in tiles_between(self.published, head.size).filter(|tile| !tile.is_full()) {
            let tail = self.tails.get(usize::from(tile.level())).map_or(&[][..], Vec::as_slice);
            self.write(Some(tile.to_string()), &mut [IoSlice::new(tail)])?;
            self.partial.extend(self.directory_of(&tile.to_string()));
        }
        if let Some(last) = bundles_between(self.published, head.size).last().filter(|bundle| !bundle.is_full()) {
            self.write(Some(last.to_string()), &mut [IoSlice::new(&self.tail)])?;
            self.partial.extend(self.directory_of(&last.to_string()));
        }
        self.knows_all = true;
        directory::sync_all(&self.directory)?;
        let path = self.directory.join(CHECKPOINT);
        let refused = |why: String| LogError::Checkpoint { path: path.clone(), why };
        let checkpoint = Checkpoint::new(&self.origin, head).map_err(|error| refused(error.to_string()))?;
        let note = signer.sign(&checkpoint, now).map_err(refused)?;
        Checkpoints::of(&self.directory).publish(&note)?;
        self.published = head.size;
        for directory in std::mem::take(&mut self.stale) {
            directory::remove(&directory)?;
        }
        Ok(note)
    }

    /// A tile or bundle is full: its partial forms, if there are any, may go.
    fn filled(&mut self, full: Option<String>) {
        let directory = full.map(|full| self.directory.join(format!("{full}.p")));
        let known = &mut self.partial;
        self.stale.extend(directory.filter(|directory| known.remove(directory) || !self.knows_all));
    }

    /// Where a tile or bundle is that is not full.
    fn directory_of(&self, partial: &str) -> Option<PathBuf> {
        self.directory.join(partial).parent().map(Path::to_owned)
    }

    /// Where it belongs at once: until there is a checkpoint that vouches for it nobody asks for it, and whoever goes on after a crash
    /// writes it anew. The size of a tree is below 2^63, so each of its tiles and bundles has a name.
    fn write(&self, name: Option<String>, pieces: &mut [IoSlice<'_>]) -> Result<(), LogError> {
        name.map_or(Ok(()), |name| directory::write(&self.directory.join(name), pieces))
    }
}
