//! Envoy's external authorization, `envoy.service.auth.v3.Authorization`: a `CheckRequest` in, a `CheckResponse` out.
//!
//! Whatever arrives, the answer is a message and never a gRPC status: Envoy takes a status for an outage, and lets the
//! request through wherever `failure_mode_allow` is set. So each way to fail here ends in a denial or an error body of
//! our own making, down to messages that can't be decoded and panics.

mod deadline;
mod decode;
mod frame;
mod messages;
mod respond;
mod service;
mod wanted;

use std::fmt;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

pub use self::messages::Messages;
use self::messages::english;
pub use self::respond::{HeaderNames, HeaderNamesError};
pub use self::service::ExtAuthz;
use crate::decision::{Asker, Authorizer, Check, Reason, Verdict};
use crate::edge::receipts::ReceiptOffer;
use crate::evidence::Edge;
use crate::foundation::telemetry::Registry;

/// How checks are taken and answered.
#[derive(Clone, Debug)]
pub struct ExtAuthzConfig {
    /// The headers that answers carry.
    pub headers: HeaderNames,
    /// How a client is told that it is denied, or that we failed.
    pub answers: Answers,
    /// Whether backends are told what permits demand. The plane that decides must know of it too.
    pub forwards_obligations: bool,
    /// The longest `CheckRequest`, in bytes; a longer one is denied unread.
    pub max_message_bytes: usize,
    /// How long a message may take to arrive if the caller sets no deadline of its own, or a later one.
    pub patience: Duration,
    /// What answers say of receipts where the proxy's configuration asks for that.
    pub receipts: Option<ReceiptOffer>,
}

/// How a client is told that it is denied, or that we failed.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// What clients authenticate for (RFC 9110 section 11.5): visible ASCII without quotes and backslashes.
    pub realm: String,
    /// The URL of what OAuth clients may want to know of us (RFC 9728), likewise.
    pub resource_metadata: Option<String>,
    /// The texts for people.
    pub messages: Messages,
}

impl Default for ExtAuthzConfig {
    fn default() -> Self {
        Self {
            headers: HeaderNames::default(),
            answers: Answers::default(),
            forwards_obligations: false,
            max_message_bytes: 4 * 1024 * 1024,
            patience: Duration::from_secs(10),
            receipts: None,
        }
    }
}

/// What this edge asks of the decision plane, so that it can be tested against any answer.
pub trait Decide: fmt::Debug + Send + Sync {
    /// Answers a proxy's question.
    fn check(&self, check: &Check<'_>) -> Verdict;

    /// Records and answers a question that could not even be asked.
    fn refuse(&self, edge: Edge, what: &str, reason: Reason) -> Verdict;
}

impl Decide for Authorizer {
    fn check(&self, check: &Check<'_>) -> Verdict {
        Self::check(self, check)
    }

    fn refuse(&self, edge: Edge, what: &str, reason: Reason) -> Verdict {
        Self::refuse(self, edge, what, reason, Asker::default())
    }
}

/// Counts questions that went wrong before they could be asked. The decisions themselves are counted where they are made.
#[derive(Clone, Debug)]
pub struct Metrics {
    faults: Family<[(&'static str, &'static str); 1], Counter>,
    /// Checks under way, for [`Admission`](crate::server::Admission) to count by.
    pub under_way: Gauge,
    /// What is kept of their messages, in bytes, likewise.
    pub kept_bytes: Gauge,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let (faults, under_way, kept_bytes) = (Family::default(), Gauge::default(), Gauge::default());
        registry.register(
            "portcullis_ext_authz_faults",
            "Checks that never became a question, by what was wrong with them",
            Family::clone(&faults),
        );
        registry.register("portcullis_ext_authz_checks", "Checks that are not answered yet", under_way.clone());
        registry.register(
            "portcullis_ext_authz_kept_bytes",
            "Bytes of messages that are kept, beyond the first 16 KiB of each",
            kept_bytes.clone(),
        );
        Self { faults, under_way, kept_bytes }
    }

    /// Those that were answered, or not, without a decision: why, and how many.
    pub fn undecided(&self) -> [(&'static str, Counter); 3] {
        ["overloaded", "hopeless", "abandoned"]
            .map(|fault| (fault, self.faults.get_or_create_owned(&[("fault", fault)])))
    }

    fn count(&self, fault: &'static str) {
        self.faults.get_or_create_owned(&[("fault", fault)]).inc();
    }
}
