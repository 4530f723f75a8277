//! Whatever goes in, what comes out grants no more and ends no later.

use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::TestRunner;

use super::*;

const ALL: [&str; 5] = ["read", "write", "send", "openid", "unknown"];

fn text(names: &[&str]) -> String {
    names.join(" ")
}

fn set(text: &str) -> BTreeSet<String> {
    text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Two hops, each with a scope that is asked for or not, and whatever the policies grant.
#[tokio::test]
async fn a_scope_is_never_wider_than_any_token_that_went_in() {
    let house = House::new().await;
    let some = || subsequence(ALL.to_vec(), 0..=ALL.len());
    let asked = || proptest::option::of(some());
    let cases = (some(), [asked(), asked()], [some(), some()]);
    let issued = std::cell::Cell::new(0);
    TestRunner::default()
        .run(&cases, |(held, asked, granted)| {
            let mut subject =
                house.alice(&json!({"scope": if held.is_empty() { Value::Null } else { json!(text(&held)) }}));
            let mut before = scopes(&held);
            for ((hop, audience), (asked, granted)) in
                [("coordinator", TOOL), ("tool", CALENDAR)].into_iter().zip(asked.into_iter().zip(granted))
            {
                house.grant(&granted);
                let scope = asked.as_deref().map(text);
                let request = ExchangeRequest { scope: scope.as_deref(), audience: Some(audience), ..wanted(&subject) };
                let Ok(new) = house.ask(&client(hop), &request).now_or_never().unwrap() else { return Ok(()) };
                let after = set(&new.scope);
                prop_assert!(!after.is_empty());
                prop_assert!(
                    after.is_subset(&before) && after.is_subset(&config().scopes),
                    "{:?} of {:?}",
                    after,
                    before
                );
                prop_assert!(after.is_subset(&scopes(&granted)));
                if let Some(asked) = asked {
                    prop_assert!(after.is_subset(&scopes(&asked)));
                }
                prop_assert_eq!(&claims_of(&new)["scope"], &json!(new.scope));
                (subject, before) = (new.token.expose().clone(), after);
                issued.set(issued.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    assert!(issued.get() > 20, "only {} tokens were issued, so little was tried", issued.get());
}

#[tokio::test]
async fn an_actor_token_that_names_scopes_narrows_too() {
    let house = House::new().await;
    let alice = house.alice(&json!({"scope": "read write"}));
    for (of_actor, asked, given) in [
        (json!({}), None, Ok("read write")),
        (json!({"scope": "read"}), None, Ok("read")),
        (json!({"scope": "read"}), Some("read"), Ok("read")),
        (json!({"scope": "read"}), Some("write"), Err("wider_scope")),
        (json!({"scope": "other"}), None, Err("no_scope")),
    ] {
        let own = house.svid("tool", &of_actor);
        let actor = Some(ShownToken { token: &own, kind: TokenType::Jwt });
        let ended = house.ask(&client("tool"), &ExchangeRequest { actor, scope: asked, ..wanted(&alice) }).await;
        let ended = ended.as_ref().map(|issued| issued.scope.as_str()).map_err(ExchangeError::reason);
        assert_eq!(ended, given, "{of_actor} {asked:?}");
    }
}

#[tokio::test]
async fn a_new_token_never_outlives_what_it_was_made_of() {
    let house = House::new().await;
    let lives = [0_u64, 1, 2, 59, 299, 300, 301, 3600];
    let life = || proptest::sample::select(lives.to_vec());
    TestRunner::default()
        .run(&(life(), life(), life()), |(subject, actor, again)| {
            let alice = house.alice(&json!({"exp": SECOND + subject}));
            let own = house.svid("coordinator", &json!({"exp": SECOND + actor}));
            let actor_token = Some(ShownToken { token: &own, kind: TokenType::Jwt });
            let request = ExchangeRequest { actor: actor_token, ..wanted(&alice) };
            let new = match house.ask(&client("coordinator"), &request).now_or_never().unwrap() {
                Ok(new) => new,
                Err(error) => {
                    prop_assert!(subject.min(actor) == 0, "{}", error.reason());
                    return Ok(());
                }
            };
            let end = claims_of(&new)["exp"].as_u64().unwrap();
            prop_assert_eq!(end, SECOND + subject.min(actor).min(300));
            prop_assert_eq!(new.expires_in.as_secs(), end - SECOND);
            // Later, by the next: it is the first one's end that counts.
            let later = NOW.after(Duration::from_secs(again));
            let request = ExchangeRequest { audience: Some(CALENDAR), ..wanted(new.token.expose()) };
            match house.exchange.exchange(&request, &client("tool"), later).now_or_never().unwrap() {
                Ok(next) => prop_assert!(claims_of(&next)["exp"].as_u64().unwrap() <= end),
                Err(error) => {
                    prop_assert_eq!(error.reason(), "bad_subject_token");
                    prop_assert!(SECOND + again >= end);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn more_than_is_held_is_refused_and_not_cut() {
    let house = House::new().await;
    let alice = house.alice(&json!({"scope": "read write openid"}));
    for (scope, outcome) in [
        (Some("read"), Ok("read")),
        (Some("write read read"), Ok("read write")),
        (None, Ok("read write")),
        (Some("read send"), Err("wider_scope")),
        (Some("read delete"), Err("unknown_scope")),
        (Some("openid"), Err("unknown_scope")),
        (Some("read  write"), Err("malformed_scope")),
        (Some("read\twrite"), Err("malformed_scope")),
    ] {
        let ended = house.ask(&client("tool"), &ExchangeRequest { scope, ..wanted(&alice) }).await;
        let ended = ended.as_ref().map(|issued| &*issued.scope).map_err(ExchangeError::reason);
        assert_eq!(ended, outcome, "{scope:?}");
    }
    house.grant(&["write"]);
    let issued = house.ask(&client("tool"), &wanted(&alice)).await.unwrap();
    assert_eq!(issued.scope, "write", "what the policies do not grant is left out");
}

#[tokio::test]
async fn a_token_without_a_scope_is_worth_what_the_operator_says() {
    let house = House::with(|config| {
        config.unscoped = BTreeMap::from([(IDP.to_owned(), scopes(&["read"]))]);
    })
    .await;
    let none = json!({"scope": null});
    let issued = house.ask(&client("tool"), &wanted(&house.alice(&none))).await.unwrap();
    assert_eq!(issued.scope, "read");
    assert_eq!(house.refusal(&client("tool"), &wanted(&house.other_alice(&none))).await, "no_scope");
    let said = house.alice(&json!({"scope": "write"}));
    assert_eq!(house.ask(&client("tool"), &wanted(&said)).await.unwrap().scope, "write", "what it says counts");
}
