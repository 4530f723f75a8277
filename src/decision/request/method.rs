//! Request methods (RFC 9110 section 9): case-sensitive tokens.

use super::headers::is_token;

/// The longest method in bytes; the longest registered one has 17.
const MAX_LENGTH: usize = 32;

/// A method, which is also the name of the action that policies are asked about.
///
/// Lower case is refused though the RFC allows it: no registered method has any, backends that fold case would see
/// another method than the policy did, and lower-case action names (`connect`, `upgrade`) are ours.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Method<'a>(&'a str);

/// Why a text is not a method.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// There is none.
    #[error("there is no method")]
    Missing,
    /// More than 32 bytes.
    #[error("the method has {0} bytes, more than 32")]
    TooLong(usize),
    /// A character that no token has.
    #[error("the method is not a token")]
    NotToken,
    /// `get`, `Connect`.
    #[error("the method has lower-case letters")]
    LowerCase,
}

impl<'a> Method<'a> {
    /// Reads a method as sent.
    ///
    /// # Errors
    /// [`MethodError`].
    pub fn parse(raw: &'a str) -> Result<Self, MethodError> {
        if raw.is_empty() {
            return Err(MethodError::Missing);
        }
        if raw.len() > MAX_LENGTH {
            return Err(MethodError::TooLong(raw.len()));
        }
        if !is_token(raw) {
            return Err(MethodError::NotToken);
        }
        if raw.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(MethodError::LowerCase);
        }
        Ok(Self(raw))
    }

    /// The method as sent.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn registered_and_unknown_upper_case_tokens_pass() {
        for method in ["GET", "CONNECT", "M-SEARCH", "VERSION-CONTROL", "TRACE", "BREW", "X!#$%&'*+.^_`|~9"] {
            assert_eq!(Method::parse(method).map(Method::as_str), Ok(method));
        }
    }

    #[test]
    fn what_is_no_method_is_refused() {
        assert_eq!(Method::parse(""), Err(MethodError::Missing));
        assert_eq!(Method::parse(&"A".repeat(33)), Err(MethodError::TooLong(33)));
        for raw in ["GET ", " GET", "GET /x", "GE\0T", "GET\r\n", "GÉT", "A:B", "A/B", "A,B", "\"GET\""] {
            assert_eq!(Method::parse(raw), Err(MethodError::NotToken), "{raw}");
        }
    }

    #[test]
    fn no_method_can_be_one_of_our_own_action_names() {
        for raw in ["connect", "upgrade", "get", "Get", "POSt"] {
            assert_eq!(Method::parse(raw), Err(MethodError::LowerCase), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_method_is_exactly_what_was_sent(raw in any::<String>()) {
            if let Ok(method) = Method::parse(&raw) {
                prop_assert_eq!(method.as_str(), &raw);
                prop_assert!(raw.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
