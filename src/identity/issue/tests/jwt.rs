//! JWT-SVIDs: what they say, when one is handed out again, and when never.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::identity::registry::AdditionalAttributes;

fn audience(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn attested(uid: u32) -> Attested {
    Attested { pid: 1, selectors: [Selector::new("unix", format!("uid:{uid}"))].into() }
}

impl House {
    fn tokens(&self, uid: u32, names: &[&str]) -> Result<Vec<JwtSvid>, IssueError> {
        self.issuer.jwt_svids(&attested(uid), &audience(names), None)
    }

    fn token(&self, names: &[&str]) -> JwtSvid {
        let mut tokens = self.tokens(1, names).unwrap();
        assert_eq!(tokens.len(), 1);
        tokens.remove(0)
    }

    fn recorded_tokens(&self) -> usize {
        self.log.tokens.lock().unwrap().len()
    }
}

fn claims(svid: &JwtSvid) -> Value {
    let payload = svid.token.expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn unique(name: &str) -> ConfiguredEntry {
    let attributes = AdditionalAttributes { jwt_svid_include_jti: true, ..AdditionalAttributes::default() };
    but(entry(name, 1), |terms| terms.additional = Some(attributes))
}

#[tokio::test]
async fn a_token_says_who_to_whom_and_until_when_and_is_recorded_by_its_digest() {
    let house = House::new([but(entry("web", 1), |terms| terms.hint = "main".into())]).await;
    let now = house.clock.now();
    let svid = house.token(&["b", "a"]);
    let exp = now.after(JWT_TTL).unix_seconds();
    let expected =
        json!({ "sub": "spiffe://example.org/web", "aud": ["b", "a"], "iat": now.unix_seconds(), "exp": exp });
    assert_eq!(claims(&svid), expected);
    assert_eq!(
        (&*svid.entry_id, &*svid.hint, svid.issued_at, svid.not_after),
        ("web", "main", now, now.after(JWT_TTL))
    );

    let records = house.log.tokens.lock().unwrap();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(record.token, Digest::of(svid.token.expose().as_bytes()));
    assert_eq!((&*record.spiffe_id, &*record.entry_id), ("spiffe://example.org/web", "web"));
    assert_eq!((&record.audience, &record.jti, record.not_after), (&audience(&["b", "a"]), &None, svid.not_after));
    assert!(!format!("{record:?} {svid:?}").contains(&**svid.token.expose()));
}

#[tokio::test]
async fn iss_is_there_only_if_it_is_configured() {
    let mut house = House::new([entry("web", 1)]).await;
    house.issuer.config.jwt_issuer = Some("https://issuer.example".into());
    assert_eq!(claims(&house.token(&["a"]))["iss"], "https://issuer.example");
}

#[tokio::test]
async fn each_identity_gets_one_or_only_the_one_that_is_asked_for() {
    let house = House::new([entry("second", 1), entry("other", 2), entry("first", 1)]).await;
    let ids = |tokens: Vec<JwtSvid>| tokens.into_iter().map(|svid| svid.entry_id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(house.tokens(1, &["a"]).unwrap()), ["second", "first"]);
    let only = |uid, id: &str| house.issuer.jwt_svids(&attested(uid), &audience(&["a"]), Some(&id.parse().unwrap()));
    assert_eq!(ids(only(1, "spiffe://example.org/first").unwrap()), ["first"]);
    assert!(only(1, "spiffe://example.org/other").unwrap().is_empty(), "not its own");
    assert!(only(3, "spiffe://example.org/first").unwrap().is_empty(), "nobody");
    assert!(house.tokens(3, &["a"]).unwrap().is_empty());
}

#[tokio::test]
async fn audiences_are_given_not_empty_and_bounded() {
    let house = House::new([entry("web", 1)]).await;
    let (half, longest) = ("a".repeat(4096), "b".repeat(8192));
    let many: Vec<_> = (0..65).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let refusals: [(&[&str], AudienceError); 4] = [
        (&[], AudienceError::Missing),
        (&["a", ""], AudienceError::Empty),
        (&[&longest, "a"], AudienceError::TooLong(8193)),
        (&many, AudienceError::TooMany(65)),
    ];
    for (names, refusal) in refusals {
        assert!(matches!(house.tokens(1, names), Err(IssueError::Audience(found)) if found == refusal), "{refusal}");
        // Also for those who would get nothing.
        assert!(matches!(house.tokens(3, names), Err(IssueError::Audience(_))));
    }
    assert_eq!(house.recorded_tokens(), 0);
    house.token(&[&longest]);
    house.token(&[&half, &half]);
    house.token(&many[..64]);
}

#[tokio::test]
async fn a_token_is_handed_out_again_to_who_asks_for_the_same_set_until_half_of_its_life() {
    let house = House::new([entry("web", 1)]).await;
    let first = house.token(&["a", "b"]);
    let half_life = first.issued_at.after(JWT_TTL / 2);
    house.clock.set(half_life.before(Duration::from_nanos(1)));
    assert_eq!(house.token(&["b", "a"]).token.expose(), first.token.expose());
    assert_ne!(house.token(&["a"]).token.expose(), first.token.expose());
    assert_ne!(house.token(&["a,b"]).token.expose(), first.token.expose());
    house.clock.set(half_life);
    let second = house.token(&["a", "b"]);
    assert!(second.not_after > first.not_after);
    assert_eq!(house.recorded_tokens(), 4);
}

#[tokio::test]
async fn tokens_with_a_jti_are_never_handed_out_twice() {
    let house = House::new([unique("web")]).await;
    let (first, second) = (claims(&house.token(&["a"])), claims(&house.token(&["a"])));
    assert_eq!(first["jti"].as_str().unwrap().len(), 22);
    assert_ne!(first["jti"], second["jti"]);
    let records = house.log.tokens.lock().unwrap();
    assert_eq!(
        records.iter().map(|record| record.jti.as_deref()).collect::<Vec<_>>(),
        [first["jti"].as_str(), second["jti"].as_str()]
    );
}

#[tokio::test]
async fn an_entry_that_changed_gets_a_new_token() {
    let house = House::new([entry("web", 1)]).await;
    let first = house.token(&["a"]);
    house.replace_entries([ConfiguredEntry { id: "web".into(), ..entry("admin", 1) }]).await;
    let second = house.token(&["a"]);
    assert_eq!(second.id.as_str(), "spiffe://example.org/admin");
    assert_ne!(claims(&first)["sub"], claims(&second)["sub"]);
    house.replace_entries([]).await;
    assert!(house.tokens(1, &["a"]).unwrap().is_empty());
}

#[tokio::test]
async fn a_token_of_a_tainted_or_revoked_authority_is_never_handed_out_again() {
    let house = House::new([entry("web", 1)]).await;
    let first = house.token(&["a"]);
    let old = house.rotate(AuthorityKind::Jwt).await;
    assert_eq!(house.token(&["a"]).token.expose(), first.token.expose(), "an old authority is trusted");
    house.authority.taint(AuthorityKind::Jwt, &old, house.clock.now()).await.unwrap();
    let second = house.token(&["a"]);
    assert_ne!(second.token.expose(), first.token.expose());
    house.authority.revoke(AuthorityKind::Jwt, &old, house.clock.now()).await.unwrap();
    assert_eq!(house.token(&["a"]).token.expose(), second.token.expose());
}

#[tokio::test]
async fn what_can_not_be_recorded_is_not_handed_out_but_a_good_token_stays() {
    let house = House::new([entry("web", 1)]).await;
    house.log.full.store(true, Ordering::SeqCst);
    assert!(matches!(house.tokens(1, &["a"]), Err(IssueError::Record(AppendError::Full))));
    house.log.full.store(false, Ordering::SeqCst);
    let first = house.token(&["a"]);
    house.log.full.store(true, Ordering::SeqCst);
    house.clock.advance(JWT_TTL * 3 / 4);
    assert_eq!(house.token(&["a"]).token.expose(), first.token.expose());
    house.clock.advance(JWT_TTL / 4);
    assert!(matches!(house.tokens(1, &["a"]), Err(IssueError::Record(_))));
}

#[tokio::test]
async fn after_the_clock_was_set_back_a_token_of_the_future_is_replaced() {
    let house = House::new([entry("web", 1)]).await;
    let start = house.clock.now();
    house.clock.advance(Duration::from_mins(1));
    let future = house.token(&["a"]);
    house.clock.set(start);
    assert_ne!(house.token(&["a"]).token.expose(), future.token.expose());
}

#[tokio::test]
async fn a_life_is_the_entrys_own_or_the_default_and_at_most_a_sixth_of_the_authoritys() {
    let ttl = |seconds| Some(Duration::from_secs(seconds));
    let house = House::new([
        entry("default", 1),
        but(entry("short", 2), |terms| terms.jwt_svid_ttl = ttl(60)),
        but(entry("long", 3), |terms| terms.jwt_svid_ttl = ttl(1_000_000)),
    ])
    .await;
    let life = |uid| house.tokens(uid, &["a"]).unwrap()[0].not_after.since(house.clock.now());
    assert_eq!((life(1), life(2), life(3)), (JWT_TTL, Duration::from_mins(1), AUTHORITY_TTL / 6));
}

/// A workload that asks for ever other audiences takes a bounded part of the memory.
#[tokio::test]
async fn the_tokens_that_are_kept_are_bounded() {
    let house = House::new([entry("web", 1)]).await;
    let padding = "x".repeat(8000);
    for number in 0..1200 {
        house.token(&[&format!("{number}.{padding}")]);
    }
    house.issuer.jwts.sync();
    assert!(house.issuer.jwts.bytes() <= 16 * 1024 * 1024, "{}", house.issuer.jwts.bytes());
    assert!(house.issuer.jwts.bytes() > 8 * 1024 * 1024, "{}", house.issuer.jwts.bytes());
}
