//! Which identities of another trust domain are let in, on every wire that takes any.

use std::path::Path;

use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use prost::Message as _;
use serde_json::{Value, json};
use tonic::Code;

use crate::bad_input::{ask, good_question, push, source};
use crate::federation::federating_home;
use crate::support::gateway::{Gateway, Home};
use crate::support::neighbour::{Neighbour, admin, hold};
use crate::support::pdp::{Pdp, bearer, reads};
use crate::support::{sds, workload_api};

/// What is let in: `/prod` of `other.org`, under a name of ours.
fn identities() -> String {
    json!([{"trust_domain": "other.org", "paths": ["/prod"], "local_name": "acme"}]).to_string()
}

/// Lets whoever is called so here read orders.
const POLICY: &str = "@id(\"acme-reads-orders\")\npermit (principal in TrustDomain::\"other.org\", action in \
                      Action::\"read\", resource in Path::\"/orders\")\nwhen { principal has foreign && \
                      principal.foreign has local_name && principal.foreign.local_name == \"acme\" };\n";

/// What became of a question, and the name of its decision.
struct Asked {
    reason: String,
    id: String,
}

async fn checked(socket: &Path, leaf: &str, id: &str, token: Option<&str>) -> Asked {
    let mut question = good_question(leaf);
    source(&mut question).principal = id.into();
    if let Some(token) = token {
        push(&mut question, "authorization", &format!("Bearer {token}"));
    }
    let answer = ask(socket, &question.encode_to_vec()).await;
    match answer.http_response.unwrap() {
        HttpResponse::OkResponse(_) => Asked { reason: "permitted".to_owned(), id: String::new() },
        HttpResponse::DeniedResponse(denied) => {
            let body: Value = serde_json::from_str(&denied.body).unwrap();
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            Asked { reason: text("reason"), id: text("decision_id") }
        }
        HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_another_domain_only_who_is_let_in_counts_by_certificate_and_by_token() {
    let neighbour = Neighbour::start().await;
    let (home, entries) = federating_home();
    std::fs::write(home.policies().join("acme.cedar"), POLICY).unwrap();
    let issuers = json!([{"preset": "spiffe", "audiences": ["orders"]}]).to_string();
    let identities = identities();
    let settings = [
        ("IDENTITY__ENTRIES", entries.as_str()),
        ("FEDERATION__IDENTITIES", identities.as_str()),
        ("TOKENS__ISSUERS", issuers.as_str()),
        ("TOKENS__PRINCIPAL", "token_or_svid"),
    ];
    let _gateway = Gateway::start(&home, &settings).await;
    hold(&home, &neighbour.bundle());
    let checks = home.ext_authz_socket();

    for (path, expected) in [
        ("/prod/web", "permitted"),
        ("/prod", "permitted"),
        ("/production/web", "foreign_identity"),
        ("/dev/web", "foreign_identity"),
        // A policy permits this one by name; it is not let in all the same.
        ("/web", "foreign_identity"),
    ] {
        let (leaf, id) = (neighbour.identity(path).0, format!("spiffe://other.org{path}"));
        let asked = checked(&checks, &leaf, &id, None).await;
        assert_eq!(asked.reason, expected, "{path}");
        if expected != "permitted" {
            let record = home.decision(&asked.id).await;
            assert_eq!((&record["reason"], &record["decision"]), (&json!(expected), &json!("deny")));
            assert_eq!(record["policies"], json!([]), "no policy was asked");
        }
    }

    let ours = own_leaf(&home).await;
    let by_token = async |path: &str| {
        let token = neighbour.token(path, "orders");
        checked(&checks, &ours, "spiffe://example.org/web", Some(&token)).await.reason
    };
    assert_eq!(by_token("/prod/web").await, "permitted");
    assert_eq!(by_token("/production/web").await, "foreign_identity");

    let mut client = workload_api::Client::connect(&home.workload_socket()).await;
    let valid = client.validate("orders", &neighbour.token("/prod/web", "orders")).await.unwrap();
    assert_eq!(valid.spiffe_id, "spiffe://other.org/prod/web");
    let refused = client.validate("orders", &neighbour.token("/dev/web", "orders")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("not one of its identities that are let in"), "{refused}");
}

async fn own_leaf(home: &Home) -> String {
    let response = sds::fetch(&home.workload_socket(), &["default"]).await.unwrap();
    sds::certificate(&sds::secrets(&response)[0]).0
}

#[tokio::test(flavor = "multi_thread")]
async fn over_authzen_a_caller_that_is_not_let_in_is_told_so_and_on_record() {
    let neighbour = Neighbour::start().await;
    let issuers = json!([{"preset": "spiffe", "audiences": ["https://localhost"]}]).to_string();
    let identities = identities();
    let settings =
        [("FEDERATION__IDENTITIES", identities.as_str()), ("AUTHZEN__CALLERS__BEARER__ISSUERS", issuers.as_str())];
    let pdp = Pdp::start(&settings).await;
    hold(&pdp.home, &neighbour.bundle());
    for (path, status) in [("/prod/backend", 200), ("/dev/backend", 403)] {
        let id = format!("spiffe://other.org{path}");
        let by_certificate = pdp.ask(Some(&neighbour.identity(path)), "", &reads("record-1")).await;
        let token = bearer(&neighbour.token(path, "https://localhost"));
        let by_token = pdp.ask(None, &token, &reads("record-1")).await;
        for answer in [by_certificate, by_token] {
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            let record = pdp.home.decision(answer.decision_id()).await;
            assert_eq!(record["caller"], json!(id));
            let reason = if status == 200 { "permitted" } else { "foreign_identity" };
            assert_eq!(record["reason"], json!(reason));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_not_listed_is_refused_though_its_bundle_was_set_over_the_api() {
    let neighbour = Neighbour::start().await;
    let (home, entries) = federating_home();
    let identities = json!([{"trust_domain": "another.org"}]).to_string();
    let listed = [("IDENTITY__ENTRIES", entries.as_str()), ("FEDERATION__IDENTITIES", identities.as_str())];
    let gateway = Gateway::start(&home, &listed).await;
    hold(&home, &neighbour.bundle());
    let leaf = neighbour.identity("/web").0;
    let asked = async || checked(&home.ext_authz_socket(), &leaf, "spiffe://other.org/web", None).await.reason;
    assert_eq!(asked().await, "foreign_identity");
    assert!(admin(&home, &["bundle", "list"]).contains("other.org"), "the bundle is held, and handed out");
    drop(gateway);
    let _gateway = Gateway::start(&home, &[listed[0]]).await;
    assert_eq!(asked().await, "permitted", "who lists nobody leaves it to the policies");
}
