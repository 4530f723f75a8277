//! What happened, provable: the record of every decision and issuance, and the port it is written to.

pub mod audit;
pub mod export;
pub mod log;
pub mod record;
pub mod witness;

pub use audit::{AppendError, Audit, Taken};
pub use record::{
    AdministrationRecord, AuthorityChange, AuthorityChangeRecord, AuthorityKind, CacheState, DecisionId,
    DecisionRecord, Edge, Initiator, IssuanceRecord, JwtIssuanceRecord, MappingLoadRecord, Outcome, PolicyLoadRecord,
    PruneRecord, Record, SearchKind, SearchRecord, WitnessFinding, WitnessRecord,
};
