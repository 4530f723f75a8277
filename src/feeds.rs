//! What other servers publish and we follow, over HTTP: adapters to
//! [`decision::entity::source::EntitySource`](crate::decision::entity::source::EntitySource) and
//! [`identity::token::KeySource`](crate::identity::token::KeySource) and
//! [`identity::federation::BundleSource`](crate::identity::federation::BundleSource).

pub mod bundles;
pub mod entities;
pub mod fetch;
pub mod jwks;
