//! Tokens for tokens, on the wire: chains, what thieves get, clients, transactions. And `docs/delegation.md` is run.

use serde_json::{Value, json};

use crate::support::envoy::free_port;
use crate::support::eventually;
use crate::support::gateway::Home;
use crate::support::guide::{blocks, run};
use crate::support::neighbour::{Neighbour, hold};
use crate::support::pdp::serial;
use crate::support::token::{ACCESS, CALENDAR, TOOL, TRANSACTION, TokenDesk, claims, form, refused, token};
use crate::support::workload_api::Client;

const GUIDE: &str = include_str!("../../docs/delegation.md");

fn invalid(code: &str) -> (u16, String) {
    (400, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_shows_both_hops_and_only_narrows() {
    let desk = TokenDesk::start(&[]).await;
    let (coordinator, tool) = (desk.workload("coordinator"), desk.workload("tool"));
    let alice = desk.alice(&json!({"sub_profile": "user"}));
    let answer = desk.ask(Some(&coordinator), &form(&alice, TOOL, &[])).await;
    let first = token(&answer);
    assert_eq!(answer.json()["scope"], "calendar:read calendar:write");
    assert_eq!(desk.last()["reason"], "issued");

    // The policies let the tool read, and nothing else: what it asks for beyond is left out.
    let answer = desk.ask(Some(&tool), &form(&first, CALENDAR, &[])).await;
    let second = token(&answer);
    assert_eq!(answer.json()["scope"], "calendar:read");
    let said = claims(&second);
    assert_eq!((&said["sub"], &said["sub_profile"], &said["aud"]), (&json!("alice"), &json!("user"), &json!(CALENDAR)));
    assert_eq!(said["sub_id"], json!({"format": "iss_sub", "iss": desk.idp.issuer, "sub": "alice"}));
    let act = json!({
        "iss": "spiffe://example.org", "sub": "spiffe://example.org/tool", "sub_profile": "ai_agent",
        "act": {"iss": "spiffe://example.org", "sub": "spiffe://example.org/coordinator", "sub_profile": "service"},
    });
    assert_eq!(said["act"], act);
    assert!(said["exp"].as_u64() <= claims(&first)["exp"].as_u64());

    let record = desk.last();
    assert_eq!(record["jti"], said["jti"]);
    assert_eq!(record["inputs"][0]["jti"], claims(&first)["jti"]);
    let actors: Vec<&Value> = record["actors"].as_array().unwrap().iter().map(|actor| &actor["subject"]).collect();
    assert_eq!(actors, ["spiffe://example.org/tool", "spiffe://example.org/coordinator"]);
    let decisions = record["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 2);
    let decision = desk.home.decision(decisions[0].as_str().unwrap()).await;
    assert_eq!((&decision["edge"], &decision["decision"]), (&json!("token"), &json!("allow")));
    assert_eq!(decision["policies"], json!(["tool-reads-for-the-coordinator"]));
    assert_eq!(decision["principal"], r#"Workload::"spiffe://example.org/tool""#);

    for (scope, code) in
        [("calendar:write", None), ("mail:send", Some("invalid_scope")), ("admin", Some("invalid_scope"))]
    {
        let answer = desk.ask(Some(&tool), &form(&first, CALENDAR, &[("scope", scope)])).await;
        assert_eq!(refused(&answer), invalid(code.unwrap_or("unauthorized_client")), "{scope}");
    }
    let answer = desk.ask(Some(&tool), &form(&second, CALENDAR, &[("scope", "calendar:write")])).await;
    assert_eq!(refused(&answer), invalid("invalid_scope"), "what is gone does not come back");
    let issued = desk.gateway.metric("portcullis_token_exchanges_total{result=\"issued\"}").await;
    assert!((issued - 2.0).abs() < f64::EPSILON, "{issued}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_of_no_use_to_others() {
    let desk = TokenDesk::start(&[]).await;
    let (coordinator, thief) = (desk.workload("coordinator"), desk.workload("thief"));
    let alice = desk.alice(&json!({}));
    let first = token(&desk.ask(Some(&coordinator), &form(&alice, TOOL, &[])).await);
    for (subject, code, reason) in [
        (first.clone(), "invalid_request", "made_for_others"),
        (alice.clone(), "unauthorized_client", "not_granted"),
        (
            desk.idp.token_with(&json!({"aud": "orders", "scope": "calendar:read"})),
            "invalid_request",
            "bad_subject_token",
        ),
        (desk.alice(&json!({"iat": 1_700_000_000, "exp": 1_700_000_300})), "invalid_request", "bad_subject_token"),
        (desk.alice(&json!({"iss": desk.issuer, "aud": TOOL})), "invalid_request", "bad_subject_token"),
        (format!("{first}x"), "invalid_request", "bad_subject_token"),
    ] {
        let answer = desk.ask(Some(&thief), &form(&subject, CALENDAR, &[])).await;
        assert_eq!(refused(&answer), invalid(code));
        let record = desk.last();
        assert_eq!((&record["reason"], &record["client"]), (&json!(reason), &json!("spiffe://example.org/thief")));
    }
    let may_act = json!({"sub": "spiffe://example.org/tool", "iss": "spiffe://example.org"});
    let alice = desk.alice(&json!({"may_act": may_act}));
    assert_eq!(refused(&desk.ask(Some(&coordinator), &form(&alice, TOOL, &[])).await), invalid("invalid_request"));
    assert_eq!(desk.last()["reason"], "may_not_act");

    let nobody = desk.ask(None, &form(&first, CALENDAR, &[])).await;
    assert_eq!(refused(&nobody), (401, "invalid_client".to_owned()));
    desk.admin(&["x509", "revoke", "-serial", &serial(&coordinator)]);
    let revoked = desk.ask(Some(&coordinator), &form(&first, CALENDAR, &[])).await;
    assert_eq!(refused(&revoked), (401, "invalid_client".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_others_that_says_who_acts_is_exchanged_by_nobody_else() {
    for forwarded in [false, true] {
        let desk = TokenDesk::forwarding(forwarded).await;
        let (coordinator, thief) = (desk.workload("coordinator"), desk.workload("thief"));
        let own = desk.alice(&json!({"act": {"sub": "spiffe://example.org/coordinator"}}));
        let said = claims(&token(&desk.ask(Some(&coordinator), &form(&own, TOOL, &[])).await));
        assert_eq!(said["act"]["sub"], "spiffe://example.org/coordinator");
        let others = desk.alice(&json!({"act": {"sub": "desk"}}));
        let answer = desk.ask(Some(&coordinator), &form(&others, TOOL, &[])).await;
        if forwarded {
            assert_eq!(claims(&token(&answer))["act"]["act"], json!({"iss": desk.idp.issuer, "sub": "desk"}));
        } else {
            assert_eq!(refused(&answer), invalid("invalid_request"));
            assert_eq!(desk.last()["reason"], "made_for_others");
        }
        let reason = if forwarded { "not_granted" } else { "made_for_others" };
        desk.ask(Some(&thief), &form(&own, TOOL, &[])).await;
        assert_eq!(desk.last()["reason"], reason, "{forwarded}");
    }
}

/// What another trust domain vouches for counts for as long as its bundle is there: whom a token is about, and who asks.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_clients_of_a_federated_domain_are_exchanged_until_it_is_cut_off() {
    let (neighbour, home) = (Neighbour::start().await, Home::new());
    home.take_policies("examples/token-exchange");
    let policy = "@id(\"across\")\npermit (principal, action == Portcullis::Action::\"exchange\", resource)\n\
                  when { context.subject.iss == \"spiffe://other.org\" && context.scope == \"calendar:read\" };\n";
    std::fs::write(home.policies().join("across.cedar"), policy).unwrap();
    let unscoped = json!([{"issuer": "spiffe://other.org", "scopes": ["calendar:read"]}]).to_string();
    let desk = TokenDesk::start_in(home, &[("DELEGATION__SUBJECTS__UNSCOPED", &unscoped)]).await;
    let (coordinator, partner) = (desk.workload("coordinator"), neighbour.identity("/desk"));
    let bob = neighbour.token("/people/bob", "delegation");
    let request = form(&bob, TOOL, &[]);
    assert_eq!(refused(&desk.ask(Some(&coordinator), &request).await), invalid("invalid_request"), "nobody knows it");
    assert_eq!(refused(&desk.ask(Some(&partner), &request).await), (401, "invalid_client".to_owned()));

    hold(&desk.home, &neighbour.bundle());
    let first = token(&desk.ask(Some(&coordinator), &request).await);
    let said = claims(&first);
    assert_eq!(
        (&said["sub"], &said["sub_id"]["iss"]),
        (&json!("spiffe://other.org/people/bob"), &json!("spiffe://other.org"))
    );
    let theirs = claims(&token(&desk.ask(Some(&partner), &request).await));
    let act = json!({"iss": "spiffe://other.org", "sub": "spiffe://other.org/desk", "sub_profile": "service"});
    assert_eq!(theirs["act"], act);
    let elsewhere = neighbour.token("/people/bob", "elsewhere");
    assert_eq!(refused(&desk.ask(Some(&partner), &form(&elsewhere, TOOL, &[])).await), invalid("invalid_request"));
    assert_eq!(desk.last()["reason"], "bad_subject_token", "it is for others");

    desk.admin(&["bundle", "delete", "-id", "spiffe://other.org"]);
    assert_eq!(refused(&desk.ask(Some(&partner), &request).await), (401, "invalid_client".to_owned()));
    assert_eq!(refused(&desk.ask(Some(&coordinator), &request).await), invalid("invalid_request"));
    let onward = desk.ask(Some(&desk.workload("tool")), &form(&first, CALENDAR, &[])).await;
    assert_eq!(refused(&onward), invalid("invalid_request"));
    assert_eq!(desk.last()["reason"], "foreign_identity", "what was made of it ends, too");
}

/// Whom two issuers know, one of which vouches for the other's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_by_a_first_issuers_name_ends_all_that_a_second_ones_token_became() {
    let desk = TokenDesk::start(&[]).await;
    let (coordinator, tool) = (desk.workload("coordinator"), desk.workload("tool"));
    let employee = json!({"format": "iss_sub", "iss": "https://hr.example", "sub": "employee-7"});
    let alice = desk.alice(&json!({"sub_id": employee}));
    let first = token(&desk.ask(Some(&coordinator), &form(&alice, TOOL, &[])).await);
    let aliases = json!({"format": "aliases", "identifiers": [employee]});
    assert_eq!(claims(&first)["sub_aliases"], aliases);
    let onward = form(&first, CALENDAR, &[]);
    assert_eq!(claims(&token(&desk.ask(Some(&tool), &onward).await))["sub_aliases"], aliases);
    desk.admin(&["delegation", "revoke", "-member", "employee-7", "-issuer", "https://hr.example"]);
    for (client, form) in [(&tool, onward), (&coordinator, form(&alice, TOOL, &[]))] {
        assert_eq!(refused(&desk.ask(Some(client), &form).await), invalid("invalid_request"));
        assert_eq!(desk.last()["reason"], "revoked");
    }
}

/// A workload that has no TLS of its own asks the Workload API for a JWT-SVID.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_good_once() {
    let us = std::env::current_exe().unwrap();
    let entries = json!([{
        "spiffe_id": "spiffe://example.org/coordinator", "selectors": [format!("unix:path:{}", us.display())],
        "jwt_svid_include_jti": true,
    }]);
    let desk = TokenDesk::start(&[("IDENTITY__ENTRIES", &entries.to_string())]).await;
    let mut workload = Client::connect(&desk.home.workload_socket()).await;
    let alice = desk.alice(&json!({}));
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
    let shown =
        |assertion: &str| [("client_assertion_type", kind.to_owned()), ("client_assertion", assertion.to_owned())];
    let ask = async |assertion: &str, client: Option<&_>| {
        let shown = shown(assertion);
        let shown: Vec<(&str, &str)> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
        desk.ask(client, &form(&alice, TOOL, &shown)).await
    };
    // One that was made in the second of the start may have been used before it.
    let used = eventually("an assertion counts", async || {
        let assertion = workload.tokens(&desk.issuer, "").await.unwrap().remove(0).svid;
        (ask(&assertion, None).await.status == 200).then_some(assertion)
    })
    .await;
    assert_eq!(desk.last()["client"], "spiffe://example.org/coordinator");
    assert_eq!(refused(&ask(&used, None).await), (401, "invalid_client".to_owned()));
    let elsewhere = workload.tokens("https://elsewhere.example", "").await.unwrap().remove(0).svid;
    assert_eq!(refused(&ask(&elsewhere, None).await), (401, "invalid_client".to_owned()));
    let fresh = workload.tokens(&desk.issuer, "").await.unwrap().remove(0).svid;
    let both = ask(&fresh, Some(&desk.workload("coordinator"))).await;
    assert_eq!(refused(&both), invalid("invalid_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_token_is_replaced_and_not_widened() {
    let desk = TokenDesk::start(&[]).await;
    let (coordinator, tool) = (desk.workload("coordinator"), desk.workload("tool"));
    let alice = desk.alice(&json!({}));
    let begins = [
        ("requested_token_type", TRANSACTION),
        ("request_details", r#"{"event":17}"#),
        ("request_context", r#"{"ip":"192.0.2.1"}"#),
        ("scope", "calendar:read"),
    ];
    let answer = desk.ask(Some(&coordinator), &form(&alice, "example.org", &begins)).await;
    let first = token(&answer);
    assert_eq!(
        (&answer.json()["token_type"], &answer.json()["issued_token_type"]),
        (&json!("N_A"), &json!(TRANSACTION))
    );
    let begun = claims(&first);
    assert_eq!(desk.last()["transaction"], begun["txn"]);

    let replace = async |more: &[(&str, &str)], audience: &str| {
        let kinds = [("requested_token_type", TRANSACTION), ("subject_token_type", TRANSACTION)];
        desk.ask(Some(&tool), &form(&first, audience, &[&kinds, more].concat())).await
    };
    let answer = replace(&[("request_details", r#"{"room":"blue"}"#)], "example.org").await;
    let next = claims(&token(&answer));
    for name in ["txn", "sub", "aud", "scope", "rctx"] {
        assert_eq!(next[name], begun[name], "{name}");
    }
    assert_eq!(
        (&next["tctx"], &next["req_wl"]),
        (&json!({"event": 17, "room": "blue"}), &json!("spiffe://example.org/tool"))
    );
    assert_eq!(next["act"]["act"]["sub"], "spiffe://example.org/coordinator");
    for (more, audience, code) in [
        (&[("request_details", r#"{"event":18}"#)][..], "example.org", "invalid_request"),
        (&[("scope", "calendar:read calendar:write")], "example.org", "invalid_scope"),
        (&[], "other.org", "invalid_target"),
        (&[], TOOL, "invalid_target"),
    ] {
        assert_eq!(refused(&replace(more, audience).await), invalid(code), "{more:?} {audience}");
    }
    let access = [("requested_token_type", ACCESS), ("subject_token_type", TRANSACTION)];
    let answer = desk.ask(Some(&tool), &form(&first, CALENDAR, &access)).await;
    assert_eq!(refused(&answer), invalid("invalid_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_form_is_no_request() {
    let desk = TokenDesk::start(&[("DELEGATION__MAX_ACTORS", "1")]).await;
    let (coordinator, tool) = (desk.workload("coordinator"), desk.workload("tool"));
    let alice = desk.alice(&json!({}));
    let twice = form(&alice, TOOL, &[("audience", CALENDAR)]);
    assert_eq!(refused(&desk.ask(Some(&coordinator), &twice).await), invalid("invalid_request"));
    for body in ["a=%", "{}", "grant_type"] {
        assert_eq!(refused(&desk.post(Some(&coordinator), body).await), invalid("invalid_request"), "{body}");
    }
    let long = format!("grant_type={}", "x".repeat(65 * 1024));
    assert_eq!(refused(&desk.post(Some(&coordinator), &long).await), (413, "invalid_request".to_owned()));
    let before = desk.home.records().into_iter().filter(|record| record["record"] == "exchange").count();
    assert_eq!(before, 0, "nobody was asked anything");
    let first = token(&desk.ask(Some(&coordinator), &form(&alice, TOOL, &[])).await);
    assert_eq!(refused(&desk.ask(Some(&tool), &form(&first, CALENDAR, &[])).await), invalid("invalid_request"));
    assert_eq!(desk.last()["reason"], "too_deep");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_knows_of_no_exchange_lets_nothing_be_exchanged() {
    let desk = TokenDesk::start_in(Home::new(), &[]).await;
    let coordinator = desk.workload("coordinator");
    let answer =
        desk.ask(Some(&coordinator), &form(&desk.alice(&json!({})), TOOL, &[("scope", "calendar:read")])).await;
    assert_eq!(refused(&answer), invalid("unauthorized_client"));
    let record = desk.last();
    let decision = desk.home.decision(record["decisions"][0].as_str().unwrap()).await;
    assert_eq!((&record["reason"], &decision["reason"]), (&json!("not_granted"), &json!("unknown_action")));
    assert!(desk.gateway.process.output().contains("the schema does not let tokens be exchanged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_prints_what_it_says() {
    let guide = GUIDE.replace("8445", &free_port().to_string());
    let [configuration] = blocks(&guide, "yaml")[..] else { panic!("the guide has one configuration") };
    let count = run(&guide, configuration).await;
    assert!(count >= 15, "the guide is not understood: only {count} commands");
}
