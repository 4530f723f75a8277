//! Listeners and connections: how bytes get in and out, and nothing about what they mean.

pub mod connection;
pub mod exchange;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod places;
pub mod serve;
pub mod tls;

pub use connection::{BootTicks, ConnectionInfo, LookedUp, Peer, PeerPidfd, UnixPeer, network};
pub use exchange::{Admission, AdmissionLimits, Answer, Answered, Begin, Exchange, Received};
pub use limits::Limits;
pub use listener::{BindError, Bound, InheritedSockets, ListenAddress, Prepared, prepare};
pub use metrics::{ListenerMetrics, ServerMetrics};
pub use places::{Place, Places};
pub use serve::{serve, serve_exchange};
pub use tls::{ServerCertificate, Tls};
