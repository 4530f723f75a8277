//! Who someone is: the authority that signs, the entries that say for whom, the attestation that says who asks, the
//! bundles that say whom we trust, and the verification of what others present.

pub mod api_key;
pub mod attest;
pub mod authority;
pub mod bundle;
pub mod credential;
pub mod delegation;
pub mod explain;
pub mod federation;
pub mod foreign;
pub mod issue;
pub mod join_token;
pub mod journal;
mod jwt;
pub mod registry;
pub mod revocation;
pub mod selector;
pub mod svid;
pub mod token;
pub mod workload;

pub use portcullis_spiffe::{SpiffeId, TrustDomain};
