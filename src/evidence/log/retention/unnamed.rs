//! Taking out what no entry names any more: policy sets, entities, certificates and configurations, which lie beside the log under their digests.
//!
//! Whoever is going to name a thing has it kept before, and then it is as if it were new ([`Archive::keep`]). So what was last
//! kept before the time from which entries stay, and is in none of those that are left, is nobody's; but for what may have
//! been in use all that time without a decision: the latest of each kind, and certificates that are valid still.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use super::{Retention, RetentionError};
use crate::evidence::log::{Archive, LogError, LogReader, Shelf};
use crate::evidence::record::encoding::{self, Entry, OwnedRecord, Writer};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// How many of the latest policy sets and entities stay in any case: while one process takes over from another, each may have
/// its own.
const IN_USE: usize = 2;

/// How long a thing stays at least after it was last kept, whatever the time before which entries go: its record may be on its way.
const GRACE: Duration = Duration::from_hours(1);

impl Retention {
    /// How many things [`Self::sweep`] would take out.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub fn unnamed(&self, size: u64, times: (Timestamp, Timestamp)) -> Result<u64, RetentionError> {
        Ok(count(&self.find_unnamed(size, times)?))
    }

    /// Takes out what was last kept before the first of `times`, and is named by none of the entries that are left of `size`
    /// under a checkpoint, nor by those that wait for one; the second is now. Says how many things that were. How many it is
    /// going to be has `record` put into the log and on the disk before.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub fn sweep(
        &self,
        size: u64,
        times: (Timestamp, Timestamp),
        record: impl FnOnce(u64) -> Result<(), String>,
    ) -> Result<u64, RetentionError> {
        let _locked = self.lock()?;
        let unnamed = self.find_unnamed(size, times)?;
        if unnamed.is_empty() {
            return Ok(0);
        }
        record(count(&unnamed)).map_err(RetentionError::Unrecorded)?;
        let (archive, before) = (Archive::new(&self.directory), self.limit(times)?);
        let mut gone = 0;
        for (shelf, digest) in unnamed {
            gone += u64::from(archive.take_out(shelf, &digest, before)?);
        }
        Ok(gone)
    }

    /// What lies beside a log and is named by one of its entries.
    pub fn named(entry: &Entry<'_>) -> impl Iterator<Item = (Shelf, Digest)> {
        let config = Some(entry.writer.config).filter(|config| *config != Writer::NO_CONFIGURATION);
        let config = config.map(|config| (Shelf::Configurations, config));
        named(&entry.record).into_iter().flatten().chain(config)
    }

    fn find_unnamed(
        &self,
        size: u64,
        times: (Timestamp, Timestamp),
    ) -> Result<HashSet<(Shelf, Digest)>, RetentionError> {
        let mut unnamed = old(&Archive::new(&self.directory), self.limit(times)?, times.1)?;
        let (reader, mut next) = (LogReader::new(&self.directory), self.first()?);
        while next < size && !unnamed.is_empty() {
            let found = reader.entries(next, size)?;
            for bytes in &found.entries {
                let entry = encoding::read(bytes);
                let entry = entry.map_err(|source| RetentionError::Record { index: next, source })?;
                strike_out(&mut unnamed, &entry);
                next += 1;
            }
        }
        reader.unpublished(size, |bytes| {
            if let Ok(entry) = encoding::read(bytes) {
                strike_out(&mut unnamed, &entry);
            }
        })?;
        Ok(unnamed)
    }

    /// Before when a thing must have been kept last. A hold keeps what was kept since its time, as it keeps entries.
    fn limit(&self, (before, now): (Timestamp, Timestamp)) -> Result<Timestamp, RetentionError> {
        let held = self.holds()?.iter().map(|hold| hold.from).min();
        let held = held.map_or(Timestamp::MAX, Timestamp::from_unix_nanos);
        Ok(before.min(now.before(GRACE)).min(held))
    }
}

fn count(things: &HashSet<(Shelf, Digest)>) -> u64 {
    u64::try_from(things.len()).unwrap_or(u64::MAX)
}

/// What was last kept before a time, and is not in use for all that is known.
fn old(archive: &Archive, before: Timestamp, now: Timestamp) -> Result<HashSet<(Shelf, Digest)>, LogError> {
    let mut old = HashSet::new();
    for shelf in Shelf::ALL {
        let mut kept = archive.kept(shelf)?;
        kept.sort_by_key(|(_, time)| Reverse(*time));
        let in_use = if shelf == Shelf::Certificates { 0 } else { IN_USE };
        for (digest, _) in kept.into_iter().skip(in_use).filter(|(_, time)| *time < before) {
            let is_valid = || archive.find(shelf, &digest).is_ok_and(|der| der.is_some_and(|der| is_valid(&der, now)));
            if shelf != Shelf::Certificates || !is_valid() {
                old.insert((shelf, digest));
            }
        }
    }
    Ok(old)
}

/// Whether a certificate may yet prove who asks.
fn is_valid(der: &[u8], now: Timestamp) -> bool {
    x509_parser::parse_x509_certificate(der)
        .is_ok_and(|(_, certificate)| Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp()) >= now)
}

fn strike_out(unnamed: &mut HashSet<(Shelf, Digest)>, entry: &Entry<'_>) {
    for thing in Retention::named(entry) {
        unnamed.remove(&thing);
    }
}

/// What a record names, beside what every entry does.
fn named(record: &OwnedRecord<'_>) -> [Option<(Shelf, Digest)>; 4] {
    let (policies, entities) = match record {
        OwnedRecord::Decision(record) => (record.policy_digest, record.entity_digest),
        OwnedRecord::Search(record) => (Some(record.policy_digest), Some(record.entity_digest)),
        OwnedRecord::PolicyLoad(record) => (Some(record.policy_digest), Some(record.entity_digest)),
        _ => (None, None),
    };
    let (leaf, authority) = match record {
        OwnedRecord::Decision(record) => (record.leaf, record.authority),
        OwnedRecord::Issuance(record) => (Some(record.leaf), None),
        _ => (None, None),
    };
    let on = |shelf| move |digest| (shelf, digest);
    let certificate = on(Shelf::Certificates);
    [
        policies.map(on(Shelf::Policies)),
        entities.map(on(Shelf::Entities)),
        leaf.map(certificate),
        authority.map(certificate),
    ]
}
