//! The integration tests: the real binary, real Envoys, real sockets. One binary, one module a subject.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers stand outside of `#[test]` functions"
)]

mod support;

mod admin;
mod allocations;
mod answers;
mod architecture;
mod attest;
mod audit;
mod audit_backlog;
mod audit_crash;
mod audit_gateway;
mod audit_guide;
mod audit_loads;
mod authzen;
mod authzen_callers;
mod authzen_conformance;
mod authzen_guide;
mod authzen_listeners;
mod authzen_request_ids;
mod authzen_rules;
mod authzen_traps;
mod authzen_vectors;
mod authzen_wire;
mod bad_input;
mod bundle_map;
mod churn;
mod cli;
mod credential;
mod delegated_tokens;
mod delegation_checks;
mod drain;
mod entities;
mod entity_sources;
mod exports;
mod ext_authz;
mod federation;
mod federation_identities;
mod federation_peers;
mod federation_propagation;
mod mapping;
mod mcp;
mod mcp_guide;
mod mtls;
mod openapi;
mod operations;
mod outbound;
mod overload;
mod receipts;
mod registry;
mod reload;
mod restart;
mod revocation;
mod rotation;
mod sds;
mod sds_envoy;
mod sds_revocation;
mod sds_streams;
mod streams;
mod tcp;
mod token_exchange;
mod tokens;
mod trust_guides;
mod vectors;
mod witness;
mod workload_api;
