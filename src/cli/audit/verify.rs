//! Walks a whole log.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::policy::Policy;
use portcullis_tlog::tree::{TreeHead, TreeReader};
use portcullis_tlog::{bundle, proof, walk};

use super::{AuditError, Exit, LogArgs, Output, beside, read, unproven};
use crate::evidence::log::{Retention, Shelf, Tiles};
use crate::evidence::record::encoding::{self, OwnedRecord};
use crate::foundation::digest::Digest;

/// How many pieces a thread takes at a time.
const TURN: u64 = 16;

/// Checks everything, and says what was checked.
pub(super) fn run(log: &LogArgs, since: Option<&Path>, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    let policy = log.policy()?;
    let signed = log.checkpoint(&policy)?;
    let head = verified(&policy, &signed)?;
    let tiles = Tiles(&log.log);
    walk::verify_root(&tiles, &head).map_err(unproven)?;
    let first = Retention::of(&log.log).first().map_err(unproven)?.min(head.size);
    let Found { taken_out, named } = walk_all(&tiles, &head, first)?;
    if taken_out < first {
        let message = format!(
            "the entries 0 to {} are not there, and no record in the log says that they were taken out",
            first - 1
        );
        return Err(AuditError::Unproven(message));
    }
    beside::verify(&log.log, &policy, &head)?;
    if let Some(since) = since {
        let earlier = SignedCheckpoint::parse(&read(since)?).map_err(unproven)?;
        extends(&tiles, &verified(&policy, &earlier)?, &head)?;
    }
    let (origin, size) = (signed.unverified().origin(), head.size);
    let extended = if since.is_some() { ", and the earlier checkpoint is of the same log" } else { "" };
    let pruned = match first {
        0 => String::new(),
        first => format!(
            "; the entries 0 to {} were taken out, as the log itself says, and only their hashes checked",
            first - 1
        ),
    };
    let missing = beside::missing(&log.log, &named);
    let missing = match &*missing {
        [] => String::new(),
        gone => {
            format!(
                "; entries name what is not beside the log any more, and can't be explained in full: {}",
                gone.join(", ")
            )
        }
    };
    Ok(output.print(&format!("{origin}: {size} entries under root {}{extended}{pruned}{missing}\n", head.root)))
}

/// What the entries say of the rest.
#[derive(Default)]
struct Found {
    /// Below which entry they say that entries were taken out.
    taken_out: u64,
    /// The policies, the entities of their directory and the configurations that they name. Not all certificates are kept.
    named: HashSet<(Shelf, Digest)>,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.taken_out = self.taken_out.max(other.taken_out);
        self.named.extend(other.named);
    }
}

fn verified(policy: &Policy, signed: &SignedCheckpoint) -> Result<TreeHead, AuditError> {
    policy.verify(signed).map(|verified| *verified.checkpoint.head()).map_err(unproven)
}

/// Checks every piece of the log on all processors, and that each entry from `first` on is a record.
fn walk_all(tiles: &Tiles<'_>, head: &TreeHead, first: u64) -> Result<Found, AuditError> {
    let pieces: Vec<_> = walk::pieces(head.size).collect();
    let progress = ProgressBar::new(u64::try_from(pieces.len()).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} × 256 entries, {eta} left");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let next = AtomicU64::new(0);
    let work = || -> Result<Found, AuditError> {
        let mut found = Found::default();
        loop {
            let from = usize::try_from(next.fetch_add(TURN, Relaxed)).unwrap_or(usize::MAX);
            let Some(turn) = pieces.get(from..).filter(|rest| !rest.is_empty()) else { return Ok(found) };
            for piece in turn.iter().take(usize::try_from(TURN).unwrap_or(1)) {
                if piece.entries().start < first {
                    walk::verify_hashes(tiles, head.size, piece.index()).map_err(unproven)?;
                } else {
                    walk::verify_piece(tiles, head.size, *piece).map_err(unproven)?;
                    found.add(records(tiles, *piece)?);
                }
                progress.inc(1);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let found = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let panicked = |_panic| Err(AuditError::Unproven("a thread panicked".to_owned()));
        threads.into_iter().try_fold(Found::default(), |mut all, thread| {
            all.add(thread.join().unwrap_or_else(panicked)?);
            Ok(all)
        })
    });
    progress.finish_and_clear();
    found
}

/// Reads the records of a piece.
fn records(tiles: &Tiles<'_>, piece: bundle::Bundle) -> Result<Found, AuditError> {
    let mut found = Found::default();
    let bytes = walk::LogSource::bundle(tiles, piece).map_err(unproven)?;
    for (index, entry) in piece.entries().zip(bundle::Entries::new(bytes.as_ref())) {
        let entry = entry.map_err(unproven)?;
        let read = encoding::read(entry);
        let read = read.map_err(|error| AuditError::Unproven(format!("entry {index}: {error}")))?;
        if let OwnedRecord::Prune(record) = &read.record {
            found.taken_out = found.taken_out.max(record.end);
        }
        found.named.extend(Retention::named(&read).filter(|(shelf, _)| *shelf != Shelf::Certificates));
    }
    Ok(found)
}

/// Whether the log of `head` is that of `earlier` with more entries at its end.
pub(super) fn extends(tiles: &Tiles<'_>, earlier: &TreeHead, head: &TreeHead) -> Result<(), AuditError> {
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
