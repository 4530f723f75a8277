//! The `AuthZEN` working group's questions, put to the running gateway, and its answers, compared whole. They are not in
//! this repository: `make vectors` says where they are.

use serde_json::{Value, json};

use crate::support::authzen::{EVALUATION, EVALUATIONS, Pdp, SEARCHES};
use crate::support::vectors;

fn cases(file: &str, member: &str, count: usize) -> Vec<Value> {
    let text = std::fs::read(vectors(&format!("authzen/{file}"))).unwrap();
    let mut vectors: Value = serde_json::from_slice(&text).unwrap();
    let Value::Array(cases) = vectors[member].take() else { panic!("no `{member}` in {file}") };
    assert_eq!(cases.len(), count, "{file}");
    cases
}

/// Puts each question and compares the answer with what `expected` makes of the vector's.
async fn compare(pdp: &Pdp, path: &str, cases: &[Value], expected: impl Fn(&Value) -> Value) {
    for case in cases {
        let mut answer = pdp.answer(path, &case["request"]).await;
        let mut expected = expected(&case["expected"]);
        for results in [&mut answer, &mut expected].map(|body| body.get_mut("results")) {
            // The order of results is nobody's business, that of their members is checked elsewhere.
            if let Some(Value::Array(results)) = results {
                results.sort_by_key(Value::to_string);
            }
        }
        assert_eq!(answer, expected, "{case}");
    }
}

fn decision(expected: &Value) -> Value {
    json!({ "decision": expected })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs outside vectors: make vectors"]
async fn todo_of_every_draft() {
    let pdp = Pdp::start("authzen-todo", &[]).await;
    for draft in ["00", "01", "02"] {
        let file = format!("todo/decisions-authorization-api-1_0-{draft}.json");
        compare(&pdp, EVALUATION, &cases(&file, "evaluation", 40), decision).await;
    }
    let batches = cases("todo/decisions-authorization-api-1_0-02.json", "evaluations", 3);
    compare(&pdp, EVALUATIONS, &batches, |expected| json!({ "evaluations": expected })).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs outside vectors: make vectors"]
async fn api_gateway() {
    let pdp = Pdp::start("authzen-gateway", &[]).await;
    compare(&pdp, EVALUATION, &cases("api-gateway/decisions.json", "evaluation", 25), decision).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs outside vectors: make vectors"]
async fn search() {
    let pdp = Pdp::start("authzen-search", &[]).await;
    for ((kind, path), count) in SEARCHES.into_iter().zip([60, 18, 120]) {
        let cases = cases(&format!("search/{kind}/results.json"), "evaluation", count);
        compare(&pdp, path, &cases, Value::clone).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs outside vectors: make vectors"]
async fn identity_provider() {
    let pdp = Pdp::start("authzen-idp", &[]).await;
    let [_, (_, resources), _] = SEARCHES;
    compare(&pdp, resources, &cases("idp/results.json", "search", 6), Value::clone).await;
}
