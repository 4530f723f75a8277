//! Tokens that the gateway exchanged, in the Checks that it answers: taken from whoever acts, until somebody in them is revoked.

use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use prost::Message as _;
use serde_json::{Value, json};

use crate::bad_input::{ask, good_question, push, source};
use crate::support::gateway::Home;
use crate::support::pdp::Identity;
use crate::support::token::{ACCESS, CALENDAR, TOOL, TRANSACTION, TokenDesk, claims, form, token};

const SCHEMA: &str = r"
entity Human;
entity Service;
entity Path in [Path, Service];
type Delegation = { subject: String, actor: String, depth: Long, scope: Set<String>, transaction?: String };
action GET appliesTo { principal: Workload, resource: Path, context: { token?: Human, delegation?: Delegation } };
";

const POLICY: &str = r#"
@id("two-hops-read")
permit (principal == Workload::"spiffe://example.org/tool", action == Action::"GET", resource)
when {
  context has token && context.token == Human::"alice" && context has delegation && context.delegation.subject == "alice" &&
  context.delegation.actor == "spiffe://example.org/tool" && context.delegation.depth == 2 &&
  context.delegation.scope.contains("calendar:read")
};
"#;

async fn desk(settings: &[(&str, &str)]) -> TokenDesk {
    let home = Home::new();
    home.take_policies("examples/token-exchange");
    std::fs::write(home.policies().join("checks.cedarschema"), SCHEMA).unwrap();
    std::fs::write(home.policies().join("checks.cedar"), POLICY).unwrap();
    TokenDesk::start_in(home, settings).await
}

/// What becomes of a request by the workload called so, with this token.
async fn checked(desk: &TokenDesk, (name, identity): (&str, &Identity), header: &str, token: &str) -> String {
    let mut question = good_question(&identity.0);
    source(&mut question).principal = format!("spiffe://example.org/{name}");
    let value = if header == "authorization" { format!("Bearer {token}") } else { token.to_owned() };
    push(&mut question, header, &value);
    match ask(&desk.home.ext_authz_socket(), &question.encode_to_vec()).await.http_response.unwrap() {
        HttpResponse::OkResponse(_) => "permitted".to_owned(),
        HttpResponse::DeniedResponse(denied) => {
            let body: Value = serde_json::from_str(&denied.body).unwrap();
            body["reason"].as_str().unwrap().to_owned()
        }
        HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
    }
}

/// Alice's token in the hands of the tool, whom the coordinator asked.
async fn first(desk: &TokenDesk, coordinator: &Identity) -> String {
    let employee = json!({"format": "iss_sub", "iss": "https://hr.example", "sub": "employee-7"});
    let alice = desk.alice(&json!({"sub_id": employee}));
    token(&desk.ask(Some(coordinator), &form(&alice, TOOL, &[("scope", "calendar:read")])).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exchanged_counts_until_it_or_anybody_in_it_is_revoked() {
    let desk = desk(&[]).await;
    let (coordinator, tool) = (desk.workload("coordinator"), desk.workload("tool"));
    let first = first(&desk, &coordinator).await;
    let leaf = token(&desk.ask(Some(&tool), &form(&first, CALENDAR, &[])).await);
    let ask = async |token: &str| checked(&desk, ("tool", &tool), "authorization", token).await;
    assert_eq!(ask(&leaf).await, "permitted");
    assert_eq!(checked(&desk, ("coordinator", &coordinator), "authorization", &leaf).await, "other_holder");
    assert_eq!(checked(&desk, ("tool", &tool), "txn-token", &leaf).await, "bad_token");
    assert_eq!(ask(&first).await, "untrusted_token", "it is for the tool, and not for who asks here");

    let (jti, issuer) = (claims(&leaf)["jti"].as_str().unwrap().to_owned(), desk.issuer.clone());
    let begun = claims(&first)["jti"].as_str().unwrap().to_owned();
    for (what, ends) in [
        (vec!["-jti", &jti], true),
        (vec!["-jti", &jti, "-issuer", &issuer], true),
        (vec!["-jti", &jti, "-issuer", "https://other.example"], false),
        (vec!["-jti", &begun], false),
        (vec!["-member", "spiffe://example.org/coordinator"], true),
        (vec!["-member", "spiffe://example.org/tool"], true),
        (vec!["-member", "alice", "-issuer", &desk.idp.issuer], true),
        (vec!["-member", "alice", "-issuer", &issuer], true),
        (vec!["-member", "alice", "-issuer", "https://other.example"], false),
        (vec!["-member", "employee-7", "-issuer", "https://hr.example"], true),
        (vec!["-member", "employee-7", "-issuer", "https://other.example"], false),
    ] {
        desk.admin(&[&["delegation", "revoke"], &*what].concat());
        assert_eq!(ask(&leaf).await, if ends { "revoked_token" } else { "permitted" }, "{what:?}");
        desk.admin(&[&["delegation", "restore"], &*what].concat());
        assert_eq!(ask(&leaf).await, "permitted", "{what:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_token_counts_in_its_own_header_from_who_asked_for_it() {
    let desk = desk(&[]).await;
    let (coordinator, tool, calendar) =
        (desk.workload("coordinator"), desk.workload("tool"), desk.workload("calendar"));
    let first = first(&desk, &coordinator).await;
    let wanted = [("requested_token_type", TRANSACTION), ("subject_token_type", ACCESS)];
    let begun = token(&desk.ask(Some(&tool), &form(&first, "example.org", &wanted)).await);
    assert_eq!(checked(&desk, ("tool", &tool), "txn-token", &begun).await, "permitted");
    assert_eq!(checked(&desk, ("tool", &tool), "authorization", &begun).await, "bad_token");
    assert_eq!(checked(&desk, ("coordinator", &coordinator), "txn-token", &begun).await, "other_holder");
    // Who replaced it acts from then on, and who asked before is still in it.
    let kinds = [("requested_token_type", TRANSACTION), ("subject_token_type", TRANSACTION)];
    let next = token(&desk.ask(Some(&calendar), &form(&begun, "example.org", &kinds)).await);
    assert_eq!(checked(&desk, ("tool", &tool), "txn-token", &next).await, "other_holder");
    assert_eq!(checked(&desk, ("calendar", &calendar), "txn-token", &next).await, "no_permit", "three act in it");
    desk.admin(&["delegation", "revoke", "-member", "spiffe://example.org/tool"]);
    assert_eq!(checked(&desk, ("calendar", &calendar), "txn-token", &next).await, "revoked_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_over_with_its_certificate() {
    let desk = desk(&[("DELEGATION__BIND_TO_CERTIFICATE", "true")]).await;
    let (coordinator, tool, renewed) = (desk.workload("coordinator"), desk.workload("tool"), desk.workload("tool"));
    let first = first(&desk, &coordinator).await;
    let leaf = token(&desk.ask(Some(&tool), &form(&first, CALENDAR, &[])).await);
    assert!(claims(&leaf)["cnf"]["x5t#S256"].is_string());
    assert_eq!(checked(&desk, ("tool", &tool), "authorization", &leaf).await, "permitted");
    for (name, other) in [("tool", &renewed), ("coordinator", &coordinator)] {
        assert_eq!(checked(&desk, (name, other), "authorization", &leaf).await, "other_holder", "{name}");
    }
}
