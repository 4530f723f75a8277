//! Keys in a PKCS#11 token (OASIS PKCS #11 v3.0): made there, used there, never read out. Curves only, since every token
//! has them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use rcgen::PublicKeyData as _;

use super::TokenConfig;
use crate::foundation::files::{PrivateFileError, read_private};
use crate::identity::authority::keys::{Curve, KeyType, SigningKey, TokenKey};

/// What our keys are called in the token; it tells them from those of others.
const LABEL: &[u8] = b"portcullis authority";

/// An uncompressed point begins so (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// Why the token did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The module, the token or the session failed.
    #[error("the PKCS#11 token failed: {0}")]
    Pkcs11(#[from] Error),
    /// There is no such token.
    #[error("there is no PKCS#11 token with the label `{0}`")]
    NoToken(String),
    /// The PIN can't be read.
    #[error("the PIN of the PKCS#11 token: {0}")]
    Pin(#[from] PrivateFileError),
    /// The PIN is not text.
    #[error("the PIN of the PKCS#11 token is not UTF-8")]
    PinEncoding,
    /// The key is of a kind that is not asked of tokens.
    #[error("a PKCS#11 token makes keys of type `ec-p256` and `ec-p384` here, not `{0}`")]
    KeyType(&'static str),
    /// The key of an authority is not there.
    #[error("authority {0} is in the journal, but its key is not in the PKCS#11 token: is it the right one?")]
    NoKey(String),
    /// What the token says of a key makes no sense.
    #[error("the PKCS#11 token describes key {0} in a way that makes no sense")]
    Nonsense(String),
}

/// A token, logged in to.
#[derive(Clone, Debug)]
pub(in crate::identity::authority) struct Token(Arc<Mutex<Session>>);

impl Token {
    pub(super) fn open(config: &TokenConfig) -> Result<Self, TokenError> {
        let pkcs11 = Pkcs11::new(&config.module)?;
        match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another part of this process came first.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        let named = |slot: &cryptoki::slot::Slot| {
            pkcs11.get_token_info(*slot).is_ok_and(|token| token.label().trim_end() == config.label)
        };
        let slot = pkcs11.get_slots_with_initialized_token()?.into_iter().find(named);
        let session = pkcs11.open_rw_session(slot.ok_or_else(|| TokenError::NoToken(config.label.clone()))?)?;
        let pin = read_private(&config.pin_file)?;
        let pin = std::str::from_utf8(&pin).map_err(|_not_utf8| TokenError::PinEncoding)?;
        match session.login(UserType::User, Some(&AuthPin::from(pin.trim_end_matches(['\r', '\n'])))) {
            // Logins are the process's, not the session's.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self(Arc::new(Mutex::new(session))))
    }

    /// A new key, by its id in hexadecimal.
    pub(super) fn make(&self, key_type: KeyType) -> Result<(String, SigningKey), TokenError> {
        let curve = match key_type {
            KeyType::EcP256 => Curve::P256,
            KeyType::EcP384 => Curve::P384,
            other => return Err(TokenError::KeyType(other.name())),
        };
        let session = self.session();
        let (public, private) = session.generate_key_pair(
            &Mechanism::EccKeyPairGen,
            &[
                Attribute::Token(true),
                Attribute::Verify(true),
                Attribute::Label(LABEL.to_vec()),
                Attribute::EcParams(curve.oid().to_vec()),
            ],
            &[
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
                Attribute::Label(LABEL.to_vec()),
            ],
        )?;
        let key = self.key(&session, public, private, curve, "that was just made")?;
        let id = key.id();
        session.update_attributes(public, &[Attribute::Id(id.clone())])?;
        session.update_attributes(private, &[Attribute::Id(id.clone())])?;
        Ok((hex::encode(id), key))
    }

    pub(super) fn find(&self, id: &str) -> Result<SigningKey, TokenError> {
        let raw = hex::decode(id).map_err(|_not_hex| TokenError::NoKey(id.to_owned()))?;
        let session = self.session();
        let of = |class| [Attribute::Class(class), Attribute::Id(raw.clone()), Attribute::Label(LABEL.to_vec())];
        let only = |class| match session.find_objects(&of(class))?.as_slice() {
            [one] => Ok(*one),
            _ => Err(TokenError::NoKey(id.to_owned())),
        };
        let (public, private) = (only(ObjectClass::PUBLIC_KEY)?, only(ObjectClass::PRIVATE_KEY)?);
        let parameters = session.get_attributes(public, &[AttributeType::EcParams])?;
        let curve = parameters.iter().find_map(|attribute| match attribute {
            Attribute::EcParams(oid) => Curve::ALL.into_iter().find(|curve| curve.oid() == oid.as_slice()),
            _ => None,
        });
        let nonsense = || TokenError::Nonsense(id.to_owned());
        let key = self.key(&session, public, private, curve.ok_or_else(nonsense)?, id)?;
        if key.id() == raw { Ok(key) } else { Err(nonsense()) }
    }

    pub(super) fn destroy(&self, id: &str) -> Result<(), TokenError> {
        let Ok(id) = hex::decode(id) else { return Ok(()) };
        let session = self.session();
        for object in session.find_objects(&[Attribute::Id(id), Attribute::Label(LABEL.to_vec())])? {
            session.destroy_object(object)?;
        }
        Ok(())
    }

    pub(super) fn ids(&self) -> Result<Vec<String>, TokenError> {
        let session = self.session();
        let ours = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(LABEL.to_vec())];
        let mut ids = Vec::new();
        for object in session.find_objects(&ours)? {
            for attribute in session.get_attributes(object, &[AttributeType::Id])? {
                if let Attribute::Id(id) = attribute {
                    ids.push(hex::encode(id));
                }
            }
        }
        Ok(ids)
    }

    /// An ECDSA signature over a digest: both numbers at full width (PKCS #11 section 2.3.1).
    pub(in crate::identity::authority) fn sign(
        &self,
        private: ObjectHandle,
        digest: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        Ok(self.session().sign(&Mechanism::Ecdsa, private, digest)?)
    }

    fn key(
        &self,
        session: &Session,
        public: ObjectHandle,
        private: ObjectHandle,
        curve: Curve,
        id: &str,
    ) -> Result<SigningKey, TokenError> {
        let attributes = session.get_attributes(public, &[AttributeType::EcPoint])?;
        let point = attributes.iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => point_of(point, curve),
            _ => None,
        });
        let point = point.ok_or_else(|| TokenError::Nonsense(id.to_owned()))?;
        let key = SigningKey::Token(TokenKey { token: self.clone(), private, curve, point });
        debug_assert!(!key.der_bytes().is_empty(), "a key has a public half");
        Ok(key)
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The uncompressed point in `CKA_EC_POINT`, which is wrapped in an OCTET STRING; some tokens forget that.
fn point_of(attribute: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let length = 1 + 2 * curve.width();
    let is_point = |bytes: &&[u8]| bytes.len() == length && bytes.first() == Some(&UNCOMPRESSED);
    let wrapped = attribute.get(attribute.len().checked_sub(length)?..).filter(is_point);
    wrapped.map(<[u8]>::to_vec)
}
