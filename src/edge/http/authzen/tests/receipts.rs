//! What answers say of receipts, and to whom.

use super::*;
use crate::edge::receipts::ReceiptOffer;
use crate::evidence::DecisionId;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::SystemEntropy;

/// Permits all under ids of their own.
struct Named;

impl Evaluate for Named {
    fn evaluate(&self, _query: Query<'_>, _by: Asker<'_>) -> Verdict {
        let id = DecisionId::new(Timestamp::from_unix_seconds(7), &SystemEntropy::new()).unwrap();
        Verdict { id, ..verdict(Outcome::Allow, Reason::Permitted) }
    }

    fn search(&self, _search: &Search<'_>, _by: Asker<'_>) -> Found {
        Found { id: DecisionId::NIL, result: Ok(Page::default()), taken: Taken::NOW }
    }

    fn refuse(&self, _what: &str, by: Asker<'_>) -> Verdict {
        Verdict { outcome: Outcome::Deny, reason: Reason::Undecodable, ..self.evaluate(question(), by) }
    }
}

fn question() -> Query<'static> {
    question::query(question::object(ALICE.as_bytes()).unwrap()).unwrap()
}

/// A question with these options, and `more` members.
fn asking(options: &str, more: &str) -> String {
    format!(r#"{}, "options": {options}{more}}}"#, ALICE.trim_end().trim_end_matches('}').to_owned() + "}")
}

async fn told(path: &str, body: String, offers: bool) -> Answer {
    let receipts = offers.then(|| ReceiptOffer::new("https://gate.example/", None));
    send(Arc::new(Named), &AuthzenConfig { receipts, ..AuthzenConfig::default() }, request_to(path, body)).await
}

#[tokio::test]
async fn an_answer_says_where_its_receipt_is_to_who_asks_and_to_nobody_else() {
    for wanted in ["url", "proof"] {
        let answer = told(EVALUATION_PATH, asking(&format!(r#"{{"receipt":"{wanted}"}}"#), ""), true).await;
        let id = answer.headers["x-portcullis-decision-id"].to_str().unwrap();
        let url = format!("https://gate.example/v1/audit/receipt/{id}");
        let expected = json!({"decision": true, "context": {"receipt": {"decision_id": id, "url": url}}});
        assert_eq!((answer.status, answer.body), (200, expected), "{wanted}");
    }
    for (options, offers) in
        [("{}", true), ("null", true), (r#"{"receipt":null}"#, true), (r#"{"receipt":"url"}"#, false)]
    {
        let answer = told(EVALUATION_PATH, asking(options, ""), offers).await;
        assert_eq!((answer.status, answer.body), (200, json!({"decision": true})), "{options}");
    }
    for options in [r#"{"receipt":"all"}"#, r#"{"receipt":true}"#, r#"{"receipt":{}}"#] {
        for path in [EVALUATION_PATH, EVALUATIONS_PATH] {
            assert_eq!(told(path, asking(options, ""), true).await.status, 400, "{options}");
        }
    }
}

/// Even of an item that asks nothing there is a record. A batch that asks for none is the same every time.
#[tokio::test]
async fn each_item_of_a_batch_says_where_its_own_receipt_is_if_that_is_asked() {
    let items = r#", "evaluations": [{}, {"action": 7}]"#;
    let answer = told(EVALUATIONS_PATH, asking(r#"{"receipt":"proof"}"#, items), true).await;
    let receipts: Vec<&Value> =
        answer.body["evaluations"].as_array().unwrap().iter().map(|item| &item["context"]["receipt"]).collect();
    assert_eq!(receipts.len(), 2);
    assert_ne!(receipts[0]["decision_id"], receipts[1]["decision_id"]);
    for receipt in receipts {
        let id = receipt["decision_id"].as_str().unwrap();
        assert_eq!(receipt["url"], format!("https://gate.example/v1/audit/receipt/{id}"));
        assert_eq!(receipt.get("proof"), None);
    }
    let plain = asking("{}", items);
    let (one, other) = (told(EVALUATIONS_PATH, plain.clone(), true).await, told(EVALUATIONS_PATH, plain, true).await);
    assert_eq!(one.body, other.body);
}
