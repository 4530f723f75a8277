//! Sources of entities, followed while all runs.

use std::fs;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};

/// A workload, with a path if it is a good one.
fn workload(name: &str, path: Option<&str>) -> String {
    let path = path.map(|path| format!(r#", "path": "{path}""#)).unwrap_or_default();
    format!(
        r#"{{"uid": {{"type": "Workload", "id": "spiffe://example.org/{name}"}},
            "attrs": {{"trust_domain": "example.org"{path}}}, "parents": [{{"type": "Group", "id": "staff"}}]}}"#
    )
}

async fn notice(gateway: &Gateway) -> Option<String> {
    let report = gateway.operations("/readyz").await;
    assert_eq!(report.status, 200, "what is wrong with a source must not make the gateway unready");
    report.json()["notices"]["entities"].as_str().map(str::to_owned)
}

async fn has(gateway: &Gateway, entities: f64, refused: f64) {
    eventually(&format!("{entities} entities are in force, {refused} refused"), async || {
        let metric = async |name: &str| gateway.metric(&format!(r#"{name}{{source="people"}}"#)).await;
        let found = (metric("portcullis_entities").await, metric("portcullis_entities_refused").await);
        ((found.0 - entities).abs() < 0.5 && (found.1 - refused).abs() < 0.5).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_is_told_by_name_and_the_rest_stands() {
    let home = Home::new();
    let directory = home.path().join("entities");
    fs::create_dir(&directory).unwrap();
    let (web, batch) = (workload("web", Some("/web")), workload("batch", Some("/batch")));
    fs::write(directory.join("a.json"), format!("[{web},\n{batch}]")).unwrap();
    let sources = format!("[{{name: people, files: {}}}]", directory.display());
    let gateway = Gateway::start(&home, &[("DECISION__ENTITIES", &sources)]).await;
    has(&gateway, 2.0, 0.0).await;
    assert_eq!(notice(&gateway).await, None);

    fs::write(directory.join("b.json"), format!("[\n{},\n{web}]", workload("cron", None))).unwrap();
    has(&gateway, 2.0, 2.0).await;
    let told = notice(&gateway).await.unwrap();
    assert!(told.contains("b.json:2:1: ") && told.contains("2 records"), "{told}");
    assert!(told.contains(r#"`Workload::"spiffe://example.org/cron"`"#), "{told}");

    // A file that breaks off says nothing at all, so what was read before stands.
    fs::write(directory.join("b.json"), "[{").unwrap();
    let told = eventually("the broken file is told", async || {
        notice(&gateway).await.filter(|told| told.contains("can't be read"))
    });
    assert!(told.await.contains("b.json:1:"));
    assert!(gateway.metric(r#"portcullis_entity_source_failures_total{source="people"}"#).await > 0.5);
    has(&gateway, 2.0, 2.0).await;

    fs::write(directory.join("b.json"), format!("[{}]", workload("cron", Some("/cron")))).unwrap();
    has(&gateway, 3.0, 0.0).await;
    eventually("nothing is wrong any more", async || notice(&gateway).await.is_none().then_some(())).await;

    // Another schema, by which the same records are no good any more, waits for better ones.
    let schema = home.policies().join("portcullis.cedarschema");
    let text = fs::read_to_string(&schema).unwrap();
    fs::write(&schema, text.replace("entity Workload in [TrustDomain, Group]", "entity Workload in [TrustDomain]"))
        .unwrap();
    eventually("it is told what the schema waits for", async || {
        let report = gateway.operations("/readyz").await.json();
        let told = report["notices"]["policies"].as_str()?.to_owned();
        told.contains("waits for the source `people`, which has 3 records that the new schema refuses").then_some(())
    })
    .await;
    has(&gateway, 3.0, 0.0).await;
    let alone = web.replace(r#"{"type": "Group", "id": "staff"}"#, "");
    fs::write(directory.join("a.json"), format!("[{alone}]")).unwrap();
    fs::remove_file(directory.join("b.json")).unwrap();
    has(&gateway, 1.0, 0.0).await;
    eventually("nothing waits any more", async || {
        gateway.operations("/readyz").await.json()["notices"].get("policies").is_none().then_some(())
    })
    .await;
}
