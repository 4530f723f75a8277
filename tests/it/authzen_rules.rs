//! The rules that the `AuthZEN` conformance suite pins down beyond the text of the specification, each against the running
//! gateway with the fixture of the certification scenario.

use serde_json::{Value, json};

use crate::support::authzen::{EVALUATION, EVALUATIONS, METADATA, Pdp, SEARCHES, assert_error, entity, question, with};
use crate::support::eventually;

const JSON: (&str, &str) = ("content-type", "application/json");

fn alice_reads() -> Value {
    question("user/alice", "read", "record/record-1")
}

/// Alice and several records, one item each.
fn batch(action: &str, records: &[&str], semantic: &str) -> Value {
    let items: Vec<_> = records.iter().map(|id| json!({"resource": {"type": "record", "id": id}})).collect();
    json!({
        "subject": entity("user/alice"), "action": {"name": action}, "evaluations": items,
        "options": {"evaluations_semantic": semantic},
    })
}

fn decisions(answer: &Value) -> Vec<bool> {
    answer["evaluations"].as_array().unwrap().iter().map(|item| item["decision"].as_bool().unwrap()).collect()
}

/// One search on each of the three paths, with all that may stand in it.
fn searches() -> [(&'static str, Value); 3] {
    let [(_, subjects), (_, resources), (_, actions)] = SEARCHES;
    [
        (subjects, with(&alice_reads(), json!({"subject": {"type": "user"}}))),
        (resources, with(&alice_reads(), json!({"resource": {"type": "record"}}))),
        (actions, json!({"subject": entity("user/alice"), "resource": entity("record/record-1")})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fixture_decides_as_the_scenario_has_it() {
    let pdp = Pdp::certification().await;
    for (user, action, record, expected) in [
        ("alice", "read", "record-1", true),
        ("alice", "read", "record-2", true),
        ("alice", "write", "record-1", true),
        ("alice", "write", "record-2", false),
        ("alice", "delete", "record-1", false),
        ("bob", "read", "record-1", true),
        ("bob", "read", "record-2", true),
        ("bob", "write", "record-1", false),
        ("bob", "write", "record-2", false),
        ("bob", "delete", "record-1", false),
        ("carol", "read", "record-1", false),
        ("alice", "read", "record-3", false),
    ] {
        let decided = pdp.decides(&format!("user/{user}"), action, &format!("record/{record}")).await;
        assert_eq!(decided, expected, "{user} {action} {record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_01_an_unknown_semantic_is_400() {
    let pdp = Pdp::certification().await;
    for semantic in [json!("majority"), json!(""), json!("EXECUTE_ALL"), json!(1), json!(["execute_all"])] {
        let mut body = batch("read", &["record-1"], "");
        body["options"]["evaluations_semantic"] = semantic;
        assert_error(&pdp.post(EVALUATIONS, &body).await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_02_a_short_circuit_ends_the_answer_at_its_trigger() {
    let pdp = Pdp::certification().await;
    let records = ["record-1", "record-2", "record-1", "record-2"];
    for (semantic, expected) in [
        ("execute_all", vec![true, false, true, false]),
        ("deny_on_first_deny", vec![true, false]),
        ("permit_on_first_permit", vec![true]),
    ] {
        let answer = pdp.answer(EVALUATIONS, &batch("write", &records, semantic)).await;
        assert_eq!(decisions(&answer), expected, "{semantic}");
    }
    let answer = pdp.answer(EVALUATIONS, &batch("write", &records[1..], "permit_on_first_permit")).await;
    assert_eq!(decisions(&answer), [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_03_an_incomplete_item_is_denied_and_the_batch_stands() {
    let pdp = Pdp::certification().await;
    let body = json!({
        "subject": entity("user/alice"), "action": {"name": "read"},
        "evaluations": [{"resource": entity("record/record-1")}, {}, {"resource": {"type": "record"}}],
    });
    assert_eq!(decisions(&pdp.answer(EVALUATIONS, &body).await), [true, false, false]);
    let alone = json!({"evaluations": [{"action": {"name": "read"}, "resource": entity("record/record-1")}]});
    assert_eq!(pdp.answer(EVALUATIONS, &alone).await, json!({"evaluations": [{"decision": false}]}));
    eventually("what was denied is on record, whatever it was", async || {
        let records = pdp.home.records();
        (records.iter().filter(|record| record["reason"] == "undecodable").count() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_04_a_request_without_items_gets_the_answer_of_a_single_one() {
    let pdp = Pdp::certification().await;
    for body in [alice_reads(), with(&alice_reads(), json!({"evaluations": []}))] {
        assert_eq!(pdp.answer(EVALUATIONS, &body).await, json!({"decision": true}));
    }
    assert_error(&pdp.post(EVALUATIONS, &json!({"subject": entity("user/alice")})).await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_05_another_content_type_is_400() {
    let pdp = Pdp::certification().await;
    for (path, body) in endpoints() {
        let compressed = [JSON, ("content-encoding", "gzip")];
        for headers in [
            &[("content-type", "text/plain")][..],
            &[("content-type", "application/xml")],
            &[("content-type", "application/problem+json")],
            &[JSON, ("content-type", "text/plain")],
            &[],
            &compressed,
        ] {
            assert_error(&pdp.send("POST", path, headers, &body.to_string()).await, 400);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_06_another_method_is_405() {
    let pdp = Pdp::certification().await;
    for (path, body) in endpoints() {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = pdp.send(method, path, &[JSON], &body.to_string()).await;
            assert_error(&answer, 405);
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_07_a_charset_is_no_matter() {
    let pdp = Pdp::certification().await;
    for (path, body) in endpoints() {
        for given in ["application/json; charset=utf-8", "application/json;charset=UTF-8", "APPLICATION/JSON"] {
            let answer = pdp.send("POST", path, &[("content-type", given)], &body.to_string()).await;
            assert_eq!(answer.status, 200, "{path} {given} {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_08_a_body_that_is_no_object_is_400() {
    let pdp = Pdp::certification().await;
    for (path, body) in endpoints() {
        for bad in [&format!("[{body}]"), "", " ", "{", "null", "true", "\"a\"", "{\"subject\":}", "{}}"] {
            assert_error(&pdp.send("POST", path, &[JSON], bad).await, 400);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_09_unknown_members_are_ignored_everywhere() {
    let pdp = Pdp::certification().await;
    let strange = json!({"foo": {"nested": [1, null]}, "future_field": "x"});
    for (path, body) in endpoints() {
        let plain = pdp.answer(path, &body).await;
        let mut extended = with(&body, strange.clone());
        for part in ["subject", "action", "resource"] {
            if extended.get(part).is_some() {
                extended[part] = with(&extended[part], strange.clone());
            }
        }
        assert_eq!(pdp.answer(path, &extended).await, plain, "{path}");
    }
    for (path, body) in searches() {
        let plain = pdp.answer(path, &with(&body, json!({"page": {"limit": 1}}))).await;
        let extended = with(&body, json!({"page": {"limit": 1, "size": 5, "offset": 1, "properties": {"a": 1}}}));
        assert_eq!(pdp.answer(path, &extended).await, plain, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_a_search_for_what_nobody_knows_finds_nothing() {
    let pdp = Pdp::certification().await;
    let [(subjects, by_subject), (resources, by_resource), (actions, by_action)] = searches();
    for (path, body) in [
        (subjects, with(&by_subject, json!({"subject": {"type": "robot"}}))),
        (subjects, with(&by_subject, json!({"resource": entity("record/record-999")}))),
        (subjects, with(&by_subject, json!({"resource": entity("folder/f")}))),
        (subjects, with(&by_subject, json!({"action": {"name": "fly"}}))),
        (resources, with(&by_resource, json!({"resource": {"type": "folder"}}))),
        (resources, with(&by_resource, json!({"subject": entity("user/nobody")}))),
        (resources, with(&by_resource, json!({"subject": entity("robot/r2")}))),
        (actions, with(&by_action, json!({"subject": entity("user/nobody")}))),
        (actions, with(&by_action, json!({"resource": entity("record/record-999")}))),
        (actions, with(&by_action, json!({"resource": entity("folder/f")}))),
    ] {
        assert_eq!(pdp.answer(path, &body).await, json!({"results": []}), "{path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_11_a_search_finds_what_an_evaluation_permits() {
    let pdp = Pdp::certification().await;
    let [(_, subjects), (_, resources), (_, actions)] = SEARCHES;
    let (users, verbs, records) = (["alice", "bob"], ["read", "write", "delete"], ["record-1", "record-2"]);
    for verb in verbs {
        for record in records {
            let body = json!({"subject": {"type": "user"}, "action": {"name": verb}, "resource": {"type": "record", "id": record}});
            let found = pdp.finds(subjects, &body).await;
            for user in users {
                let permitted = pdp.decides(&format!("user/{user}"), verb, &format!("record/{record}")).await;
                assert_eq!(found.iter().any(|id| id == user), permitted, "who may {verb} {record}");
            }
        }
    }
    for user in users {
        for verb in verbs {
            let body = json!({"subject": {"type": "user", "id": user}, "action": {"name": verb}, "resource": {"type": "record"}});
            let found = pdp.finds(resources, &body).await;
            for record in records {
                let permitted = pdp.decides(&format!("user/{user}"), verb, &format!("record/{record}")).await;
                assert_eq!(found.iter().any(|id| id == record), permitted, "what {user} may {verb}");
            }
        }
        for record in records {
            let body = json!({"subject": {"type": "user", "id": user}, "resource": {"type": "record", "id": record}});
            let found = pdp.finds(actions, &body).await;
            for verb in verbs {
                let permitted = pdp.decides(&format!("user/{user}"), verb, &format!("record/{record}")).await;
                assert_eq!(found.iter().any(|name| name == verb), permitted, "what {user} may do to {record}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_the_same_request_gets_the_same_body() {
    let pdp = Pdp::certification().await;
    for (path, body) in endpoints() {
        let first = pdp.post(path, &body).await.body;
        for _ in 0..2 {
            assert_eq!(pdp.post(path, &body).await.body, first, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_13_what_the_suite_warns_of_does_not_happen() {
    let pdp = Pdp::start("authzen-certification", &[("AUTHZEN__IDENTIFIER", "https://pdp.example.com")]).await;
    let metadata = pdp.send("GET", METADATA, &[], "").await.json();
    for (name, url) in metadata.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint")) {
        assert!(url.as_str().unwrap().contains("/v1/"), "{name}: {url}");
    }
    for (path, body) in searches() {
        let answer = pdp.post(path, &with(&body, json!({"page": {"limit": 1}}))).await;
        assert!(answer.body.starts_with("{\"page\":{\"next_token\":"), "{}", answer.body);
    }
    let answer = pdp.answer(EVALUATIONS, &batch("read", &["record-1"], "execute_all")).await;
    assert!(answer.get("decision").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_14_the_metadata_are_exact() {
    let identifier = "https://pdp.example.com/tenant1";
    let pdp = Pdp::start("authzen-certification", &[("AUTHZEN__IDENTIFIER", identifier)]).await;
    let answer = pdp.send("GET", &format!("{METADATA}/tenant1"), &[], "").await;
    assert_eq!((answer.status, &*answer.headers["content-type"]), (200, "application/json"));
    assert!(answer.headers["cache-control"].contains("max-age="));
    let metadata = answer.json();
    assert_eq!(metadata["policy_decision_point"], identifier);
    let mut endpoints = 0;
    for (name, value) in metadata.as_object().unwrap() {
        assert!(!value.is_null() && *value != json!("") && *value != json!([]), "{name}");
        if name.ends_with("_endpoint") {
            let path = value.as_str().unwrap().strip_prefix("https://pdp.example.com").unwrap();
            assert!(path.starts_with("/tenant1/"), "{value}");
            assert_error(&pdp.post(path, &json!({})).await, 400);
            endpoints += 1;
        }
    }
    assert_eq!(endpoints, 5);
    assert_error(&pdp.send("GET", METADATA, &[], "").await, 404);
    let signed = metadata["signed_metadata"].as_str().unwrap();
    pdp.assert_signed(signed, &metadata);
}

/// A good request for each of the five endpoints.
fn endpoints() -> Vec<(&'static str, Value)> {
    let mut all =
        vec![(EVALUATION, alice_reads()), (EVALUATIONS, batch("write", &["record-1", "record-2"], "execute_all"))];
    all.extend(searches());
    all
}
