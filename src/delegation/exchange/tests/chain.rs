//! Who acts, who may, and what others can make of that.

use super::*;
use crate::identity::foreign::ForeignIdentities;

/// A workload of another trust domain.
fn abroad(id: &str) -> Client {
    Client { id: id.parse().unwrap(), ..client("x") }
}

async fn coordinators(house: &House, alice: &str) -> String {
    house.ask(&client("coordinator"), &wanted(alice)).await.unwrap().token.expose().clone()
}

#[tokio::test]
async fn the_chain_shows_every_hop_and_policies_see_it() {
    let house = House::with(|config| config.forwarded = [IDP.to_owned()].into()).await;
    // A chain that came from elsewhere, one member of it without an issuer and all of it with more than anybody reads.
    let before =
        json!({"sub": "desk", "client_id": "x", "act": {"iss": "https://far.example", "sub": "phone", "exp": 1}});
    let first = coordinators(&house, &house.alice(&json!({"act": before}))).await;
    house.asked();
    let issued = house.ask(&client("tool"), &ExchangeRequest { audience: Some(CALENDAR), ..wanted(&first) }).await;
    assert_eq!(issued.unwrap_err().reason(), "too_deep", "three are enough here");

    let first = coordinators(&house, &house.alice(&json!({"act": {"sub": "desk"}}))).await;
    house.asked();
    let request = ExchangeRequest { audience: Some(CALENDAR), scope: Some("read"), ..wanted(&first) };
    let issued = house.ask(&client("tool"), &request).await.unwrap();
    let ours = |name: &str| format!("spiffe://example.org/{name}");
    let act = json!({
        "iss": "spiffe://example.org", "sub": ours("tool"), "sub_profile": "ai_agent",
        "act": {
            "iss": "spiffe://example.org", "sub": ours("coordinator"), "sub_profile": "service",
            "act": {"iss": IDP, "sub": "desk"},
        },
    });
    assert_eq!(claims_of(&issued)["act"], act);
    let member = |iss: &str, sub: &str| json!({"iss": iss, "sub": sub});
    let actors = json!([
        member("spiffe://example.org", &ours("tool")),
        member("spiffe://example.org", &ours("coordinator")),
        member(IDP, "desk"),
    ]);
    assert_eq!(
        house.asked(),
        [json!({
            "principal": ours("tool"), "action": "Portcullis::exchange", "caller": ours("tool"),
            "resource": format!("Portcullis::Audience::{CALENDAR:?}"),
            "context": {
                "actors": actors, "depth": 3, "kind": "access_token", "scope": "read", "subject": {"iss": IDP, "sub": "alice"},
            },
        })]
    );
}

#[tokio::test]
async fn a_chain_ends() {
    let house = House::with(|config| {
        let everybody = ["a", "b", "c", "d"].map(id).into();
        config.audiences = BTreeMap::from([(TOOL.to_owned(), everybody)]);
    })
    .await;
    let mut token = house.alice(&json!({}));
    for hop in ["a", "b", "c"] {
        token = house.ask(&client(hop), &wanted(&token)).await.unwrap().token.expose().clone();
    }
    assert_eq!(house.refusal(&client("d"), &wanted(&token)).await, "too_deep");
    house.ask(&client("c"), &wanted(&token)).await.expect("who acts already is not there twice");
    let nine = (0..9).fold(json!({"sub": "x"}), |inner, _| json!({"sub": "x", "act": inner}));
    let deep = house.alice(&json!({"act": nine}));
    assert_eq!(house.refusal(&client("a"), &wanted(&deep)).await, "bad_delegation");
}

#[tokio::test]
async fn who_may_act_is_who_acts() {
    let house = House::new().await;
    let tool = "spiffe://example.org/tool";
    for (may_act, may) in [
        (json!({"sub": tool}), true),
        (json!({"sub": tool, "iss": "spiffe://example.org"}), true),
        (json!({"sub": "spiffe://example.org/coordinator"}), false),
        (json!({"sub": tool, "iss": IDP}), false),
        (json!({"sub": tool, "client_id": "x"}), false),
        (json!({"iss": "spiffe://example.org"}), false),
        (json!({}), false),
        (json!(tool), false),
        (json!([tool]), false),
    ] {
        let alice = house.alice(&json!({"may_act": may_act}));
        let ended = house.ask(&client("tool"), &wanted(&alice)).await;
        assert_eq!(ended.as_ref().err().map(ExchangeError::reason), (!may).then_some("may_not_act"), "{may_act}");
        if let Ok(issued) = ended {
            assert!(claims_of(&issued).get("may_act").is_none(), "it speaks of the token that has it");
        }
    }
}

#[tokio::test]
async fn an_actor_token_is_the_clients_own() {
    let house = House::new().await;
    let alice = house.alice(&json!({}));
    let delegated = house.ask(&client("tool"), &wanted(&alice)).await.unwrap();
    for (token, reason) in [
        (house.svid("tool", &json!({})), None),
        (house.svid("coordinator", &json!({})), Some("actor_is_not_client")),
        (house.svid("tool", &json!({"act": {"sub": "x"}})), Some("actor_is_not_client")),
        (house.svid("tool", &json!({"cnf": {"x5t#S256": "x"}})), Some("bad_delegation")),
        (house.alice(&json!({"sub": "spiffe://example.org/tool"})), Some("actor_is_not_client")),
        (delegated.token.expose().clone(), Some("actor_is_not_client")),
        ("rubbish".to_owned(), Some("bad_actor_token")),
    ] {
        let actor = Some(ShownToken { token: &token, kind: TokenType::Jwt });
        let ended = house.ask(&client("tool"), &ExchangeRequest { actor, ..wanted(&alice) }).await;
        assert_eq!(ended.err().map(|error| error.reason()), reason, "{token}");
    }
}

#[tokio::test]
async fn a_token_of_ours_is_exchanged_by_whom_it_was_made_for_or_who_acts_in_it() {
    let house = House::new().await;
    let first = coordinators(&house, &house.alice(&json!({}))).await;
    for (who, may) in [("tool", true), ("coordinator", true), ("calendar", false), ("thief", false), ("tool/x", false)]
    {
        let ended = house.ask(&client(who), &ExchangeRequest { audience: Some(CALENDAR), ..wanted(&first) }).await;
        assert_eq!(ended.err().map(|error| error.reason()), (!may).then_some("made_for_others"), "{who}");
    }
    let foreign = Client { id: "spiffe://other.org/tool".parse().unwrap(), ..client("tool") };
    assert_eq!(house.refusal(&foreign, &wanted(&first)).await, "made_for_others");
}

#[tokio::test]
async fn a_bound_token_is_exchanged_by_its_holder_or_by_whom_it_was_made_for() {
    let house = House::with(|config| config.bind_to_certificate = true).await;
    let alice = house.alice(&json!({}));
    assert_eq!(house.refusal(&client("coordinator"), &wanted(&alice)).await, "no_certificate");
    let issued = house.ask(&holder("coordinator", b"one"), &wanted(&alice)).await.unwrap();
    let thumbprint = URL_SAFE_NO_PAD.encode(Digest::of(b"one").as_bytes());
    assert_eq!(claims_of(&issued)["cnf"], json!({"x5t#S256": thumbprint}));
    let bound = issued.token.expose();
    for (who, reason) in [
        (holder("coordinator", b"one"), None),
        (holder("coordinator", b"another of its own"), Some("other_holder")),
        (holder("tool", b"its own"), None),
        (holder("thief", b"one"), Some("made_for_others")),
    ] {
        let ended = house.ask(&who, &ExchangeRequest { audience: Some(CALENDAR), ..wanted(bound) }).await;
        assert_eq!(ended.err().map(|error| error.reason()), reason, "{}", who.id);
    }
    let elsewhere = house.alice(&json!({"cnf": {"x5t#S256": thumbprint}}));
    house.ask(&holder("tool", b"one"), &wanted(&elsewhere)).await.unwrap();
    assert_eq!(house.refusal(&holder("tool", b"two"), &wanted(&elsewhere)).await, "other_holder");
}

/// Two issuers have an alice, and one of them says that she is a workload of ours.
#[tokio::test]
async fn a_subject_stays_its_issuers() {
    let house = House::new().await;
    let coordinator = client("coordinator");
    for (alice, issuer) in [(house.alice(&json!({})), IDP), (house.other_alice(&json!({})), OTHER_IDP)] {
        let first = coordinators(&house, &alice).await;
        house.asked();
        let request = ExchangeRequest { audience: Some(CALENDAR), scope: Some("read"), ..wanted(&first) };
        let issued = house.ask(&client("tool"), &request).await.unwrap();
        assert_eq!(claims_of(&issued)["sub_id"]["iss"], issuer);
        assert_eq!(house.asked()[0]["context"]["subject"], json!({"iss": issuer, "sub": "alice"}));
    }
    let posing = house.other_alice(&json!({"sub": "spiffe://example.org/coordinator"}));
    let issued = house.ask(&coordinator, &wanted(&posing)).await.unwrap();
    assert_eq!(claims_of(&issued)["act"]["sub"], "spiffe://example.org/coordinator", "it is not she who acts");
    assert_eq!(claims_of(&issued)["sub_id"]["iss"], OTHER_IDP);
    // What another issuer says of `sub_id` is no word of ours.
    let lying = json!({"sub_id": {"format": "iss_sub", "iss": IDP, "sub": "alice"}});
    let issued = house.ask(&coordinator, &wanted(&house.other_alice(&lying))).await.unwrap();
    assert_eq!(claims_of(&issued)["sub_id"]["iss"], OTHER_IDP);
}

/// Another issuer made it for one of its own. What came into other hands is nobody's.
#[tokio::test]
async fn a_token_of_others_that_says_who_acts_is_exchanged_by_nobody_else() {
    const DESK: &str = "spiffe://partner.example/desk";
    let partner = "spiffe://partner.example";
    let acted = |house: &House, more: &Value| {
        let mut claims = json!({"act": {"iss": partner, "sub": DESK, "act": {"iss": OTHER_IDP, "sub": "phone"}}});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        house.alice(&claims)
    };
    let house = House::new().await;
    house.bundles.update(|bundles| bundles.with(Bundle::clone(&bundle("partner.example", [("kid-9", &Key::p256())]))));
    let thumbprint = URL_SAFE_NO_PAD.encode(Digest::of(b"the desk's").as_bytes());
    let desks = |certificate: &[u8]| Client { certificate: Some(Digest::of(certificate)), ..abroad(DESK) };
    let (plain, bound) = (acted(&house, &json!({})), acted(&house, &json!({"cnf": {"x5t#S256": thumbprint}})));
    let nameless = acted(&house, &json!({"act": {"sub": DESK}}));
    let for_tool = acted(&house, &json!({"aud": ["orders", TOOL]}));
    let bound_for_tool = acted(&house, &json!({"aud": ["orders", TOOL], "cnf": {"x5t#S256": thumbprint}}));
    for (who, token, reason) in [
        (abroad(DESK), &plain, None),
        (abroad(DESK), &nameless, None),
        (client("tool"), &plain, Some("made_for_others")),
        (client("tool"), &nameless, Some("made_for_others")),
        (abroad("spiffe://partner.example/phone"), &plain, Some("made_for_others")),
        // Whom the issuer itself says that it is for.
        (client("tool"), &for_tool, None),
        (client("coordinator"), &for_tool, Some("made_for_others")),
        // The certificate is as good as the name, and where there is one nothing else will do.
        (desks(b"the desk's"), &bound, None),
        (holder("tool", b"the desk's"), &bound, None),
        (desks(b"the next one of the desk's"), &bound, Some("other_holder")),
        (abroad(DESK), &bound, Some("other_holder")),
        (client("tool"), &bound, Some("other_holder")),
        (client("tool"), &bound_for_tool, Some("other_holder")),
    ] {
        let ended = house.ask(&who, &ExchangeRequest { audience: Some(CALENDAR), ..wanted(token) }).await;
        assert_eq!(ended.err().map(|error| error.reason()), reason, "{} {token}", who.id);
    }

    let house = House::with(|config| config.forwarded = [IDP.to_owned()].into()).await;
    house.bundles.update(|bundles| bundles.with(Bundle::clone(&bundle("partner.example", [("kid-9", &Key::p256())]))));
    house.ask(&client("tool"), &wanted(&acted(&house, &json!({})))).await.expect("the operator lets them be passed on");
    let bound = acted(&house, &json!({"cnf": {"x5t#S256": thumbprint}}));
    assert_eq!(house.refusal(&client("tool"), &wanted(&bound)).await, "other_holder", "but for these");
    let of_another = house.other_alice(&json!({"act": {"iss": partner, "sub": DESK}}));
    assert_eq!(house.refusal(&client("tool"), &wanted(&of_another)).await, "made_for_others", "of whom it was said");
    let ours = house.ask(&client("tool"), &wanted(&acted(&house, &json!({})))).await.unwrap();
    assert_eq!(house.refusal(&client("thief"), &wanted(ours.token.expose())).await, "made_for_others");
}

#[tokio::test]
async fn nobody_else_says_that_our_workloads_act() {
    let house = House::new().await;
    let claimed = json!({"iss": "spiffe://example.org", "sub": "spiffe://example.org/coordinator"});
    let before = json!({"sub": "desk", "act": claimed});
    for act in [&claimed, &before, &json!({"iss": US, "sub": "desk"})] {
        let forged = house.alice(&json!({"act": act}));
        assert_eq!(house.refusal(&client("tool"), &wanted(&forged)).await, "names_ours", "{act}");
    }
    // Of the client itself it is known who it is.
    house.ask(&client("coordinator"), &wanted(&house.alice(&json!({"act": claimed})))).await.unwrap();
}

#[tokio::test]
async fn nobody_is_somebody_for_longer_than_their_domain() {
    let house = House::new().await;
    let partner = json!({"iss": "spiffe://partner.example", "sub": "spiffe://partner.example/desk"});
    let ours = ForeignIdentities::new(&"example.org".parse().unwrap(), BTreeMap::new(), false);
    let with = |bundles: &Bundles| bundles.clone().with_foreign(Arc::new(ours.clone()));
    house.bundles.update(|bundles| Some(with(bundles)));
    let token = house.alice(&json!({"act": partner}));
    assert_eq!(house.refusal(&client("tool"), &wanted(&token)).await, "foreign_identity");
    let of_partner = Bundle::clone(&bundle("partner.example", [("kid-9", &Key::p256())]));
    house.bundles.update(|bundles| bundles.with(of_partner));
    let desk = abroad("spiffe://partner.example/desk");
    house.ask(&desk, &wanted(&token)).await.unwrap();
    house.bundles.update(|bundles| bundles.without(&"partner.example".parse().unwrap()));
    assert_eq!(house.refusal(&desk, &wanted(&token)).await, "foreign_identity");
}
