//! The kinds of public keys that have a JWK form here, as their parts; from and to a `SubjectPublicKeyInfo` (RFC 5280
//! section 4.1.2.7).

use x509_parser::asn1_rs::{BitString, FromDer as _, Integer, Null, Oid, Sequence, SerializeError, ToDer, oid};
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::jwk::JwkError;

/// A public key in its parts, each as long as it must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PublicKey {
    /// Both coordinates at full width.
    Ec { curve: &'static Curve, x: Vec<u8>, y: Vec<u8> },
    /// Both numbers without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// The 32 bytes of RFC 8032.
    Ed25519(Vec<u8>),
    /// The bytes of FIPS 204.
    MlDsa { parameters: &'static MlDsa, key: Vec<u8> },
}

/// A curve of SEC 2 and NIST.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Curve {
    /// As `crv` has it.
    pub(super) name: &'static str,
    pub(super) coordinate_bytes: usize,
    oid: Oid<'static>,
}

/// A parameter set of ML-DSA.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct MlDsa {
    /// As `alg` has it.
    pub(super) name: &'static str,
    pub(super) key_bytes: usize,
    oid: Oid<'static>,
}

static CURVES: [Curve; 3] = [
    Curve { name: "P-256", coordinate_bytes: 32, oid: OID_EC_P256 },
    Curve { name: "P-384", coordinate_bytes: 48, oid: OID_NIST_EC_P384 },
    Curve { name: "P-521", coordinate_bytes: 66, oid: OID_NIST_EC_P521 },
];

/// Object identifiers: RFC 9881 section 2. Sizes: FIPS 204, table 2.
static ML_DSA: [MlDsa; 3] = [
    MlDsa { name: "ML-DSA-44", key_bytes: 1312, oid: oid!(2.16.840.1.101.3.4.3.17) },
    MlDsa { name: "ML-DSA-65", key_bytes: 1952, oid: oid!(2.16.840.1.101.3.4.3.18) },
    MlDsa { name: "ML-DSA-87", key_bytes: 2592, oid: oid!(2.16.840.1.101.3.4.3.19) },
];

/// What precedes the two coordinates of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

impl Curve {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        CURVES.iter().find(|curve| curve.name == name)
    }
}

impl MlDsa {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ML_DSA.iter().find(|parameters| parameters.name == name)
    }
}

impl PublicKey {
    pub(super) const ED25519_BYTES: usize = 32;

    /// The key of a certificate in DER; `None` if it is no certificate, or something follows it.
    pub(super) fn of_certificate(der: &[u8]) -> Option<Result<Self, JwkError>> {
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        match parser.parse(der) {
            Ok(([], certificate)) => Some(Self::from_spki(certificate.public_key().raw)),
            _ => None,
        }
    }

    /// Reads a key that is spelled as [`to_spki`](Self::to_spki) would. The parser is generous with trailing bytes,
    /// unused bits, parameters and signs; what is written back and comes out the same has none of these.
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, JwkError> {
        let (_rest, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|_reason| JwkError::Malformed)?;
        let key = Self::taken_apart(&spki)?;
        if key.to_spki()? == der { Ok(key) } else { Err(JwkError::Malformed) }
    }

    fn taken_apart(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, JwkError> {
        let algorithm = &spki.algorithm.algorithm;
        let bytes = spki.subject_public_key.data.as_ref();
        let exactly = |length| if bytes.len() == length { Ok(bytes.to_vec()) } else { Err(JwkError::Malformed) };
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            return match spki.parsed() {
                Ok(Parsed::RSA(key)) => Self::rsa(key.modulus, key.exponent),
                _ => Err(JwkError::Malformed),
            };
        }
        if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let parameters = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            let curve = CURVES.iter().find(|curve| parameters.as_ref() == Some(&curve.oid));
            return Self::point(curve.ok_or(JwkError::UnknownKind)?, bytes);
        }
        if *algorithm == OID_SIG_ED25519 {
            return exactly(Self::ED25519_BYTES).map(Self::Ed25519);
        }
        let parameters = ML_DSA.iter().find(|set| set.oid == *algorithm).ok_or(JwkError::UnknownKind)?;
        Ok(Self::MlDsa { parameters, key: exactly(parameters.key_bytes)? })
    }

    fn point(curve: &'static Curve, bytes: &[u8]) -> Result<Self, JwkError> {
        match bytes.split_first() {
            Some((&UNCOMPRESSED, coordinates)) if coordinates.len() == 2 * curve.coordinate_bytes => {
                let (x, y) = coordinates.split_at(curve.coordinate_bytes);
                Ok(Self::Ec { curve, x: x.to_vec(), y: y.to_vec() })
            }
            _ => Err(JwkError::Malformed),
        }
    }

    /// An RSA key of a modulus and an exponent, big-endian, leading zeros or none.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, JwkError> {
        let (n, e) = (without_leading_zeros(modulus), without_leading_zeros(exponent));
        let bits = n.first().map_or(0, |top| n.len() * 8 - top.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err(JwkError::RsaSize(bits));
        }
        let odd = |number: &[u8]| number.last().is_some_and(|low| low % 2 == 1);
        if !odd(n) || !odd(e) || e == [1] || e.len() > 4 {
            return Err(JwkError::RsaNumbers);
        }
        Ok(Self::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    /// The key, if a JWT-SVID can be signed with its kind (JWT-SVID section 2.1).
    pub(super) fn into_jwt_key(self) -> Result<Self, JwkError> {
        match self {
            Self::Ec { .. } | Self::Rsa { .. } => Ok(self),
            Self::Ed25519(_) | Self::MlDsa { .. } => Err(JwkError::NotForJwt),
        }
    }

    /// The key as a DER `SubjectPublicKeyInfo` (RFC 3279 section 2.3.1, RFC 5480 section 2, RFC 8410 section 4, RFC
    /// 9881 section 4).
    pub(super) fn to_spki(&self) -> Result<Vec<u8>, JwkError> {
        // Writing to memory can't fail, but the library's signature says otherwise.
        self.write_spki().map_err(|_reason| JwkError::Malformed)
    }

    fn write_spki(&self) -> Result<Vec<u8>, SerializeError> {
        let (algorithm, key) = match self {
            Self::Ec { curve, x, y } => (
                sequence(&[&OID_KEY_TYPE_EC_PUBLIC_KEY, &curve.oid])?,
                [[UNCOMPRESSED].as_slice(), x.as_slice(), y.as_slice()].concat(),
            ),
            Self::Rsa { n, e } => (
                sequence(&[&OID_PKCS1_RSAENCRYPTION, &Null {}])?,
                sequence(&[&Integer::new(&unsigned(n)), &Integer::new(&unsigned(e))])?,
            ),
            Self::Ed25519(key) => (sequence(&[&OID_SIG_ED25519])?, key.clone()),
            Self::MlDsa { parameters, key } => (sequence(&[&parameters.oid])?, key.clone()),
        };
        let content = [algorithm, BitString::new(0, &key).to_der_vec()?].concat();
        Sequence::new(content.into()).to_der_vec()
    }
}

fn sequence(elements: &[&dyn ToDer]) -> Result<Vec<u8>, SerializeError> {
    let mut content = Vec::new();
    for element in elements {
        element.write_der(&mut content)?;
    }
    Sequence::new(content.into()).to_der_vec()
}

/// A number as an INTEGER spells it: the first bit is the sign.
fn unsigned(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|top| *top >= 0x80) { &[0] } else { &[] };
    [sign, number].concat()
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
