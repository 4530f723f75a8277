//! `AuthZEN` over HTTP against the running gateway.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_policies_answer_over_http() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[("AUTHZEN__DECISION_CONTEXT", "true")]).await;
    std::fs::write(
        home.policies().join("tcp.cedar"),
        r#"@id("web-connects") permit (principal == Workload::"spiffe://example.org/web", action == Action::"connect", resource == Service::"orders");"#,
    )
    .unwrap();
    let allowed = eventually("the new policy decides", async || {
        let answer = ask(&home.authzen_socket(), &question("web")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.json()["decision"] == true).then_some(answer)
    })
    .await;
    assert_eq!(allowed.json()["context"]["policies"], json!(["web-connects"]));
    assert_eq!(home.decision(allowed.decision_id()).await["edge"], "authzen");
    let denied = ask(&home.authzen_socket(), &question("batch")).await;
    assert_eq!((denied.status, &denied.json()["decision"]), (200, &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_not_one_is_400_and_never_a_decision() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[]).await;
    for body in
        ["", "null", "[]", "{}", "{\"subject\":1}", "{\"subject\":{\"type\":\"Workload\",\"id\":\"a\"}}", "\u{feff}{}"]
    {
        let answer = ask(&home.authzen_socket(), body).await;
        assert_eq!(answer.status, 400, "{body:?}: {answer:?}");
    }
    let mut unknown = serde_json::from_str::<Value>(&question("web")).unwrap();
    unknown["action"]["name"] = json!("fly");
    let answer = ask(&home.authzen_socket(), &unknown.to_string()).await;
    assert_eq!((answer.status, &answer.json()["decision"]), (200, &json!(false)), "an unknown action is a denial");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_cedar_gives_the_same_answers() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[("DECISION__SHADOW__ONE_IN", "1")]).await;
    for (workload, action, path) in [
        ("web", "GET", "/orders/17"),
        ("web", "GET", "/orders/17"),
        ("web", "DELETE", "/orders/17"),
        ("batch", "GET", "/reports"),
        ("batch", "GET", "/internal/x"),
        ("web", "BREW", "/orders/17"),
    ] {
        let question = json!({
            "subject": {"type": "Workload", "id": format!("spiffe://example.org/{workload}")},
            "action": {"name": action},
            "resource": {"type": "Path", "id": path, "properties": {"service": "orders"}},
            "context": {"host": "h", "path": path, "scheme": "http", "protocol": "HTTP/1.1", "headers": {}},
        });
        assert_eq!(ask(&home.authzen_socket(), &question.to_string()).await.status, 200);
    }
    let count = async |result: &str| {
        gateway.metric(&format!("portcullis_shadow_evaluations_total{{result=\"{result}\"}}")).await
    };
    // Of the last there is none: the schema has no such action, so it was not put to the policies.
    eventually("five second opinions", async || (count("same").await > 4.5).then_some(())).await;
    for result in ["different", "dropped", "refused"] {
        assert!(count(result).await < 0.5, "{result}");
    }
}

fn question(workload: &str) -> String {
    json!({
        "subject": {"type": "Workload", "id": format!("spiffe://example.org/{workload}"), "properties": {
            "trust_domain": "example.org", "path": format!("/{workload}"),
        }},
        "action": {"name": "connect"},
        "resource": {"type": "Service", "id": "orders"},
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_decision_is_made_anew_after_a_purge() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[]).await;
    let asked = async |workload: &str| {
        let answer = ask(&home.authzen_socket(), &question(workload)).await;
        home.decision(answer.decision_id()).await["cache"].as_str().unwrap().to_owned()
    };
    let purge = |what: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output =
            command.args(["cache", "purge", "-socketPath"]).arg(home.admin_socket()).args(what).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "Purged.\n");
    };
    assert_eq!(
        (asked("web").await, asked("web").await, asked("batch").await),
        ("miss".into(), "hit".into(), "hit".into())
    );
    purge(&["-spiffeID", "spiffe://example.org/web"]);
    assert_eq!(
        (asked("batch").await, asked("web").await, asked("web").await),
        ("hit".into(), "miss".into(), "hit".into())
    );
    purge(&["-all"]);
    assert_eq!((asked("batch").await, asked("web").await), ("miss".into(), "hit".into()), "no policy tells them apart");
    let records = home.records();
    let purges: Vec<_> = records
        .iter()
        .filter(|record| record["method"].as_str().is_some_and(|method| method.contains("PurgeCache")))
        .collect();
    assert!(purges.iter().any(|record| record.to_string().contains("spiffe://example.org/web")), "{purges:?}");
}
