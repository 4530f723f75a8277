//! What happened, provable: the record of every decision and issuance, and the port it is written to.

pub mod audit;
pub mod disclosure;
pub mod export;
pub mod log;
pub mod receipt;
pub mod record;
pub mod search;
pub mod witness;

pub use audit::{AppendError, Audit, Progress, Taken};
pub use disclosure::DisclosureKey;
pub use record::{
    Actor, AdministrationRecord, AuthorityChange, AuthorityChangeRecord, AuthorityKind, CacheState, DecisionId,
    DecisionRecord, Edge, ExchangeRecord, ExchangedToken, Field, Initiator, IssuanceRecord, JwtIssuanceRecord,
    MappingLoadRecord, OutboundRecord, Outcome, PolicyLoadRecord, PruneRecord, Record, RefusalRecord, SearchKind,
    SearchRecord, TraceId, WitnessFinding, WitnessRecord,
};
