//! How calls and items of batches end, worded as SPIRE does: what failed, a colon, and why.

use std::fmt::Display;

use portcullis_spiffe_api::spire::api::types;
use tonic::{Code, Status};

use crate::foundation::telemetry::printable;

/// The longest message, in bytes. It travels in a header, whose size clients bound (gRPC in Go: 16 KiB, escapes included).
const MAX_MESSAGE: usize = 1000;

/// A call that ends with `code`.
pub(super) fn failed(code: Code, what: &str, why: impl Display) -> Status {
    Status::new(code, printable(&format!("{what}: {why}"), MAX_MESSAGE))
}

/// A call that ends with `InvalidArgument`.
pub(super) fn invalid(what: &str, why: impl Display) -> Status {
    failed(Code::InvalidArgument, what, why)
}

/// A call that ends because of a fault of ours, which only the log may know.
pub(super) fn internal(what: &'static str, why: impl Display) -> Status {
    let why = printable(&why.to_string(), MAX_MESSAGE);
    tracing::error!(why, "{what}");
    Status::internal(what)
}

/// A call that can't be recorded.
pub(super) fn unrecorded() -> Status {
    Status::unavailable("the call could not be recorded")
}

/// A call that is for agents of other machines.
pub(super) fn no_agents() -> Status {
    Status::unimplemented("this call is for remote agents, and there are none yet")
}

/// A call that is about WIT-SVIDs.
pub(super) fn no_wit() -> Status {
    Status::unimplemented("WIT functionality is disabled")
}

/// Refuses a batch of more items than we take.
pub(super) fn check_batch(items: usize) -> Result<(), Status> {
    if items <= super::MAX_BATCH {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("the batch has {items} items, more than {}", super::MAX_BATCH)))
}

/// An item that went well.
pub(super) fn item_ok() -> types::Status {
    types::Status { code: Code::Ok.into(), message: "OK".to_owned() }
}

/// An item that ended with `code`.
pub(super) fn item(code: Code, message: impl Display) -> types::Status {
    types::Status { code: code.into(), message: printable(&message.to_string(), MAX_MESSAGE) }
}

/// The name of a code in records and metrics.
pub(super) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
