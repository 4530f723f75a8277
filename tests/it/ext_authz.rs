//! Requests through a real Envoy, and what it is told.

use crate::support::envoy::access_log;
use crate::support::eventually;
use crate::support::http;
use crate::support::mesh::Mesh;

#[tokio::test(flavor = "multi_thread")]
async fn allowed_denied_forbidden() {
    let mesh = Mesh::start(&[]).await;
    let allowed = mesh.get("/orders/17").await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    let record = mesh.home.decision(allowed.decision_id()).await;
    assert_eq!(record["policies"], serde_json::json!(["web-reads-orders"]));
    assert_eq!(record["principal"], r#"Workload::"spiffe://example.org/web""#);
    assert_eq!(record["resource"], r#"Path::"/orders/17""#);
    assert_eq!((&record["decision"], &record["reason"]), (&"allow".into(), &"permitted".into()));

    let denied = mesh.get("/admin").await;
    assert_eq!((denied.status, &denied.json()["reason"]), (403, &"no_permit".into()), "{denied:?}");
    assert_eq!(denied.json()["decision_id"], denied.decision_id());
    assert_eq!(mesh.home.decision(denied.decision_id()).await["decision"], "deny");

    let forbidden = mesh.get("/internal").await;
    assert_eq!((forbidden.status, &forbidden.json()["reason"]), (403, &"forbidden".into()), "{forbidden:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_can_be_read_in_two_ways_is_denied_even_if_envoy_normalises_nothing() {
    let bare = |backend: String| {
        backend
            .replace("normalize_path: true", "normalize_path: false")
            .replace("merge_slashes: true", "merge_slashes: false")
            .replace("REJECT_REQUEST\n                strip", "KEEP_UNCHANGED\n                strip")
    };
    let mesh = Mesh::start_with(&[], bare).await;
    for path in [
        "//orders",
        "/orders//17",
        "/orders/../admin",
        "/orders/%2e%2e/admin",
        "/./orders",
        "/orders/.",
        "/orders%2f17",
        "/orders%2F..%2fadmin",
        "/orders%5c..%5cadmin",
        "/\\orders",
        "/orders/..;/admin",
        "/orders;v=1",
        "/orders%3bv=1",
        "/%252e%252e/orders",
        "/orders%00",
        "/orders%0d%0ax",
        "/orders%c0%af..%c0%afadmin",
        "/%zz",
        "/%",
        "/orders/%",
    ] {
        let answer = mesh.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert_eq!(answer.json()["reason"], "bad_path", "{path}");
        assert_eq!(mesh.home.decision(answer.decision_id()).await["decision"], "deny", "{path}");
    }
    assert_eq!(mesh.get("/%6frders/17").await.status, 200, "an escaped letter is that letter");
    assert_eq!(mesh.get("/orders/17?next=/../admin;x=%2f").await.status, 200, "the query is not the path");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_a_policy_reads_must_be_there_once() {
    let mesh = Mesh::start(&[]).await;
    let with = async |headers: &str| {
        http::request(
            mesh.web_port,
            &format!("GET /orders/17 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n{headers}\r\n"),
        )
        .await
    };
    assert_eq!(with("x-tenant: a\r\n").await.status, 200);
    let twice = with("x-tenant: a\r\nx-tenant: b\r\n").await;
    assert_eq!((twice.status, &twice.json()["reason"]), (400, &"bad_header".into()));
    assert_eq!(with("x-other: a\r\nx-other: b\r\n").await.status, 200, "no policy can read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_an_action_of_its_own() {
    let mesh = Mesh::start_with(&[], |backend| {
        backend.replace(
            "codec_type: AUTO",
            "codec_type: AUTO\n                upgrade_configs: [{ upgrade_type: websocket }]",
        )
    })
    .await;
    let response = crate::support::sds::fetch(&mesh.home.workload_socket(), &["default"]).await.unwrap();
    let identity = crate::support::sds::certificate(&crate::support::sds::secrets(&response)[0]);
    let stream = crate::support::tls::connect(mesh.orders_port, Some(&identity)).await.unwrap();
    let answer = http::exchange(
        stream,
        b"GET /orders/17 HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(mesh.home.decision(answer.decision_id()).await["action"], "upgrade");
}

#[tokio::test(flavor = "multi_thread")]
async fn envoys_access_log_names_the_decision_on_allow_and_on_deny() {
    let mesh = Mesh::start(&[]).await;
    for (path, cache) in [("/orders/17", "miss"), ("/orders/17", "hit"), ("/admin", "miss")] {
        let answer = mesh.get(path).await;
        let line = eventually("the request is in the access log", async || {
            let log = access_log(&mesh.home, "orders");
            log.lines().find(|line| line.contains(answer.decision_id())).map(str::to_owned)
        })
        .await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["cache"], cache, "{line}");
        assert_eq!(line["peer"], "spiffe://example.org/web");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_log_that_cannot_be_written_turns_decisions_into_errors() {
    let mesh = Mesh::start(&[]).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    std::fs::remove_dir_all(mesh.home.path().join("data/log/journal")).unwrap();
    let refused = eventually("a decision fails for want of its record", async || {
        let answer = mesh.get("/orders/17").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(mesh.get("/admin").await.status, 503);
    let ready = mesh.gateway.operations("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.json()["blocked_by"]["audit"].is_string(), "{ready:?}");
}
