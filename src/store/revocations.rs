//! Leaves that were revoked, in SQL: a part of the journal of authorities, in whose statements and transactions they are
//! read and written.

use super::authorities::failed;
use crate::foundation::clock::Timestamp;
use crate::identity::journal::JournalError;
use crate::identity::revocation::{RevokedLeaf, SerialNumber};

/// The kind of their rows among those of authorities.
pub(super) const KIND: &str = "revoked";

/// Only an authority that is in the bundle can revoke.
pub(super) const ADD: &str = "
    INSERT INTO revoked_leaves (trust_domain, authority, serial, revoked_at)
    SELECT trust_domain, id, $3, $4 FROM authorities
    WHERE trust_domain = $1 AND id = $2 AND kind = 'x509' AND retired_at IS NULL
    ON CONFLICT DO NOTHING
    RETURNING authority";

/// What an authority revoked means nothing when it is gone.
pub(super) const FORGET: &str = "DELETE FROM revoked_leaves WHERE trust_domain = $1 AND authority = $2";

pub(super) fn read(authority: String, serial: &[u8], revoked_at: Timestamp) -> Result<RevokedLeaf, JournalError> {
    Ok(RevokedLeaf { serial: SerialNumber::from_bytes(serial).map_err(failed)?, authority, revoked_at })
}
