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

fn completed(mut query: Query<'static>) -> Query<'static> {
    complete(&mut query).unwrap();
    query
}
