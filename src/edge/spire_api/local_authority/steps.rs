//! The steps of both kinds of authority, and how SPIRE tells why one can't be taken.

use std::sync::Arc;

use portcullis_spiffe_api::spire::api::server::localauthority::v1 as wire;
use tonic::{Code, Status};

use super::super::{Call, status};
use crate::evidence::AuthorityKind;
use crate::foundation::clock::Clock;
use crate::identity::authority::{Authority, AuthorityError, AuthorityState, LifecycleError};

/// A step that an authority is named for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Activate,
    Taint,
    Revoke,
}

/// Takes steps.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    pub(super) authority: Arc<Authority>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Steps {
    /// The active, the prepared and the old authority of `kind`.
    pub(super) fn state(&self, kind: AuthorityKind) -> Result<[Option<wire::AuthorityState>; 3], Status> {
        let slots = self.authority.slots(kind);
        let active = slots.active.ok_or_else(|| Status::unavailable("server is initializing"))?;
        Ok([Some(to_wire(active)), slots.prepared.map(to_wire), slots.old.map(to_wire)])
    }

    /// Makes an authority.
    pub(super) async fn prepare(
        &self,
        call: &Call,
        kind: AuthorityKind,
    ) -> Result<Option<wire::AuthorityState>, Status> {
        call.changing([]).await?;
        let prepared = self.authority.prepare(kind, self.clock.now()).await;
        let prepared = prepared.map_err(|error| ours(prepare_failed(kind), &error))?;
        call.changed([prepared.id.clone()]);
        Ok(Some(to_wire(prepared)))
    }

    /// Takes `step` with the authority `id`.
    pub(super) async fn take(
        &self,
        call: &Call,
        step: Step,
        kind: AuthorityKind,
        id: &str,
    ) -> Result<Option<wire::AuthorityState>, Status> {
        if id.is_empty() {
            return Err(refused(step, kind, &LifecycleError::NoId));
        }
        call.changing([id.to_owned()]).await?;
        let now = self.clock.now();
        let taken = match step {
            Step::Activate => self.authority.activate(kind, id, now).await,
            Step::Taint => self.authority.taint(kind, id, now).await,
            Step::Revoke => self.authority.revoke(kind, id, now).await,
        };
        taken.map(|state| Some(to_wire(state))).map_err(|error| match &error {
            AuthorityError::Lifecycle(reason) => refused(step, kind, reason),
            other => ours(failed(step, kind), other),
        })
    }
}

/// Why an authority can't take a step, as SPIRE words it; where SPIRE says `Internal` of what the caller did wrong, we
/// don't.
pub(super) fn refused(step: Step, kind: AuthorityKind, reason: &LifecycleError) -> Status {
    const REVOKE: &str = "invalid authority ID";

    let invalid = |message: &str| Status::invalid_argument(message);
    match (step, reason) {
        (Step::Revoke, LifecycleError::NoId) => status::invalid(REVOKE, "no authority ID provided"),
        (_, LifecycleError::NoId) => invalid("no authority ID provided"),
        (Step::Activate, LifecycleError::NotPrepared { stage, .. }) if stage.name() == "old" => status::failed(
            Code::FailedPrecondition,
            "only Prepared authorities can be activated",
            "unsupported local authority status: OLD",
        ),
        (Step::Taint, LifecycleError::Active(_)) => invalid("unable to taint current local authority"),
        (Step::Taint, LifecycleError::NotOld(_)) => {
            status::invalid("only Old local authorities can be tainted", "unsupported local authority status: PREPARED")
        }
        (Step::Revoke, LifecycleError::Active(_)) => status::invalid(REVOKE, "unable to use current authority"),
        (Step::Revoke, LifecycleError::NotOld(_)) if kind == AuthorityKind::Jwt => {
            status::invalid(REVOKE, "unable to use a prepared key")
        }
        (Step::Revoke, LifecycleError::Unknown) if kind == AuthorityKind::Jwt => {
            status::invalid(REVOKE, "no JWT authority found with provided authority ID")
        }
        (Step::Revoke, LifecycleError::NotOld(_) | LifecycleError::Unknown) => {
            status::invalid(REVOKE, "only Old local authority can be revoked")
        }
        (_, LifecycleError::AlreadyTainted(_) | LifecycleError::NotTainted(_)) => {
            status::failed(Code::FailedPrecondition, failed(step, kind), reason)
        }
        _ => invalid("unexpected authority ID"),
    }
}

/// A step that failed for what is not the caller's to know.
fn ours(what: &'static str, error: &AuthorityError) -> Status {
    match error {
        AuthorityError::Record(_) => status::unrecorded(),
        other => status::internal(what, other),
    }
}

const fn prepare_failed(kind: AuthorityKind) -> &'static str {
    match kind {
        AuthorityKind::X509 => "failed to prepare X.509 authority",
        AuthorityKind::Jwt => "failed to prepare JWT authority",
    }
}

const fn failed(step: Step, kind: AuthorityKind) -> &'static str {
    match (step, kind) {
        (Step::Activate, AuthorityKind::X509) => "failed to activate X.509 authority",
        (Step::Activate, AuthorityKind::Jwt) => "failed to activate JWT authority",
        (Step::Taint, AuthorityKind::X509) => "failed to taint X.509 authority",
        (Step::Taint, AuthorityKind::Jwt) => "failed to taint JWT authority",
        (Step::Revoke, AuthorityKind::X509) => "failed to revoke X.509 authority",
        (Step::Revoke, AuthorityKind::Jwt) => "failed to revoke JWT authority",
    }
}

fn to_wire(state: AuthorityState) -> wire::AuthorityState {
    wire::AuthorityState {
        authority_id: state.id,
        expires_at: i64::try_from(state.not_after.unix_seconds()).unwrap_or(i64::MAX),
        upstream_authority_subject_key_id: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are those of a SPIRE 1.15 server in the same case.
    #[test]
    fn why_a_step_is_refused_is_told_as_spire_does() {
        use AuthorityKind::{Jwt, X509};

        let id = || "aa".to_owned();
        for (step, kind, reason, expected) in [
            (Step::Activate, X509, LifecycleError::NoId, "no authority ID provided"),
            (Step::Revoke, Jwt, LifecycleError::NoId, "invalid authority ID: no authority ID provided"),
            (Step::Activate, X509, LifecycleError::Unknown, "unexpected authority ID"),
            (Step::Taint, Jwt, LifecycleError::Unknown, "unexpected authority ID"),
            (Step::Taint, X509, LifecycleError::Active(id()), "unable to taint current local authority"),
            (
                Step::Taint,
                Jwt,
                LifecycleError::NotOld(id()),
                "only Old local authorities can be tainted: unsupported local authority status: PREPARED",
            ),
            (Step::Revoke, X509, LifecycleError::Active(id()), "invalid authority ID: unable to use current authority"),
            (
                Step::Revoke,
                X509,
                LifecycleError::Unknown,
                "invalid authority ID: only Old local authority can be revoked",
            ),
            (
                Step::Revoke,
                Jwt,
                LifecycleError::Unknown,
                "invalid authority ID: no JWT authority found with provided authority ID",
            ),
            (Step::Revoke, Jwt, LifecycleError::NotOld(id()), "invalid authority ID: unable to use a prepared key"),
        ] {
            let status = refused(step, kind, &reason);
            assert_eq!((status.code(), status.message()), (Code::InvalidArgument, expected));
        }
        // SPIRE says `Internal` to these.
        for reason in [LifecycleError::AlreadyTainted(id()), LifecycleError::NotTainted(id())] {
            assert_eq!(refused(Step::Revoke, X509, &reason).code(), Code::FailedPrecondition);
        }
    }
}
