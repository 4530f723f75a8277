//! Receipts: what proves one decision to a stranger.

use std::path::Path;

use portcullis_tlog::log_proof::LogProof;
use portcullis_tlog::tree::TreeReader;
use portcullis_tlog::{leaf_hash, proof};

use super::super::files::write_public;
use super::show::json;
use super::{AuditError, Exit, LogArgs, Output, TrustArgs, read, unproven};
use crate::evidence::log::{LogReader, Retention, Tiles};
use crate::evidence::record::encoding::{self, OwnedRecord};

/// Finds the decision, and proves that it is in the log.
pub(super) fn write(
    log: &LogArgs,
    decision_id: &str,
    file: Option<&Path>,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let policy = log.policy()?;
    let reader = LogReader::new(&log.log);
    let checkpoint = log.checkpoint(&policy)?;
    let size = checkpoint.unverified().head().size;
    let Some((index, entry)) = find(&reader, size, decision_id)? else {
        return Err(AuditError::Unproven(format!("no entry under the checkpoint is of the decision `{decision_id}`")));
    };
    let tiles = Tiles(&log.log);
    let mut tree = TreeReader::new(size, &tiles).map_err(unproven)?;
    let hashes = proof::inclusion(&mut tree, index).map_err(unproven)?;
    let receipt = LogProof { extra: Some(entry.clone()), index, hashes, checkpoint };
    receipt.verify(&policy, &leaf_hash(&entry)).map_err(unproven)?;
    match file {
        None => Ok(output.print(&receipt.to_string())),
        Some(path) => match write_public(path, receipt.to_string().as_bytes()) {
            Ok(()) => Ok(Exit::Success),
            Err(error) => Err(AuditError::Usage(format!("`{}`: {error}", path.display()))),
        },
    }
}

/// The latest entry of this decision: ids sort by time, so what is asked for is mostly near the end.
fn find(reader: &LogReader, size: u64, decision_id: &str) -> Result<Option<(u64, Vec<u8>)>, AuditError> {
    let first = Retention::of(reader.directory()).first().map_err(unproven)?;
    let bundles = (first / 256..size.div_ceil(256)).rev();
    for bundle in bundles {
        let found = reader.entries(bundle * 256, size).map_err(unproven)?;
        for (index, entry) in (found.first..).zip(found.entries) {
            let read = encoding::read(&entry).map_err(|error| unproven(format!("entry {index}: {error}")))?;
            if let OwnedRecord::Decision(record) = &read.record
                && record.decision_id.to_string() == decision_id
            {
                return Ok(Some((index, entry)));
            }
        }
    }
    Ok(None)
}

/// Checks a receipt with nothing but the keys that are believed.
pub(super) fn verify(file: &Path, trust: &TrustArgs, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    let policy =
        trust.policy()?.ok_or_else(|| AuditError::Usage("say whom to believe: --key or --trust-policy".to_owned()))?;
    let receipt = LogProof::parse(&read(file)?).map_err(unproven)?;
    let entry = receipt.extra.as_deref().ok_or_else(|| AuditError::Unproven("it has no record".to_owned()))?;
    receipt.verify(&policy, &leaf_hash(entry)).map_err(unproven)?;
    let read = encoding::read(entry).map_err(unproven)?;
    Ok(output.print(&json(receipt.index, &read)?))
}
