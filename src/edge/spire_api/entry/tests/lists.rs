//! Finding and counting.

use list_entries_request::Filter;
use portcullis_spiffe_api::spire::api::server::entry::v1::{count_entries_request, list_entries_request};
use portcullis_spiffe_api::spire::api::types::selector_match::MatchBehavior;
use types::{FederatesWithMatch, SelectorMatch};

use super::*;

/// Entries that differ in all that can be asked for.
async fn stocked() -> Desk {
    let desk = desk().await;
    let entries = vec![
        types::Entry { hint: "h".into(), ..entry("a", &["unix:uid:7"]) },
        types::Entry { downstream: true, parent_id: id("/node"), ..entry("b", &["unix:uid:7", "unix:gid:7"]) },
        types::Entry { federates_with: vec!["x.org".into(), "y.org".into()], ..entry("c", &["unix:uid:8"]) },
        types::Entry { federates_with: vec!["x.org".into()], spiffe_id: id("/a"), ..entry("d", &["k8s:ns:n"]) },
    ];
    assert!(desk.create(entries).await.iter().all(|result| told(result.status.as_ref()) == (0, "OK")));
    desk
}

impl Desk {
    async fn list(&self, filter: Filter) -> Result<String, Status> {
        let counted = count_entries_request::Filter {
            by_spiffe_id: filter.by_spiffe_id.clone(),
            by_parent_id: filter.by_parent_id.clone(),
            by_selectors: filter.by_selectors.clone(),
            by_federates_with: filter.by_federates_with.clone(),
            by_hint: filter.by_hint.clone(),
            by_downstream: filter.by_downstream,
        };
        let count = self.entry("CountEntries", &CountEntriesRequest { filter: Some(counted) }).await;
        let listed = ListEntriesRequest { filter: Some(filter), ..ListEntriesRequest::default() };
        let listed = self.entry::<_, ListEntriesResponse>("ListEntries", &listed).await;
        let count = count.map(|answer: CountEntriesResponse| answer.count);
        let names = listed.map(|answer| answer.entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>());
        match (&names, count) {
            (Ok(names), Ok(count)) => assert_eq!(i32::try_from(names.len()).unwrap(), count),
            (Err(listing), Err(counting)) => assert_eq!(listing.message(), counting.message()),
            (names, count) => panic!("{names:?} {count:?}"),
        }
        names.map(|names| names.join(" "))
    }

    async fn page(&self, page_size: i32, page_token: &str) -> Result<(Vec<types::Entry>, String), Status> {
        let question = ListEntriesRequest {
            output_mask: Some(EntryMask::default()),
            page_size,
            page_token: page_token.into(),
            ..ListEntriesRequest::default()
        };
        let answer: ListEntriesResponse = self.entry("ListEntries", &question).await?;
        Ok((answer.entries, answer.next_page_token))
    }
}

fn by_selectors(texts: &[&str], behavior: i32) -> Filter {
    let selectors = texts.iter().map(|text| selector(text)).collect();
    Filter { by_selectors: Some(SelectorMatch { selectors, r#match: behavior }), ..Filter::default() }
}

fn by_domains(names: &[&str], behavior: i32) -> Filter {
    let trust_domains = names.iter().map(ToString::to_string).collect();
    Filter { by_federates_with: Some(FederatesWithMatch { trust_domains, r#match: behavior }), ..Filter::default() }
}

#[tokio::test]
async fn each_filter_and_all_together() {
    let desk = stocked().await;
    let [exact, subset, superset, any] =
        [MatchBehavior::MatchExact, MatchBehavior::MatchSubset, MatchBehavior::MatchSuperset, MatchBehavior::MatchAny]
            .map(i32::from);
    for (filter, expected) in [
        (Filter::default(), "configured a b c d"),
        (Filter { by_spiffe_id: id("/a"), ..Filter::default() }, "a d"),
        (Filter { by_parent_id: id("/node"), ..Filter::default() }, "b"),
        (by_selectors(&["unix:uid:7"], exact), "a"),
        (by_selectors(&["unix:uid:7", "unix:gid:7", "x:y"], subset), "a b"),
        (by_selectors(&["unix:uid:7", "unix:uid:7"], superset), "a b"),
        (by_selectors(&["unix:gid:7", "k8s:ns:n"], any), "b d"),
        (by_domains(&["x.org", "spiffe://x.org"], exact), "d"),
        (by_domains(&["x.org", "y.org", "z.org"], subset), "c d"),
        (by_domains(&["x.org"], superset), "c d"),
        (by_domains(&["y.org", "z.org"], any), "c"),
        (Filter { by_hint: Some("h".into()), ..Filter::default() }, "a"),
        (Filter { by_hint: Some(String::new()), ..Filter::default() }, "configured a b c d"),
        (Filter { by_downstream: Some(true), ..Filter::default() }, "b"),
        (Filter { by_downstream: Some(false), ..Filter::default() }, "configured a c d"),
        (Filter { by_spiffe_id: id("/a"), by_hint: Some("h".into()), ..Filter::default() }, "a"),
        (Filter { by_spiffe_id: id("/b"), by_hint: Some("h".into()), ..Filter::default() }, ""),
    ] {
        assert_eq!(desk.list(filter.clone()).await.unwrap(), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_malformed_filter_is_told_as_spire_does() {
    let desk = stocked().await;
    let other = Spiffeid { trust_domain: "other.org".into(), path: "/x".into() };
    for (filter, expected) in [
        (
            Filter { by_spiffe_id: Some(other), ..Filter::default() },
            r#"malformed SPIFFE ID filter: "spiffe://other.org/x" is not a member of trust domain "example.org""#,
        ),
        (
            Filter { by_parent_id: Some(Spiffeid::default()), ..Filter::default() },
            "malformed parent ID filter: trust domain is missing",
        ),
        (by_selectors(&[], 0), "malformed selectors filter: empty selector set"),
        (by_selectors(&[":uid:1"], 3), "malformed selectors filter: missing selector type"),
        (by_selectors(&["unix:uid:1"], 99), "malformed selectors filter: unknown match behavior"),
        (by_domains(&[], 0), "malformed federates with filter: empty trust domain set"),
        (
            by_domains(&["Bad!"], 0),
            "malformed federates with filter: trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores",
        ),
        (by_domains(&["x.org"], -1), "malformed federates with filter: unknown match behavior"),
    ] {
        let status = desk.list(filter).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, expected));
    }
}

#[tokio::test]
async fn pages_have_all_entries_once_though_some_come_and_go() {
    let desk = stocked().await;
    let names = |entries: &[types::Entry]| entries.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>().join(" ");
    let (first, token) = desk.page(2, "").await.unwrap();
    assert_eq!(names(&first), "configured a");
    assert_eq!(first[0], types::Entry { id: "configured".into(), ..types::Entry::default() });
    let ids = vec!["a".into(), "b".into()];
    desk.entry::<_, BatchDeleteEntryResponse>("BatchDeleteEntry", &BatchDeleteEntryRequest { ids }).await.unwrap();
    desk.create(vec![entry("e", &["unix:uid:5"])]).await;
    let (second, token) = desk.page(2, &token).await.unwrap();
    assert_eq!(names(&second), "c d");
    let (third, token) = desk.page(2, &token).await.unwrap();
    assert_eq!((names(&third).as_str(), token.as_str()), ("e", ""));

    for size in [0, -1, i32::MIN, i32::MAX] {
        let (all, token) = desk.page(size, "").await.unwrap();
        assert_eq!((all.len(), token.as_str()), (4, ""));
    }
    assert_eq!(desk.page(0, "bogus").await.unwrap().0.len(), 4, "without a size a token means nothing");
    let status = desk.page(3, "bogus\n").await.unwrap_err();
    assert_eq!(status.message(), "failed to list entries: could not parse token 'bogus\\u{a}'");
    assert_eq!(desk.page(3, "18446744073709551615:z").await.unwrap(), (vec![], String::new()));
}

#[tokio::test]
async fn one_is_found_by_its_id() {
    let desk = stocked().await;
    assert_eq!(desk.get("").await.unwrap_err().message(), "missing ID");
    for id in ["nope", "a\0", "../a"] {
        let status = desk.get(id).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "entry not found"));
    }
    let mask = Some(EntryMask { hint: true, ..EntryMask::default() });
    let found: types::Entry =
        desk.entry("GetEntry", &GetEntryRequest { id: "a".into(), output_mask: mask }).await.unwrap();
    assert_eq!(found, types::Entry { id: "a".into(), hint: "h".into(), ..types::Entry::default() });
    assert_eq!(desk.recorded().last().unwrap().subjects, ["a"]);
}
