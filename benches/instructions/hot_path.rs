//! The parts of the hot path, each on questions about an estate of services: who may read below which path.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use portcullis::decision::cache::{DecisionCache, Exact, Purges};
use portcullis::decision::policy::{Epochs, PolicySet};
use portcullis::decision::query::{Action, Entity, EntityRef, Properties, Query};
use portcullis::foundation::clock::Timestamp;
use portcullis::foundation::watched::Epoch;

/// What is counted. The numbers are how many policies there are.
pub(crate) const PARTS: [&str; 6] =
    ["question", "evaluate-10", "evaluate-1000", "cached-10", "cached-1000", "again-1000"];

/// The function whose instructions are counted, with those of all that it calls. Valgrind finds it by its name.
pub(crate) const COUNTED: &str = "hot_path::counted_rounds";

/// How many rounds come before those that are counted.
const BEFORE: u64 = 200;

const SCHEMA: &str = "
entity TrustDomain;
entity Workload in [TrustDomain] = { trust_domain: String, path: String };
entity Service;
entity Path in [Path, Service];
action GET appliesTo { principal: Workload, resource: Path, context: { tenant?: String, method?: String } };
";
const EPOCHS: Epochs = Epochs { policies: Epoch::FIRST, bundles: Epoch::FIRST };

/// What a part works on.
struct Stage {
    set: PolicySet,
    query: Query<'static>,
    cache: DecisionCache,
}

/// Runs a part so many times.
pub(crate) fn run(part: &str, rounds: u64) {
    let (what, policies) = part.split_once('-').unwrap_or((part, "10"));
    let cache = DecisionCache::new(1_000, Duration::from_mins(1), Arc::<Purges>::default());
    let stage = Stage { set: estate(policies.parse().unwrap()), query: query(), cache };
    play(what, &stage, BEFORE);
    counted_rounds(what, &stage, rounds);
}

#[inline(never)]
fn counted_rounds(what: &str, stage: &Stage, rounds: u64) {
    play(what, stage, rounds);
}

#[inline(never)]
fn play(what: &str, stage: &Stage, rounds: u64) {
    let Stage { set, query, cache } = stage;
    for _ in 0..rounds {
        match what {
            "question" => drop(black_box(set.question(black_box(query)).unwrap())),
            "evaluate" => {
                let question = set.question(black_box(query)).unwrap();
                drop(black_box(set.ask(&question).evaluate()));
            }
            _ => {
                let exact = Exact { digest: query.digest(), epochs: EPOCHS, purges: cache.purges().count() };
                if what == "again"
                    && let Some(evaluation) = cache.again(&exact, Timestamp::default())
                {
                    drop(black_box(evaluation));
                    continue;
                }
                let question = set.question(black_box(query)).unwrap();
                let asked = set.ask(&question);
                let key = asked.key(EPOCHS, cache.purges());
                let decided =
                    cache.decide(&key, exact, Timestamp::default(), Timestamp::MAX, None, || asked.evaluate());
                drop(black_box(decided));
            }
        }
    }
}

fn estate(policies: usize) -> PolicySet {
    let one = |number: usize| {
        let service = number / 10;
        format!(
            "@id(\"p{number}\") permit(principal == Workload::\"spiffe://example.org/caller-{number}\", \
             action == Action::\"GET\", resource in Service::\"service-{service}\") \
             when {{ context has tenant && context.tenant == \"blue\" }};\n"
        )
    };
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("s.cedarschema"), SCHEMA).unwrap();
    std::fs::write(directory.path().join("p.cedar"), (0..policies).map(one).collect::<String>()).unwrap();
    PolicySet::load(directory.path()).unwrap()
}

/// One that a policy permits, as the edge for Envoy makes it.
fn query() -> Query<'static> {
    let entity = |kind: &'static str, id: &'static str, parent: (&'static str, &'static str)| Entity {
        parents: [EntityRef::new(parent.0, parent.1)].into(),
        ..Entity::named(kind, id)
    };
    let mut subject = entity("Workload", "spiffe://example.org/caller-7", ("TrustDomain", "example.org"));
    subject.properties.insert("trust_domain", "example.org");
    subject.properties.insert("path", "/caller-7");
    let mut context = Properties::default();
    context.insert("tenant", "blue");
    context.insert("method", "GET");
    Query {
        subject,
        action: Action::named("GET"),
        resource: entity("Path", "/orders/17", ("Path", "/orders")),
        context,
        extra: vec![entity("Path", "/orders", ("Path", "/")), entity("Path", "/", ("Service", "service-0"))],
    }
}
