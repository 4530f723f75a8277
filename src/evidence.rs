//! What happened, provable: the record of every decision and issuance, and the port it is written to.

pub mod audit;
pub mod json_lines;
pub mod record;

pub use audit::{AppendError, Audit};
pub use record::{
    AdministrationRecord, CacheState, DecisionId, DecisionRecord, Edge, IssuanceRecord, Outcome, PolicyLoadRecord,
    Record,
};
