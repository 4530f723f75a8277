//! Why there is no new token. What a client is told of it is its code and these words, which repeat nothing of what it
//! sent; the rest is for the log.

use crate::evidence::{AppendError, Outcome};
use crate::foundation::entropy::EntropyError;
use crate::identity::authority::AuthorityError;
use crate::identity::delegation::DelegationError;
use crate::identity::token::TokenError;

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The subject's token proves nothing, or is for others.
    #[error("the subject token proves nothing here")]
    Subject(#[source] TokenError),
    /// The actor's token proves nothing, or is for others.
    #[error("the actor token proves nothing here")]
    Actor(#[source] TokenError),
    /// What a token says of a delegation can't be relied on.
    #[error("what a token says of who acts, of its scope or of its holder can't be relied on")]
    Delegation(#[source] DelegationError),
    /// A token is not what it is said to be.
    #[error("a token is not of the type that is named")]
    OtherType,
    /// A token, or somebody in its chain, was revoked.
    #[error("a token was revoked")]
    Revoked,
    /// A token rests on a workload of another trust domain that is not let in, or of which nobody is believed any more.
    #[error("a token rests on somebody who is not let in")]
    NotLetIn,
    /// The token was made for somebody else, who alone may exchange it.
    #[error("the subject token was not made for this client")]
    MadeForOthers,
    /// Another issuer says that workloads of ours acted, and none of them is the client.
    #[error("the subject token is of another issuer, and names workloads of ours as actors")]
    NamesOurs,
    /// The token is bound to a certificate that the client has not shown.
    #[error("a token is bound to the certificate of another")]
    OtherHolder,
    /// The actor's token is not of the client.
    #[error("the actor token is not the client's own")]
    ActorIsNotClient,
    /// The subject's token says who may act, and that is not the client.
    #[error("the subject token does not let this client act")]
    MayNotAct,
    /// One more actor would be too many.
    #[error("the chain of actors is too long")]
    TooDeep,
    /// Nobody of that name, or none named.
    #[error("the audience is not one that tokens are made for here")]
    UnknownAudience,
    /// Not a list of scopes.
    #[error("the scope is not a list of up to 64 names with single spaces between them")]
    MalformedScope,
    /// There is no such scope.
    #[error("a scope is not known here")]
    UnknownScope,
    /// More is wanted than the subject's token grants.
    #[error("the subject token does not grant a scope that is asked for")]
    WiderScope,
    /// The subject's token grants nothing that could be passed on.
    #[error("the subject token grants no scope that is known here")]
    NoScope,
    /// The policies grant none of it.
    #[error("no policy grants this client any of the scope")]
    NotGranted,
    /// Never issued, or not for such a subject.
    #[error("this type of token is not issued for this subject")]
    NotIssued,
    /// Somebody acts for the subject, and a JWT-SVID can't say so.
    #[error("a JWT-SVID is issued to its own subject alone; ask for an access token")]
    ActsForOther,
    /// A transaction token is replaced by a transaction token, and by nothing else.
    #[error("a transaction token can only be replaced by one")]
    OnlyReplaced,
    /// Something that a transaction token says would be said otherwise.
    #[error("what a transaction token says can be added to, and not be changed")]
    ChangesTransaction,
    /// What only a transaction token has.
    #[error("`request_context` and `request_details` are of transaction tokens alone")]
    NoTransaction,
    /// The new token would be over at once.
    #[error("the tokens that are shown end too soon")]
    TooShort,
    /// Nothing could read the new token.
    #[error("the new token would be too long")]
    TooLong,
    /// New tokens are bound to certificates, and the client showed none.
    #[error("tokens are bound to certificates here, and the client showed none")]
    NoCertificate,
    /// Nobody could sign.
    #[error("there is nobody to sign at the moment")]
    Unsigned(#[source] AuthorityError),
    /// No randomness.
    #[error("there is no randomness at the moment")]
    Entropy(#[source] EntropyError),
    /// Nothing is given out that is not on record.
    #[error("the exchange could not be recorded")]
    Unrecorded(#[source] AppendError),
    /// The policies could not be asked.
    #[error("no decision could be made")]
    Undecided,
}

/// The codes of errors (RFC 6749 section 5.2, RFC 8693 section 2.2.2), and one for faults of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorCode {
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_target`
    InvalidTarget,
    /// `invalid_scope`
    InvalidScope,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `temporarily_unavailable`
    Unavailable,
}

impl ExchangeError {
    /// The code that says which kind it is.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownAudience => ErrorCode::InvalidTarget,
            Self::MalformedScope | Self::UnknownScope | Self::WiderScope | Self::NoScope => ErrorCode::InvalidScope,
            Self::NotGranted => ErrorCode::UnauthorizedClient,
            Self::Unsigned(_) | Self::Entropy(_) | Self::Unrecorded(_) | Self::Undecided => ErrorCode::Unavailable,
            _ => ErrorCode::InvalidRequest,
        }
    }

    /// The word for it in records and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Subject(_) => "bad_subject_token",
            Self::Actor(_) => "bad_actor_token",
            Self::Delegation(_) => "bad_delegation",
            Self::OtherType => "other_type",
            Self::Revoked => "revoked",
            Self::NotLetIn => "foreign_identity",
            Self::MadeForOthers => "made_for_others",
            Self::NamesOurs => "names_ours",
            Self::OtherHolder => "other_holder",
            Self::ActorIsNotClient => "actor_is_not_client",
            Self::MayNotAct => "may_not_act",
            Self::TooDeep => "too_deep",
            Self::UnknownAudience => "unknown_audience",
            Self::MalformedScope => "malformed_scope",
            Self::UnknownScope => "unknown_scope",
            Self::WiderScope => "wider_scope",
            Self::NoScope => "no_scope",
            Self::NotGranted => "not_granted",
            Self::NotIssued => "not_issued",
            Self::ActsForOther => "acts_for_other",
            Self::OnlyReplaced => "only_replaced",
            Self::ChangesTransaction => "changes_transaction",
            Self::NoTransaction => "no_transaction",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::NoCertificate => "no_certificate",
            Self::Unsigned(_) => "unsigned",
            Self::Entropy(_) => "no_entropy",
            Self::Unrecorded(_) => "unrecorded",
            Self::Undecided => "undecided",
        }
    }

    /// How an exchange ends that ends so.
    pub(super) const fn outcome(&self) -> Outcome {
        match self.code() {
            ErrorCode::Unavailable => Outcome::Error,
            _ => Outcome::Deny,
        }
    }
}

impl ErrorCode {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidScope => "invalid_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::Unavailable => "temporarily_unavailable",
        }
    }
}
