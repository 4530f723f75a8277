//! Portcullis, the gate beside an Envoy: it gives every workload a SPIFFE identity, hands that identity to Envoy over
//! SDS, answers Envoy's `ext_authz` and `AuthZEN` HTTP with Cedar decisions, and records every one of them.
//!
//! The rooms of this house stand in one order, and a room imports only from rooms above it in this list:
//!
//! | room | holds |
//! |---|---|
//! | [`foundation`] | time, randomness, secrets, snapshots, shutdown, telemetry |
//! | [`server`] | listeners, connections, drain |
//! | [`evidence`] | what happened, provable |
//! | [`identity`] | who someone is |
//! | [`decision`] | what they may do |
//! | [`delegation`] | on whose behalf |
//! | [`edge`] | wire in, wire out |
//! | [`store`] | SQL behind the rooms' ports |
//! | [`daemons`] | attestors that ask daemons of the machine |
//! | [`feeds`] | what other servers publish over HTTP and we follow |
//!
//! Then [`config`], [`app`] (the one place that knows both a port and its adapter) and [`cli`]. `docs/architecture.md`
//! walks one request through all of them; `tests/it/architecture.rs` fails on an import against this order.

pub mod foundation;
pub mod server;

pub mod evidence;
pub mod identity;

pub mod decision;
pub mod delegation;

pub mod edge;
pub mod store;

pub mod daemons;
pub mod feeds;

pub mod config;

pub mod app;
pub mod cli;
