//! Receipts: what proves one decision to a stranger who has the log's public key and nothing else. A receipt is a C2SP tlog-proof
//! whose extra data are the entry; if a certificate proved the caller, it and its authority's follow in PEM. The entry
//! has the digests of both, so nothing in a receipt stands there unproved.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::log_proof::LogProof;
use portcullis_tlog::policy::Policy;
use portcullis_tlog::tree::TreeReader;
use portcullis_tlog::{leaf_hash, proof};

use super::log::{Archive, Checkpoints, LogError, LogReader, Retention, Shelf, Tiles};
use super::record::DecisionId;
use super::record::encoding::{self, Entry, OwnedRecord, ReadError};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// How many entries a bundle has.
const BUNDLE: u64 = 256;

/// How far from its own time a decision is looked for first, in milliseconds: records are in the log in about the order of
/// their times.
const NEAR: u64 = 10_000;

/// How long after its own time an id that is nowhere may be of a record that still waits, in milliseconds.
const FRESH: u64 = 2_000;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
const END: &str = "-----END CERTIFICATE-----\n";

/// Base64 digits on a line of PEM (RFC 7468 section 2).
const PEM_LINE: usize = 64;

/// Proves decisions of the log in a directory.
#[derive(Clone, Debug)]
pub struct Receipts {
    reader: LogReader,
    archive: Archive,
    policy: Policy,
}

/// A receipt. Text form: the proof, and after it the certificates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The proof, with the entry.
    pub proof: LogProof,
    /// The leaf and its authority in DER; none if no certificate proved the caller, or they were not kept.
    pub chain: Option<[Vec<u8>; 2]>,
}

/// What a receipt proves.
#[derive(Debug)]
pub struct Proved<'r> {
    /// The number of the entry in the log.
    pub index: u64,
    /// The entry.
    pub entry: Entry<'r>,
    /// The certificates: those that the record names.
    pub chain: Option<&'r [Vec<u8>; 2]>,
}

/// What there is of a decision.
#[derive(Debug)]
pub enum Found {
    /// Its receipt.
    Receipt(Box<Receipt>),
    /// Its record is written, or may be, and no checkpoint has it yet.
    Pending,
    /// Nothing any more, if there was something: it is from before the entries that are left, or from among the first of them.
    TakenOut,
    /// Nothing.
    Nothing,
}

/// Why there is no receipt, or it proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The log can't be read, or does not hold.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log has no checkpoint yet.
    #[error("the log has no checkpoint yet")]
    NoCheckpoint,
    /// A proof can't be made or does not hold.
    #[error("{0}")]
    Unproven(String),
    /// The entry can't be read.
    #[error("entry {0}: {1}")]
    Entry(u64, ReadError),
    /// It has no entry.
    #[error("it has no record")]
    NoRecord,
    /// Something in it is not in its one spelling.
    #[error("{0} is not written in the one form that it has")]
    Spelling(&'static str),
    /// A certificate is another than the record names.
    #[error("the certificate of the {0} is not the one that the record names")]
    OtherCertificate(&'static str),
}

impl Receipts {
    /// Those of the log in `directory`, whose checkpoints `policy` believes.
    pub fn new(directory: &Path, policy: Policy) -> Self {
        Self { reader: LogReader::new(directory), archive: Archive::new(directory), policy }
    }

    /// How many entries are under the checkpoint, and the checkpoint.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn checkpoint(&self) -> Result<(u64, SignedCheckpoint), ReceiptError> {
        let checkpoint = Checkpoints::of(self.reader.directory()).believed(&self.policy)?;
        let checkpoint = checkpoint.ok_or(ReceiptError::NoCheckpoint)?;
        Ok((checkpoint.unverified().head().size, checkpoint))
    }

    /// What there is of a decision `now`. Blocks on the disk; takes as long as reading the log if there is no such decision.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn find(&self, id: DecisionId, now: Timestamp) -> Result<Found, ReceiptError> {
        self.found(id, now, Self::entry)
    }

    /// The same, of those that are in the log about where their own times are, so that an id that is nowhere costs little.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn find_near(&self, id: DecisionId, now: Timestamp) -> Result<Found, ReceiptError> {
        self.found(id, now, |receipts, id, size| receipts.latest(id, receipts.near(id, size)?.1.rev(), size))
    }

    fn found(
        &self,
        id: DecisionId,
        now: Timestamp,
        look: impl FnOnce(&Self, DecisionId, u64) -> Result<Option<(u64, Vec<u8>)>, ReceiptError>,
    ) -> Result<Found, ReceiptError> {
        let (size, checkpoint) = match self.checkpoint() {
            Ok(found) => found,
            Err(ReceiptError::NoCheckpoint) => return Ok(Found::Pending),
            Err(error) => return Err(error),
        };
        if let Some((index, entry)) = look(self, id, size)? {
            return Ok(Found::Receipt(Box::new(self.prove(index, entry, checkpoint, size)?)));
        }
        let (there, near) = self.near(id, size)?;
        let mut waits = now.unix_millis().saturating_sub(id.unix_millis()) < FRESH;
        if near.end == there.end {
            // It is as late as the last of those under a checkpoint.
            self.reader.unpublished(size, |entry| waits |= is_of(entry, id))?;
        }
        let may_be_gone = there.start > 0 && near.start == there.start;
        Ok(match (waits, may_be_gone) {
            (true, _) => Found::Pending,
            (false, true) => Found::TakenOut,
            (false, false) => Found::Nothing,
        })
    }

    /// The entry of a decision among the first `size`, with its number: the latest, if there are several.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn entry(&self, id: DecisionId, size: u64) -> Result<Option<(u64, Vec<u8>)>, ReceiptError> {
        let (there, near) = self.near(id, size)?;
        // Where it should be, and then, for clocks are set, where it could be.
        let (later, earlier) = (near.end..there.end, there.start..near.start);
        self.latest(id, near.rev().chain(later.rev()).chain(earlier.rev()), size)
    }

    /// The bundles that are there, and those of them in which a decision should be.
    fn near(&self, id: DecisionId, size: u64) -> Result<(Range<u64>, Range<u64>), ReceiptError> {
        let first = Retention::of(self.reader.directory()).first().map_err(unproven)?;
        let bundles = first / BUNDLE..size.div_ceil(BUNDLE);
        let time = id.unix_millis();
        let end = self.first_after(time.saturating_add(NEAR), bundles.clone(), size)?;
        let start = self.first_after(time.saturating_sub(NEAR), bundles.start..end, size)?;
        let start = start.saturating_sub(1).max(bundles.start);
        Ok((bundles, start..end))
    }

    /// The entry of a decision in these bundles.
    fn latest(
        &self,
        id: DecisionId,
        bundles: impl Iterator<Item = u64>,
        size: u64,
    ) -> Result<Option<(u64, Vec<u8>)>, ReceiptError> {
        for bundle in bundles {
            let found = self.reader.entries(bundle * BUNDLE, size)?;
            let numbered: Vec<_> = (found.first..).zip(found.entries).collect();
            if let Some(found) = numbered.into_iter().rfind(|(_, entry)| is_of(entry, id)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first of these bundles that begins after a time, or else their end.
    fn first_after(&self, millis: u64, bundles: Range<u64>, size: u64) -> Result<u64, ReceiptError> {
        let Range { start: mut low, end: mut high } = bundles;
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.reader.entries(middle * BUNDLE, size)?;
            let first = found.entries.first().ok_or_else(|| unproven("a bundle is empty"))?;
            let entry = encoding::read(first).map_err(|error| ReceiptError::Entry(found.first, error))?;
            if entry.record.time().unix_millis() <= millis {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn prove(
        &self,
        index: u64,
        entry: Vec<u8>,
        checkpoint: SignedCheckpoint,
        size: u64,
    ) -> Result<Receipt, ReceiptError> {
        let tiles = Tiles(self.reader.directory());
        let mut tree = TreeReader::new(size, &tiles).map_err(unproven)?;
        let hashes = proof::inclusion(&mut tree, index).map_err(unproven)?;
        let chain = match chain_of(&entry, index)? {
            Some([leaf, authority]) => {
                let find = |digest| self.archive.find(Shelf::Certificates, &digest);
                find(leaf)?.zip(find(authority)?).map(|(leaf, authority)| [leaf, authority])
            }
            None => None,
        };
        let receipt = Receipt { proof: LogProof { extra: Some(entry), index, hashes, checkpoint }, chain };
        receipt.verify(&self.policy)?;
        Ok(receipt)
    }
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// [`ReceiptError`]. Any byte that is not as it must be is one.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let text = str::from_utf8(bytes).map_err(|_encoding| ReceiptError::Spelling("a receipt"))?;
        let (proof, chain) = match text.find(BEGIN) {
            Some(place) => text.split_at(place),
            None => (text, ""),
        };
        let proof = LogProof::parse(proof.as_bytes()).map_err(unproven)?;
        let mut certificates = chain.split_inclusive(END).map(der_of);
        let chain = match (certificates.next(), certificates.next(), certificates.next()) {
            (None, ..) => None,
            (Some(leaf), Some(authority), None) => Some([leaf?, authority?]),
            _ => return Err(ReceiptError::Spelling("the chain of certificates")),
        };
        let receipt = Self { proof, chain };
        if receipt.to_string() == text { Ok(receipt) } else { Err(ReceiptError::Spelling("a receipt")) }
    }

    /// What it proves to whoever believes in `policy`.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(&self, policy: &Policy) -> Result<Proved<'_>, ReceiptError> {
        let bytes = self.proof.extra.as_deref().ok_or(ReceiptError::NoRecord)?;
        self.proof.verify(policy, &leaf_hash(bytes)).map_err(unproven)?;
        let index = self.proof.index;
        let entry = encoding::read(bytes).map_err(|error| ReceiptError::Entry(index, error))?;
        if let Some([leaf, authority]) = &self.chain {
            let named = chain_of(bytes, index)?;
            for (place, (what, certificate)) in [("leaf", leaf), ("authority", authority)].into_iter().enumerate() {
                if named.as_ref().and_then(|named| named.get(place)) != Some(&Digest::of(certificate)) {
                    return Err(ReceiptError::OtherCertificate(what));
                }
            }
        }
        Ok(Proved { index, entry, chain: self.chain.as_ref() })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proof.fmt(f)?;
        for certificate in self.chain.iter().flatten() {
            f.write_str(BEGIN)?;
            for line in STANDARD.encode(certificate).as_bytes().chunks(PEM_LINE) {
                writeln!(f, "{}", str::from_utf8(line).unwrap_or_default())?;
            }
            f.write_str(END)?;
        }
        Ok(())
    }
}

/// One block of PEM. That there is nothing else in it is seen when it is written again.
fn der_of(block: &str) -> Result<Vec<u8>, ReceiptError> {
    let body = block.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let digits: Option<String> = body.map(|body| body.chars().filter(|c| *c != '\n').collect());
    let decoded = digits.and_then(|digits| STANDARD.decode(digits).ok()).filter(|der| !der.is_empty());
    decoded.ok_or(ReceiptError::Spelling("a certificate"))
}

/// The digests of leaf and authority, if the record has both.
fn chain_of(entry: &[u8], index: u64) -> Result<Option<[Digest; 2]>, ReceiptError> {
    match encoding::read(entry).map_err(|error| ReceiptError::Entry(index, error))?.record {
        OwnedRecord::Decision(record) => Ok(record.leaf.zip(record.authority).map(|(leaf, by)| [leaf, by])),
        _ => Ok(None),
    }
}

fn is_of(entry: &[u8], id: DecisionId) -> bool {
    match encoding::read(entry).map(|entry| entry.record) {
        Ok(OwnedRecord::Decision(record)) => record.decision_id == id,
        Ok(OwnedRecord::Search(record)) => record.decision_id == id,
        _ => false,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn unproven(error: impl ToString) -> ReceiptError {
    ReceiptError::Unproven(error.to_string())
}

#[cfg(test)]
mod tests;
