//! What happened, provable: the record of every decision and issuance, and the port it is written to.

pub mod audit;
pub mod export;
pub mod log;
pub mod record;

pub use audit::{AppendError, Audit, Taken};
pub use record::{
    AdministrationRecord, AuthorityChange, AuthorityChangeRecord, AuthorityKind, CacheState, DecisionId,
    DecisionRecord, Edge, Initiator, IssuanceRecord, JwtIssuanceRecord, MappingLoadRecord, Outcome, PolicyLoadRecord,
    Record, SearchKind, SearchRecord,
};
