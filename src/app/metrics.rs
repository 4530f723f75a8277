//! All metrics of the process, registered before any of its parts is built, so that the first scrape sees them all.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;

use super::entities::EntityMetrics;
use super::federation::FederationMetrics;
use super::mapping::MappingMetrics;
use super::outbound::OutboundMetrics;
use super::policies::PolicyMetrics;
use super::tokens::TokenMetrics;
use crate::decision::{DecisionMetrics, ShadowMetrics};
use crate::delegation::exchange::ExchangeMetrics;
use crate::edge::envoy::{ext_authz, sds};
use crate::edge::http::{authzen, token};
use crate::edge::spire_api;
use crate::edge::workload_api;
use crate::evidence::BacklogMetrics;
use crate::evidence::export::ExportMetrics;
use crate::evidence::log::LogMetrics;
use crate::evidence::witness::WitnessMetrics;
use crate::foundation::clock::Timestamp;
use crate::foundation::telemetry::Registry;
use crate::identity::attest::attestors;
use crate::identity::{authority, issue};
use crate::server::ServerMetrics;

/// The handles of every room.
pub(super) struct Metrics {
    pub(super) admin: spire_api::Metrics,
    pub(super) attest: attestors::Metrics,
    pub(super) audit: LogMetrics,
    pub(super) authority: authority::Metrics,
    pub(super) authzen: authzen::Metrics,
    pub(super) backlog: BacklogMetrics,
    pub(super) decision: DecisionMetrics,
    pub(super) entities: EntityMetrics,
    pub(super) exchange: ExchangeMetrics,
    pub(super) exports: ExportMetrics,
    pub(super) ext_authz: ext_authz::Metrics,
    pub(super) federation: FederationMetrics,
    pub(super) issue: issue::Metrics,
    pub(super) mapping: MappingMetrics,
    pub(super) outbound: OutboundMetrics,
    pub(super) policies: PolicyMetrics,
    pub(super) sds: sds::Metrics,
    pub(super) server: ServerMetrics,
    pub(super) shadow: ShadowMetrics,
    pub(super) token: token::Metrics,
    pub(super) tokens: TokenMetrics,
    pub(super) witness: WitnessMetrics,
    pub(super) workload_api: workload_api::Metrics,
}

impl Metrics {
    /// Registers them, and says which version runs since when.
    pub(super) fn register(now: Timestamp) -> (Self, Arc<Registry>) {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("portcullis_build", "The version that runs", build);
        let started = Gauge::<u64, AtomicU64>::default();
        started.set(now.unix_seconds());
        registry.register("portcullis_start_time_seconds", "When the process started, in seconds since 1970", started);
        let metrics = Self {
            admin: spire_api::Metrics::new(&mut registry),
            attest: attestors::Metrics::new(&mut registry),
            audit: LogMetrics::new(&mut registry),
            authority: authority::Metrics::new(&mut registry),
            authzen: authzen::Metrics::new(&mut registry),
            backlog: BacklogMetrics::new(&mut registry),
            decision: DecisionMetrics::new(&mut registry),
            entities: EntityMetrics::new(&mut registry),
            exchange: ExchangeMetrics::new(&mut registry),
            exports: ExportMetrics::new(&mut registry),
            ext_authz: ext_authz::Metrics::new(&mut registry),
            federation: FederationMetrics::new(&mut registry),
            issue: issue::Metrics::new(&mut registry),
            mapping: MappingMetrics::new(&mut registry),
            outbound: OutboundMetrics::new(&mut registry),
            policies: PolicyMetrics::new(&mut registry),
            sds: sds::Metrics::new(&mut registry),
            server: ServerMetrics::new(&mut registry),
            shadow: ShadowMetrics::new(&mut registry),
            token: token::Metrics::new(&mut registry),
            tokens: TokenMetrics::new(&mut registry),
            witness: WitnessMetrics::new(&mut registry),
            workload_api: workload_api::Metrics::new(&mut registry),
        };
        (metrics, Arc::new(registry))
    }
}
