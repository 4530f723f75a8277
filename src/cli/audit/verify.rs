//! Walks a whole log.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::policy::Policy;
use portcullis_tlog::tree::{TreeHead, TreeReader};
use portcullis_tlog::{bundle, proof, walk};

use super::{AuditError, Exit, LogArgs, Output, read, unproven};
use crate::evidence::log::Tiles;
use crate::evidence::record::encoding;

/// How many pieces a thread takes at a time.
const TURN: u64 = 16;

/// Checks everything, and says what was checked.
pub(super) fn run(log: &LogArgs, since: Option<&Path>, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    let policy = log.policy()?;
    let signed = log.checkpoint(&policy)?;
    let head = verified(&policy, &signed)?;
    let tiles = Tiles(&log.log);
    walk::verify_root(&tiles, &head).map_err(unproven)?;
    walk_all(&tiles, &head)?;
    if let Some(since) = since {
        let earlier = SignedCheckpoint::parse(&read(since)?).map_err(unproven)?;
        extends(&tiles, &verified(&policy, &earlier)?, &head)?;
    }
    let (origin, size) = (signed.unverified().origin(), head.size);
    let extended = if since.is_some() { ", and the earlier checkpoint is of the same log" } else { "" };
    Ok(output.print(&format!("{origin}: {size} entries under root {}{extended}\n", head.root)))
}

fn verified(policy: &Policy, signed: &SignedCheckpoint) -> Result<TreeHead, AuditError> {
    policy.verify(signed).map(|verified| *verified.checkpoint.head()).map_err(unproven)
}

/// Checks every piece of the log on all processors, and that each entry is a record.
fn walk_all(tiles: &Tiles<'_>, head: &TreeHead) -> Result<(), AuditError> {
    let pieces: Vec<_> = walk::pieces(head.size).collect();
    let progress = ProgressBar::new(u64::try_from(pieces.len()).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} × 256 entries, {eta} left");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let next = AtomicU64::new(0);
    let work = || -> Result<(), AuditError> {
        loop {
            let from = usize::try_from(next.fetch_add(TURN, Relaxed)).unwrap_or(usize::MAX);
            let Some(turn) = pieces.get(from..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
            for piece in turn.iter().take(usize::try_from(TURN).unwrap_or(1)) {
                walk::verify_piece(tiles, head.size, *piece).map_err(unproven)?;
                records(tiles, *piece)?;
                progress.inc(1);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let found = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let panicked = |_panic| Err(AuditError::Unproven("a thread panicked".to_owned()));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    });
    progress.finish_and_clear();
    found
}

fn records(tiles: &Tiles<'_>, piece: bundle::Bundle) -> Result<(), AuditError> {
    let bytes = walk::LogSource::bundle(tiles, piece).map_err(unproven)?;
    for (index, entry) in piece.entries().zip(bundle::Entries::new(bytes.as_ref())) {
        let entry = entry.map_err(unproven)?;
        encoding::read(entry).map_err(|error| AuditError::Unproven(format!("entry {index}: {error}")))?;
    }
    Ok(())
}

/// Whether the log of `head` is that of `earlier` with more entries at its end.
fn extends(tiles: &Tiles<'_>, earlier: &TreeHead, head: &TreeHead) -> Result<(), AuditError> {
    if earlier.size > head.size {
        let message =
            format!("the log has {} entries, and the earlier checkpoint {}: it was cut", head.size, earlier.size);
        return Err(AuditError::Unproven(message));
    }
    let mut tree = TreeReader::new(head.size, tiles).map_err(unproven)?;
    let proof = proof::consistency(&mut tree, earlier.size).map_err(unproven)?;
    proof::verify_consistency(earlier, head, &proof).map_err(|error| {
        AuditError::Unproven(format!("the log is not the one that the earlier checkpoint is of: {error}"))
    })
}
