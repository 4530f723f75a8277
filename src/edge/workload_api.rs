//! The SPIFFE Workload API (`SPIFFE_Workload_API.md`; service `SpiffeWorkloadAPI`, X.509 and JWT profiles): hands a
//! workload its SVIDs and the bundles that it may verify others by, and verifies a token for it.
//!
//! Who calls is what the kernel says of the Unix socket. On the wire it is SPIRE's agent: codes, the messages that clients
//! match, and the security header, which is demanded here and of no other service of the listener.
//!
//! # When something is sent
//! The first message at once; then the whole state again when it has changed: an entry, a bundle, an authority, a renewal
//! at half of an SVID's life. What has not changed for this caller is not sent again. Before each look the caller is
//! attested anew, so a process that ended or became another program gets nothing more. A caller that is entitled to
//! nothing, or to nothing any longer, is answered `PermissionDenied` and its stream ends: every client comes back by
//! itself, and finds out at once when there is something. Every stream ends with `Unavailable` when the process drains.
//!
//! # What is sent
//! - SVIDs in the order of the registry, which does not change when an entry is added. Of several entries with one hint
//!   the first counts: hints are unique in a response (SPIFFE Workload API 5.2.1), and clients drop the others anyway.
//! - Our bundle, and those of the trust domains that the caller's entries federate with. One that has no authority any
//!   more is sent empty: its absence would say that the trust domain is not the caller's business, where an empty one
//!   says that nobody of it is to be trusted. go-spiffe and rust-spiffe read it so.
//! - The revocation lists of all of these.
//!
//! # Not there
//! The profile of WIT-SVIDs is not stable yet. It answers `Unimplemented`, as the standard has it.

mod claims;
mod header;
mod identify;
mod metrics;
mod refusal;
mod service;
mod session;
mod view;

use std::collections::BTreeSet;

use portcullis_spiffe::TrustDomain;

pub use metrics::Metrics;
pub use service::WorkloadService;

/// What the service may do beyond the least.
#[derive(Clone, Debug)]
pub struct WorkloadApiConfig {
    /// Our own trust domain: whose tokens are shown whole.
    pub trust_domain: TrustDomain,
    /// Whether callers without an identity get our own bundles, to verify others by.
    pub allow_unauthenticated_verifiers: bool,
    /// Claims of foreign tokens that are shown besides `sub`, `aud` and `exp`: what a foreign trust domain writes there
    /// is its own affair, and a workload that reads it as ours would let foreigners say what we say.
    pub allowed_foreign_jwt_claims: BTreeSet<String>,
}
