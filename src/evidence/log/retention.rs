//! Taking old entries out of the log. Only entry bundles go, from the beginning on: the tree stays, every checkpoint and
//! every receipt holds, and what was taken out can be shown to have been there by whoever kept it.
//!
//! Nothing goes that a hold keeps or that a sink has not got. A record of it is in the log, on the disk, before anything
//! goes; `pruned` says from where on entries can be read.

mod unnamed;

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_tlog::bundle::Bundle;
use portcullis_tlog::tile::FULL_WIDTH;
use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::{JOURNAL, LogError, LogReader, directory};
use crate::evidence::export::{POSITION_PREFIX, Position};
use crate::evidence::record::encoding::{self, OwnedRecord};
use crate::foundation::clock::Timestamp;

const PRUNED: &str = "pruned";
const HOLDS: &str = "holds";
const LOCK: &str = "retention.lock";

/// What keeps and takes out the entries of the log in a directory.
#[derive(Clone, Debug)]
pub struct Retention {
    directory: PathBuf,
}

/// A reason for which entries must be kept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// From when on entries are kept, in nanoseconds since 1970; 0 keeps all.
    pub from: u64,
    /// Why.
    pub reason: String,
}

/// Which entries can go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The first that is there.
    pub first: u64,
    /// The first that stays.
    pub end: u64,
    /// Why not more of those that are old enough go, if something keeps them.
    pub kept_by: Option<String>,
}

/// Why nothing goes.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// A file of the log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is in the log is no record.
    #[error("entry {index}: {source}")]
    Record {
        /// Which.
        index: u64,
        /// What is wrong with it.
        source: encoding::ReadError,
    },
    /// A file does not hold what it should.
    #[error("`{path}`: {why}", path = .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There must be a record of it first.
    #[error("there is no record of it: {0}")]
    Unrecorded(String),
    /// The name of a hold.
    #[error("there is {0} hold `{1}`")]
    Hold(&'static str, String),
}

impl Retention {
    /// That of the log in `directory`.
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The first entry that can be read.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub fn first(&self) -> Result<u64, RetentionError> {
        let path = self.directory.join(PRUNED);
        let Some(bytes) = directory::read(&path)? else { return Ok(0) };
        let first = number(&bytes).filter(|first| first.is_multiple_of(u64::from(FULL_WIDTH)));
        first.ok_or_else(|| malformed(path, "it is not the number of an entry that begins a bundle"))
    }

    /// All holds.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub fn holds(&self) -> Result<Vec<Hold>, RetentionError> {
        let path = self.directory.join(HOLDS);
        let Some(bytes) = directory::read(&path)? else { return Ok(Vec::new()) };
        serde_json::from_slice(&bytes).map_err(|error| malformed(path, &error))
    }

    /// Adds a hold, which counts from now on.
    ///
    /// # Errors
    /// [`RetentionError`]: there is one of this name.
    pub fn hold(&self, hold: Hold) -> Result<(), RetentionError> {
        self.change_holds(|holds| {
            if holds.iter().any(|known| known.name == hold.name) {
                return Err(RetentionError::Hold("already a", hold.name));
            }
            holds.push(hold);
            Ok(())
        })
    }

    /// Removes a hold.
    ///
    /// # Errors
    /// [`RetentionError`]: there is none of this name.
    pub fn release(&self, name: &str) -> Result<(), RetentionError> {
        self.change_holds(|holds| {
            let place = holds.iter().position(|hold| hold.name == name);
            let place = place.ok_or_else(|| RetentionError::Hold("no", name.to_owned()))?;
            holds.remove(place);
            Ok(())
        })
    }

    /// Which entries could go of those that are older than `before`, in a log of which `size` are under a checkpoint.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub fn plan(&self, size: u64, before: Timestamp) -> Result<Plan, RetentionError> {
        let first = self.first()?;
        let (limit, mut kept_by) = self.taken_by_all(size)?;
        let hold = self.holds()?.into_iter().min_by_key(|hold| hold.from);
        let (reader, width) = (LogReader::new(&self.directory), u64::from(FULL_WIDTH));
        let mut end = first;
        while end.saturating_add(width) <= limit {
            let latest = latest(&reader, end, size)?;
            if latest >= before {
                kept_by = None;
                break;
            }
            if let Some(hold) = hold.as_ref().filter(|hold| latest.unix_nanos() >= hold.from) {
                kept_by = Some(format!("the hold `{}`", hold.name));
                break;
            }
            end += width;
        }
        Ok(Plan { first, end, kept_by })
    }

    /// Takes out what [`Self::plan`] says, once `record` has put that into the log and on the disk. Says what was done.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub fn prune(
        &self,
        size: u64,
        before: Timestamp,
        record: impl FnOnce(&Plan) -> Result<(), String>,
    ) -> Result<Plan, RetentionError> {
        let _locked = self.lock()?;
        let plan = self.plan(size, before)?;
        if plan.end > plan.first {
            record(&plan).map_err(RetentionError::Unrecorded)?;
            directory::write_through(&self.directory.join(PRUNED), format!("{}\n", plan.end).as_bytes())?;
        }
        self.remove_below(plan.end)?;
        Ok(plan)
    }

    /// Removes what the journal has of entries that were taken out, in a log of which `size` are under a checkpoint. What is in one file
    /// of it with entries that wait for a checkpoint goes once they are under one.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub fn clear_journal(&self, size: u64) -> Result<(), RetentionError> {
        Ok(Journal::clear(&self.directory.join(JOURNAL), self.first()?, size)?)
    }

    /// Removes bundles, the first at first: if a crash leaves some, they are those right below `end`.
    fn remove_below(&self, end: u64) -> Result<(), RetentionError> {
        let end = end / u64::from(FULL_WIDTH);
        let path = |index| Bundle::new(index, FULL_WIDTH).map(|bundle| self.directory.join(bundle.to_string()));
        let is_there = |index: &u64| path(*index).is_some_and(|path| path.exists());
        let start = (0..end).rev().take_while(is_there).last().unwrap_or(end);
        for path in (start..end).filter_map(path) {
            fs::remove_file(&path).map_err(LogError::at(&path))?;
        }
        Ok(())
    }

    /// Up to where all sinks have taken the log, and which one of them has taken the least.
    fn taken_by_all(&self, size: u64) -> Result<(u64, Option<String>), RetentionError> {
        let mut least = (size, None);
        for entry in fs::read_dir(&self.directory).map_err(LogError::at(&self.directory))? {
            let entry = entry.map_err(LogError::at(&self.directory))?;
            let name = entry.file_name();
            let sink = name.to_str().and_then(|name| name.strip_prefix(POSITION_PREFIX));
            let Some(sink) = sink.filter(|sink| !sink.contains('.')) else { continue };
            let path = entry.path();
            let next = directory::read(&path)?.and_then(|bytes| Position::parse(&bytes));
            let (next, _) = next.ok_or_else(|| malformed(path, "it is not a position"))?;
            if next < least.0 {
                least = (next, Some(format!("the export `{sink}`, which has not got them")));
            }
        }
        Ok(least)
    }

    fn change_holds(
        &self,
        change: impl FnOnce(&mut Vec<Hold>) -> Result<(), RetentionError>,
    ) -> Result<(), RetentionError> {
        let _locked = self.lock()?;
        let mut holds = self.holds()?;
        change(&mut holds)?;
        let path = self.directory.join(HOLDS);
        let text = serde_json::to_string_pretty(&holds).map_err(|error| malformed(path.clone(), &error))?;
        Ok(directory::write_through(&path, format!("{text}\n").as_bytes())?)
    }

    fn lock(&self) -> Result<fs::File, RetentionError> {
        Ok(directory::lock(&self.directory.join(LOCK))?)
    }
}

/// The latest time in the bundle that begins with entry `from`.
fn latest(reader: &LogReader, from: u64, size: u64) -> Result<Timestamp, RetentionError> {
    let found = reader.entries(from, size)?;
    let mut latest = Timestamp::default();
    for (index, bytes) in (found.first..).zip(&found.entries) {
        let entry = encoding::read(bytes).map_err(|source| RetentionError::Record { index, source })?;
        latest = latest.max(OwnedRecord::time(&entry.record));
    }
    Ok(latest)
}

/// A number on a line, in its one spelling: what is changed in any way is none, or another.
fn number(bytes: &[u8]) -> Option<u64> {
    let number = str::from_utf8(bytes).ok()?.strip_suffix('\n')?.parse::<u64>().ok()?;
    (format!("{number}\n").as_bytes() == bytes).then_some(number)
}

fn malformed(path: PathBuf, why: &(impl ToString + ?Sized)) -> RetentionError {
    RetentionError::Malformed { path, why: why.to_string() }
}

#[cfg(test)]
mod tests;
