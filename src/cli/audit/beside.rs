//! What lies beside the tree: what records refer to by digest, and the checkpoint that witnesses have seen.

use std::collections::HashSet;
use std::path::Path;

use portcullis_tlog::policy::{Policy, UntrustedError};
use portcullis_tlog::tree::TreeHead;

use super::verify::extends;
use super::{AuditError, unproven};
use crate::evidence::log::{Archive, Checkpoints, Shelf, Tiles};
use crate::foundation::digest::Digest;

/// Checks all of it, of a log whose tree and tiles have been checked.
pub(super) fn verify(log: &Path, policy: &Policy, head: &TreeHead) -> Result<(), AuditError> {
    let archive = Archive::new(log);
    Shelf::ALL.into_iter().try_for_each(|shelf| archive.verify(shelf).map(drop).map_err(unproven))?;
    witnessed(log, policy, head)
}

/// Which of these are not kept, sorted. Where nothing of a kind is, the log is a copy that leaves it out.
pub(super) fn missing(log: &Path, named: &HashSet<(Shelf, Digest)>) -> Vec<String> {
    let archive = Archive::new(log);
    let mut missing = Vec::new();
    for (shelf, digest) in named {
        if log.join(shelf.name()).exists() && !archive.has(*shelf, digest) {
            missing.push(format!("{}/{digest}", shelf.name()));
        }
    }
    missing.sort();
    missing
}

/// What enough witnesses had cosigned must be a beginning of the tree. How many are enough is for who believes in them to say.
fn witnessed(log: &Path, policy: &Policy, head: &TreeHead) -> Result<(), AuditError> {
    let Some(signed) = Checkpoints::of(log).witnessed().map_err(unproven)? else { return Ok(()) };
    match policy.verify(&signed) {
        Ok(_) | Err(UntrustedError::Quorum { .. }) => {}
        Err(error) => return Err(unproven(format!("the checkpoint that was witnessed: {error}"))),
    }
    let seen = signed.unverified().head();
    // One that is later than the checkpoint came after that was read.
    if seen.size > head.size { Ok(()) } else { extends(&Tiles(log), seen, head) }
}
