//! The two services that Envoy calls: secrets and checks.

pub mod ext_authz;
pub mod sds;
