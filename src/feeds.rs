//! What other servers publish and we follow, over HTTP: adapters to
//! [`decision::entity::source::EntitySource`](crate::decision::entity::source::EntitySource) and
//! [`identity::token::KeySource`](crate::identity::token::KeySource). And what we tell them: adapters to
//! [`evidence::witness::WitnessPort`](crate::evidence::witness::WitnessPort) and
//! [`evidence::export::Courier`](crate::evidence::export::Courier).

pub mod courier;
pub mod entities;
pub mod fetch;
pub mod jwks;
pub mod witness;
