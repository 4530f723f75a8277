//! What other servers publish and we follow, over HTTP: adapters to
//! [`decision::entity::source::EntitySource`](crate::decision::entity::source::EntitySource).

pub mod entities;
