//! What other servers publish and we follow, over HTTP: adapters to
//! [`decision::entity::source::EntitySource`](crate::decision::entity::source::EntitySource) and
//! [`identity::token::KeySource`](crate::identity::token::KeySource) and
//! [`identity::federation::BundleSource`](crate::identity::federation::BundleSource). And what we tell them: adapters to
//! [`evidence::witness::WitnessPort`](crate::evidence::witness::WitnessPort) and
//! [`evidence::export::Courier`](crate::evidence::export::Courier) and
//! [`delegation::outbound::TokenEndpoint`](crate::delegation::outbound::TokenEndpoint).

pub mod bundles;
pub mod courier;
pub mod entities;
pub mod fetch;
pub mod jwks;
mod retry_after;
pub mod token_endpoint;
pub mod witness;
