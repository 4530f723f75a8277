//! Asks a PDP by authzen-rs over TLS: `portcullis-interop-authzen-rs URL CA_FILE`, a line for each answer. It finds the
//! endpoints by the PDP's own metadata, and believes nobody but the authorities in the file.

use std::error::Error;
use std::fmt::Debug;

use authzen_rs::prelude::*;
use serde_json::{Value, json};

const PATHS: [&str; 3] = ["/orders/17", "/internal/x", "/orders/17"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, ca_file] = arguments.as_slice() else { return Err("usage: URL CA_FILE".into()) };
    let ca = reqwest::Certificate::from_pem_bundle(&std::fs::read(ca_file)?)?;
    let nobody = reqwest::Client::builder().tls_built_in_root_certs(false).build()?;
    if connect(url, nobody).await.is_ok() {
        return Err("who believes nobody believes this PDP".into());
    }
    let builder = reqwest::Client::builder().tls_built_in_root_certs(false);
    let http = ca.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate).build()?;
    let client = connect(url, http).await?;
    for path in PATHS {
        let question = EvaluationRequest::new(web(), Action::new("GET"), resource(path)).with_context(context(path));
        println!("{path} {}", client.evaluate(question).await?.allowed());
    }
    for semantic in [
        EvaluationsSemantic::ExecuteAll,
        EvaluationsSemantic::DenyOnFirstDeny,
        EvaluationsSemantic::PermitOnFirstPermit,
    ] {
        let answers = client.evaluations(batch(semantic)).await?;
        println!("{} {}", name(&semantic), all(answers.evaluations().iter().map(Decision::allowed)));
    }
    let search = ActionSearchRequest::new(web(), resource(PATHS[0])).with_context(context(PATHS[0]));
    let found = client.search_actions(search).await?;
    println!("actions {}", all(found.results().iter().filter_map(Action::name)));
    Ok(())
}

async fn connect(url: &str, http: reqwest::Client) -> Result<AuthZenClient, AuthZenError> {
    AuthZenClient::builder(url).http_client(http).discover().build().await
}

fn batch(semantic: EvaluationsSemantic) -> EvaluationsRequest {
    let item = |path: &&str| -> EvaluationRequest {
        serde_json::from_value(json!({"resource": resource(path), "context": context(path)})).expect("an item")
    };
    EvaluationsRequest::new(PATHS.iter().map(item).collect())
        .with_defaults(Some(web()), Some(Action::new("GET")), None, None)
        .with_options(EvaluationOptions::new(semantic))
}

fn web() -> Subject {
    Subject::new("Workload", "spiffe://example.org/web")
}

fn resource(path: &str) -> Resource {
    Resource::new("Path", path).with_property("service", "orders")
}

fn context(path: &str) -> Context {
    let context = json!({"host": "orders", "path": path, "scheme": "http", "protocol": "HTTP/1.1", "headers": {}});
    let Value::Object(context) = context else { unreachable!("it is one") };
    context
}

/// As the specification spells it.
fn name(semantic: &EvaluationsSemantic) -> String {
    serde_json::to_value(semantic).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

fn all(values: impl Iterator<Item = impl Debug>) -> String {
    values.map(|value| format!("{value:?}").trim_matches('"').to_owned()).collect::<Vec<_>>().join(" ")
}
