//! On whose behalf: a token is exchanged for another that says who acts for whom, and grants no more than the first, by
//! [`exchange`]; and tokens of others are got for workloads of ours, by [`outbound`] and [`cloud`].

pub mod cloud;
pub mod exchange;
pub mod outbound;
