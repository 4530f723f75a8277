use super::*;

#[test]
fn a_scope_is_a_list_with_single_spaces() {
    assert_eq!(parse_scope("b a b"), Some(["a", "b"].map(str::to_owned).into()));
    for bad in ["", " a", "a ", "a  b", "a\tb", "a\"b", "a\\b", "ä"] {
        assert_eq!(parse_scope(bad), None, "{bad:?}");
    }
}
