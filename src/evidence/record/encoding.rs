//! How a record is written into the log: deterministic CBOR (RFC 8949 section 4.2.1), as `docs/audit.cddl` has it. An entry
//! of the log is an array of the version of this encoding, the kind of the record, who wrote it, and the record as a
//! map from small numbers. What is hashed is these bytes, and these bytes are what is read back.
//!
//! Every length is written before what it is the length of, so two different records never have the same bytes.

mod cbor;
mod decision;
mod values;

use std::sync::Arc;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder};

use self::cbor::Cbor;
pub(super) use self::values::{shared_text, texts};
use super::Record;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// The version of this encoding. What version 1 wrote is read too: it lacks some fields of decisions.
pub const VERSION: u8 = 2;

/// How many things an entry has.
const PARTS: usize = 5;

/// Who writes the records: what all records of a process have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Writer {
    /// The name of the gateway, unique among those of the trust domain.
    pub gateway: Arc<str>,
    /// SHA-256 of the configuration that it runs with, or [`Self::NO_CONFIGURATION`].
    pub config: Digest,
}

impl Writer {
    /// In place of a configuration's digest: who writes runs without one, as a command does.
    pub const NO_CONFIGURATION: Digest = Digest::from_bytes([0; 32]);
}

/// One entry of the log.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The version of the encoding that it is written in.
    version: u8,
    /// Who wrote it.
    pub writer: Writer,
    /// What it says.
    pub record: OwnedRecord<'a>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum OwnedRecord<'a> {
    /// See [`Record::Decision`].
    Decision(Box<super::DecisionRecord<'a>>),
    /// See [`Record::Search`].
    Search(Box<super::SearchRecord<'a>>),
    /// See [`Record::Issuance`].
    Issuance(Box<super::IssuanceRecord>),
    /// See [`Record::JwtIssuance`].
    JwtIssuance(Box<super::JwtIssuanceRecord>),
    /// See [`Record::AuthorityChange`].
    AuthorityChange(Box<super::AuthorityChangeRecord>),
    /// See [`Record::PolicyLoad`].
    PolicyLoad(Box<super::PolicyLoadRecord>),
    /// See [`Record::MappingLoad`].
    MappingLoad(Box<super::MappingLoadRecord>),
    /// See [`Record::Administration`].
    Administration(Box<super::AdministrationRecord>),
    /// See [`Record::Refusal`].
    Refusal(Box<super::RefusalRecord>),
    /// See [`Record::Process`].
    Process(Box<super::ProcessRecord>),
    /// See [`Record::Unrecorded`].
    Unrecorded(Box<super::UnrecordedRecord>),
    /// See [`Record::Bundle`].
    Bundle(Box<super::BundleRecord>),
    /// See [`Record::TurnedAway`].
    TurnedAway(Box<super::TurnedAwayRecord>),
    /// See [`Record::EntityLoad`].
    EntityLoad(Box<super::EntityLoadRecord>),
    /// See [`Record::Witness`].
    Witness(Box<super::WitnessRecord>),
    /// See [`Record::Prune`].
    Prune(Box<super::PruneRecord>),
    /// See [`Record::Exchange`].
    Exchange(Box<super::ExchangeRecord>),
    /// See [`Record::Outbound`].
    Outbound(Box<super::OutboundRecord>),
}

impl OwnedRecord<'_> {
    /// When it happened.
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::Decision(record) => record.time,
            Self::Search(record) => record.time,
            Self::Issuance(record) => record.time,
            Self::JwtIssuance(record) => record.time,
            Self::AuthorityChange(record) => record.time,
            Self::PolicyLoad(record) => record.time,
            Self::MappingLoad(record) => record.time,
            Self::Administration(record) => record.time,
            Self::Refusal(record) => record.time,
            Self::Process(record) => record.time,
            Self::Unrecorded(record) => record.time,
            Self::Bundle(record) => record.time,
            Self::TurnedAway(record) => record.time,
            Self::EntityLoad(record) => record.time,
            Self::Witness(record) => record.time,
            Self::Prune(record) => record.time,
            Self::Exchange(record) => record.time,
            Self::Outbound(record) => record.time,
        }
    }
}

/// Why bytes are not an entry.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are of a later version of the encoding.
    #[error("the entry is of version {0} of the encoding, and this program knows version {VERSION}")]
    Version(u8),
    /// There is no such kind of record.
    #[error("there is no record of kind {0}")]
    Kind(u8),
    /// They are not what the encoding says.
    #[error("the entry is not as the encoding has it: {0}")]
    Malformed(#[from] decode::Error),
    /// They say what another sequence of bytes says too, and that one is the right one.
    #[error("the entry is not written in the one form that its contents have")]
    NotCanonical,
}

/// Appends an entry to `buffer`.
///
/// # Errors
/// Only if the record has no form, which none of ours can bring about.
pub fn write(
    buffer: &mut Vec<u8>,
    writer: &Writer,
    record: &Record<'_>,
) -> Result<(), encode::Error<std::convert::Infallible>> {
    write_as(VERSION, buffer, writer, record)
}

fn write_as(
    version: u8,
    buffer: &mut Vec<u8>,
    writer: &Writer,
    record: &Record<'_>,
) -> Result<(), encode::Error<std::convert::Infallible>> {
    let mut entry = Cbor(buffer);
    entry.array(PARTS);
    entry.number(version.into());
    entry.number(kind(record).into());
    entry.text(&writer.gateway);
    entry.digest(&writer.config);
    let mut encoder = Encoder::new(&mut *buffer);
    match record {
        Record::Decision(record) => return decision::write(buffer, record),
        Record::Search(record) => encoder.encode(record)?,
        Record::Issuance(record) => encoder.encode(record)?,
        Record::JwtIssuance(record) => encoder.encode(record)?,
        Record::AuthorityChange(record) => encoder.encode(record)?,
        Record::PolicyLoad(record) => encoder.encode(record)?,
        Record::MappingLoad(record) => encoder.encode(record)?,
        Record::Administration(record) => encoder.encode(record)?,
        Record::Refusal(record) => encoder.encode(record)?,
        Record::Process(record) => encoder.encode(record)?,
        Record::Unrecorded(record) => encoder.encode(record)?,
        Record::Bundle(record) => encoder.encode(record)?,
        Record::TurnedAway(record) => encoder.encode(record)?,
        Record::EntityLoad(record) => encoder.encode(record)?,
        Record::Witness(record) => encoder.encode(record)?,
        Record::Prune(record) => encoder.encode(record)?,
        Record::Exchange(record) => encoder.encode(record)?,
        Record::Outbound(record) => encoder.encode(record)?,
    };
    Ok(())
}

const fn kind(record: &Record<'_>) -> u8 {
    match record {
        Record::Decision(_) => 0,
        Record::Issuance(_) => 1,
        Record::JwtIssuance(_) => 2,
        Record::AuthorityChange(_) => 3,
        Record::PolicyLoad(_) => 4,
        Record::Administration(_) => 5,
        Record::Search(_) => 6,
        Record::MappingLoad(_) => 7,
        Record::Refusal(_) => 8,
        Record::Process(_) => 9,
        Record::Unrecorded(_) => 10,
        Record::Bundle(_) => 11,
        Record::TurnedAway(_) => 12,
        Record::EntityLoad(_) => 13,
        Record::Witness(_) => 16,
        Record::Prune(_) => 17,
        Record::Exchange(_) => 24,
        Record::Outbound(_) => 25,
    }
}

/// Reads an entry. There is one sequence of bytes for each: any other is refused.
///
/// # Errors
/// [`ReadError`].
pub fn read(bytes: &[u8]) -> Result<Entry<'_>, ReadError> {
    let mut decoder = Decoder::new(bytes);
    let parts = decoder.array()?;
    let version = decoder.u8()?;
    if !(1..=VERSION).contains(&version) {
        return Err(ReadError::Version(version));
    }
    if parts != u64::try_from(PARTS).ok() {
        return Err(decode::Error::message("the number of parts").into());
    }
    let kind = decoder.u8()?;
    let writer = Writer { gateway: decoder.str()?.into(), config: decoder.decode()? };
    let record = match kind {
        0 => OwnedRecord::Decision(decoder.decode()?),
        1 => OwnedRecord::Issuance(decoder.decode()?),
        2 => OwnedRecord::JwtIssuance(decoder.decode()?),
        3 => OwnedRecord::AuthorityChange(decoder.decode()?),
        4 => OwnedRecord::PolicyLoad(decoder.decode()?),
        5 => OwnedRecord::Administration(decoder.decode()?),
        6 => OwnedRecord::Search(decoder.decode()?),
        7 => OwnedRecord::MappingLoad(decoder.decode()?),
        8 => OwnedRecord::Refusal(decoder.decode()?),
        9 => OwnedRecord::Process(decoder.decode()?),
        10 => OwnedRecord::Unrecorded(decoder.decode()?),
        11 => OwnedRecord::Bundle(decoder.decode()?),
        12 => OwnedRecord::TurnedAway(decoder.decode()?),
        13 => OwnedRecord::EntityLoad(decoder.decode()?),
        16 => OwnedRecord::Witness(decoder.decode()?),
        17 => OwnedRecord::Prune(decoder.decode()?),
        24 => OwnedRecord::Exchange(decoder.decode()?),
        25 => OwnedRecord::Outbound(decoder.decode()?),
        kind => return Err(ReadError::Kind(kind)),
    };
    if let (1, OwnedRecord::Decision(record)) = (version, &record)
        && record.needs_version_2()
    {
        return Err(ReadError::NotCanonical);
    }
    let entry = Entry { version, writer, record };
    let mut again = Vec::with_capacity(bytes.len());
    entry.write(&mut again).map_err(|_unwritable| ReadError::NotCanonical)?;
    if again == bytes { Ok(entry) } else { Err(ReadError::NotCanonical) }
}

impl Entry<'_> {
    /// Appends the entry to `buffer`, as it was read.
    fn write(&self, buffer: &mut Vec<u8>) -> Result<(), encode::Error<std::convert::Infallible>> {
        let record = match &self.record {
            OwnedRecord::Decision(record) => {
                return write_as(self.version, buffer, &self.writer, &Record::Decision(record));
            }
            OwnedRecord::Search(record) => Record::Search(record.clone()),
            OwnedRecord::Issuance(record) => Record::Issuance(record.clone()),
            OwnedRecord::JwtIssuance(record) => Record::JwtIssuance(record.clone()),
            OwnedRecord::AuthorityChange(record) => Record::AuthorityChange(record.clone()),
            OwnedRecord::PolicyLoad(record) => Record::PolicyLoad(record.clone()),
            OwnedRecord::MappingLoad(record) => Record::MappingLoad(record.clone()),
            OwnedRecord::Administration(record) => Record::Administration(record.clone()),
            OwnedRecord::Refusal(record) => Record::Refusal(record.clone()),
            OwnedRecord::Process(record) => Record::Process(record.clone()),
            OwnedRecord::Unrecorded(record) => Record::Unrecorded(record.clone()),
            OwnedRecord::Bundle(record) => Record::Bundle(record.clone()),
            OwnedRecord::TurnedAway(record) => Record::TurnedAway(record.clone()),
            OwnedRecord::EntityLoad(record) => Record::EntityLoad(record.clone()),
            OwnedRecord::Witness(record) => Record::Witness(record.clone()),
            OwnedRecord::Prune(record) => Record::Prune(record.clone()),
            OwnedRecord::Exchange(record) => Record::Exchange(record.clone()),
            OwnedRecord::Outbound(record) => Record::Outbound(record.clone()),
        };
        write_as(self.version, buffer, &self.writer, &record)
    }
}

#[cfg(test)]
mod tests;
