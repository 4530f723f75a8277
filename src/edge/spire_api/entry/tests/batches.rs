//! Making, changing and deleting.

use super::*;
use types::entry::AdditionalAttributes;

/// Every field that is an author's, none at its default.
fn full() -> types::Entry {
    types::Entry {
        x509_svid_ttl: 60,
        jwt_svid_ttl: 30,
        federates_with: vec!["a.org".into(), "b.org".into()],
        admin: true,
        downstream: true,
        expires_at: 1_999_999_999,
        dns_names: vec!["b.example.org".into(), "a.example.org".into()],
        store_svid: true,
        hint: "internal".into(),
        additional_attributes: Some(AdditionalAttributes {
            disable_x509_svid_prefetch: true,
            jwt_svid_include_jti: true,
        }),
        ..entry("full", &["unix:gid:5", "unix:uid:1000"])
    }
}

/// I4. What spire-controller-manager does at its start: it makes an entry, looks which fields came back, and deletes it.
#[tokio::test]
async fn every_field_comes_back_as_it_was_written() {
    let desk = desk().await;
    let [made] = desk.create(vec![full()]).await.try_into().unwrap();
    let expected = types::Entry { created_at: 1_795_325_223, ..full() };
    assert_eq!((told(made.status.as_ref()), made.entry.as_ref()), ((0, "OK"), Some(&expected)));
    assert_eq!(desk.get("full").await.unwrap(), expected);
    let changed = desk.update(types::Entry { hint: "other".into(), ..full() }, None).await;
    let expected = types::Entry { hint: "other".into(), revision_number: 1, ..expected };
    assert_eq!((told(changed.status.as_ref()), changed.entry), ((0, "OK"), Some(expected)));

    let ids = vec!["nope".into(), "full".into(), "full".into(), String::new(), "a\0b".into()];
    let answer: BatchDeleteEntryResponse =
        desk.entry("BatchDeleteEntry", &BatchDeleteEntryRequest { ids: ids.clone() }).await.unwrap();
    assert_eq!(answer.results.iter().map(|result| result.id.clone()).collect::<Vec<_>>(), ids);
    assert_eq!(
        answer.results.iter().map(|result| told(result.status.as_ref())).collect::<Vec<_>>(),
        [(5, "entry not found"), (0, "OK"), (5, "entry not found"), (3, "missing entry ID"), (5, "entry not found")]
    );
    assert_eq!(desk.get("full").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_can_not_be_an_entry_is_refused_alone() {
    let good = || entry("a", &["unix:uid:0"]);
    let with = |change: fn(&mut types::Entry)| {
        let mut entry = good();
        change(&mut entry);
        entry
    };
    let cases = [
        (types::Entry::default(), "invalid parent ID: request must specify SPIFFE ID"),
        (with(|e| e.spiffe_id = None), "invalid spiffe ID: request must specify SPIFFE ID"),
        (with(|e| e.selectors.clear()), "selector list is empty"),
        (with(|e| e.selectors = vec![selector(":v")]), "missing selector type"),
        (with(|e| e.selectors = vec![selector("unix:")]), "missing selector value"),
        (with(|e| e.selectors = vec![selector("unix:uid:\0")]), "selector contains a NUL character"),
        (
            with(|e| e.selectors = vec![types::Selector { r#type: "a:b".into(), value: "c".into() }]),
            "selector type contains ':'",
        ),
        (
            with(|e| e.federates_with = vec!["spiffe://Bad_TD/x".into()]),
            "invalid federated trust domain: trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores",
        ),
        (with(|e| e.x509_svid_ttl = -1), "x509_svid_ttl is negative"),
        (with(|e| e.jwt_svid_ttl = i32::MIN), "jwt_svid_ttl is negative"),
        (with(|e| e.expires_at = -1), "expires_at is negative"),
        (with(|e| e.expires_at = i64::MAX), "expires_at is after the year 2554"),
        (with(|e| e.hint = "\0".into()), "hint contains a NUL character"),
        (with(|e| e.hint = "x".repeat(1025)), "the hint has 1025 bytes, more than 1024"),
        (
            with(|e| {
                e.store_svid = true;
                e.selectors.push(selector("docker:label:x"));
            }),
            "selector types must be the same when store SVID is enabled",
        ),
    ];
    let desk = desk().await;
    let mut entries: Vec<_> = cases.iter().map(|(entry, _)| entry.clone()).collect();
    entries.push(good());
    let results = desk.create(entries).await;
    for ((_, why), result) in cases.iter().zip(&results) {
        let expected = format!("failed to convert entry: {why}");
        assert_eq!((told(result.status.as_ref()), &result.entry), ((3, expected.as_str()), &None));
    }
    assert_eq!(told(results.last().unwrap().status.as_ref()), (0, "OK"));
    let id = types::Entry { id: "a/b".into(), ..entry("c", &["unix:uid:0"]) };
    let [bad_id] = desk.create(vec![id]).await.try_into().unwrap();
    assert_eq!(bad_id.status.unwrap().code, 3);
}

#[tokio::test]
async fn one_that_is_there_already_is_shown() {
    let desk = desk().await;
    let first = types::Entry { hint: "h".into(), ..entry("m1", &["unix:uid:1", "unix:uid:2"]) };
    let again = types::Entry { id: "m2".into(), hint: "h2".into(), ..entry("m1", &["unix:uid:2", "unix:uid:1"]) };
    let same_id = types::Entry { id: "m1".into(), ..entry("x", &["unix:uid:9"]) };
    let question = BatchCreateEntryRequest {
        entries: vec![first.clone(), again, first, same_id],
        output_mask: Some(EntryMask { hint: true, ..EntryMask::default() }),
    };
    let answer: BatchCreateEntryResponse = desk.entry("BatchCreateEntry", &question).await.unwrap();
    let shown = types::Entry { id: "m1".into(), hint: "h".into(), ..types::Entry::default() };
    let results: Vec<_> = answer.results.iter().map(|r| (told(r.status.as_ref()), r.entry.as_ref())).collect();
    let there = (6, "similar entry already exists");
    assert_eq!(results[..3], [((0, "OK"), Some(&shown)), (there, Some(&shown)), (there, Some(&shown))]);
    assert_eq!((results[3].0.0, results[3].1), (6, None));
}

#[tokio::test]
async fn an_update_writes_what_its_mask_names_and_raises_the_revision() {
    let desk = desk().await;
    desk.create(vec![types::Entry { hint: "h".into(), ..entry("m3", &["unix:uid:1"]) }]).await;
    let none = EntryMask::default();
    let ttl = types::Entry { id: "m3".into(), x509_svid_ttl: 55, ..types::Entry::default() };
    for (mask, revision) in [(EntryMask { x509_svid_ttl: true, ..none }, 1), (none, 2)] {
        let result = desk.update(ttl.clone(), Some(mask)).await;
        let changed = result.entry.unwrap();
        assert_eq!((changed.x509_svid_ttl, changed.hint.as_str(), changed.revision_number), (55, "h", revision));
    }
    let bare = || types::Entry { id: "m3".into(), ..types::Entry::default() };
    let ours = types::Entry { revision_number: 99, created_at: 9, ..bare() };
    let result = desk.update(ours, Some(EntryMask { revision_number: true, created_at: true, ..none })).await;
    let changed = result.entry.unwrap();
    assert_eq!((changed.revision_number, changed.created_at), (3, 1_795_325_223));
    for (mask, why) in [
        (Some(EntryMask { spiffe_id: true, ..none }), "invalid spiffe ID: request must specify SPIFFE ID"),
        (Some(EntryMask { selectors: true, ..none }), "selector list is empty"),
        (None, "invalid parent ID: request must specify SPIFFE ID"),
    ] {
        let result = desk.update(bare(), mask).await;
        let expected = format!("failed to convert entry: {why}");
        assert_eq!((told(result.status.as_ref()), &result.entry), ((3, expected.as_str()), &None));
    }
    for id in ["nope", ""] {
        let result = desk.update(types::Entry { id: id.into(), ..types::Entry::default() }, Some(none)).await;
        assert_eq!(told(result.status.as_ref()), (5, "failed to update entry"));
    }
    // A mask that leaves a contradiction with what is there already.
    let mixed = types::Entry { selectors: vec![selector("unix:uid:1"), selector("k8s:ns:x")], ..bare() };
    desk.update(mixed, Some(EntryMask { selectors: true, ..none })).await;
    let stored = types::Entry { store_svid: true, ..bare() };
    let result = desk.update(stored, Some(EntryMask { store_svid: true, ..none })).await;
    assert_eq!(result.status.unwrap().code, 3);
}

/// SPIRE lets an update make two entries the same; then it can't tell which of them is there already.
#[tokio::test]
async fn an_update_does_not_make_two_entries_the_same() {
    let desk = desk().await;
    desk.create(vec![entry("a", &["unix:uid:1"]), entry("b", &["unix:uid:1"])]).await;
    let result = desk.update(types::Entry { id: "b".into(), ..entry("a", &["unix:uid:1"]) }, None).await;
    assert_eq!(told(result.status.as_ref()), (6, "failed to update entry: similar entry already exists: `a`"));
    assert_eq!(desk.get("b").await.unwrap().spiffe_id, id("/b"));
}

#[tokio::test]
async fn entries_of_the_configuration_are_read_here_and_not_changed() {
    let desk = desk().await;
    let before = desk.get("configured").await.unwrap();
    let updated = desk.update(types::Entry { id: "configured".into(), ..entry("x", &["unix:uid:2"]) }, None).await;
    assert_eq!(updated.status.unwrap().code, i32::from(Code::FailedPrecondition));
    let deletion = BatchDeleteEntryRequest { ids: vec!["configured".into()] };
    let answer: BatchDeleteEntryResponse = desk.entry("BatchDeleteEntry", &deletion).await.unwrap();
    assert_eq!(
        told(answer.results[0].status.as_ref()),
        (9, "failed to delete entry: the entry is kept by the configuration; change it there")
    );
    assert_eq!(desk.get("configured").await.unwrap(), before);
}

#[tokio::test]
async fn a_record_names_what_was_to_be_changed_and_what_was() {
    let desk = desk().await;
    desk.create(vec![entry("a", &["unix:uid:1"]), entry("b", &[]), entry("a", &["unix:uid:1"])]).await;
    let [before, end] = desk.recorded().try_into().unwrap();
    assert_eq!((before.code.as_deref(), end.code.as_deref()), (None, Some("ok")));
    assert_eq!(before.subjects, ["a=spiffe://example.org/a", "a=spiffe://example.org/a"]);
    assert_eq!(end.subjects, ["a=spiffe://example.org/a"]);

    let deletion = BatchDeleteEntryRequest { ids: vec!["nope".into(), "a".into()] };
    desk.entry::<_, BatchDeleteEntryResponse>("BatchDeleteEntry", &deletion).await.unwrap();
    let [before, end] = desk.recorded().try_into().unwrap();
    assert_eq!((before.subjects, end.subjects), (vec!["nope".to_owned(), "a".into()], vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_batch_is_bounded_and_up_to_that_each_item_is_answered() {
    let desk = desk().await;
    let ids = |number: usize| BatchDeleteEntryRequest { ids: vec!["x".into(); number] };
    let answer: BatchDeleteEntryResponse = desk.entry("BatchDeleteEntry", &ids(10_000)).await.unwrap();
    assert_eq!(answer.results.len(), 10_000);
    let status = desk.entry::<_, BatchDeleteEntryResponse>("BatchDeleteEntry", &ids(10_001)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "the batch has 10001 items, more than 10000")
    );
    for method in ["BatchCreateEntry", "BatchUpdateEntry"] {
        let entries = vec![types::Entry::default(); 10_001];
        let question = BatchCreateEntryRequest { entries, output_mask: None };
        let status = desk.entry::<_, BatchCreateEntryResponse>(method, &question).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{method}");
    }
    let huge = GetEntryRequest { id: "x".repeat(5 << 20), output_mask: None };
    let status = desk.entry::<_, types::Entry>("GetEntry", &huge).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "gRPC's own word for a message that is too long");
}
