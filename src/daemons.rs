//! Attestors that ask daemons of the machine what they know of a process: adapters to
//! [`identity::attest::WorkloadAttestor`](crate::identity::attest::WorkloadAttestor). The selectors are SPIRE's, letter by
//! letter.

pub mod docker;
pub mod kubelet;
pub mod systemd;

#[cfg(test)]
mod contract;
