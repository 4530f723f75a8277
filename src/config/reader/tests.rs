use proptest::prelude::*;

use super::*;

fn known(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

#[test]
fn the_key_that_was_meant_is_suggested() {
    let known = known(&["log", "log.format", "log.filter", "identity.x509_svid_ttl", "identity.entries[].selectors"]);
    for (stranger, meant) in [
        ("log.fliter", Some("log.filter")),
        ("lgo", Some("log")),
        ("identity.entries[12].selector", Some("identity.entries[].selectors")),
        ("x509_svid_ttl", Some("identity.x509_svid_ttl")),
        ("log.colour", None),
    ] {
        assert_eq!(suggestion(stranger, &known), meant, "{stranger}");
    }
}

proptest! {
    #[test]
    fn any_stranger_is_met_without_a_panic(stranger in ".{0,40}") {
        let _any = suggestion(&stranger, &known(&["log.filter", "identity.entries[].selectors"]));
    }
}
