//! SPIFFE IDs, trust domains, bundle documents and the X509-SVID profile, parsed strictly.
//!
//! Pure: no I/O, no clock. What the standard leaves open is decided for safety and said where it is decided.

pub mod bundle;
mod id;
mod trust_domain;
pub mod x509;

pub use id::{IdError, SpiffeId};
pub use trust_domain::{TrustDomain, TrustDomainError};
