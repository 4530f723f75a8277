use super::*;

fn entry(id: &str, spiffe_id: &str) -> Entry {
    Entry {
        id: id.into(),
        spiffe_id: spiffe_id.parse().unwrap(),
        parent_id: None,
        selectors: [Selector::new("unix", format!("path:/{id}"))].into(),
        x509_svid_ttl: None,
        dns_names: Vec::new(),
        federates_with: BTreeSet::new(),
        hint: String::new(),
    }
}

fn web() -> Entry {
    entry("web", "spiffe://example.org/web")
}

fn problem(entries: impl IntoIterator<Item = Entry>) -> EntryProblem {
    checked(&"example.org".parse().unwrap(), entries).unwrap_err().problem
}

#[test]
fn good_entries_keep_their_order() {
    let entries = [web(), entry("a", "spiffe://example.org/a"), entry("b", "spiffe://example.org/web")];
    let accepted = checked(&"example.org".parse().unwrap(), entries).unwrap();
    assert_eq!(accepted.iter().map(|entry| &*entry.id).collect::<Vec<_>>(), ["web", "a", "b"]);
}

#[test]
fn entries_that_can_not_stand_together_are_named() {
    assert_eq!(problem([web(), entry("web", "spiffe://example.org/other")]), EntryProblem::DuplicateId);
    let same = Entry { id: "other".into(), dns_names: vec!["other".into()], ..web() };
    assert_eq!(problem([web(), same.clone()]), EntryProblem::Duplicate("web".into()));
    let by_another_parent = Entry { parent_id: Some("spiffe://example.org/node".parse().unwrap()), ..same };
    checked(&"example.org".parse().unwrap(), [web(), by_another_parent]).unwrap();
}

#[test]
fn an_entry_without_selectors_or_name_is_refused() {
    assert_eq!(problem([Entry { selectors: BTreeSet::new(), ..web() }]), EntryProblem::NoSelectors);
    assert_eq!(problem([Entry { id: "".into(), ..web() }]), EntryProblem::NoId);
}

#[test]
fn only_identities_of_our_domain_are_granted_and_none_under_spire() {
    for (spiffe_id, parent_id) in [
        ("spiffe://example.com/web", None),
        ("spiffe://example.org.evil/web", None),
        ("spiffe://example.org/web", Some("spiffe://example.com/node")),
    ] {
        let parent_id = parent_id.map(|id: &str| id.parse().unwrap());
        let found = problem([Entry { parent_id, ..entry("web", spiffe_id) }]);
        assert!(matches!(found, EntryProblem::ForeignTrustDomain { .. }), "{found}");
    }
    for path in ["/spire", "/spire/server", "/spire/agent/x"] {
        let found = problem([entry("web", &format!("spiffe://example.org{path}"))]);
        assert!(matches!(found, EntryProblem::Reserved(_)), "{found}");
    }
    checked(&"example.org".parse().unwrap(), [entry("web", "spiffe://example.org/spirea")]).unwrap();
}

#[test]
fn dns_names_are_host_names_once_each() {
    let with = |names: &[&str]| Entry { dns_names: names.iter().map(|&name| name.into()).collect(), ..web() };
    checked(&"example.org".parse().unwrap(), [with(&["web", "web.default.svc.cluster.local", "4.example", "X-1"])])
        .unwrap();
    let long = vec!["a".repeat(63); 4].join(".");
    for name in ["", ".", "*.example", "a..b", "-a", "a-", "a_b", "a b", "ä", "a.", "a\0b", "http://a", &long] {
        assert_eq!(problem([with(&[name])]), EntryProblem::DnsName(printable(name, MAX_SHOWN)));
    }
    assert_eq!(problem([with(&["web", "WEB"])]), EntryProblem::DuplicateDnsName("WEB".into()));
    assert_eq!(problem([Entry { hint: "x".repeat(1025), ..web() }]), EntryProblem::HintTooLong(1025));
}

#[test]
fn what_an_error_repeats_is_fit_for_a_log() {
    let hostile = Entry { id: "a\nb".into(), selectors: BTreeSet::new(), ..web() };
    let error = checked(&"example.org".parse().unwrap(), [hostile]).unwrap_err();
    assert_eq!(error.to_string(), "entry `a\\u{a}b`: it has no selectors; name at least one");
}

#[test]
fn a_workload_needs_every_selector_of_an_entry() {
    let mut both = web();
    both.selectors.insert(Selector::new("unix", "uid:1000"));
    let entries = [Arc::new(both), Arc::new(entry("a", "spiffe://example.org/a"))];
    let has = |selectors: &[&str]| {
        let selectors = selectors.iter().map(|selector| selector.parse().unwrap()).collect();
        entitled(&entries, &selectors).iter().map(|entry| &*entry.id).collect::<Vec<_>>()
    };
    assert_eq!(has(&["unix:path:/web"]), [""; 0]);
    assert_eq!(has(&["unix:path:/web", "unix:uid:1000", "unix:gid:1"]), ["web"]);
    assert_eq!(has(&["unix:path:/a", "unix:path:/web", "unix:uid:1000"]), ["web", "a"]);
    assert_eq!(has(&[]), [""; 0]);
}
