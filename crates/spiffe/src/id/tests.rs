use super::*;

#[test]
fn a_good_id_comes_apart_and_prints_as_it_was() {
    let id: SpiffeId = "spiffe://example.org/ns/Prod/sa/web-1_a.b".parse().unwrap();
    assert_eq!(id.trust_domain().as_str(), "example.org");
    assert_eq!(id.path(), "/ns/Prod/sa/web-1_a.b");
    assert_eq!(id.to_string(), "spiffe://example.org/ns/Prod/sa/web-1_a.b");
}
