//! Authorities that sign X.509-SVIDs: making one, opening one, signing a leaf with one.

use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;
use rcgen::{CertificateRevocationListParams, PublicKeyData};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::keys::{KeyType, SigningKey};
use super::lint::{self, ExpectedLeaf, LintError};
use super::signers::current;
use super::template::{self, Serial, Validity};
use super::{Authority, AuthorityError};
use crate::foundation::clock::Timestamp;
use crate::foundation::secret::Secret;
use crate::identity::bundle::X509Authority;
use crate::identity::journal::{AuthorityEntry, AuthorityPublic};
use crate::identity::revocation::SerialNumber;

/// What signs leaves.
#[derive(Debug)]
pub(super) struct X509Signer {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) validity: Validity,
    /// `None` if the key ended with an earlier process.
    issuer: Option<rcgen::Issuer<'static, SigningKey>>,
}

/// What a leaf is to say.
#[derive(Clone, Copy, Debug)]
pub(in crate::identity) struct LeafRequest<'a> {
    pub(in crate::identity) spiffe_id: &'a SpiffeId,
    pub(in crate::identity) dns_names: &'a [String],
    pub(in crate::identity) ttl: Duration,
}

/// A leaf, signed and checked.
#[derive(Clone, Debug)]
pub(in crate::identity) struct CertifiedLeaf {
    pub(in crate::identity) certificate: CertificateDer<'static>,
    pub(in crate::identity) serial: SerialNumber,
    /// Who signed: see [`AuthorityEntry::id`].
    pub(in crate::identity) authority: Arc<str>,
    /// The certificate of who signed.
    pub(in crate::identity) authority_certificate: CertificateDer<'static>,
    pub(in crate::identity) not_before: Timestamp,
    pub(in crate::identity) not_after: Timestamp,
}

/// A leaf for a key that we made.
#[derive(Clone, Debug)]
pub(in crate::identity) struct SignedLeaf {
    pub(in crate::identity) leaf: CertifiedLeaf,
    /// PKCS#8 DER.
    pub(in crate::identity) key: Secret<Vec<u8>>,
}

impl Authority {
    /// Signs a leaf for a new key.
    pub(in crate::identity) fn sign(
        &self,
        request: &LeafRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedLeaf, AuthorityError> {
        let key = SigningKey::generate(KeyType::EcP256)?;
        Ok(SignedLeaf { leaf: self.certify(request, &key, now)?, key: key.to_pkcs8()? })
    }

    /// Signs a leaf for a key of someone else's.
    pub(in crate::identity) fn certify(
        &self,
        request: &LeafRequest<'_>,
        public_key: &impl PublicKeyData,
        now: Timestamp,
    ) -> Result<CertifiedLeaf, AuthorityError> {
        self.check_ours(request.spiffe_id)?;
        let signers = self.signers.load();
        let held = current(&signers.x509, now).ok_or(AuthorityError::NoSigner(now))?;
        let validity = Validity::new(now, request.ttl).within(held.term.validity);
        if validity.not_after <= now {
            return Err(AuthorityError::TooShort(request.ttl));
        }
        let serial = Serial::new(&*self.ports.entropy)?;
        let params = template::leaf(request.spiffe_id, request.dns_names, &serial, validity)?;
        let issuer = held.signer.issuer.as_ref().ok_or(AuthorityError::NoSigner(now))?;
        let certificate = params.signed_by(public_key, issuer)?;
        lint::check_leaf(
            certificate.der(),
            &ExpectedLeaf {
                uri: request.spiffe_id.as_str(),
                dns_names: request.dns_names,
                serial: &serial,
                validity,
                public_key: &public_key.subject_public_key_info(),
                authority: &held.signer.certificate,
            },
        )?;
        Ok(CertifiedLeaf {
            certificate: certificate.into(),
            serial: SerialNumber::from_bytes(serial.as_bytes()).map_err(|_unfit| LintError::Serial)?,
            authority: held.id.clone(),
            authority_certificate: held.signer.certificate.clone(),
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    /// The self-signed certificate of a new authority.
    pub(super) fn self_signed(
        &self,
        key: &SigningKey,
        now: Timestamp,
    ) -> Result<(AuthorityPublic, Validity), AuthorityError> {
        let serial = Serial::new(&*self.ports.entropy)?;
        let validity = Validity::new(now, self.config.ttl);
        let certificate = template::authority(self.trust_domain(), &serial, validity)?.self_signed(key)?;
        lint::check_authority(certificate.der(), &self.trust_domain().id_string(), &key.subject_public_key_info())?;
        Ok((AuthorityPublic::X509 { certificate: certificate.der().to_vec() }, validity))
    }

    /// The authority of the journal's `entry`, with its key.
    pub(super) fn open_x509(
        &self,
        entry: &AuthorityEntry,
        certificate: &[u8],
    ) -> Result<Arc<X509Signer>, AuthorityError> {
        let key = self.custody.find(&entry.id)?;
        let uri = self.trust_domain().id_string();
        let public_key = match &key {
            Some(key) => key.subject_public_key_info(),
            None => lint::public_key_of(certificate).unwrap_or_default(),
        };
        let validity = lint::check_authority(certificate, &uri, &public_key)
            .and_then(|()| lint::validity_of(certificate))
            .map_err(|source| AuthorityError::Foreign { id: entry.id.clone(), source })?;
        let certificate = CertificateDer::from(certificate.to_vec());
        let issuer = key.map(|key| rcgen::Issuer::from_ca_cert_der(&certificate, key)).transpose()?;
        Ok(Arc::new(X509Signer { certificate, validity, issuer }))
    }
}

impl X509Signer {
    /// A revocation list in the name of this authority; `None` if its key ended with an earlier process. What it signed
    /// is then refused by all who check lists, since they want one of every authority.
    pub(super) fn sign_list(
        &self,
        params: &CertificateRevocationListParams,
    ) -> Result<Option<CertificateRevocationListDer<'static>>, AuthorityError> {
        Ok(self.issuer.as_ref().map(|issuer| params.signed_by(issuer)).transpose()?.map(Into::into))
    }

    /// How it stands in the bundle.
    pub(super) fn in_bundle(&self, tainted: bool) -> X509Authority {
        X509Authority { certificate: self.certificate.clone(), tainted }
    }
}
