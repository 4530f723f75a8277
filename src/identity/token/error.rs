//! Why a token proves nothing.

use std::sync::Arc;

use super::{Algorithm, MAX_TOKEN_BYTES};
use crate::foundation::clock::Timestamp;
use crate::identity::svid::jwt;

/// Why a token proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is longer than any token.
    #[error("the token has {0} bytes, more than {MAX_TOKEN_BYTES}")]
    TooLong(usize),
    /// What is wrong with any token, and with a JWT-SVID as such.
    #[error(transparent)]
    Jwt(#[from] jwt::TokenError),
    /// A header parameter that brings a key of its own, or demands something (RFC 7515 sections 4.1.2 to 4.1.6, 4.1.11).
    #[error("the token has the header parameter `{0}`, which is not taken from a token")]
    HeaderParameter(&'static str),
    /// Not one that its issuer may sign with.
    #[error("the token's algorithm is {0:?}, which its issuer is not allowed")]
    Algorithm(String),
    /// A token for another purpose (RFC 8725 section 3.11).
    #[error("the token's type is {0:?}, which is not one of those that are taken from its issuer")]
    Type(String),
    /// Nobody whose tokens are believed.
    #[error("the token's issuer {0:?} is not one of those that are believed")]
    UnknownIssuer(String),
    /// The issuer's keys were never had, or nobody has vouched for them for too long.
    #[error("the keys of `{0}` are not known, or not known to be its keys any more")]
    NoKeys(Arc<str>),
    /// The issuer has no such key, or has it no more.
    #[error("`{issuer}` has no key {key_id:?}")]
    UnknownKey {
        /// Whose keys.
        issuer: Arc<str>,
        /// Which key; `None` if the token does not say and there is more than one.
        key_id: Option<String>,
    },
    /// The key says that it is for another algorithm (RFC 7517 section 4.4).
    #[error("the key of the token is for {0} alone")]
    OtherAlgorithm(Algorithm),
    /// It was used before, and is good for one use.
    #[error("the token was used before")]
    Replayed,
    /// It may have been used before this process started.
    #[error("the token was issued at {0}, before this process started, so it can't be known whether it was used")]
    BeforeStart(Timestamp),
    /// It is good for one use, and would have to be remembered for too long after that.
    #[error("the token is good for one use, and ends only at {0}: its use can't be remembered for so long")]
    LongLived(Timestamp),
    /// So many tokens are in use that no more can be remembered as used.
    #[error("{0} tokens that were used are remembered already, and there is no room for one more")]
    NoRoom(usize),
}

/// The kinds of [`TokenError`] that someone who is refused can do something about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TokenFault {
    /// It is not a token of the form that is wanted.
    Bad,
    /// It is not valid yet or no longer.
    OutOfTime,
    /// Nobody who is believed vouches for it, or it is meant for others.
    Untrusted,
    /// It was used before, or may have been.
    Replayed,
    /// It may be good, but there is no room to remember its use.
    NoRoom,
    /// It is good, and proves an identity of another trust domain that is not let in.
    Foreign,
}

impl TokenError {
    /// Which kind it is.
    pub const fn fault(&self) -> TokenFault {
        match self {
            Self::Jwt(error) => fault_of(error),
            Self::TooLong(_) | Self::HeaderParameter(_) | Self::Algorithm(_) | Self::Type(_) | Self::LongLived(_) => {
                TokenFault::Bad
            }
            Self::UnknownIssuer(_) | Self::NoKeys(_) | Self::UnknownKey { .. } | Self::OtherAlgorithm(_) => {
                TokenFault::Untrusted
            }
            Self::Replayed | Self::BeforeStart(_) => TokenFault::Replayed,
            Self::NoRoom(_) => TokenFault::NoRoom,
        }
    }
}

const fn fault_of(error: &jwt::TokenError) -> TokenFault {
    use jwt::TokenError as Error;
    match error {
        Error::Expired(_) | Error::NotYetValid(_) | Error::FromTheFuture(_) => TokenFault::OutOfTime,
        Error::NoBundle(_)
        | Error::NoKey { .. }
        | Error::KeyKind { .. }
        | Error::Signature
        | Error::Audience { .. } => TokenFault::Untrusted,
        Error::NotAdmitted(_) => TokenFault::Foreign,
        _ => TokenFault::Bad,
    }
}
