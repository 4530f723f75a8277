//! The files of a policy directory, read as one consistent state: if anything changes meanwhile, they are read again.
//! Nothing in them is understood here.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;

use super::problem::{LoadError, Position, Problem, refuse_if_any};
use crate::foundation::digest::{Digest, Hasher};

/// The largest file that is read, in bytes.
const FILE_LIMIT: u64 = 16 << 20;
/// The most that all files together may hold, in bytes.
const TOTAL_LIMIT: u64 = 64 << 20;
/// How often a directory that changes while it is read is read again.
const ATTEMPTS: usize = 10;
/// How long to wait in between.
const PAUSE: Duration = Duration::from_millis(20);

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// `*.cedar`.
    Policies,
    /// `*.cedarschema`.
    CedarSchema,
    /// `*.cedarschema.json`.
    JsonSchema,
    /// `*.links.json`.
    Links,
    /// Every other `*.json`.
    Entities,
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// All files of a directory that matter, sorted by name.
#[derive(Debug)]
pub struct Sources {
    directory: PathBuf,
    files: Vec<File>,
    stamp: Stamp,
}

/// What tells one state of a directory from another without reading the files: names, inodes, sizes and times. Equal
/// stamps can still hide a change within one tick of the file system's clock; a digest can't.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stamp(Vec<(String, FileStamp)>);

/// The same of one file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::decision) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Sources {
    /// Reads a directory.
    ///
    /// # Errors
    /// [`LoadError`]: the directory or a file can't be read, is too large, is not text, or does not stop changing.
    pub fn read(directory: &Path) -> Result<Self, LoadError> {
        let mut refusal = LoadError::single(Problem::new(directory, "the files keep changing while they are read"));
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            // A failure is tried again too: while Kubernetes takes a key away, its link points nowhere for a moment.
            match Self::read_once(directory) {
                Ok(Some(sources)) => return Ok(sources),
                Ok(None) => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn read_once(directory: &Path) -> Result<Option<Self>, LoadError> {
        let stamp = Stamp::of(directory)?;
        let Some(files) = read_all(directory, &stamp)? else { return Ok(None) };
        let settled = Stamp::of(directory)? == stamp;
        Ok(settled.then(|| Self { directory: directory.to_owned(), files, stamp }))
    }

    /// The directory, as it was named.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The state that was read.
    pub const fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// SHA-256 over the names and bytes of the policy, link and schema files.
    pub fn policy_digest(&self) -> Digest {
        self.digest(|kind| kind != Kind::Entities)
    }

    /// SHA-256 over the names and bytes of the schema files.
    pub(super) fn schema_digest(&self) -> Digest {
        self.digest(|kind| matches!(kind, Kind::CedarSchema | Kind::JsonSchema))
    }

    /// SHA-256 over the names and bytes of the entity files.
    pub fn entity_digest(&self) -> Digest {
        self.digest(|kind| kind == Kind::Entities)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.kind == kind)
    }

    fn digest(&self, wanted: impl Fn(Kind) -> bool) -> Digest {
        let mut hasher = Hasher::new();
        for file in self.files.iter().filter(|file| wanted(file.kind)) {
            hasher.field(file.name.as_bytes()).field(file.text.as_bytes());
        }
        hasher.finish()
    }

    /// What [`Self::policy_digest`] is the digest of.
    pub fn policy_archive(&self) -> Vec<u8> {
        self.archive(|kind| kind != Kind::Entities)
    }

    /// What [`Self::entity_digest`] is the digest of.
    pub fn entity_archive(&self) -> Vec<u8> {
        self.archive(|kind| kind == Kind::Entities)
    }

    fn archive(&self, wanted: impl Fn(Kind) -> bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for file in self.files.iter().filter(|file| wanted(file.kind)) {
            for text in [&file.name, &file.text] {
                bytes.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
        }
        bytes
    }

    /// The files that were put into these archives, as if they lay in `directory`; `None` if these are none.
    pub fn of_archives(directory: &Path, archives: &[&[u8]]) -> Option<Self> {
        let mut files = Vec::new();
        for mut rest in archives.iter().copied() {
            while !rest.is_empty() {
                let (name, text) = (take_text(&mut rest)?, take_text(&mut rest)?);
                files.push(File { path: directory.join(&name), kind: kind_of(&name)?, name, text });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Some(Self { directory: directory.to_owned(), files, stamp: Stamp(Vec::new()) })
    }

    /// The same files, but these entities, in Cedar's JSON, in place of all.
    #[must_use]
    pub fn with_entities(mut self, entities: &str) -> Self {
        self.files.retain(|file| file.kind != Kind::Entities);
        let (name, text) = ("entities.json".to_owned(), entities.to_owned());
        self.files.push(File { path: self.directory.join(&name), name, kind: Kind::Entities, text });
        self
    }
}

/// A text with its length before it.
fn take_text(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk()?;
    let (text, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

impl Stamp {
    /// Looks at a directory: hidden names (Kubernetes' `..data` among them), subdirectories and other endings are not
    /// seen; links are followed.
    ///
    /// # Errors
    /// [`LoadError`]: the directory can't be listed, or a file in it is not one that can be read.
    pub fn of(directory: &Path) -> Result<Self, LoadError> {
        let failed = |error: io::Error| LoadError::single(Problem::new(directory, error));
        let mut entries = Vec::new();
        let mut problems = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match look(&path) {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => {}
                Err(message) => problems.push(Problem::new(&path, message)),
            }
        }
        refuse_if_any(problems)?;
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self(entries))
    }
}

impl File {
    /// The line and column `offset` bytes into the text.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        Position { line, column }
    }

    /// The file's name without its ending.
    pub(super) fn stem(&self) -> &str {
        self.name.strip_suffix(".cedar").unwrap_or(&self.name)
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    let endings = [
        (".cedarschema.json", Kind::JsonSchema),
        (".links.json", Kind::Links),
        (".json", Kind::Entities),
        (".cedarschema", Kind::CedarSchema),
        (".cedar", Kind::Policies),
    ];
    endings.into_iter().find(|(ending, _)| name.len() > ending.len() && name.ends_with(ending)).map(|(_, kind)| kind)
}

/// The stamp of one directory entry, `None` if it is not for us.
fn look(path: &Path) -> Result<Option<(String, FileStamp)>, String> {
    let Some(name) = path.file_name() else { return Ok(None) };
    let lossy = name.to_string_lossy();
    if lossy.starts_with('.') || kind_of(&lossy).is_none() {
        return Ok(None);
    }
    // Skipping a policy file because of its name could lose a `forbid` in silence.
    let name = name.to_str().ok_or("the file's name is not UTF-8")?;
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return Ok(None);
    }
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    Ok(Some((name.to_owned(), FileStamp::of(&metadata))))
}

impl FileStamp {
    pub(in crate::decision) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// How long the file is, in bytes.
    pub(in crate::decision) const fn size(&self) -> u64 {
        self.size
    }
}

/// Reads the stamped files; `Ok(None)` if one of them is no longer the one that was stamped.
fn read_all(directory: &Path, stamp: &Stamp) -> Result<Option<Vec<File>>, LoadError> {
    let total = stamp.0.iter().map(|(_, file)| file.size).fold(0, u64::saturating_add);
    if total > TOTAL_LIMIT {
        let message = format!("the files hold {total} bytes, more than {TOTAL_LIMIT}");
        return Err(LoadError::single(Problem::new(directory, message)));
    }
    let mut problems = Vec::new();
    let mut files = Vec::with_capacity(stamp.0.len());
    for (name, expected) in &stamp.0 {
        let path = directory.join(name);
        match (read_file(&path, expected), kind_of(name)) {
            (Ok(Some(text)), Some(kind)) => files.push(File { path, name: name.clone(), kind, text }),
            (Ok(_), _) => return Ok(None),
            (Err(message), _) => problems.push(Problem::new(&path, message)),
        }
    }
    refuse_if_any(problems)?;
    Ok(Some(files))
}

fn read_file(path: &Path, expected: &FileStamp) -> Result<Option<String>, String> {
    if expected.size > FILE_LIMIT {
        return Err(format!("the file has {} bytes, more than {FILE_LIMIT}", expected.size));
    }
    // Non-blocking, lest a FIFO that took the place of the file holds the reader for ever.
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = opened.map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let before = file.metadata().map_err(|error| error.to_string())?;
    (&file).take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let after = file.metadata().map_err(|error| error.to_string())?;
    if FileStamp::of(&before) != *expected || FileStamp::of(&after) != *expected {
        return Ok(None);
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        format!("not UTF-8 text from byte {good} on")
    })
}
