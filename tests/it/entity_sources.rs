//! Decisions that depend on what a database and another server say, and follow what they say.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, SqliteConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;

/// Who may view a document: its owner, for as long as that is one of the staff.
const POLICIES: &str = r#"
    @id("owners-view")
    permit (principal in Group::"staff", action == Action::"view", resource)
    when { resource has owner && resource.owner == principal };
"#;

fn schema(level: &str) -> String {
    format!(
        "entity Document {{ owner?: Workload, level?: {level} }};
         action view appliesTo {{ principal: Workload, resource: Document }};"
    )
}

/// The tables, made by the script that we hand out.
async fn database(home: &Home) -> SqliteConnection {
    let path = home.path().join("people.db");
    let mut connection = SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap();
    let script = fs::read_to_string(crate::support::root().join("examples/entities/sqlite.sql")).unwrap();
    run(&mut connection, &script).await;
    let attributes = json!({"trust_domain": "example.org", "path": "/web"});
    let insert = "INSERT INTO portcullis_entities (type, id, attrs) VALUES";
    run(&mut connection, &format!("{insert} ('Workload', 'spiffe://example.org/web', '{attributes}')")).await;
    connection
}

async fn run(connection: &mut SqliteConnection, statements: &str) {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await.unwrap();
}

async fn has_groups(connection: &mut SqliteConnection, groups: &Value) {
    run(connection, &format!("UPDATE portcullis_entities SET parents = '{groups}'")).await;
}

/// A server that publishes one document after the other.
struct Publisher {
    address: SocketAddr,
    document: Arc<Mutex<String>>,
    _serving: JoinSet<()>,
}

impl Publisher {
    async fn start(attributes: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, document) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(String::new())));
        let (mut serving, published) = (JoinSet::new(), Arc::clone(&document));
        serving.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await.unwrap());
                }
                let body = published.lock().unwrap().clone();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        });
        let started = Self { address, document, _serving: serving };
        started.publish(attributes);
        started
    }

    /// Says this of the plan from now on.
    fn publish(&self, attributes: &Value) {
        let record = json!([{"uid": {"type": "Document", "id": "plan"}, "attrs": attributes, "parents": []}]);
        *self.document.lock().unwrap() = record.to_string();
    }
}

fn owned_by(name: &str) -> Value {
    json!({"type": "Workload", "id": format!("spiffe://example.org/{name}")})
}

/// A gateway that follows both.
async fn gateway(home: &Home, publisher: &Publisher) -> Gateway {
    fs::write(home.policies().join("documents.cedarschema"), schema("Long")).unwrap();
    fs::write(home.policies().join("documents.cedar"), POLICIES).unwrap();
    let sources = format!(
        "[{{name: people, sql: 'sqlite:{}'}}, {{name: documents, http: {{url: 'http://{}/entities.json', interval: 1s}}}}]",
        home.path().join("people.db").display(),
        publisher.address
    );
    Gateway::start(home, &[("DECISION__ENTITIES", &sources), ("DECISION__POLL_INTERVAL", "200ms")]).await
}

/// Whether web may view the plan.
async fn allowed(home: &Home) -> bool {
    let question = json!({
        "subject": {"type": "Workload", "id": "spiffe://example.org/web"},
        "action": {"name": "view"},
        "resource": {"type": "Document", "id": "plan"},
    });
    let answer = ask(&home.authzen_socket(), &question.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["decision"].as_bool().unwrap()
}

async fn until(home: &Home, expected: bool, why: &str) {
    eventually(why, async || (allowed(home).await == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_follows_a_row_and_a_document() {
    let home = Home::new();
    let mut people = database(&home).await;
    let staff = json!([{"type": "Group", "id": "staff"}]);
    has_groups(&mut people, &staff).await;
    let documents = Publisher::start(&json!({"owner": owned_by("web")})).await;
    let _gateway = gateway(&home, &documents).await;
    assert!(allowed(&home).await, "both sources are read before anything is decided");

    has_groups(&mut people, &json!([])).await;
    until(&home, false, "the row decides").await;
    has_groups(&mut people, &staff).await;
    until(&home, true, "the row decides again").await;
    documents.publish(&json!({"owner": owned_by("batch")}));
    until(&home, false, "the document decides").await;
    documents.publish(&json!({"owner": owned_by("web")}));
    until(&home, true, "the document decides again").await;
    run(&mut people, "DELETE FROM portcullis_entities").await;
    until(&home, false, "the row is gone").await;
}

/// The type of an attribute changes that a `forbid` reads. The new schema waits for what the server says.
#[tokio::test(flavor = "multi_thread")]
async fn a_forbid_applies_all_the_while_that_an_attribute_gets_another_type() {
    let home = Home::new();
    let mut people = database(&home).await;
    has_groups(&mut people, &json!([{"type": "Group", "id": "staff"}])).await;
    let documents = Publisher::start(&json!({"owner": owned_by("web"), "level": 9})).await;
    let gateway = gateway(&home, &documents).await;
    assert!(allowed(&home).await);
    let secret = |level: &str| {
        format!(
            r#"{POLICIES} @id("secret") forbid (principal, action == Action::"view", resource)
               when {{ resource has level && resource.level == {level} }};"#
        )
    };
    fs::write(home.policies().join("documents.cedar"), secret("9")).unwrap();
    until(&home, false, "the forbid applies").await;
    let epoch = gateway.metric("portcullis_policy_epoch").await;

    // Both files in one step, as Kubernetes would.
    let next = home.path().join("next");
    fs::create_dir(&next).unwrap();
    for file in fs::read_dir(home.policies()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), next.join(file.file_name())).unwrap();
    }
    fs::write(next.join("documents.cedarschema"), schema("String")).unwrap();
    fs::write(next.join("documents.cedar"), secret(r#""high""#)).unwrap();
    fs::rename(home.policies(), home.path().join("before")).unwrap();
    fs::rename(&next, home.policies()).unwrap();
    let told = eventually("it is told what the new schema waits for", async || {
        assert!(!allowed(&home).await, "the forbid did not apply");
        let report = gateway.operations("/readyz").await;
        assert_eq!(report.status, 200);
        let told = report.json()["notices"]["policies"].as_str().map(str::to_owned);
        told.filter(|told| told.contains("the new schema waits for the source `documents`"))
    })
    .await;
    assert!(told.contains(r#"`Document::"plan"`: `attrs.level` must be a string"#), "{told}");
    assert!(gateway.metric("portcullis_policy_load_failures_total").await > 0.5);
    let recorded = |part: &str| {
        home.records().iter().any(|record| record["record"] == "policy_load" && record.to_string().contains(part))
    };
    eventually("it is in the record", async || recorded("waits for the source `documents`").then_some(())).await;

    documents.publish(&json!({"owner": owned_by("web"), "level": "high"}));
    eventually("the new set decides", async || {
        assert!(!allowed(&home).await, "the forbid did not apply");
        (gateway.metric("portcullis_policy_epoch").await > epoch + 0.5).then_some(())
    })
    .await;
    assert!(!allowed(&home).await);
    assert_eq!(gateway.operations("/readyz").await.json()["notices"].get("policies"), None);
    documents.publish(&json!({"owner": owned_by("web"), "level": "low"}));
    until(&home, true, "the forbid applies no more").await;
}
