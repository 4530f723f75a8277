//! Why an answer is what it is. `docs/reasons.md` says of each what happened and what to do.

use crate::evidence::Outcome;

/// Why an answer is what it is: a fixed list, so that people can count and alert on it. `docs/reasons.md` has them all.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// A policy permits and none forbids.
    Permitted,
    /// No policy permits.
    NoPermit,
    /// A policy forbids.
    Forbidden,
    /// A forbidding policy failed to evaluate, which forbids.
    ForbidFailed,
    /// The policies permit on a condition that whoever enforces the answer can't meet, or would not learn of.
    UnmetObligation,
    /// The client showed no certificate.
    NoCertificate,
    /// The certificate can't be read or is not an X509-SVID.
    BadCertificate,
    /// The certificate has expired or is not valid yet.
    ExpiredCertificate,
    /// The certificate was revoked.
    RevokedCertificate,
    /// No authority in the current bundle of its trust domain signed the certificate.
    UntrustedCertificate,
    /// The certificate or the token is good, but of another trust domain, of which this identity is not let in.
    ForeignIdentity,
    /// The proxy names another principal than the certificate does.
    PrincipalMismatch,
    /// The caller asks about a workload whose name is not a SPIFFE ID.
    BadPrincipal,
    /// Whoever asks must show a token, and shows none.
    NoToken,
    /// The token can't be read, or is not of the form that its issuer's must have.
    BadToken,
    /// The token has expired or is not valid yet.
    ExpiredToken,
    /// Nobody whose tokens are believed vouches for the token now, or it is meant for others.
    UntrustedToken,
    /// The token is good for one use, and was used or may have been.
    ReplayedToken,
    /// The token was made for another than whoever shows it.
    OtherHolder,
    /// The token, or somebody whom it rests on, was revoked.
    RevokedToken,
    /// The token is good for one use, and there is no room to remember one more as used.
    TokensFull,
    /// No policy lets the caller ask what it asks.
    CallerNotPermitted,
    /// The method is not a token, or is missing.
    BadMethod,
    /// The path is missing or can be read in two ways.
    BadPath,
    /// The host is missing where it is needed or can be read in two ways.
    BadHost,
    /// A header that a policy reads is there twice, or is not text.
    BadHeader,
    /// The proxy did not send raw headers, so duplicates can't be told.
    HeadersNotRaw,
    /// No route of the mapping matches the request.
    NoRoute,
    /// The route of the mapping reads a query parameter that is there twice, or can be read in two ways.
    BadQuery,
    /// The route of the mapping reads the body, which is not there whole, or is not JSON that can be read in one way only.
    BadBody,
    /// The route of the mapping needs something for the resource's id that the request lacks.
    MissingInput,
    /// The body is no message of MCP, or one that can be read in two ways.
    BadMessage,
    /// What the proxy's MCP filter or the request's headers say of a message is not what the message says, or not enough.
    MetadataMismatch,
    /// The tool is not in the catalogue of its server.
    Unregistered,
    /// Neither the route nor the proxy's own certificate says which service this is.
    NoService,
    /// The schema knows no such action.
    UnknownAction,
    /// The schema does not allow such a request: a type, or the context of the action.
    SchemaMismatch,
    /// The question itself could not be decoded.
    Undecodable,
    /// The caller has already stopped waiting, or will have before it could be answered.
    DeadlineExpired,
    /// There is no room for more questions.
    Overloaded,
    /// The decision could not be recorded.
    AuditUnavailable,
    /// A fault of ours that has no better name.
    Internal,
}

/// `Internal` is the last, so none can be missing from the list.
const _: () = assert!(Reason::ALL.len() == Reason::Internal as usize + 1, "a reason is missing from `ALL`");

impl Reason {
    /// All of them.
    pub const ALL: [Self; 42] = [
        Self::Permitted,
        Self::NoPermit,
        Self::Forbidden,
        Self::ForbidFailed,
        Self::UnmetObligation,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::ExpiredCertificate,
        Self::RevokedCertificate,
        Self::UntrustedCertificate,
        Self::ForeignIdentity,
        Self::PrincipalMismatch,
        Self::BadPrincipal,
        Self::NoToken,
        Self::BadToken,
        Self::ExpiredToken,
        Self::UntrustedToken,
        Self::ReplayedToken,
        Self::OtherHolder,
        Self::RevokedToken,
        Self::TokensFull,
        Self::CallerNotPermitted,
        Self::BadMethod,
        Self::BadPath,
        Self::BadHost,
        Self::BadHeader,
        Self::HeadersNotRaw,
        Self::NoRoute,
        Self::BadQuery,
        Self::BadBody,
        Self::BadMessage,
        Self::MetadataMismatch,
        Self::Unregistered,
        Self::MissingInput,
        Self::NoService,
        Self::UnknownAction,
        Self::SchemaMismatch,
        Self::Undecodable,
        Self::DeadlineExpired,
        Self::Overloaded,
        Self::AuditUnavailable,
        Self::Internal,
    ];

    /// The name in answers, metrics, logs and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::NoPermit => "no_permit",
            Self::Forbidden => "forbidden",
            Self::ForbidFailed => "forbid_failed",
            Self::UnmetObligation => "unmet_obligation",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::ExpiredCertificate => "expired_certificate",
            Self::RevokedCertificate => "revoked_certificate",
            Self::UntrustedCertificate => "untrusted_certificate",
            Self::ForeignIdentity => "foreign_identity",
            Self::PrincipalMismatch => "principal_mismatch",
            Self::BadPrincipal => "bad_principal",
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
            Self::ExpiredToken => "expired_token",
            Self::UntrustedToken => "untrusted_token",
            Self::ReplayedToken => "replayed_token",
            Self::OtherHolder => "other_holder",
            Self::RevokedToken => "revoked_token",
            Self::TokensFull => "tokens_full",
            Self::CallerNotPermitted => "caller_not_permitted",
            Self::BadMethod => "bad_method",
            Self::BadPath => "bad_path",
            Self::BadHost => "bad_host",
            Self::BadHeader => "bad_header",
            Self::HeadersNotRaw => "headers_not_raw",
            Self::NoRoute => "no_route",
            Self::BadQuery => "bad_query",
            Self::BadBody => "bad_body",
            Self::MissingInput => "missing_input",
            Self::BadMessage => "bad_message",
            Self::MetadataMismatch => "metadata_mismatch",
            Self::Unregistered => "unregistered",
            Self::NoService => "no_service",
            Self::UnknownAction => "unknown_action",
            Self::SchemaMismatch => "schema_mismatch",
            Self::Undecodable => "undecodable",
            Self::DeadlineExpired => "deadline_expired",
            Self::Overloaded => "overloaded",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Internal => "internal",
        }
    }

    /// How a question that ends for this reason ends.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Permitted => Outcome::Allow,
            Self::DeadlineExpired | Self::Overloaded | Self::AuditUnavailable | Self::Internal => Outcome::Error,
            _ => Outcome::Deny,
        }
    }
}
