//! Revoking single leaves: each is kept in the journal, and every authority of the bundle signs a list of its own (RFC 5280
//! section 5) as soon as there is one.

use std::sync::Arc;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber as CrlNumber};
use rustls_pki_types::CertificateRevocationListDer;

use super::signers::Held;
use super::template::{BACKDATE, date, whole_seconds};
use super::x509::X509Signer;
use super::{Authority, AuthorityError, AuthorityKind};
use crate::foundation::clock::Timestamp;
use crate::identity::journal::{JournalStep, Journaled};
use crate::identity::revocation::{RevokedLeaf, SerialNumber};

/// The most leaves of a trust domain that can be revoked and remembered at a time. All are in the bundle, which everyone
/// gets again with every change: each takes some 35 bytes of it.
pub const MAX_REVOKED: usize = 10_000;

/// Why a leaf can't be revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// There are as many as we keep.
    #[error(
        "{MAX_REVOKED} X.509-SVIDs are revoked already, as many as the bundle can carry: prepare and activate another \
         authority, then taint and revoke the one that signed them"
    )]
    TooMany,
}

/// Which leaves are revoked, and the lists that say so.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    leaves: Vec<RevokedLeaf>,
    /// Of every authority in the bundle, in its order; none if no leaf is revoked.
    lists: Vec<SignedList>,
}

/// The list of one authority. An authority's list only ever grows, so its length says which of them it is.
#[derive(Clone, Debug)]
struct SignedList {
    authority: Arc<str>,
    length: usize,
    this_update: Timestamp,
    der: CertificateRevocationListDer<'static>,
}

impl Authority {
    /// Revokes the leaf that the authority `authority`, which is in the bundle, gave the number `serial`: kept, then shown
    /// in the bundle. One that is revoked already stays as it is.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn revoke_leaf(
        &self,
        authority: &str,
        serial: &SerialNumber,
        now: Timestamp,
    ) -> Result<RevokedLeaf, AuthorityError> {
        let _one_process = self.lock().await?;
        self.settle(now).await?;
        self.find(AuthorityKind::X509, authority)?;
        let signers = self.signers.load_full();
        let known = &signers.revocations.leaves;
        if let Some(leaf) = known.iter().find(|leaf| leaf.authority == authority && leaf.serial == *serial) {
            return Ok(leaf.clone());
        }
        if known.len() >= MAX_REVOKED {
            return Err(RevocationError::TooMany.into());
        }
        let leaf = RevokedLeaf { serial: serial.clone(), authority: authority.to_owned(), revoked_at: now };
        self.ports.journal.apply(self.trust_domain(), &[JournalStep::Revoke(&leaf)], now).await?;
        tracing::info!(authority, %serial, "an X.509-SVID is revoked");
        self.refresh(now).await?;
        Ok(leaf)
    }

    /// The leaves that are revoked, oldest first, each with the moment when it is forgotten: when its authority expires.
    pub fn revoked_leaves(&self) -> Vec<(RevokedLeaf, Timestamp)> {
        let signers = self.signers.load();
        let expiry = |leaf: &RevokedLeaf| {
            let signed = signers.x509.iter().find(|held| *held.id == *leaf.authority);
            signed.map(|held| held.term.validity.not_after)
        };
        signers.revocations.leaves.iter().filter_map(|leaf| Some((leaf.clone(), expiry(leaf)?))).collect()
    }
}

impl Revocations {
    /// Those of the journal. A list that says the same as one of `before` is not signed again: everyone would get it anew.
    pub(super) fn load(
        journaled: &Journaled,
        authorities: &[Held<X509Signer>],
        before: &Self,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let leaves = journaled.revoked.clone();
        if leaves.is_empty() {
            return Ok(Self::default());
        }
        let list = |held: &Held<X509Signer>| {
            let revoked: Vec<_> = leaves.iter().filter(|leaf| *leaf.authority == *held.id).collect();
            let same = |list: &&SignedList| {
                list.authority == held.id && list.length == revoked.len() && list.this_update <= now
            };
            before
                .lists
                .iter()
                .find(same)
                .map_or_else(|| SignedList::sign(held, &revoked, now), |list| Ok(Some(list.clone())))
        };
        let lists = authorities.iter().filter_map(|held| list(held).transpose()).collect::<Result<_, _>>()?;
        Ok(Self { leaves, lists })
    }

    /// As they stand in the bundle.
    pub(super) fn in_bundle(&self) -> Vec<CertificateRevocationListDer<'static>> {
        self.lists.iter().map(|list| list.der.clone()).collect()
    }
}

impl SignedList {
    /// Signs the list of `held`. It is good for as long as the authority, for everyone who is connected gets the next one
    /// the moment that it exists: an earlier end would protect nobody, and break every handshake while we are down.
    fn sign(held: &Held<X509Signer>, revoked: &[&RevokedLeaf], now: Timestamp) -> Result<Option<Self>, AuthorityError> {
        let validity = held.term.validity;
        // Of the last change, so that every process says the same of it; and backdated, as certificates are, for a list of
        // the future is no list, and without one nobody is let in.
        let changed = revoked.iter().map(|leaf| leaf.revoked_at).max().unwrap_or(validity.not_before);
        let this_update = whole_seconds(changed.min(now).before(BACKDATE)).max(validity.not_before);
        let number = u64::try_from(revoked.len()).unwrap_or(u64::MAX).saturating_add(1);
        let params = CertificateRevocationListParams {
            this_update: date(this_update)?,
            next_update: date(validity.not_after)?,
            crl_number: CrlNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(|leaf| entry(leaf)).collect::<Result<_, _>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let der = held.signer.sign_list(&params)?;
        Ok(der.map(|der| Self { authority: held.id.clone(), length: revoked.len(), this_update, der }))
    }
}

fn entry(leaf: &RevokedLeaf) -> Result<RevokedCertParams, rcgen::Error> {
    Ok(RevokedCertParams {
        serial_number: CrlNumber::from_slice(leaf.serial.as_bytes()),
        revocation_time: date(leaf.revoked_at)?,
        reason_code: None,
        invalidity_date: None,
    })
}
