//! What every room stands on and nothing of ours is below: time, randomness, secrets, JSON, snapshots, shutdown,
//! telemetry.

pub mod aside;
pub mod backoff;
pub mod clock;
pub mod connect;
pub mod digest;
pub mod entropy;
pub mod files;
#[cfg(test)]
pub(crate) mod fuzzing;
pub mod http;
pub mod json;
pub mod lock;
pub mod readiness;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod watched;
