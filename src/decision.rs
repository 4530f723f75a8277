//! What someone may do. Every edge asks here, and [`authorize`] is the one place where the line
//! request → principal → cache → Cedar → decision → record is written.

pub mod authorize;
pub mod cache;
mod call;
pub mod caller;
pub mod check;
pub mod entity;
mod foreign;
pub mod guidance;
pub mod mapping;
mod metrics;
pub mod policy;
pub mod principal;
pub mod query;
mod reason;
pub mod recording;
pub mod replay;
pub mod request;
mod schema;
pub mod search;
pub mod shadow;
pub mod value;
pub mod verdict;

pub use authorize::{Authorizer, Ports};
pub use call::Call;
pub use caller::{Asker, Caller, CallerError, Callers, Credentials, Statements};
pub use check::{Body, Check, Extensions, HeaderLine, HttpAttributes};
pub use metrics::DecisionMetrics;
pub use principal::{Principal, Principals};
pub use query::{Action, Entity, Query};
pub use reason::Reason;
pub use recording::Recording;
pub use search::{Found, Page, Search, SearchError, Sought};
pub use shadow::{Shadow, ShadowMetrics};
pub use verdict::{Manner, Verdict};
