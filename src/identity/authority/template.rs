//! What we want to sign, as the X509-SVID standard (sections 3 and 4) and SPIRE's certificates have it.

use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber,
};
use time::OffsetDateTime;

use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, EntropyError, random};

/// A certificate is valid from a little before it is made, for clocks that are slow.
pub(super) const BACKDATE: Duration = Duration::from_secs(10);

/// The X.520 `serialNumber` attribute of a name.
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];

/// A certificate's serial number: positive, 16 random bytes, in the shortest form that DER allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Serial([u8; 16]);

impl Serial {
    /// A new one. Of the 128 bits 126 are random: the first two are `01`, which keeps the number positive and its
    /// encoding 16 bytes long.
    pub(super) fn new(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let [first, rest @ ..] = random::<16>(entropy)?;
        let mut bytes = [first & 0x3f | 0x40; 16];
        bytes.iter_mut().skip(1).zip(rest).for_each(|(byte, random)| *byte = random);
        Ok(Self(bytes))
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// From when until when, in whole seconds, as a certificate can say it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Validity {
    /// That of a certificate made at `now` to live for `ttl`.
    pub(super) fn new(now: Timestamp, ttl: Duration) -> Self {
        Self { not_before: whole_seconds(now.before(BACKDATE)), not_after: whole_seconds(now.after(ttl)) }
    }

    /// The part of it that lies inside `limits`: nothing is valid longer than the authority that vouches for it.
    pub(super) fn within(self, limits: Self) -> Self {
        Self { not_before: self.not_before.max(limits.not_before), not_after: self.not_after.min(limits.not_after) }
    }
}

/// `time` without its fraction of a second.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_nanos(time.unix_seconds().saturating_mul(1_000_000_000))
}

/// The certificate of a workload. Its subject is empty, so the SAN is critical and there is one place to look for the
/// identity.
pub(super) fn leaf(
    id: &SpiffeId,
    dns_names: &[String],
    serial: &Serial,
    validity: Validity,
) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec![SanType::URI(id.as_str().try_into()?)];
    for name in dns_names {
        names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    let mut params = blank(serial, validity)?;
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyAgreement];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The self-signed certificate of an authority, which signs leaves only. Its subject is unique: verifiers that look
/// authorities up by name try every one of that name, and Go's gives up after some (spire#4415).
pub(super) fn authority(
    trust_domain: &TrustDomain,
    serial: &Serial,
    validity: Validity,
) -> Result<CertificateParams, rcgen::Error> {
    let printable = |text: &str| PrintableString::try_from(text).map(DnValue::PrintableString);
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CountryName, printable("US")?);
    subject.push(DnType::OrganizationName, printable("Portcullis")?);
    subject.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), printable(&hex::encode(serial.as_bytes()))?);
    let mut params = blank(serial, validity)?;
    params.distinguished_name = subject;
    params.subject_alt_names = vec![SanType::URI(trust_domain.id_string().as_str().try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn blank(serial: &Serial, validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.key_identifier_method = KeyIdMethod::Sha256;
    Ok(params)
}

/// `time` as a certificate or a list can say it.
pub(super) fn date(time: Timestamp) -> Result<OffsetDateTime, rcgen::Error> {
    let seconds = i64::try_from(time.unix_seconds()).map_err(|_beyond| rcgen::Error::Time)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_beyond| rcgen::Error::Time)
}
