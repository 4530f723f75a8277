//! The integration tests: the real binary, real Envoys, real sockets. One binary, one module a subject.

mod support;

mod architecture;
mod authzen;
mod bad_input;
mod cli;
mod drain;
mod ext_authz;
mod mtls;
mod operations;
mod reload;
mod restart;
mod rotation;
mod sds;
