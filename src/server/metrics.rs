//! What the listeners count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::foundation::telemetry::Registry;

/// The metrics of all listeners.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    open: Family<ListenerLabels, Gauge>,
    accepted: Family<ListenerLabels, Counter>,
    refused: Family<ListenerLabels, Counter>,
    accept_errors: Family<ListenerLabels, Counter>,
    panics: Family<ListenerLabels, Counter>,
    handshake_failures: Family<ListenerLabels, Counter>,
}

/// The metrics of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    /// The listener's name.
    pub name: &'static str,
    pub(super) open: Gauge,
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) accept_errors: Counter,
    pub(super) panics: Counter,
    pub(super) handshake_failures: Counter,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ListenerLabels {
    listener: &'static str,
}

impl ListenerMetrics {
    /// Connections on which nothing was asked: why, and how many.
    pub fn turned_away(&self) -> [(&'static str, Counter); 2] {
        [("no_place", self.refused.clone()), ("no_handshake", self.handshake_failures.clone())]
    }
}

impl ServerMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            open: Family::default(),
            accepted: Family::default(),
            refused: Family::default(),
            accept_errors: Family::default(),
            panics: Family::default(),
            handshake_failures: Family::default(),
        };
        registry.register("portcullis_server_connections", "Connections open now", metrics.open.clone());
        registry.register("portcullis_server_accepted", "Connections taken in", metrics.accepted.clone());
        registry.register(
            "portcullis_server_refused",
            "Connections closed at once because the listener was full or the peer could not be told",
            metrics.refused.clone(),
        );
        registry.register(
            "portcullis_server_accept_errors",
            "Connections that the kernel could not hand over, out of file descriptors for instance",
            metrics.accept_errors.clone(),
        );
        registry.register(
            "portcullis_server_panics",
            "Panics that cost a connection or a request, every one a defect",
            metrics.panics.clone(),
        );
        registry.register(
            "portcullis_server_handshake_failures",
            "Connections that ended before their TLS handshake did, or that there was no room to shake hands with",
            metrics.handshake_failures.clone(),
        );
        metrics
    }

    /// The handles of the listener called `name`.
    pub fn listener(&self, name: &'static str) -> ListenerMetrics {
        let labels = ListenerLabels { listener: name };
        ListenerMetrics {
            name,
            open: self.open.get_or_create_owned(&labels),
            accepted: self.accepted.get_or_create_owned(&labels),
            refused: self.refused.get_or_create_owned(&labels),
            accept_errors: self.accept_errors.get_or_create_owned(&labels),
            panics: self.panics.get_or_create_owned(&labels),
            handshake_failures: self.handshake_failures.get_or_create_owned(&labels),
        }
    }
}
