//! The decisions that are recorded: a hundred policies, one of which permits.

use std::sync::Arc;

use portcullis::decision::policy::PolicySet;
use portcullis::decision::query::{Action, Entity, Properties, Query};
use portcullis::evidence::{CacheState, DecisionId, DecisionRecord, Edge, Outcome};
use portcullis::foundation::clock::{Clock as _, SystemClock};
use portcullis::foundation::digest::Digest;
use portcullis::foundation::entropy::PooledEntropy;
use portcullis::foundation::watched::Epoch;

const SCHEMA: &str = "
entity Workload;
entity Service;
action GET appliesTo { principal: Workload, resource: Service };
";

/// What makes decisions.
pub(crate) struct Decisions {
    set: PolicySet,
    query: Query<'static>,
    clock: SystemClock,
    entropy: PooledEntropy,
}

impl Decisions {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let policies: Vec<String> = (0..100)
            .map(|number| {
                format!(
                    "@id(\"p{number}\") permit(principal == Workload::\"caller-{number}\", action == Action::\"GET\", \
                     resource == Service::\"service-{number}\");\n"
                )
            })
            .collect();
        std::fs::write(directory.path().join("s.cedarschema"), SCHEMA).unwrap();
        std::fs::write(directory.path().join("p.cedar"), policies.concat()).unwrap();
        let query = Query {
            subject: Entity::named("Workload", "caller-7"),
            action: Action::named("GET"),
            resource: Entity::named("Service", "service-7"),
            context: Properties::default(),
            extra: Vec::new(),
        };
        let set = PolicySet::load(directory.path()).unwrap();
        Self { set, query, clock: SystemClock::new(), entropy: PooledEntropy::default() }
    }

    /// Makes one, and writes its record.
    pub(crate) fn decide(&self) -> DecisionRecord<'static> {
        let question = self.set.question(&self.query).unwrap();
        let evaluation = self.set.ask(&question).evaluate();
        std::hint::black_box(&evaluation);
        let now = self.clock.now();
        DecisionRecord {
            decision_id: DecisionId::new(now, &self.entropy).unwrap(),
            time: now,
            edge: Edge::ExtAuthz,
            principal: r#"Workload::"caller-7""#.into(),
            leaf: Some(Digest::from_bytes([1; 32])),
            peer: None,
            token: None,
            token_issuer: None,
            action: "GET".into(),
            resource: r#"Service::"service-7""#.into(),
            context_digest: Some(Digest::from_bytes([2; 32])),
            decision: Outcome::Allow,
            reason: "permitted".into(),
            policies: Arc::new(["p7".into()]),
            policy_errors: Arc::new([]),
            policy_digest: Some(Digest::from_bytes([3; 32])),
            entity_digest: Some(Digest::from_bytes([4; 32])),
            policy_epoch: Epoch::FIRST,
            bundle_epoch: Epoch::FIRST,
            cache: CacheState::Miss,
            latency_us: 41,
            request_id: None,
            caller: None,
            route: None,
            schema_digest: None,
            authority: None,
            bundle_sequence: None,
            actors: None,
            trace_id: None,
            fields: None,
            token_claims: None,
        }
    }
}
