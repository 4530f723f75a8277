//! `docs/records.md` is the contract with whoever reads the records; here it is held against the code.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::foundation::entropy::EntropyError;
use crate::foundation::watched::Watched;

const CHANGES: [AuthorityChange; 6] = [
    AuthorityChange::Prepare,
    AuthorityChange::Activate,
    AuthorityChange::Taint,
    AuthorityChange::Revoke,
    AuthorityChange::Discard,
    AuthorityChange::Expire,
];

const DOCUMENT: &str = include_str!("../../../docs/records.md");

#[derive(Debug)]
struct Sevens;

impl Entropy for Sevens {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(0x77);
        Ok(())
    }
}

fn epoch(number: u64) -> Epoch {
    let watched = Watched::new(());
    for _ in 1..number {
        watched.replace(());
    }
    watched.load().epoch()
}

pub(in crate::evidence) fn decision(time: Timestamp) -> DecisionRecord<'static> {
    DecisionRecord {
        decision_id: DecisionId::new(time, &Sevens).unwrap(),
        time,
        edge: Edge::ExtAuthz,
        principal: r#"Workload::"spiffe://example.org/batch""#.into(),
        leaf: Some(Digest::of(b"the leaf certificate, DER")),
        peer: None,
        token: None,
        token_issuer: None,
        caller: None,
        action: "DELETE".into(),
        resource: r#"Path::"orders/42""#.into(),
        context_digest: Some(Digest::of(b"the context")),
        decision: Outcome::Deny,
        reason: "forbidden".into(),
        policies: Arc::new(["orders.batch-never-deletes".into()]),
        policy_errors: Arc::new([]),
        policy_digest: Some(Digest::of(b"the policy set")),
        entity_digest: Some(Digest::of(b"the entities")),
        policy_epoch: epoch(3),
        bundle_epoch: epoch(1),
        cache: CacheState::Miss,
        latency_us: 41,
        request_id: Some("bfe9eb29-ab87-4ca3-be83-a1d5d8305716".into()),
        route: None,
        schema_digest: Some(Digest::of(b"the schema")),
        authority: Some(Digest::of(b"the authority's certificate, DER")),
        bundle_sequence: Some(7),
        actors: Some(vec![Actor { subject: "robot-7".into(), issuer: Some("https://login.example.org".into()) }]),
        trace_id: TraceId::of_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        fields: Some(fields()),
        token_claims: Some(TokenClaims { subject: "alice".into(), id: Some("b3f1".into()), transaction: None }),
    }
}

fn fields() -> Vec<Field> {
    let plain =
        Field { name: "context.channel".into(), value: Some(r#""web""#.into()), commitment: None, sealed: None };
    let redacted = Field {
        name: "header.x-account".into(),
        value: None,
        commitment: Some(Digest::of(b"the salt, the name and the value")),
        sealed: Some(Sealed(b"sealed".to_vec())),
    };
    vec![plain, redacted]
}

fn search(time: Timestamp) -> SearchRecord<'static> {
    SearchRecord {
        decision_id: DecisionId::new(time, &Sevens).unwrap(),
        time,
        edge: Edge::Authzen,
        sought: SearchKind::Resource,
        principal: r#"User::"alice""#.into(),
        action: "read".into(),
        resource: "Document".into(),
        context_digest: Digest::of(b"the context"),
        after: Some("plan-17".into()),
        limit: 1000,
        found: 83,
        more: false,
        error: None,
        policy_digest: Digest::of(b"the policy set"),
        entity_digest: Digest::of(b"the entities"),
        policy_epoch: epoch(3),
        latency_us: 2041,
        request_id: Some("bfe9eb29-ab87-4ca3-be83-a1d5d8305716".into()),
        caller: None,
        policies: None,
        policy_errors: None,
    }
}

pub(in crate::evidence) fn examples() -> Vec<Record<'static>> {
    let time = Timestamp::from_unix_nanos(1_795_312_180_123_456_000);
    let issuance = IssuanceRecord {
        time,
        spiffe_id: "spiffe://example.org/orders".into(),
        entry_id: "orders".into(),
        serial: "3f9c21d07be84a153f9c21d07be84a15".into(),
        leaf: Digest::of(b"the new leaf certificate, DER"),
        authority: "5a0e8c4471b2d9f35a0e8c4471b2d9f35a0e8c44".into(),
        not_after: time.after(std::time::Duration::from_hours(1)),
    };
    let load = PolicyLoadRecord {
        time,
        policy_digest: Digest::of(b"the policy set"),
        entity_digest: Digest::of(b"the entities"),
        policy_epoch: epoch(3),
        policies: 12,
        error: Some("policies/orders.cedar:7: unexpected token `}`".into()),
    };
    let administration = AdministrationRecord {
        time,
        method: "spire.api.server.entry.v1.Entry/BatchDeleteEntry".into(),
        uid: Some(0),
        pid: Some(4711),
        subjects: vec!["5ac0b39c-8176-45dc-ab22-7daf8ecc7290".into()],
        code: Some("ok".into()),
        error: None,
    };
    let token = JwtIssuanceRecord {
        time,
        spiffe_id: "spiffe://example.org/orders".into(),
        entry_id: "orders".into(),
        audience: vec!["billing".into()],
        token: Digest::of(b"the token in compact form"),
        jti: Some("3q2-7wAAAAAAAAAAAAAAAA".into()),
        authority: "9b1deb4d3b7d4bad9b1deb4d3b7d4bad9b1deb4d".into(),
        not_after: time.after(std::time::Duration::from_mins(5)),
    };
    let records = [
        Record::Decision(Box::leak(decision(time).into())),
        Record::Search(search(time).into()),
        Record::Issuance(issuance.into()),
        Record::JwtIssuance(token.into()),
        Record::AuthorityChange(authority_change(time).into()),
        Record::PolicyLoad(load.into()),
        Record::MappingLoad(mapping_load(time).into()),
        Record::Administration(administration.into()),
        Record::Refusal(refusal(time).into()),
        Record::Witness(witness(time).into()),
        Record::Prune(prune(time).into()),
        Record::Exchange(exchange(time).into()),
        Record::Outbound(outbound(time).into()),
    ];
    records.into_iter().chain(of_the_gateway(time)).collect()
}

fn authority_change(time: Timestamp) -> AuthorityChangeRecord {
    AuthorityChangeRecord {
        time,
        kind: AuthorityKind::X509,
        authority: "5a0e8c4471b2d9f35a0e8c4471b2d9f35a0e8c44".into(),
        change: AuthorityChange::Taint,
        by: Initiator::Operator,
        not_after: time.after(std::time::Duration::from_hours(24)),
    }
}

fn of_the_gateway(time: Timestamp) -> [Record<'static>; 5] {
    let since = Timestamp::from_unix_nanos(1_795_312_120_000_000_000);
    let process = ProcessRecord {
        time,
        event: ProcessEvent::Start,
        version: "0.1.0".into(),
        takeover: false,
        durability: "group".into(),
        unavailable: "refuse".into(),
        log_key: Digest::of(b"the log's public key"),
    };
    let bundle = BundleRecord {
        time,
        trust_domain: "partner.example".into(),
        bundle_epoch: epoch(4),
        bundle_sequence: Some(8),
        x509_authorities: vec![Digest::of(b"the authority's certificate, DER")],
        jwt_authorities: vec!["9b1deb4d3b7d4bad9b1deb4d3b7d4bad9b1deb4d".into()],
        revocation_lists: 0,
    };
    let turned_away = TurnedAwayRecord {
        time,
        since,
        edge: "authzen".into(),
        reason: "unknown_caller".into(),
        count: 12,
        peers: vec!["192.0.2.7".into(), "uid 1000".into()],
    };
    let entity_load = EntityLoadRecord {
        time,
        source: "people".into(),
        entity_epoch: epoch(5),
        entities: 812,
        refused: 1,
        error: None,
    };
    [
        Record::Process(process.into()),
        Record::Unrecorded(UnrecordedRecord { time, since, count: 7 }.into()),
        Record::Bundle(bundle.into()),
        Record::TurnedAway(turned_away.into()),
        Record::EntityLoad(entity_load.into()),
    ]
}

fn refusal(time: Timestamp) -> RefusalRecord {
    RefusalRecord {
        time,
        reason: "no_entry".into(),
        uid: 1000,
        pid: 4711,
        selectors: vec!["unix:gid:1000".into(), "unix:uid:1000".into()],
        error: None,
        count: 12,
    }
}

fn witness(time: Timestamp) -> WitnessRecord {
    WitnessRecord {
        time,
        log: "example.org/audit/gate-2".into(),
        witness: "example.org/witness/gate-1".into(),
        finding: WitnessFinding::Forked,
        size: 4711,
        root: Digest::of(b"one root"),
        cosigned_size: Some(4711),
        cosigned_root: Some(Digest::of(b"another root")),
    }
}

fn exchange(time: Timestamp) -> ExchangeRecord {
    let (alice, tool) = ("alice".to_owned(), "spiffe://example.org/tool".to_owned());
    ExchangeRecord {
        time,
        client: tool.clone(),
        outcome: Outcome::Allow,
        reason: "issued".into(),
        subject: Some(Actor { subject: alice, issuer: Some("https://login.example.org".into()) }),
        actors: vec![Actor { subject: tool, issuer: Some("spiffe://example.org".into()) }],
        inputs: vec![ExchangedToken {
            token: Digest::of(b"the subject's token in compact form"),
            issuer: "https://login.example.org".into(),
            jti: Some("8a1f".into()),
        }],
        wanted: "access_token".into(),
        audience: Some("https://orders.example.org".into()),
        requested: Some("orders:read orders:write".into()),
        scope: "orders:read".into(),
        decisions: vec![DecisionId::new(time, &Sevens).unwrap()],
        token: Some(Digest::of(b"the new token in compact form")),
        jti: Some("3q2-7wAAAAAAAAAAAAAAAA".into()),
        transaction: None,
        authority: Some("9b1deb4d3b7d4bad9b1deb4d3b7d4bad9b1deb4d".into()),
        not_after: Some(time.after(std::time::Duration::from_mins(5))),
        request_id: Some("bfe9eb29-ab87-4ca3-be83-a1d5d8305716".into()),
    }
}

fn prune(time: Timestamp) -> PruneRecord {
    PruneRecord {
        time,
        first: 0,
        end: 102_400,
        before: Timestamp::from_unix_seconds(1_756_000_000),
        by: "command".into(),
        archived: None,
    }
}

fn outbound(time: Timestamp) -> OutboundRecord {
    OutboundRecord {
        time,
        target: "billing".into(),
        spiffe_id: "spiffe://example.org/web".into(),
        endpoint: "https://login.example.com/token".into(),
        outcome: Outcome::Allow,
        error: None,
        assertion: Some(Digest::of(b"the assertion in compact form")),
        token: Some(Digest::of(b"the token")),
        scope: Some("invoices:read".into()),
        not_after: Some(time.after(std::time::Duration::from_hours(1))),
    }
}

fn mapping_load(time: Timestamp) -> MappingLoadRecord {
    MappingLoadRecord {
        time,
        mapping_digest: Digest::of(b"the routes"),
        mapping_epoch: epoch(3),
        routes: 40,
        error: Some("routes.yaml:7:5: route `read`: the schema has no action `read`".into()),
    }
}

/// The part of the document about one kind of record.
fn section(kind: &str) -> &'static str {
    let (_, rest) =
        DOCUMENT.split_once(&format!("\n## `{kind}`\n")).unwrap_or_else(|| panic!("no section on `{kind}`"));
    rest.split("\n## ").next().unwrap()
}

#[test]
fn the_document_shows_the_very_line_that_each_record_is_written_as() {
    for record in examples() {
        let line = serde_json::to_string(&record).unwrap();
        let kind = serde_json::to_value(&record).unwrap()["record"].as_str().unwrap().to_owned();
        assert!(section(&kind).contains(&format!("\n```json\n{line}\n```\n")), "docs/records.md lacks:\n{line}");
    }
}

#[test]
fn the_document_has_a_row_for_every_field_in_its_order_and_for_no_other() {
    for record in examples() {
        let Value::Object(fields) = serde_json::to_value(&record).unwrap() else { panic!("not an object") };
        let rows = section(fields["record"].as_str().unwrap()).lines();
        let documented: Vec<_> =
            rows.filter_map(|row| row.strip_prefix("| `")?.split_once('`')).map(|row| row.0).collect();
        assert_eq!(documented, fields.keys().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn the_document_has_every_value_of_the_fixed_lists() {
    let edges = [Edge::Authzen, Edge::ExtAuthz, Edge::Token].map(Edge::name);
    let outcomes = [Outcome::Allow, Outcome::Deny, Outcome::Error].map(Outcome::name);
    let states = [CacheState::Hit, CacheState::Miss, CacheState::Bypass].map(CacheState::name);
    for name in edges.iter().chain(&outcomes).chain(&states) {
        assert!(section("decision").contains(&format!("`{name}`")), "`{name}`");
    }
}

#[test]
fn the_document_has_every_change_of_an_authority() {
    let section = section("authority_change");
    for change in CHANGES {
        assert!(section.contains(&format!("`{}`", change.name())), "{change:?}");
        assert_eq!(serde_json::to_value(change).unwrap(), change.name());
    }
    for by in [Initiator::Operator, Initiator::Schedule] {
        assert!(section.contains(&format!("`{}`", by.name())), "{by:?}");
        assert_eq!(serde_json::to_value(by).unwrap(), by.name());
    }
    for kind in AuthorityKind::ALL {
        assert!(section.contains(&format!("`{}`", kind.name())), "{kind:?}");
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
}

#[test]
fn the_document_has_everything_that_can_be_sought_and_how_a_search_fails() {
    let section = section("search");
    for kind in SearchKind::ALL {
        assert!(section.contains(&format!("`{}`", kind.name())), "{kind:?}");
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    assert!(section.contains("`too_much_work`"));
}

#[test]
fn the_document_has_all_that_a_witness_can_find() {
    for finding in [WitnessFinding::Forked, WitnessFinding::Inconsistent, WitnessFinding::Shrunk] {
        assert!(section("witness").contains(&format!("`{}`", finding.name())), "{finding:?}");
        assert_eq!(serde_json::to_value(finding).unwrap(), finding.name());
    }
}

#[test]
fn names_in_records_are_those_in_metrics_and_metadata() {
    for edge in [Edge::Authzen, Edge::ExtAuthz, Edge::Token] {
        assert_eq!(serde_json::to_value(edge).unwrap(), edge.name());
    }
    for outcome in [Outcome::Allow, Outcome::Deny, Outcome::Error] {
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
    }
    for state in [CacheState::Hit, CacheState::Miss, CacheState::Bypass] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.name());
    }
}

#[test]
fn decision_ids_are_uuids_of_version_7_that_sort_by_time() {
    let times: Vec<_> = (1..50).map(|n| Timestamp::from_unix_seconds(n * 86_400_000)).collect();
    let ids: Vec<_> = times.iter().map(|time| DecisionId::new(*time, &Sevens).unwrap().to_string()).collect();
    assert!(ids.is_sorted() && ids.iter().collect::<BTreeSet<_>>().len() == ids.len());
    assert!(ids.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'7' && b"89ab".contains(&id.as_bytes()[19])));
}
