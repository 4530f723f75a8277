//! Wire in, wire out, and nothing else: each module translates one wire format to a use case's terms and back.

pub mod envoy;
pub mod grpc;
pub mod http;
pub mod receipts;
pub mod spire_api;
pub mod workload_api;
