//! Listeners and connections: how bytes get in and out, and nothing about what they mean.

pub mod connection;
pub mod listener;
pub mod serve;

pub use connection::{ConnectionInfo, Peer, UnixPeer};
// pub use listener::{BindError, Bound, ListenAddress};
// pub use serve::{Limits, serve};
