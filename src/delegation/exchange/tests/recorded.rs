//! What is on record, and what never is.

use super::*;

#[tokio::test]
async fn what_was_issued_is_on_record_and_no_token_is() {
    let house = House::new().await;
    let alice = house.alice(&json!({}));
    let first = house.ask(&client("coordinator"), &wanted(&alice)).await.unwrap();
    let request = ExchangeRequest {
        audience: Some(CALENDAR),
        scope: Some("write read"),
        request_id: Some("r-1"),
        ..wanted(first.token.expose())
    };
    let issued = house.ask(&client("tool"), &request).await.unwrap();
    let record = house.last();
    assert_eq!((record.outcome, &*record.reason, &*record.scope), (Outcome::Allow, "issued", "read write"));
    assert_eq!((&*record.client, record.request_id.as_deref()), ("spiffe://example.org/tool", Some("r-1")));
    let subject = record.subject.as_ref().unwrap();
    assert_eq!((&*subject.subject, subject.issuer.as_deref()), ("alice", Some(IDP)));
    let actors: Vec<&str> = record.actors.iter().map(|actor| &*actor.subject).collect();
    assert_eq!(actors, ["spiffe://example.org/tool", "spiffe://example.org/coordinator"]);
    assert_eq!(record.inputs.len(), 1);
    assert_eq!(record.inputs[0].jti.as_deref(), claims_of(&first)["jti"].as_str());
    assert_eq!(record.inputs[0].token, Digest::of(first.token.expose().as_bytes()));
    assert_eq!(record.jti.as_deref(), claims_of(&issued)["jti"].as_str());
    assert_eq!(record.token, Some(Digest::of(issued.token.expose().as_bytes())));
    assert_eq!(record.authority.as_deref(), part(&issued, 0)["kid"].as_str());
    assert_eq!(record.decisions.len(), 2);
    let written = serde_json::to_string(&Record::Exchange(Box::new(record))).unwrap();
    for token in [&alice, first.token.expose(), issued.token.expose()] {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!written.contains(signature), "{written}");
    }
}

#[tokio::test]
async fn a_refusal_is_on_record_as_far_as_it_was_understood() {
    let house = House::new().await;
    let alice = house.alice(&json!({}));
    house.ask(&client("tool"), &ExchangeRequest { scope: Some("\u{202e}\n"), ..wanted("x.y.z") }).await.unwrap_err();
    let record = house.last();
    assert_eq!((record.outcome, &*record.reason, record.subject), (Outcome::Deny, "bad_subject_token", None));
    assert!(record.inputs.is_empty());
    let requested = record.requested.unwrap();
    assert!(requested.is_ascii() && !requested.contains('\n'), "nothing that turns text or breaks a line");
    house.grant(&[]);
    house.ask(&client("tool"), &wanted(&alice)).await.unwrap_err();
    let record = house.last();
    assert_eq!((record.outcome, &*record.reason, &*record.scope), (Outcome::Deny, "not_granted", ""));
    assert_eq!((record.decisions.len(), record.inputs.len(), record.actors.len()), (2, 1, 1));
    assert_eq!((record.token, record.jti), (None, None));
}

#[tokio::test]
async fn without_a_permit_or_a_record_there_is_no_token() {
    let house = House::new().await;
    let alice = house.alice(&json!({}));
    house.grant(&[]);
    assert_eq!(house.refusal(&client("tool"), &wanted(&alice)).await, "not_granted");
    house.grant(&["read"]);
    house.policies.fails.store(true, Ordering::SeqCst);
    assert_eq!(house.refusal(&client("tool"), &wanted(&alice)).await, "undecided");
    assert_eq!(house.last().outcome, Outcome::Error);
    house.policies.fails.store(false, Ordering::SeqCst);
    house.log.full.store(true, Ordering::SeqCst);
    let error = house.ask(&client("tool"), &wanted(&alice)).await.unwrap_err();
    assert_eq!((error.reason(), error.code()), ("unrecorded", ErrorCode::Unavailable));
    house.log.full.store(false, Ordering::SeqCst);
    house.ask(&client("tool"), &wanted(&alice)).await.unwrap();
}

/// `docs/delegation.md` has every word that a record can have.
#[test]
fn every_reason_is_documented() {
    let document = include_str!("../../../../docs/delegation.md");
    let source = include_str!("../error.rs");
    let words = source.lines().filter_map(|line| line.trim().strip_suffix("\",")?.rsplit_once("=> \"")).map(|it| it.1);
    let words: Vec<&str> = words.collect();
    assert!(words.len() > 25, "the source is not understood");
    for word in words {
        assert!(document.contains(&format!("`{word}`")), "{word}");
    }
}
