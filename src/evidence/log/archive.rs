//! What records refer to by digest, kept beside the log: policy sets, the entities of their directory, certificates, configurations. Each
//! thing is a file that is named by the SHA-256 of its bytes, so there is one of it, and whoever reads it can tell that it
//! is the one. When it was last kept is the time of the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::UNIX_EPOCH;

use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use super::{LogError, directory};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// How long a thing may be, in bytes: the files of a policy directory with a million entities.
const MOST: u64 = 1 << 30;

/// The name of the lock, below the log's directory, under which things are kept by any number and taken out by one.
const LOCK: &str = "archive.lock";

/// What kind of thing is kept, by the name of its directory below the log's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Shelf {
    /// Policies and schema: what a record's `policy_digest` is the digest of.
    Policies,
    /// The entities of the policy directory: what `entity_digest` is the digest of.
    Entities,
    /// Certificates in DER: leaves and authorities.
    Certificates,
    /// Configurations, without secrets: what every entry has the digest of.
    Configurations,
}

impl Shelf {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Policies, Self::Entities, Self::Certificates, Self::Configurations];

    /// The name of its directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Entities => "entities",
            Self::Certificates => "certificates",
            Self::Configurations => "configurations",
        }
    }
}

/// The things that are kept beside the log in a directory.
#[derive(Clone, Debug)]
pub struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// That of the log in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Keeps `contents`. It is on the disk when this returns, and as if it were new if it was there before.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn keep(&self, place: Shelf, contents: &[u8]) -> Result<Digest, LogError> {
        let digest = Digest::of(contents);
        let _locked = directory::lock_shared(&self.directory.join(LOCK))?;
        if self.put(place, &digest, contents)? {
            directory::sync(&self.directory.join(place.name()))?;
            directory::sync(&self.directory)?;
        }
        Ok(digest)
    }

    /// What has this digest; `None` if it is not kept.
    ///
    /// # Errors
    /// [`LogError`]: it can't be read, or is not what it was.
    pub fn find(&self, place: Shelf, digest: &Digest) -> Result<Option<Vec<u8>>, LogError> {
        let path = self.path(place, digest);
        let Some(contents) = directory::read_up_to(&path, MOST)? else { return Ok(None) };
        if Digest::of(&contents) == *digest { Ok(Some(contents)) } else { Err(LogError::Altered(path)) }
    }

    /// Whether there is something under this digest.
    pub fn has(&self, place: Shelf, digest: &Digest) -> bool {
        self.path(place, digest).exists()
    }

    /// Reads all that is kept of a kind, and says how many things that are.
    ///
    /// # Errors
    /// [`LogError`]: one of them can't be read, or is not what it was.
    pub fn verify(&self, place: Shelf) -> Result<usize, LogError> {
        let kept = self.kept(place)?;
        // What was taken out meanwhile is no loss.
        kept.iter().try_for_each(|(digest, _)| self.find(place, digest).map(drop))?;
        Ok(kept.len())
    }

    /// All that is kept of a kind, and when it was last kept.
    pub(super) fn kept(&self, place: Shelf) -> Result<Vec<(Digest, Timestamp)>, LogError> {
        let directory = self.directory.join(place.name());
        let failed = LogError::at(&directory);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(&failed)?,
        };
        let mut kept = Vec::new();
        for entry in entries {
            let entry = entry.map_err(&failed)?;
            let mut digest = [0; 32];
            // What has another name is on its way here.
            if hex::decode_to_slice(entry.file_name().as_encoded_bytes(), &mut digest).is_ok()
                && let Some(time) = modified(&entry.path())?
            {
                kept.push((Digest::from_bytes(digest), time));
            }
        }
        Ok(kept)
    }

    /// Removes a thing, unless it was kept again since `before`. Says whether it did.
    pub(super) fn take_out(&self, place: Shelf, digest: &Digest, before: Timestamp) -> Result<bool, LogError> {
        let _locked = directory::lock(&self.directory.join(LOCK))?;
        let path = self.path(place, digest);
        if modified(&path)?.is_none_or(|time| time >= before) {
            return Ok(false);
        }
        fs::remove_file(&path).map(|()| true).map_err(LogError::at(&path))
    }

    fn path(&self, place: Shelf, digest: &Digest) -> PathBuf {
        self.directory.join(place.name()).join(digest.to_string())
    }

    /// Writes it, unless it is there whole. Says whether it had to.
    fn put(&self, place: Shelf, digest: &Digest, contents: &[u8]) -> Result<bool, LogError> {
        // What was damaged is written anew.
        let path = self.path(place, digest);
        if matches!(self.find(place, digest), Ok(Some(_))) {
            return renew(&path).map(|()| false).map_err(LogError::at(&path));
        }
        directory::create(&self.directory.join(place.name()))?;
        // Another process may be writing the same.
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        write_synced(&beside, contents).and_then(|()| fs::rename(&beside, &path)).map_err(LogError::at(&path))?;
        Ok(true)
    }
}

/// When a file was last written; `None` if it is not there.
fn modified(path: &Path) -> Result<Option<Timestamp>, LogError> {
    let time = match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        time => time.map_err(LogError::at(path))?,
    };
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(Timestamp::default().after(since)))
}

/// Makes a file as if it were written now.
fn renew(path: &Path) -> io::Result<()> {
    futimens(File::open(path)?, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW).map_err(io::Error::from)
}

fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_data()
}

/// How many pairs of certificates may wait to be written.
const WAITING: usize = 4096;

/// Keeps certificates, from a thread of its own: who verifies one does not wait for the disk.
#[derive(Debug)]
pub struct CertificateKeeper {
    waiting: SyncSender<[Vec<u8>; 2]>,
}

impl CertificateKeeper {
    /// Starts the thread. It ends with the keeper.
    ///
    /// # Errors
    /// [`LogError::Thread`].
    pub fn start(archive: Archive) -> Result<Self, LogError> {
        let (waiting, taken) = sync_channel(WAITING);
        let started = thread::Builder::new().name("certificates".into()).spawn(move || keep_all(&archive, &taken));
        started.map(|_thread| Self { waiting }).map_err(LogError::Thread)
    }

    /// Has a leaf and its authority kept, soon. If there are more than can wait, these are not: a receipt that needs them
    /// then says so.
    pub fn keep(&self, chain: [&[u8]; 2]) {
        match self.waiting.try_send(chain.map(<[u8]>::to_vec)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::warn!("a certificate is not kept for receipts: too many wait"),
            Err(TrySendError::Disconnected(_)) => tracing::warn!("certificates are not kept for receipts any more"),
        }
    }
}

fn keep_all(archive: &Archive, taken: &Receiver<[Vec<u8>; 2]>) {
    for certificate in taken.iter().flatten() {
        if let Err(error) = archive.keep(Shelf::Certificates, &certificate) {
            tracing::warn!("a certificate is not kept for receipts: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_kept_again_is_as_if_it_were_new_and_is_not_taken_out() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::new(directory.path());
        let digest = archive.keep(Shelf::Entities, b"[]").unwrap();
        let path = archive.path(Shelf::Entities, &digest);
        let (old, limit) = (UNIX_EPOCH + Duration::from_secs(10), Timestamp::from_unix_seconds(20));
        let age = || File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
        age();
        assert_eq!(archive.kept(Shelf::Entities).unwrap(), [(digest, Timestamp::from_unix_seconds(10))]);
        archive.keep(Shelf::Entities, b"[]").unwrap();
        assert!(!archive.take_out(Shelf::Entities, &digest, limit).unwrap());
        age();
        assert!(!archive.take_out(Shelf::Entities, &digest, Timestamp::from_unix_seconds(10)).unwrap());
        assert!(archive.take_out(Shelf::Entities, &digest, limit).unwrap());
        assert!(!archive.take_out(Shelf::Entities, &digest, limit).unwrap());
        assert!(archive.find(Shelf::Entities, &digest).unwrap().is_none());
    }

    #[test]
    fn a_thing_is_kept_once_found_by_its_digest_and_never_passed_for_another() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::new(directory.path());
        let digest = archive.keep(Shelf::Policies, b"permit(principal, action, resource);").unwrap();
        let path = archive.path(Shelf::Policies, &digest);
        let first = fs::metadata(&path).unwrap().ino();
        assert_eq!(archive.keep(Shelf::Policies, b"permit(principal, action, resource);").unwrap(), digest);
        assert_eq!(fs::metadata(&path).unwrap().ino(), first, "it was written anew");
        assert_eq!(archive.verify(Shelf::Policies).unwrap(), 1);
        let found = archive.find(Shelf::Policies, &digest).unwrap();
        assert_eq!(found.as_deref(), Some(&b"permit(principal, action, resource);"[..]));
        assert_eq!(archive.find(Shelf::Entities, &digest).unwrap(), None);

        fs::write(&path, b"permit(principal, action, resource)!").unwrap();
        assert!(matches!(archive.find(Shelf::Policies, &digest), Err(LogError::Altered(_))));
        assert!(matches!(archive.verify(Shelf::Policies), Err(LogError::Altered(_))));
        archive.keep(Shelf::Policies, b"permit(principal, action, resource);").unwrap();
        assert!(archive.find(Shelf::Policies, &digest).unwrap().is_some(), "it was not written anew");
    }

    #[test]
    fn certificates_are_kept_by_the_time_that_the_keeper_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::new(directory.path());
        let (waiting, taken) = sync_channel(2);
        let keeper = CertificateKeeper { waiting };
        keeper.keep([b"leaf", b"authority"]);
        keeper.keep([b"another", b"authority"]);
        keeper.keep([b"one too many", b"authority"]);
        drop(keeper);
        keep_all(&archive, &taken);
        for (contents, kept) in
            [(&b"leaf"[..], true), (b"authority", true), (b"another", true), (b"one too many", false)]
        {
            assert_eq!(archive.find(Shelf::Certificates, &Digest::of(contents)).unwrap().is_some(), kept);
        }
    }
}
