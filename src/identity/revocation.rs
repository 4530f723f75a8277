//! Single X.509-SVIDs that are refused before they expire, by the serial number that their authority gave them.

use std::fmt;

use crate::foundation::clock::Timestamp;

/// The longest serial number, in bytes (RFC 5280 section 4.1.2.2).
const MAX_SERIAL: usize = 20;

/// A certificate's serial number: positive, at most 20 bytes in DER.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SerialNumber(Vec<u8>);

/// Why a text is no serial number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// There is none.
    #[error("no serial number is given")]
    Empty,
    /// Something else than hexadecimal digits.
    #[error("a serial number is written in hexadecimal digits and nothing else")]
    NotHex,
    /// No certificate has it.
    #[error("a serial number is not zero")]
    Zero,
    /// It is longer than any that a certificate may have.
    #[error("a serial number has at most 20 bytes")]
    TooLong,
}

impl SerialNumber {
    /// The number that `text` writes in hexadecimal, in upper or lower case, with or without leading zeros: as records
    /// and `openssl x509 -serial` have it.
    ///
    /// # Errors
    /// [`SerialError`].
    pub fn parse(text: &str) -> Result<Self, SerialError> {
        if text.is_empty() {
            return Err(SerialError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SerialError::NotHex);
        }
        let digits = text.trim_start_matches('0');
        if digits.is_empty() {
            return Err(SerialError::Zero);
        }
        if digits.len() > 2 * MAX_SERIAL {
            return Err(SerialError::TooLong);
        }
        let even = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
        Self::from_bytes(&hex::decode(even).map_err(|_not_hex| SerialError::NotHex)?)
    }

    /// The number that `bytes` are, the highest first.
    ///
    /// # Errors
    /// [`SerialError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SerialError> {
        let shortest: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let number = Self(shortest);
        match number.0.first() {
            None => Err(SerialError::Zero),
            Some(_) if number.to_der_content().len() > MAX_SERIAL => Err(SerialError::TooLong),
            Some(_) => Ok(number),
        }
    }

    /// The number in the fewest bytes, the highest first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The contents of a DER `INTEGER`: one whose highest bit is set would be negative without a zero before it.
    pub(super) fn to_der_content(&self) -> Vec<u8> {
        let sign = self.0.first().filter(|first| **first & 0x80 != 0).map(|_negative| 0);
        sign.into_iter().chain(self.0.iter().copied()).collect()
    }
}

/// Lower-case hexadecimal, two digits a byte.
impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// A leaf that was revoked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevokedLeaf {
    /// Its number among those that its authority signed.
    pub serial: SerialNumber,
    /// Who signed it: see [`AuthorityEntry::id`](super::journal::AuthorityEntry::id).
    pub authority: String,
    /// When it was revoked.
    pub revoked_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_read_as_records_and_openssl_write_it() {
        for (text, read) in [("4f01", "4f01"), ("4F01", "4f01"), ("004f01", "4f01"), ("f01", "0f01"), ("80", "80")] {
            assert_eq!(SerialNumber::parse(text).unwrap().to_string(), read, "{text}");
        }
        assert_eq!(SerialNumber::parse("80").unwrap().to_der_content(), [0, 0x80]);
        assert_eq!(SerialNumber::parse(&"7f".repeat(20)).unwrap().as_bytes().len(), 20);
    }

    #[test]
    fn what_no_certificate_can_have_is_no_serial() {
        let long = "7f".repeat(21);
        let negative = "ff".repeat(20);
        for (text, error) in [
            ("", SerialError::Empty),
            ("0", SerialError::Zero),
            ("0000", SerialError::Zero),
            ("0x4f", SerialError::NotHex),
            ("4f:01", SerialError::NotHex),
            (" 4f", SerialError::NotHex),
            ("4f\n", SerialError::NotHex),
            ("-4f", SerialError::NotHex),
            ("４f", SerialError::NotHex),
            (&long, SerialError::TooLong),
            (&negative, SerialError::TooLong),
        ] {
            assert_eq!(SerialNumber::parse(text), Err(error), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_serial_survives_its_own_text(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..24)) {
            if let Ok(serial) = SerialNumber::from_bytes(&bytes) {
                proptest::prop_assert_eq!(SerialNumber::parse(&serial.to_string()), Ok(serial));
            }
        }
    }
}
