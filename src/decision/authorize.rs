//! The one place where the straight line is written: request → principal → cache → Cedar → decision → record.

use std::sync::Arc;

use portcullis_spiffe::SpiffeId;

use super::check::Check;
use super::query::Query;
use crate::evidence::{CacheState, DecisionId, Edge, Outcome};

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
    /// The client showed no certificate.
    NoCertificate,
    /// The certificate can't be read or is not an X509-SVID.
    BadCertificate,
    /// The certificate has expired or is not valid yet.
    ExpiredCertificate,
    /// No authority in the current bundle of its trust domain signed the certificate.
    UntrustedCertificate,
    /// The proxy names another principal than the certificate does.
    PrincipalMismatch,
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
    /// The schema knows no such action.
    UnknownAction,
    /// The schema does not allow such a request: a type, or the context of the action.
    SchemaMismatch,
    /// The question itself could not be decoded.
    Undecodable,
    /// The caller has already stopped waiting.
    DeadlineExpired,
    /// The decision could not be recorded.
    AuditUnavailable,
    /// A fault of ours that has no better name.
    Internal,
}

impl Reason {
    /// The word in records, metrics, answers and `docs/reasons.md`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::NoPermit => "no_permit",
            Self::Forbidden => "forbidden",
            Self::ForbidFailed => "forbid_failed",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::ExpiredCertificate => "expired_certificate",
            Self::UntrustedCertificate => "untrusted_certificate",
            Self::PrincipalMismatch => "principal_mismatch",
            Self::BadMethod => "bad_method",
            Self::BadPath => "bad_path",
            Self::BadHost => "bad_host",
            Self::BadHeader => "bad_header",
            Self::HeadersNotRaw => "headers_not_raw",
            Self::UnknownAction => "unknown_action",
            Self::SchemaMismatch => "schema_mismatch",
            Self::Undecodable => "undecodable",
            Self::DeadlineExpired => "deadline_expired",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Internal => "internal",
        }
    }
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its name.
    pub id: DecisionId,
    /// What it is. Only [`Outcome::Allow`] lets anything through.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The policies that decided, sorted.
    pub policies: Arc<[Arc<str>]>,
    /// Whether the cache answered.
    pub cache: CacheState,
    /// Who asked, verified.
    pub principal: Option<SpiffeId>,
}

/// Answers questions.
#[derive(Debug)]
pub struct Authorizer {}

impl Authorizer {
    /// Answers a proxy's question. Synchronous: it takes microseconds of CPU and never waits.
    pub fn check(&self, check: &Check) -> Verdict {
        self.refuse(Edge::ExtAuthz, check.http.as_ref().map_or("", |http| http.path.as_str()).into(), Reason::Internal)
    }

    /// Answers an `AuthZEN` question about whatever subject the caller names.
    pub fn evaluate(&self, query: &Query, request_id: Option<&str>) -> Verdict {
        let _ = request_id;
        self.refuse(Edge::Authzen, query.resource.to_string(), Reason::Internal)
    }

    /// Records and answers a question that could not even be asked; `what` says what is known of it.
    pub fn refuse(&self, edge: Edge, what: String, reason: Reason) -> Verdict {
        let _ = (edge, what);
        Verdict {
            id: DecisionId::NIL,
            outcome: Outcome::Error,
            reason,
            policies: Arc::new([]),
            cache: CacheState::Bypass,
            principal: None,
        }
    }
}
