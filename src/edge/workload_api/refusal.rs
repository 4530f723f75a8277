//! What callers are told when they get nothing: the codes of the standard (SPIFFE Workload Endpoint, section 6), and the
//! messages of SPIRE's agent, since clients match them. Why something failed on our side is for the log.
//!
//! go-spiffe ends a watch for good on `InvalidArgument`, so that is only for what the client itself got wrong.

use tonic::Status;

use crate::foundation::telemetry::printable;
use crate::identity::workload::IdentifyError;

/// How much of what is wrong with a client's own words it is told, in bytes.
const SHOWN: usize = 512;

/// The request has not the security header.
pub(super) fn no_header() -> Status {
    Status::invalid_argument("security header missing from request")
}

/// Nobody is named whom a token is for.
pub(super) fn no_audience() -> Status {
    Status::invalid_argument("audience must be specified")
}

/// There is no token to verify.
pub(super) fn no_token() -> Status {
    Status::invalid_argument("svid must be specified")
}

/// The text is no SPIFFE ID.
pub(super) fn no_spiffe_id(reason: &impl ToString) -> Status {
    Status::invalid_argument(format!("invalid requested SPIFFE ID: {}", printable(&reason.to_string(), SHOWN)))
}

/// The client's words are wrong, for this reason.
pub(super) fn bad(reason: &impl ToString) -> Status {
    Status::invalid_argument(printable(&reason.to_string(), SHOWN))
}

/// No entry grants what is asked for. rust-spiffe looks for these words.
pub(super) fn no_identity() -> Status {
    Status::permission_denied("no identity issued")
}

/// A token could not be made.
pub(super) fn no_jwt_svid() -> Status {
    Status::unavailable("could not fetch JWT-SVID")
}

/// The caller is no process of this machine.
pub(super) fn not_unix() -> Status {
    Status::permission_denied("identities are only handed out on a Unix socket")
}

/// The caller has its share of streams.
pub(super) fn too_many_streams() -> Status {
    Status::resource_exhausted("too many streams are open")
}

/// The process ends.
pub(super) fn draining() -> Status {
    Status::unavailable("draining")
}

/// A bundle can't be put into a message.
pub(super) fn no_bundle() -> Status {
    Status::unavailable("there is no trust bundle")
}

/// What a caller is told of whom nothing can be found out, or to whom nothing can be issued.
pub(super) fn of(error: &IdentifyError) -> Status {
    match error {
        IdentifyError::NotAttested(_) => Status::unavailable("workload attestation failed"),
        IdentifyError::NotIssued(_) => Status::unavailable("no identity could be issued"),
        IdentifyError::Stopping => draining(),
    }
}
