use proptest::prelude::*;
use serde_json::json;

use super::super::Mapping;
use super::super::fixture::{Asked, mapping};
use super::body::Spellings;
use super::parameter;
use crate::decision::reason::Reason;

fn of_body() -> Mapping {
    mapping(&[
        "{match: {path: '/pay', method: POST}, resource: {type: Todo, id: '{body.order.id}'}, action: {name: can_write_todo}, \
         context: {amount: '{body.amount}', tags: '{body.order.tags}', note: 'n{body.order.id}'}}",
        "{match: {path: '/unread', method: POST}, resource: {type: Todo, id: a}, action: {name: can_write_todo}}",
    ])
}

fn pay() -> Asked {
    Asked::new("POST", "/pay")
}

#[test]
fn fields_of_a_json_body_keep_their_types() {
    let asked = pay().json(r#"{"amount": 12, "order": {"id": 7, "tags": ["a", "b"], "more": null}, "else": 1.5}"#);
    let became = asked.by(&of_body()).unwrap();
    assert_eq!(became["resource"], "Todo::\"7\"");
    assert_eq!(became["context"], json!({"path": "/pay", "amount": 12, "tags": ["a", "b"], "note": "n7"}));
    let absent = pay().json(r#"{"order": {"id": "x"}}"#).by(&of_body()).unwrap();
    assert_eq!(absent["context"], json!({"path": "/pay", "note": "nx"}));
}

#[test]
fn a_member_is_found_only_if_no_reader_could_find_another() {
    let members = |json: serde_json::Value| json.as_object().unwrap().clone();
    let object = members(json!({"amount": 1, "Tags": 2, "id": 3, "ID": 4, "Id": 5}));
    let spellings = Spellings::of(&object);
    assert_eq!(spellings.get("amount").unwrap(), Some(&json!(1)));
    assert_eq!(spellings.get("absent").unwrap(), None);
    for name in ["Amount", "tags", "id", "ID", "iD"] {
        assert_eq!(spellings.get(name).unwrap_err().reason(), Reason::BadBody, "{name}");
    }
}

/// 9007199254740993 is 9007199254740992 to JavaScript: another todo, or a sum that no policy saw.
#[test]
fn an_integer_that_some_round_is_refused_where_it_is_read() {
    for body in [
        r#"{"order": {"id": 9007199254740992}}"#,
        r#"{"order": {"id": 18446744073709551615}}"#,
        r#"{"amount": -9007199254740992, "order": {"id": 7}}"#,
        r#"{"order": {"id": 7, "tags": ["a", 9007199254740993]}}"#,
    ] {
        let (reason, said) = pay().json(body).refused(&of_body());
        assert_eq!(reason, Reason::BadBody, "{body}");
        assert!(said.contains("2^53"), "{said}");
    }
    let largest =
        pay().json(r#"{"amount": -9007199254740991, "order": {"id": 9007199254740991}, "else": 9007199254740993}"#);
    let became = largest.by(&of_body()).unwrap();
    assert_eq!(
        (&became["resource"], &became["context"]["amount"]),
        (&json!("Todo::\"9007199254740991\""), &json!(-9_007_199_254_740_991_i64))
    );
}

#[test]
fn a_body_that_does_not_say_one_thing_is_refused() {
    for (body, why) in [
        ("", "there is none"),
        ("{", "not I-JSON"),
        ("{} {}", "not I-JSON"),
        ("\u{feff}{}", "not I-JSON"),
        (r#"{"amount": 1, "amount": 2, "order": {"id": "x"}}"#, "twice"),
        (r#"{"amount": 1, "Amount": 2, "order": {"id": "x"}}"#, "another case"),
        (r#"{"order": {"id": "x"}, "Order": {"id": "y"}}"#, "another case"),
        ("{\"amount\": 1, \"order\": {\"id\": \"x\", \"\u{130}d\": 1, \"tag\u{17f}\": []}}", "another case"),
        (r#"{"order": [{"id": "x"}]}"#, "not an object"),
        ("[]", "not an object"),
        (r#""text""#, "not an object"),
        (r#"{"order": {"id": ["x"]}}"#, "neither a string nor an integer"),
        (r#"{"order": {"id": 1.5}}"#, "neither a string nor an integer"),
        (r#"{"order": {"id": null}}"#, "neither a string nor an integer"),
        (r#"{"order": {"id": "\ud800"}}"#, "not I-JSON"),
    ] {
        let (reason, said) = pay().json(body).refused(&of_body());
        assert_eq!(reason, Reason::BadBody, "{body}");
        assert!(said.contains(why), "{body}: {said}");
    }
    let deep = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    assert!(pay().json(&deep).refused(&of_body()).1.contains("deeper"));
    let long = format!(r#"{{"order": {{"id": "{}"}}}}"#, "x".repeat(65 * 1024));
    assert!(pay().json(&long).refused(&of_body()).1.contains("more than 65536"));
    assert_eq!(pay().json(r#"{"order": {}}"#).refused(&of_body()).0, Reason::MissingInput);
}

#[test]
fn a_body_that_is_not_all_here_or_not_called_json_is_refused() {
    let body = r#"{"amount": 1, "order": {"id": "x"}}"#;
    let set = |name: &str, value: Option<&str>| {
        let mut asked = pay().json(body);
        asked.headers.retain(|(known, _)| known != name);
        asked.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        asked
    };
    for good in [
        set("content-length", None),
        set("content-type", Some("application/json; charset=UTF-8")),
        set("content-type", Some("application/vnd.acme.v1+JSON;charset=\"utf-8\"")),
        set("content-encoding", Some("identity")),
    ] {
        assert_eq!(good.by(&of_body()).unwrap()["context"]["amount"], 1, "{good:?}");
    }
    for (bad, why) in [
        (set("x-envoy-auth-partial-body", Some("true")), "only the beginning"),
        (set("x-envoy-auth-partial-body", None), "does not say"),
        (set("content-length", Some("1000")), "of 1000"),
        (set("content-length", Some("x")), "of x"),
        (set("content-type", None), "no `content-type`"),
        (set("content-type", Some("text/plain")), "not JSON"),
        (set("content-type", Some("application/grpc")), "not JSON"),
        (set("content-type", Some("application/json; charset=utf-16")), "not JSON"),
        (set("content-encoding", Some("gzip")), "compressed"),
    ] {
        let (reason, said) = bad.refused(&of_body());
        assert_eq!(reason, Reason::BadBody, "{bad:?}");
        assert!(said.contains(why), "{said}");
    }
    let twice = pay().json(body).header("x-envoy-auth-partial-body", "false");
    assert_eq!(twice.refused(&of_body()).0, Reason::BadHeader);
}

#[test]
fn a_body_that_no_expression_reads_is_not_looked_at() {
    let unread = Asked { body: b"\xff{".to_vec(), ..Asked::new("POST", "/unread") };
    assert_eq!(unread.by(&of_body()).unwrap()["resource"], "Todo::\"a\"");
}

#[test]
fn a_parameter_is_read_only_if_all_read_the_same() {
    let read = |query| parameter::unique(query, "a").map(|found| found.map(std::borrow::Cow::into_owned));
    for (query, value) in [
        ("a=1", Some("1")),
        ("b=2&a=x%20y&c", Some("x y")),
        ("a=%C3%A9", Some("é")),
        ("%61=1", Some("1")),
        ("a", Some("")),
        ("a=b=c", Some("b=c")),
        ("", None),
        ("b=1&aa=2&ba%5b%5d=3&[a]=4&b[a]=5", None),
    ] {
        assert_eq!(read(query).unwrap().as_deref(), value, "{query}");
    }
    for query in
        ["a=1&a=1", "a=1&%61=2", "a=1&A=2", "A=2", "a=x+y", "a=1;b=2", "a=%", "a=%zz", "a=%ff", "a=%00", "a=1&%zz=1"]
    {
        assert_eq!(read(query).unwrap_err().reason(), Reason::BadQuery, "{query}");
    }
}

/// `view=shared&view[]=mine` is `shared` to some services, and to others a list of both or `mine` alone.
#[test]
fn a_parameter_that_some_take_for_another_is_refused() {
    let reason = |query: &str, name: &str| parameter::unique(query, name).err().map(|refusal| refusal.reason());
    for query in ["a=1&a[]=2", "a%5b%5d=3", "a[0]=1", "a[b]=1", "a[=1", "+a=1", "%20a=1", "a=1&%20%20a=2", "A[]=1"] {
        assert_eq!(reason(query, "a"), Some(Reason::BadQuery), "{query}");
    }
    for query in ["x.y=1", "x%20y=1", "x+y=1", "x_y=1&x.y=2", "X.Y=1"] {
        assert_eq!(reason(query, "x_y"), Some(Reason::BadQuery), "{query}");
    }
    assert_eq!(parameter::unique("f[x]=1&f[y]=2", "f[x]").unwrap().as_deref(), Some("1"), "whose names are all told");
    assert_eq!(reason("f[x]=1&F[x]=2", "f[x]"), Some(Reason::BadQuery));
}

proptest! {
    #[test]
    fn what_is_encoded_is_found_again(value in "[ -~é]{0,12}", before in "[b-z]{0,3}=[a-z]{0,3}") {
        let encoded = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
        let query = format!("{before}&a={encoded}");
        let found = parameter::unique(&query, "a").unwrap();
        prop_assert_eq!(found.as_deref(), Some(&*value));
    }

    #[test]
    fn any_query_is_read_or_refused(query in "[a&=;%+0-9f]{0,16}") {
        let _any = parameter::unique(&query, "a");
    }
}
