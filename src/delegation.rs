//! On whose behalf others are asked: tokens of theirs for workloads of ours.

pub mod cloud;
pub mod outbound;
