use proptest::prelude::*;
use serde_json::json;

use super::*;

fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

fn within(paths: &[&str]) -> ForeignDomain {
    let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
    ForeignDomain { paths, ..ForeignDomain::default() }
}

fn listing(paths: &[&str], refuses_unlisted: bool) -> ForeignIdentities {
    ForeignIdentities::new(
        &domain("example.org"),
        [(domain("partner.example"), within(paths))].into(),
        refuses_unlisted,
    )
}

#[test]
fn paths_are_compared_by_whole_segments() {
    let listed = listing(&["/prod", "/ci/runner"], true);
    for (path, admitted) in [
        ("/prod", true),
        ("/prod/web", true),
        ("/prod/web/1", true),
        ("/production", false),
        ("/prod-2/web", false),
        ("/prod.web", false),
        ("/Prod/web", false),
        ("/ci/runner", true),
        ("/ci/runner/7", true),
        ("/ci/runners", false),
        ("/ci", false),
        ("/x/prod/web", false),
    ] {
        assert_eq!(listed.admits(&id(&format!("spiffe://partner.example{path}"))), admitted, "{path}");
    }
}

#[test]
fn a_domain_is_the_one_that_is_listed_and_none_that_is_named_alike() {
    let listed = listing(&["/"], true);
    assert!(listed.admits(&id("spiffe://partner.example/any")));
    for other in ["spiffe://partner.example.evil/any", "spiffe://a.partner.example/any", "spiffe://partner/any"] {
        assert!(!listed.admits(&id(other)), "{other}");
    }
    assert!(listed.admits(&id("spiffe://example.org/web")), "our own are none of its business");
    assert!(listed.is_ours("spiffe://example.org/web"));
    for foreign in ["spiffe://example.org.evil/web", "spiffe://example.organic/web", "spiffe://example.org", "web"] {
        assert!(!listed.is_ours(foreign), "{foreign}");
    }
}

#[test]
fn what_is_not_listed_is_let_in_or_not_as_is_said() {
    let other = id("spiffe://other.example/web");
    assert!(ForeignIdentities::default().admits(&other));
    assert!(listing(&["/prod"], false).admits(&other));
    assert!(!listing(&["/prod"], true).admits(&other));
    assert!(!listing(&[], false).admits(&id("spiffe://partner.example/prod")), "a list without paths lets nobody in");
}

#[test]
fn whether_anybody_could_be_let_in_follows_from_the_same() {
    let some = |listed: &ForeignIdentities| {
        ["example.org", "partner.example", "other.example"].map(|name| listed.admits_some(&domain(name)))
    };
    assert_eq!(some(&listing(&["/prod"], true)), [true, true, false]);
    assert_eq!(some(&listing(&[], false)), [true, false, true]);
}

#[test]
fn a_prefix_is_a_path_that_an_id_could_have() {
    for wrong in ["", "prod", "/prod/", "//prod", "/prod//web", "/.", "/prod/..", "/prod/%2e", "/prod web", "/ü", "/a*"]
    {
        assert!(wrong.parse::<PathPrefix>().is_err(), "{wrong:?}");
    }
    for good in ["/", "/prod", "/ci/runner-1", "/a.b_c"] {
        assert!(good.parse::<PathPrefix>().is_ok(), "{good}");
    }
}

#[test]
fn what_is_known_of_a_domain_is_its_name_and_its_attributes() {
    let Value::Object(attributes) = json!({"tier": "gold", "local_name": "another"}) else { panic!("not an object") };
    let named = ForeignDomain { local_name: Some("partner-x".into()), attributes, ..within(&["/"]) };
    let all = [(domain("partner.example"), named), (domain("bare.example"), within(&["/"]))].into();
    let listed = ForeignIdentities::new(&domain("example.org"), all, true);
    let fact = |name: &str, of: &str| listed.fact(&domain(of), name);
    assert_eq!(fact("tier", "partner.example"), Some(json!("gold")));
    assert_eq!(fact(LOCAL_NAME, "partner.example"), Some(json!("partner-x")), "the name is not to be overwritten");
    assert_eq!(fact(LOCAL_NAME, "bare.example"), None);
    assert_eq!(fact("tier", "other.example"), None);
}

proptest! {
    /// The same as comparing lists of segments, which is slower and can't be got wrong.
    #[test]
    fn a_prefix_holds_what_begins_with_its_segments(prefix in "(/[ab.]{1,2}x){1,3}", path in "(/[ab.]{1,2}x?){1,4}") {
        let (Ok(parsed), Ok(id)) = (prefix.parse::<PathPrefix>(), format!("spiffe://any{path}").parse::<SpiffeId>())
            else { return Ok(()) };
        let segments = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(parsed.holds(id.path()), segments(&path).starts_with(&segments(&prefix)));
    }
}
