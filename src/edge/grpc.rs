//! What a gRPC listener offers beside its own services, for those who look at it from outside: which services there are
//! (`grpc.reflection.v1` and `v1alpha`), and whether they can be used (`grpc.health.v1`).
//!
//! Neither says anything of identities, so neither demands the security header of the Workload API, as with SPIRE.

mod health;
mod in_flight;

use portcullis_spiffe_api::FILE_DESCRIPTOR_SET;
use tonic::Extensions;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

pub use self::in_flight::with_bounds;

use self::health::HealthService;
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::ShutdownSignal;
use crate::server::{ConnectionInfo, Peer, UnixPeer};

/// The services that are added here.
const OWN: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// The largest request to any of them: a name.
const MAX_REQUEST_BYTES: usize = 4096;

/// The descriptors of the services can't be read, which their build saw to.
#[derive(Debug, thiserror::Error)]
#[error("the descriptors of the gRPC services can't be read: {0}")]
pub struct ReflectionError(#[from] tonic_reflection::server::Error);

/// `routes`, which serve `services`, with reflection and health over them. They are healthy while the process is ready
/// and does not drain.
///
/// Services whose descriptors we do not have, Envoy's, are listed, but not described.
///
/// # Errors
/// [`ReflectionError`].
pub fn with_introspection(
    routes: Routes,
    services: &'static [&'static str],
    readiness: Readiness,
    signal: ShutdownSignal,
) -> Result<Routes, ReflectionError> {
    let reflection = || {
        let sets = [
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let builder = sets.into_iter().fold(Builder::configure(), Builder::register_encoded_file_descriptor_set);
        services.iter().chain(&OWN).fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let health = HealthServer::new(HealthService::new(services, readiness, signal));
    Ok(routes
        .add_service(health.max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_REQUEST_BYTES)))
}

/// The calling process. No other kind of caller can be attested.
pub(super) fn unix_peer(extensions: &Extensions) -> Option<&UnixPeer> {
    match extensions.get::<ConnectionInfo>().map(|connection| &connection.peer) {
        Some(Peer::Unix(peer)) => Some(peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
