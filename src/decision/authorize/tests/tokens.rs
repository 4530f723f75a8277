//! Requests with a token beside the certificate, on the policies of `examples/principals`.

use serde_json::{Value, json};

use super::*;
use crate::decision::principal::{
    ClaimMapping, ClaimPath, GroupMapping, Mapping, Preset, PrincipalRule, PrincipalRules,
};
use crate::identity::token::tests::{ISSUER, Key, SECOND, bundle, claims, header, published, rules, token, with};
use crate::identity::token::{Issuer as Believed, IssuerRules, PublishedKeys, Tokens};

const FORWARDED: &str = "x-forwarded-access-token";

/// A plane that believes one issuer of people, and trust domains.
struct Door {
    plane: Plane,
    key: Key,
    keys: Arc<PublishedKeys>,
}

impl Door {
    fn new(principal: PrincipalRule, change: impl FnOnce(&mut PrincipalRules)) -> Self {
        Self::believing(rules(ISSUER), principal, change)
    }

    fn believing(people: IssuerRules, principal: PrincipalRule, change: impl FnOnce(&mut PrincipalRules)) -> Self {
        let key = Key::p256();
        let keys = published(&[("kid-1", &key)]);
        let mut plane = Plane::new();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/principals/policies");
        plane.policies.replace(PolicySet::load(&example).unwrap());
        let svids = Bundle::clone(&bundle("example.org", [("kid-1", &key)]));
        let svids = Arc::new(Watched::new(Bundles::new([svids])));
        let issuers = vec![Believed::publishing(people, Arc::clone(&keys)), Believed::spiffe(rules("spiffe"), svids)];
        let groups = GroupMapping { claim: ClaimPath::new("groups"), kind: "Group".to_owned(), prefix: String::new() };
        let mapping = ClaimMapping {
            kind: "Human".to_owned(),
            id: "{sub}".parse().unwrap(),
            attributes: Preset::Oidc.attributes(),
            groups: Some(groups),
        };
        let headers = vec!["authorization".to_owned(), FORWARDED.to_owned()];
        let mut settled = PrincipalRules { principal, peer_is_optional: false, ignore_unverified: false, headers };
        change(&mut settled);
        let mappings = vec![Mapping::Claims(mapping), Mapping::Spiffe];
        let principals = Principals::new(settled, Arc::new(Tokens::new(issuers, 100)), mappings);
        plane.authorizer = plane.authorizer.with_principals(Some(principals));
        Self { plane, key, keys }
    }

    fn token(&self, claims: &Value) -> String {
        token(&header("ES256"), claims, &self.key)
    }

    /// Asks with a token after `Bearer`, or without one.
    fn ask(&self, token: Option<&str>, method: &str, path: &str) -> Verdict {
        let value = token.map(|token| format!("Bearer {token}"));
        let mut question = self.plane.question(WEB, method, path);
        if let (Some(value), Some(http)) = (&value, &mut question.http) {
            http.headers.as_mut().unwrap().push(("authorization", value.as_bytes()));
            return self.plane.authorizer.check(&question);
        }
        self.plane.authorizer.check(&question)
    }

    fn alice(&self) -> String {
        self.token(&claims())
    }
}

fn door(principal: PrincipalRule) -> Door {
    Door::new(principal, |_rules| {})
}

#[test]
fn a_human_is_the_principal_and_her_workload_is_in_the_context() {
    let door = door(PrincipalRule::Token);
    let alice = door.alice();
    let verdict = door.ask(Some(&alice), "GET", "/orders/17");
    assert_eq!((verdict.reason, verdict.policies.len()), (Reason::Permitted, 1));
    assert_eq!(verdict.principal.unwrap().as_str(), r#"Human::"alice""#);
    let record = door.plane.last();
    assert_eq!((&*record.principal, record.peer.as_deref()), (r#"Human::"alice""#, Some(WEB)));
    assert_eq!(record.token, Some(Digest::of(alice.as_bytes())));
    assert_eq!(record.token_issuer.as_deref(), Some(ISSUER));
    assert!(record.leaf.is_some());

    let writes = with(&claims(), "scope", "openid orders:write");
    assert_eq!(door.ask(Some(&door.token(&writes)), "POST", "/orders").reason, Reason::Permitted);
    assert_eq!(door.ask(Some(&door.alice()), "POST", "/orders").reason, Reason::NoPermit, "her token is not for that");
    let bob = with(&with(&claims(), "sub", "bob"), "groups", json!([]));
    assert_eq!(door.ask(Some(&door.token(&bob)), "GET", "/orders/17").reason, Reason::NoPermit);
}

#[test]
fn a_group_of_a_token_takes_nobody_out_of_a_stored_one() {
    let door = door(PrincipalRule::Token);
    let mallory = door.token(&with(&claims(), "sub", "mallory"));
    assert_eq!(door.ask(Some(&mallory), "GET", "/orders/17").reason, Reason::Forbidden);
    let elsewhere = with(&with(&claims(), "groups", Value::Null), "_claim_names", json!({"groups": "src1"}));
    assert_eq!(door.ask(Some(&door.token(&elsewhere)), "GET", "/orders/17").reason, Reason::BadToken);
    for bad in [json!([1]), json!({"staff": true}), json!(vec!["x"; 257])] {
        let verdict = door.ask(Some(&door.token(&with(&claims(), "groups", bad))), "GET", "/orders/17");
        assert_eq!(verdict.reason, Reason::BadToken);
    }
    let one = door.token(&with(&claims(), "groups", "staff"));
    assert_eq!(door.ask(Some(&one), "GET", "/orders/17").reason, Reason::Permitted, "one group without a list");
}

#[test]
fn who_is_the_principal_follows_from_the_rule_and_from_nothing_else() {
    let (web, alice) = (format!("Workload::{WEB:?}"), r#"Human::"alice""#.to_owned());
    for (rule, shown, reason, principal) in [
        (PrincipalRule::Svid, false, Reason::Permitted, &web),
        (PrincipalRule::Svid, true, Reason::Permitted, &web),
        (PrincipalRule::TokenOrSvid, false, Reason::Permitted, &web),
        (PrincipalRule::TokenOrSvid, true, Reason::NoPermit, &alice),
        (PrincipalRule::Token, true, Reason::NoPermit, &alice),
        (PrincipalRule::Token, false, Reason::NoToken, &String::new()),
    ] {
        let door = door(rule);
        let alice = door.alice();
        let verdict = door.ask(shown.then_some(&alice), "GET", "/healthz");
        assert_eq!(verdict.reason, reason, "{rule:?} {shown}");
        let record = door.plane.last();
        assert_eq!(*record.principal, **principal, "{rule:?} {shown}");
        assert_eq!(record.token.is_some(), shown, "{rule:?} {shown}");
    }
}

#[test]
fn a_token_that_proves_nothing_denies_whoever_the_principal_is() {
    for rule in [PrincipalRule::Svid, PrincipalRule::Token, PrincipalRule::TokenOrSvid] {
        let door = door(rule);
        let other = Key::p256();
        for (shown, reason) in [
            (String::from("rubbish"), Reason::BadToken),
            (door.token(&with(&claims(), "exp", SECOND - 60)), Reason::ExpiredToken),
            (door.token(&with(&claims(), "nbf", SECOND + 60)), Reason::ExpiredToken),
            (door.token(&with(&claims(), "aud", "others")), Reason::UntrustedToken),
            (door.token(&with(&claims(), "iss", "https://other.example")), Reason::UntrustedToken),
            (token(&header("ES256"), &claims(), &other), Reason::UntrustedToken),
            (token(&header("none"), &claims(), &door.key), Reason::BadToken),
        ] {
            let verdict = door.ask(Some(&shown), "GET", "/healthz");
            assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, reason), "{rule:?} {shown}");
            let record = door.plane.last();
            assert_eq!((record.token, record.token_issuer), (None, None), "nothing of it is believed");
        }
        let basic = [("authorization", b"Basic YWxpY2U6eA==".as_slice())];
        let mut question = door.plane.question(WEB, "GET", "/healthz");
        question.http.as_mut().unwrap().headers.as_mut().unwrap().extend(basic);
        let reason = if rule == PrincipalRule::Token { Reason::NoToken } else { Reason::Permitted };
        assert_eq!(door.plane.authorizer.check(&question).reason, reason, "{rule:?}");
    }
}

#[test]
fn a_token_that_proves_nothing_counts_as_none_where_that_is_the_rule() {
    let door = Door::new(PrincipalRule::TokenOrSvid, |rules| rules.ignore_unverified = true);
    assert_eq!(door.ask(Some("opaque"), "GET", "/healthz").reason, Reason::Permitted);
    assert_eq!(&*door.plane.last().principal, format!("Workload::{WEB:?}"));
    let other = Key::p256();
    for shown in [
        door.token(&with(&claims(), "exp", SECOND - 60)),
        door.token(&with(&claims(), "aud", "others")),
        door.token(&with(&claims(), "iss", "https://other.example")),
        token(&header("ES256"), &claims(), &other),
        token(&header("none"), &claims(), &door.key),
    ] {
        assert_eq!(door.ask(Some(&shown), "GET", "/healthz").reason, Reason::Permitted, "{shown}");
        let record = door.plane.last();
        assert_eq!((&*record.principal, record.token), (&*format!("Workload::{WEB:?}"), None), "{shown}");
    }
    // One that is good still says who asks, and two are still none.
    assert_eq!(door.ask(Some(&door.alice()), "GET", "/healthz").reason, Reason::NoPermit);
    let (bad, mut question) = (b"Bearer opaque".as_slice(), door.plane.question(WEB, "GET", "/healthz"));
    question.http.as_mut().unwrap().headers.as_mut().unwrap().extend([("authorization", bad), (FORWARDED, b"opaque")]);
    assert_eq!(door.plane.authorizer.check(&question).reason, Reason::BadToken);
    let strict = Door::new(PrincipalRule::Token, |rules| rules.ignore_unverified = true);
    assert_eq!(strict.ask(Some("opaque"), "GET", "/healthz").reason, Reason::NoToken);
}

#[test]
fn a_token_stands_in_a_header_of_its_own_too_and_never_in_two() {
    let door = door(PrincipalRule::Token);
    let (alice, bearer) = (door.alice(), format!("Bearer {}", door.alice()));
    let ask = |headers: &[(&'static str, &str)], path: &str| {
        let mut question = door.plane.question(WEB, "GET", path);
        let lines = question.http.as_mut().unwrap().headers.as_mut().unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        lines.extend(&headers);
        door.plane.authorizer.check(&question).reason
    };
    assert_eq!(ask(&[(FORWARDED, &alice)], "/orders/17"), Reason::Permitted);
    assert_eq!(ask(&[(FORWARDED, &bearer)], "/orders/17"), Reason::BadToken);
    assert_eq!(ask(&[("authorization", &bearer), (FORWARDED, &alice)], "/orders/17"), Reason::BadToken);
    assert_eq!(ask(&[("authorization", &bearer), ("authorization", &bearer)], "/orders/17"), Reason::BadHeader);
    assert_eq!(ask(&[("x-forwarded-access_token", &alice)], "/orders/17"), Reason::BadHeader);
    assert_eq!(ask(&[], &format!("/orders/17?access_token={alice}")), Reason::NoToken);
}

#[test]
fn a_peer_may_be_without_a_certificate_only_where_a_token_says_who_asks() {
    let door = Door::new(PrincipalRule::TokenOrSvid, |rules| rules.peer_is_optional = true);
    let alice = format!("Bearer {}", door.alice());
    let ask = |change: &dyn Fn(&mut Check<'_>), with_token: bool| {
        let mut question = door.plane.question(WEB, "GET", "/orders/17");
        change(&mut question);
        if with_token {
            question.http.as_mut().unwrap().headers.as_mut().unwrap().push(("authorization", alice.as_bytes()));
        }
        door.plane.authorizer.check(&question)
    };
    let browser = |question: &mut Check<'_>| (question.certificate, question.principal) = ("", "");
    let verdict = ask(&browser, true);
    assert_eq!((verdict.reason, verdict.principal.unwrap().as_str()), (Reason::Permitted, r#"Human::"alice""#));
    let record = door.plane.last();
    assert_eq!((record.leaf, record.peer.as_deref()), (None, None));
    assert_eq!(ask(&browser, false).reason, Reason::NoToken);
    assert_eq!(ask(&|question| question.certificate = "", true).reason, Reason::NoCertificate, "the proxy names one");
    assert_eq!(ask(&|question| question.certificate = "%", true).reason, Reason::BadCertificate);
    assert_eq!(ask(&|question| question.principal = BATCH, true).reason, Reason::PrincipalMismatch);
    let foreign = leaf(&authority(), WEB);
    assert_eq!(ask(&|question| question.certificate = foreign, true).reason, Reason::UntrustedCertificate);

    let strict = Door::new(PrincipalRule::Token, |_rules| {});
    let mut question = strict.plane.question(WEB, "GET", "/orders/17");
    browser(&mut question);
    assert_eq!(strict.plane.authorizer.check(&question).reason, Reason::NoCertificate);
}

#[test]
fn what_is_cached_ends_with_the_token_and_a_key_that_is_gone_bites_at_once() {
    let door = door(PrincipalRule::Token);
    let short = door.token(&with(&claims(), "exp", SECOND + 20));
    let ask = |shown: &str| door.ask(Some(shown), "GET", "/orders/17");
    assert_eq!((ask(&short).cache, ask(&short).cache), (CacheState::Miss, CacheState::Hit));
    door.plane.clock.advance(Duration::from_secs(20));
    let verdict = ask(&short);
    assert_eq!(
        (verdict.cache, verdict.reason),
        (CacheState::Miss, Reason::Permitted),
        "it is forgiven its clock, not cached"
    );
    door.plane.clock.advance(Duration::from_secs(30));
    assert_eq!(ask(&short).reason, Reason::ExpiredToken);

    let long = door.alice();
    assert_eq!(ask(&long).reason, Reason::Permitted);
    assert_eq!(ask(&long).cache, CacheState::Hit);
    door.keys.publish(crate::identity::token::KeySet::default(), door.plane.clock.now());
    assert_eq!(ask(&long).reason, Reason::UntrustedToken);
}

/// That the answer would be in the cache does not make a token good once more.
#[test]
fn a_token_for_one_use_is_used_by_the_first_request_and_by_none_after_the_memory_is_full() {
    let single_use = Some((1, NOW.before(Duration::from_mins(1))));
    let door = Door::believing(IssuerRules { single_use, ..rules(ISSUER) }, PrincipalRule::Token, |_rules| {});
    let alice = door.alice();
    assert_eq!(door.ask(Some(&alice), "GET", "/orders/17").reason, Reason::Permitted);
    let again = door.ask(Some(&alice), "GET", "/orders/17");
    assert_eq!((again.outcome, again.reason), (Outcome::Deny, Reason::ReplayedToken));
    let another = door.token(&with(&claims(), "jti", "another"));
    let full = door.ask(Some(&another), "GET", "/orders/17");
    assert_eq!((full.outcome, full.reason), (Outcome::Deny, Reason::TokensFull));
}

#[test]
fn a_jwt_svid_is_a_workload_as_a_certificate_is() {
    let door = door(PrincipalRule::TokenOrSvid);
    let svid_of = |id: &str| {
        let mut claims = with(&claims(), "sub", id);
        claims.as_object_mut().unwrap().remove("iss");
        door.token(&claims)
    };
    let svid = svid_of(BATCH);
    let verdict = door.ask(Some(&svid), "GET", "/healthz");
    assert_eq!(verdict.reason, Reason::NoPermit, "batch may not, though web carries its token");
    assert_eq!(verdict.principal, Some(crate::decision::Principal::Workload(BATCH.parse().unwrap())));
    let record = door.plane.last();
    assert_eq!((&*record.principal, record.peer.as_deref()), (&*format!("Workload::{BATCH:?}"), Some(WEB)));
    assert_eq!(door.ask(Some(&svid_of(WEB)), "GET", "/healthz").reason, Reason::Permitted);
    assert_eq!(door.plane.last().peer, None);
    // A user by that name is a user.
    let verdict = door.ask(Some(&door.token(&with(&claims(), "sub", WEB))), "GET", "/healthz");
    assert_eq!(verdict.principal.unwrap().as_str(), format!("Human::{WEB:?}"));
    assert_eq!(verdict.reason, Reason::NoPermit);
}

#[test]
fn a_bare_connection_has_no_token() {
    for (rule, reason) in [
        (PrincipalRule::Token, Reason::NoToken),
        (PrincipalRule::TokenOrSvid, Reason::NoPermit),
        (PrincipalRule::Svid, Reason::NoPermit),
    ] {
        let door = door(rule);
        let question = Check { http: None, ..door.plane.question(WEB, "GET", "/") };
        assert_eq!(door.plane.authorizer.check(&question).reason, reason, "{rule:?}");
    }
}

#[test]
fn a_route_can_have_another_principal_than_all_others() {
    let routes = "version: 1\nroutes:\n\
                  - {name: t, match: {path: /t, method: GET}, resource: {type: Path}, principal: token}\n\
                  - {name: s, match: {path: /s, method: GET}, resource: {type: Path}, principal: svid}\n\
                  - {name: b, match: {path: /b, method: GET}, resource: {type: Path}, principal: token_or_svid}\n\
                  - {name: g, match: {path: /g, method: GET}, resource: {type: Path}}\n";
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.yaml"), routes).unwrap();
    let mapping = crate::decision::mapping::Mapping::load(directory.path()).unwrap();
    let behind = |rule| {
        let mut door = door(rule);
        door.plane.authorizer = door.plane.authorizer.with_mapping(Some(Arc::new(Watched::new(mapping.clone()))));
        door
    };
    for rule in [PrincipalRule::Svid, PrincipalRule::Token] {
        let door = behind(rule);
        let alice = door.alice();
        let who = |token: Option<&str>, path: &str| {
            let verdict = door.ask(token, "GET", path);
            let record = door.plane.last();
            let named = verdict.principal.map(|principal| principal.as_str().to_owned());
            (
                named.unwrap_or_default(),
                record.peer.map(std::borrow::Cow::into_owned),
                verdict.reason == Reason::NoToken,
            )
        };
        let human = ("Human::\"alice\"".to_owned(), Some(WEB.to_owned()), false);
        let workload = (WEB.to_owned(), None, false);
        assert_eq!((who(Some(&alice), "/t"), who(Some(&alice), "/s")), (human.clone(), workload.clone()), "{rule:?}");
        assert_eq!((who(Some(&alice), "/b"), who(None, "/b")), (human.clone(), workload.clone()), "{rule:?}");
        assert_eq!(who(None, "/t"), (String::new(), Some(WEB.to_owned()), true), "{rule:?}");
        assert_eq!(who(None, "/s"), workload, "{rule:?}");
        let by_rule = if rule == PrincipalRule::Svid { workload } else { human };
        assert_eq!(who(Some(&alice), "/g"), by_rule, "{rule:?}");
    }
}

/// Which routes there are is only told to who could be asked about them.
#[test]
fn whoever_has_shown_no_token_is_not_told_which_routes_there_are() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.yaml"), "version: 1\nroutes: []\n").unwrap();
    let mapping = crate::decision::mapping::Mapping::load(directory.path()).unwrap();
    let mut door = door(PrincipalRule::Token);
    door.plane.authorizer = door.plane.authorizer.with_mapping(Some(Arc::new(Watched::new(mapping))));
    assert_eq!(door.ask(None, "GET", "/x").reason, Reason::NoToken);
    assert_eq!(door.ask(Some(&door.alice()), "GET", "/x").reason, Reason::NoRoute);
}
