//! Revoking single X.509-SVIDs.

use std::sync::Arc;

use portcullis_spiffe_api::portcullis::identity::v1::{RevokeX509svidRequest, RevokedX509svid};
use tonic::{Code, Status};

use super::super::{Call, status};
use crate::evidence::AuthorityKind;
use crate::foundation::clock::{Clock, Timestamp};
use crate::identity::authority::{Authority, AuthorityError, LifecycleError};
use crate::identity::revocation::{RevokedLeaf, SerialNumber};

/// Revokes what an authority signed.
#[derive(Clone, Debug)]
pub(super) struct Revoker {
    pub(super) authority: Arc<Authority>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Revoker {
    /// Revokes the SVID that `request` names, of the authority that signs now if it names none.
    pub(super) async fn revoke(&self, call: &Call, request: &RevokeX509svidRequest) -> Result<RevokedX509svid, Status> {
        let serial = SerialNumber::parse(&request.serial).map_err(|error| status::invalid(FAILED, error))?;
        let id = match &*request.authority_id {
            "" => self.authority.slots(AuthorityKind::X509).active.map(|active| active.id),
            given => Some(given.to_owned()),
        };
        let id = id.ok_or_else(|| Status::unavailable("no authority signs at the moment"))?;
        call.changing([format!("{id}/{serial}")]).await?;
        let revoked = self.authority.revoke_leaf(&id, &serial, self.clock.now()).await;
        let leaf = revoked.map_err(|error| refused(&error))?;
        let all = self.authority.revoked_leaves();
        let found = all.iter().find(|(known, _)| *known == leaf);
        // What expired this very moment is forgotten already.
        Ok(found.map_or_else(|| to_wire(&leaf, leaf.revoked_at), |(leaf, until)| to_wire(leaf, *until)))
    }

    /// All that are revoked, oldest first.
    pub(super) fn list(&self) -> Vec<RevokedX509svid> {
        self.authority.revoked_leaves().iter().map(|(leaf, until)| to_wire(leaf, *until)).collect()
    }
}

const FAILED: &str = "the X509-SVID can't be revoked";

fn refused(error: &AuthorityError) -> Status {
    match error {
        AuthorityError::Lifecycle(LifecycleError::Unknown) => status::failed(Code::NotFound, FAILED, error),
        AuthorityError::Revocation(reason) => status::failed(Code::FailedPrecondition, FAILED, reason),
        AuthorityError::Record(_) => status::unrecorded(),
        other => status::internal(FAILED, other),
    }
}

fn to_wire(leaf: &RevokedLeaf, forgotten_at: Timestamp) -> RevokedX509svid {
    let seconds = |time: Timestamp| i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX);
    RevokedX509svid {
        serial: leaf.serial.to_string(),
        authority_id: leaf.authority.clone(),
        revoked_at: seconds(leaf.revoked_at),
        forgotten_at: seconds(forgotten_at),
    }
}

#[cfg(test)]
mod tests;
