use std::time::Duration;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PublicKeyData as _, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;

use super::super::keys::{KeyType, SigningKey};
use super::super::template;
use super::*;
use crate::foundation::entropy::SystemEntropy;

const ID: &str = "spiffe://example.org/web";
const CLIENT_AND_SERVER: [ExtendedKeyUsagePurpose; 2] =
    [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

/// An authority and a leaf that is about to be signed, for a test to spoil.
struct Mint {
    authority: CertificateDer<'static>,
    issuer: Issuer<'static, SigningKey>,
    key: SigningKey,
    serial: Serial,
    validity: Validity,
    dns_names: Vec<String>,
    params: CertificateParams,
}

impl Mint {
    fn new() -> Self {
        Self::at(Timestamp::from_unix_seconds(1_800_000_000), Duration::from_hours(24), 10, Duration::from_hours(1))
    }

    /// A leaf of `ttl`, made `age` seconds into the life of an authority.
    fn at(born: Timestamp, authority_ttl: Duration, age: u64, ttl: Duration) -> Self {
        let key = SigningKey::generate(KeyType::EcP256).unwrap();
        let serial = Serial::new(&SystemEntropy::new()).unwrap();
        let limits = Validity::new(born, authority_ttl);
        let params = template::authority(&"example.org".parse().unwrap(), &serial, limits).unwrap();
        let authority = CertificateDer::from(params.self_signed(&key).unwrap());
        let issuer = Issuer::from_ca_cert_der(&authority, key).unwrap();

        let dns_names = vec!["web.example".to_owned(), "web".to_owned()];
        let serial = Serial::new(&SystemEntropy::new()).unwrap();
        let validity = Validity::new(born.after(Duration::from_secs(age)), ttl).within(limits);
        let params = template::leaf(&ID.parse().unwrap(), &dns_names, &serial, validity).unwrap();
        Self {
            authority,
            issuer,
            key: SigningKey::generate(KeyType::EcP256).unwrap(),
            serial,
            validity,
            dns_names,
            params,
        }
    }

    fn sign(&self) -> Vec<u8> {
        self.params.signed_by(&self.key, &self.issuer).unwrap().der().to_vec()
    }

    fn check(&self, der: &[u8]) -> Result<(), LintError> {
        let expected = ExpectedLeaf {
            uri: ID,
            dns_names: &self.dns_names,
            serial: &self.serial,
            validity: self.validity,
            public_key: &self.key.subject_public_key_info(),
            authority: &self.authority,
        };
        check_leaf(der, &expected)
    }
}

/// What the linter says of a leaf whose template was spoilt.
fn spoilt(spoil: impl FnOnce(&mut CertificateParams)) -> LintError {
    let mut mint = Mint::new();
    spoil(&mut mint.params);
    mint.check(&mint.sign()).unwrap_err()
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

#[test]
fn what_the_templates_say_passes() {
    let mint = Mint::new();
    mint.check(&mint.sign()).unwrap();
    let key = mint.issuer.key().subject_public_key_info();
    check_authority(&mint.authority, "spiffe://example.org", &key).unwrap();
}

#[test]
fn no_bit_of_a_leaf_can_change_unseen() {
    let mint = Mint::new();
    let der = mint.sign();
    let unseen = (0..8 * der.len()).filter(|bit| {
        let mut changed = der.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        mint.check(&changed).is_ok()
    });
    assert_eq!(unseen.collect::<Vec<_>>(), [0; 0]);
}

#[test]
fn a_leaf_is_one_certificate_and_nothing_else() {
    let mint = Mint::new();
    let der = mint.sign();
    assert_eq!(mint.check(&[&der[..], &[0]].concat()), Err(LintError::Malformed));
    assert_eq!(mint.check(&[&der[..], &der[..]].concat()), Err(LintError::Malformed));
    assert_eq!(mint.check(&der[..der.len() - 1]), Err(LintError::Malformed));
    assert_eq!(mint.check(&[]), Err(LintError::Malformed));
}

#[test]
fn the_names_are_exactly_those_meant() {
    let wrong: [&[SanType]; 11] = [
        &[],
        &[uri(ID)],
        &[dns("web.example"), dns("web")],
        &[uri(ID), dns("web"), dns("web.example")],
        &[uri(ID), uri("spiffe://example.org/admin"), dns("web.example"), dns("web")],
        &[uri(ID), uri(ID), dns("web.example"), dns("web")],
        &[uri(ID), dns("web.example"), dns("web"), dns("other")],
        &[uri("spiffe://example.org/we"), dns("web.example"), dns("web")],
        &[uri("spiffe://example.com/web"), dns("web.example"), dns("web")],
        &[uri(ID), dns("web.example"), dns("web"), SanType::IpAddress([127, 0, 0, 1].into())],
        &[uri(ID), dns("web.example"), dns("web"), SanType::Rfc822Name("a@b".try_into().unwrap())],
    ];
    for names in wrong {
        let error = spoilt(|params| params.subject_alt_names = names.to_vec());
        assert_eq!(error, LintError::SubjectAltName, "{names:?}");
    }
    let named = spoilt(|params| params.distinguished_name.push(DnType::CommonName, "admin"));
    assert_eq!(named, LintError::Subject);
}

#[test]
fn a_leaf_is_no_authority() {
    for constraints in [BasicConstraints::Unconstrained, BasicConstraints::Constrained(0)] {
        assert_eq!(spoilt(|params| params.is_ca = IsCa::Ca(constraints)), LintError::BasicConstraints);
    }
    for more in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::ContentCommitment] {
        assert_eq!(spoilt(|params| params.key_usages.push(more)), LintError::KeyUsage);
    }
}

#[test]
fn key_usages_are_all_there_and_critical() {
    assert_eq!(spoilt(|params| params.key_usages.clear()), LintError::KeyUsage);
    assert_eq!(spoilt(|params| params.key_usages.truncate(1)), LintError::KeyUsage);
    let uncritical = |params: &mut CertificateParams| {
        params.key_usages.clear();
        let bits = vec![0x03, 0x02, 0x03, 0xa8];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 15], bits)];
    };
    assert_eq!(spoilt(uncritical), LintError::KeyUsage);

    let [server, client] = CLIENT_AND_SERVER;
    for usages in [
        vec![],
        vec![server.clone()],
        vec![client],
        [&CLIENT_AND_SERVER[..], &[ExtendedKeyUsagePurpose::CodeSigning]].concat(),
        [&CLIENT_AND_SERVER[..], &[ExtendedKeyUsagePurpose::Any]].concat(),
        [&CLIENT_AND_SERVER[..], &[ExtendedKeyUsagePurpose::Other(vec![1, 2, 3])]].concat(),
    ] {
        assert_eq!(spoilt(|params| params.extended_key_usages = usages), LintError::ExtendedKeyUsage);
    }
}

#[test]
fn an_extension_is_known_and_there_once() {
    let unknown = |params: &mut CertificateParams| {
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999], vec![5, 0])];
    };
    assert_eq!(spoilt(unknown), LintError::Extension("1.3.6.1.4.1.99999".into()));
    let second_names = |params: &mut CertificateParams| {
        let names = [&[0x30, 5, 0x86, 3][..], b"a:b"].concat();
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], names)];
    };
    assert_eq!(spoilt(second_names), LintError::Extension("2.5.29.17".into()));
    let malformed = |params: &mut CertificateParams| {
        params.extended_key_usages.clear();
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0x7f])];
    };
    assert_eq!(spoilt(malformed), LintError::Extension("2.5.29.37".into()));
}

#[test]
fn the_key_ids_lead_to_the_keys() {
    let wrong = KeyIdMethod::PreSpecified(vec![1; 20]);
    assert_eq!(spoilt(|params| params.key_identifier_method = wrong), LintError::SubjectKeyId);
    assert_eq!(spoilt(|params| params.is_ca = IsCa::NoCa), LintError::SubjectKeyId);
    let without = spoilt(|params| params.use_authority_key_identifier_extension = false);
    assert_eq!(without, LintError::AuthorityKeyId);

    let mint = Mint::new();
    let stranger = SigningKey::generate(KeyType::EcP256).unwrap();
    let der = mint.params.signed_by(&stranger, &mint.issuer).unwrap().der().to_vec();
    assert_eq!(mint.check(&der), Err(LintError::PublicKey));
}

#[test]
fn serial_and_dates_are_those_that_were_meant() {
    for serial in [vec![1], vec![0], vec![0xff; 16], vec![0x7f; 21]] {
        let error = spoilt(|params| params.serial_number = Some(SerialNumber::from_slice(&serial)));
        assert_eq!(error, LintError::Serial, "{serial:?}");
    }
    let second = Duration::from_secs(1);
    assert_eq!(spoilt(|params| params.not_after += second), LintError::Validity);
    assert_eq!(spoilt(|params| params.not_before += second), LintError::Validity);
    assert_eq!(spoilt(|params| params.not_before -= second), LintError::Validity);
}

#[test]
fn a_leaf_that_outlives_its_authority_fails_though_it_was_meant() {
    for (early, late) in [(0, 1), (1, 0)] {
        let mut mint = Mint::new();
        let limits = validity_of(&mint.authority).unwrap();
        let second = Duration::from_secs;
        mint.validity = Validity {
            not_before: limits.not_before.before(second(early)),
            not_after: limits.not_after.after(second(late)),
        };
        mint.params = template::leaf(&ID.parse().unwrap(), &mint.dns_names, &mint.serial, mint.validity).unwrap();
        assert_eq!(mint.check(&mint.sign()), Err(LintError::OutlivesAuthority));
    }
}

#[test]
fn only_the_authority_itself_signs() {
    let mut mint = Mint::new();
    let impostor = Issuer::from_ca_cert_der(&mint.authority, SigningKey::generate(KeyType::EcP256).unwrap()).unwrap();
    let der = mint.params.signed_by(&mint.key, &impostor).unwrap().der().to_vec();
    assert_eq!(mint.check(&der), Err(LintError::Signature));

    let other_curve = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let impostor = Issuer::from_ca_cert_der(&mint.authority, other_curve).unwrap();
    let der = mint.params.signed_by(&mint.key, &impostor).unwrap().der().to_vec();
    assert_eq!(mint.check(&der), Err(LintError::Algorithm));

    mint.issuer = Mint::new().issuer;
    assert_eq!(mint.check(&mint.sign()), Err(LintError::Issuer));
}

#[test]
fn an_authority_is_ours_and_can_sign() {
    let id = "spiffe://example.org";
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    let public_key = key.subject_public_key_info();
    let serial = Serial::new(&SystemEntropy::new()).unwrap();
    let validity = Validity::new(Timestamp::from_unix_seconds(1_800_000_000), Duration::from_mins(1));
    let good = template::authority(&"example.org".parse().unwrap(), &serial, validity).unwrap();
    let checked = |spoil: &dyn Fn(&mut CertificateParams)| {
        let mut params = good.clone();
        spoil(&mut params);
        check_authority(params.self_signed(&key).unwrap().der(), id, &public_key)
    };
    assert_eq!(checked(&|_| {}), Ok(()));
    assert_eq!(checked(&|params| params.is_ca = IsCa::ExplicitNoCa), Err(LintError::BasicConstraints));
    let unconstrained = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(checked(&|params| params.is_ca = unconstrained), Err(LintError::BasicConstraints));
    let signs = KeyUsagePurpose::DigitalSignature;
    assert_eq!(checked(&|params| params.key_usages.push(signs)), Err(LintError::KeyUsage));
    assert_eq!(checked(&|params| params.subject_alt_names = vec![uri(ID)]), Err(LintError::SubjectAltName));
    assert_eq!(checked(&|params| params.distinguished_name = rcgen::DistinguishedName::new()), Err(LintError::Subject));
    assert_eq!(checked(&|params| params.not_after = params.not_before), Err(LintError::Validity));

    let another = Mint::new();
    assert_eq!(check_authority(&another.authority, id, &public_key), Err(LintError::PublicKey));
    let cross_signed = good.signed_by(&key, &another.issuer).unwrap();
    assert_eq!(check_authority(cross_signed.der(), id, &public_key), Err(LintError::Issuer));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From 1970 past the change of the date's encoding in 2050 to the end of our time.
    #[test]
    fn any_leaf_that_we_make_passes_and_never_outlives_its_authority(
        born in prop_oneof![0..16_000_000_000_u64, 2_524_600_000..2_524_620_000_u64],
        nanos in 0..1_000_000_000_u64,
        authority_ttl in 60..100_000_000_u64,
        age in 0.0..1.0_f64,
        ttl in 1..100_000_000_u64,
    ) {
        let age = Duration::from_secs(authority_ttl - 1).mul_f64(age).as_secs();
        let born = Timestamp::from_unix_nanos(born * 1_000_000_000 + nanos);
        let mint = Mint::at(born, Duration::from_secs(authority_ttl), age, Duration::from_secs(ttl));
        prop_assert_eq!(mint.check(&mint.sign()), Ok(()));
        prop_assert!(mint.validity.not_after <= validity_of(&mint.authority).unwrap().not_after);
        prop_assert!(born.after(Duration::from_secs(age)) < mint.validity.not_after);
    }
}
