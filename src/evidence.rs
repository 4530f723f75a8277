//! What happened, provable: the record of every decision and issuance, and the port it is written to.

pub mod audit;
pub mod backlog;
pub mod disclosure;
pub mod export;
pub mod log;
pub mod receipt;
pub mod record;
pub mod search;
mod turned_away;
pub mod witness;

pub use audit::{AppendError, Audit, Progress, Taken};
pub use backlog::{Backlog, BacklogMetrics};
pub use disclosure::DisclosureKey;
pub use record::{
    Actor, AdministrationRecord, AuthorityChange, AuthorityChangeRecord, AuthorityKind, BundleRecord, CacheState,
    DecisionId, DecisionRecord, Edge, EntityLoadRecord, ExchangeRecord, ExchangedToken, Field, Initiator,
    IssuanceRecord, JwtIssuanceRecord, MappingLoadRecord, OutboundRecord, Outcome, PolicyLoadRecord, ProcessEvent,
    ProcessRecord, PruneRecord, Record, RefusalRecord, SearchKind, SearchRecord, TraceId, TurnedAwayRecord,
    UnrecordedRecord, WitnessFinding, WitnessRecord,
};
pub use turned_away::TurnedAway;
