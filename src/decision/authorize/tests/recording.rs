//! What records say beside the decision: traces, schema, who vouched, and the parts of the question that are to be kept.

use serde_json::json;

use super::*;
use crate::decision::recording::{Chosen, Part, Recording};
use crate::evidence::DisclosureKey;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn chosen(redact: bool) -> Vec<Chosen> {
    let header = |name: &str| Chosen { part: Part::Header(name.to_owned()), redact };
    let context =
        |path: &[&str]| Chosen { part: Part::Context(path.iter().map(|&name| name.to_owned()).collect()), redact };
    vec![
        header("x-tenant"),
        header("x-many"),
        header("x-none"),
        context(&["geo", "city"]),
        context(&["n"]),
        context(&["no"]),
    ]
}

fn keeping(chosen: Vec<Chosen>, key: Option<DisclosureKey>) -> Plane {
    let mut plane = Plane::new();
    plane.authorizer = plane.authorizer.with_recording(Some(Recording::new(chosen, false, key)));
    plane
}

fn fields(record: &DecisionRecord<'_>) -> Vec<(String, Option<String>)> {
    record.fields.iter().flatten().map(|field| (field.name.clone(), field.value.clone())).collect()
}

#[test]
fn a_record_has_the_schema_who_vouched_for_the_leaf_and_the_trace() {
    let plane = Plane::new();
    let mut question = plane.question(WEB, "GET", "/orders/17");
    question.http.as_mut().unwrap().headers.as_mut().unwrap().push(("traceparent", TRACE.as_bytes()));
    plane.authorizer.check(&question);
    let record = plane.last();
    assert_eq!(record.trace_id.map(|trace| trace.to_string()).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(record.schema_digest, Some(plane.policies.load().schema_digest()));
    assert_ne!(record.schema_digest, record.policy_digest);
    let bundles = plane.bundles.load();
    let bundle = bundles.iter().next().unwrap();
    assert_eq!(record.bundle_sequence, Some(bundle.sequence));
    assert_eq!(record.authority, bundle.certificates().next().map(|certificate| Digest::of(certificate)));
    assert_eq!((record.actors, record.fields), (None, None));

    // Twice is no trace, for who would say which.
    question.http.as_mut().unwrap().headers.as_mut().unwrap().push(("traceparent", TRACE.as_bytes()));
    plane.authorizer.check(&question);
    assert_eq!(plane.last().trace_id, None);
    let query = json!({"subject": {"type": "Workload", "id": WEB}, "action": {"name": "connect"},
        "resource": {"type": "Service", "id": "orders"}});
    plane
        .authorizer
        .evaluate(serde_json::from_value(query).unwrap(), Asker { traceparent: Some(TRACE), ..Asker::default() });
    assert!(plane.last().trace_id.is_some() && plane.last().authority.is_none());
}

#[test]
fn chosen_headers_are_kept_even_of_a_question_that_is_refused() {
    let plane = keeping(chosen(false), None);
    for path in ["/orders/17", "/orders/../x"] {
        let mut question = plane.question(WEB, "GET", path);
        let lines = question.http.as_mut().unwrap().headers.as_mut().unwrap();
        lines.extend([("x-tenant", &b"a\xff\"b"[..]), ("X-Many", b"1"), ("x-many", b"2")]);
        plane.authorizer.check(&question);
        let expected = [("header.x-tenant", "\"a\u{fffd}\\\"b\""), ("header.x-many", r#"["1","2"]"#)];
        let expected = expected.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        assert_eq!(fields(&plane.last()), expected, "{path}");
    }
}

#[test]
fn chosen_parts_of_the_context_are_kept_in_plain_or_only_as_commitments() {
    let query = |city: &str| {
        serde_json::from_value::<Query<'_>>(json!({
            "subject": {"type": "Workload", "id": WEB}, "action": {"name": "connect"},
            "resource": {"type": "Service", "id": "orders"},
            "context": {"geo": {"city": city, "other": 1}, "n": 1, "more": true},
        }))
        .unwrap()
    };
    let plane = keeping(chosen(false), None);
    plane.authorizer.evaluate(query("Bonn"), Asker::default());
    let expected = [("context.geo.city", "\"Bonn\""), ("context.n", "1")];
    assert_eq!(fields(&plane.last()), expected.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))));
    assert_eq!(plane.last().context_digest, Some(completed(query("Bonn")).digest()));

    let plane = keeping(chosen(true), Some(DisclosureKey::of_seed([1; 32])));
    plane.authorizer.evaluate(query("Bonn"), Asker::default());
    let record = plane.last();
    let names = ["context.geo.city", "context.n", "context_digest"];
    assert_eq!(fields(&record), names.map(|name| (name.to_owned(), None)));
    // By it, whoever knows the rest could find out the city.
    assert_eq!(record.context_digest, None);
    let shown = serde_json::to_string(&record).unwrap();
    assert!(!shown.contains("Bonn"), "{shown}");
    let key = DisclosureKey::of_seed([1; 32]);
    let opened = key.open(&record, "context.geo.city", None).unwrap();
    assert_eq!(opened.value, "\"Bonn\"");
    opened.verify(&record).unwrap();
    let digest = key.open(&record, "context_digest", None).unwrap();
    assert_eq!(digest.value, format!("\"{}\"", completed(query("Bonn")).digest()));
}

#[test]
fn a_question_that_is_refused_is_redacted_like_any_other() {
    let plane = keeping(chosen(true), Some(DisclosureKey::of_seed([1; 32])));
    let query = json!({"subject": {"type": "Workload", "id": "nobody"}, "action": {"name": "connect"},
        "resource": {"type": "Service", "id": "orders"}, "context": {"geo": {"city": "Bonn"}}});
    let verdict = plane.authorizer.evaluate(serde_json::from_value(query).unwrap(), Asker::default());
    assert_eq!(verdict.reason, Reason::BadPrincipal);
    let record = plane.last();
    assert_eq!(record.context_digest, None);
    assert_eq!(fields(&record), ["context.geo.city", "context_digest"].map(|name| (name.to_owned(), None)));
}

#[test]
fn a_tool_that_is_not_registered_is_redacted_like_any_other() {
    use crate::decision::check::Body;
    use crate::decision::mapping::MappingFiles;
    use crate::decision::policy::fixture::Directory;
    const SCHEMA: &str = "entity TrustDomain; entity Workload in [TrustDomain]; entity McpServer;
        entity Tool in [McpServer] { name: String };
        action \"tools/call\" appliesTo { principal: Workload, resource: Tool, context: { arguments: { city?: String } } };";
    let arguments = Part::Context(vec!["arguments".to_owned(), "city".to_owned()]);
    let mut plane = keeping(vec![Chosen { part: arguments, redact: true }], Some(DisclosureKey::of_seed([1; 32])));
    let permits = ("p.cedar", "permit (principal, action, resource);");
    plane.policies.replace(Directory::new(&[("s.cedarschema", SCHEMA), permits]).load().unwrap());
    let routes = "version: 1\nroutes:\n  - {match: {path: /mcp}, mcp: {server: files}}\n";
    let mapping = Mapping::compile(&MappingFiles::of(&[("m.yaml", routes)])).unwrap();
    plane.authorizer = plane.authorizer.with_mapping(Some(Arc::new(Watched::new(mapping))));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "drop", "arguments": {"city": "Bonn"}}})
    .to_string();
    let mut question = plane.question(WEB, "POST", "/mcp");
    let http = question.http.as_mut().unwrap();
    http.body = Body::Bytes(body.as_bytes());
    let lines = [("content-type", &b"application/json"[..]), ("x-envoy-auth-partial-body", b"false")];
    http.headers.as_mut().unwrap().extend(lines);
    assert_eq!(plane.authorizer.check(&question).reason, Reason::Unregistered);
    let record = plane.last();
    assert_eq!((&*record.resource, record.context_digest), ("Tool::\"drop\"", None));
    assert_eq!(fields(&record), ["context.arguments.city", "context_digest"].map(|name| (name.to_owned(), None)));
}

#[test]
fn the_query_of_a_target_is_left_out_where_anything_is_redacted() {
    let target = "/orders/../x?card=4111#end";
    for (key, expected) in [(Some(DisclosureKey::of_seed([1; 32])), "/orders/../x"), (None, target)] {
        let plane = keeping(Vec::new(), key);
        assert_eq!(plane.ask(WEB, "GET", target).reason, Reason::BadPath);
        assert_eq!(plane.last().resource, expected);
    }
}

fn completed(mut query: Query<'static>) -> Query<'static> {
    complete(&mut query).unwrap();
    query
}
