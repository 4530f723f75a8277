use proptest::prelude::*;
use serde_json::json;

use super::*;

fn refused(text: impl AsRef<[u8]>) -> String {
    read(text.as_ref()).unwrap_err().to_string()
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn a_member_name_twice_is_refused_at_any_depth_and_however_it_is_written() {
    assert!(refused(r#"{"id":"a","id":"b"}"#).contains("`id` is there twice"));
    assert!(refused(r#"[{"x":{"id":1,"\u0069d":1}}]"#).contains("`id` is there twice"));
    assert!(refused(r#"{"":1,"":1}"#).contains("twice"));
    assert!(read(br#"{"id":{"id":1},"Id":2}"#).is_ok(), "the same name in another object, or in another case, is fine");
}

#[test]
fn a_repeated_name_can_not_forge_a_log_line() {
    assert!(!refused(r#"{"a\r\n\u001b":1,"a\r\n\u001b":1}"#).contains(char::is_control));
    let long = "n".repeat(10_000);
    assert!(refused(format!(r#"{{"{long}":1,"{long}":1}}"#)).len() < 200);
}

#[test]
fn lone_surrogates_are_refused_and_pairs_are_read() {
    for lone in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\udc00\ud800""#, r#"{"\ud83d":1}"#] {
        refused(lone);
    }
    assert_eq!(read(br#""\ud83d\ude00""#).unwrap(), json!("😀"));
}

#[test]
fn noncharacters_are_refused_in_strings_and_names() {
    for text in [r#""\ufffe""#, r#""\ufdd0""#, r#"{"\uffff":1}"#, r#"["\ud83f\udfff"]"#] {
        assert!(refused(text).contains("noncharacter"), "{text}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    for text in [&b"\"\xff\""[..], b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\"", b"\xef\xbb\xbf{}", b"{\0}", b"\xff\xfe{\0}\0"]
    {
        refused(text);
    }
}

#[test]
fn nesting_is_bounded() {
    assert!(read(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert!(refused(nested(MAX_DEPTH + 1)).contains("nested deeper"));
    refused("[".repeat(1_000_000));
    refused(r#"{"a":"#.repeat(100_000));
}

#[test]
fn numbers_are_read_or_refused_but_never_infinite() {
    assert_eq!(read(b"9223372036854775807").unwrap(), json!(i64::MAX));
    assert_eq!(read(b"18446744073709551615").unwrap(), json!(u64::MAX));
    assert!(read(b"18446744073709551616").unwrap().is_f64());
    assert!(read(b"-0.5e-3").unwrap().is_f64());
    for text in ["1e400", "-1e400", "NaN", "Infinity", "01", "1.", "+1", "0x1"] {
        refused(text);
    }
}

#[test]
fn only_one_whole_value_is_read() {
    for text in ["", " ", "{} {}", "{},", "{\"a\":1,}", "[1,]", "{'a':1}", "{a:1}", "// x\n{}", "\"a\nb\"", "{\"a\""] {
        refused(text);
    }
    assert_eq!(read(b" \r\n\t{} ").unwrap(), json!({}));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-zA-Z0-9\\\\\"\u{0}-\u{1f}\u{e4}\u{1f600}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map("[a-z\"\n]{0,4}", inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _either = read(&bytes);
    }

    #[test]
    fn what_is_written_is_read_back(value in any_json()) {
        prop_assert_eq!(read(value.to_string().as_bytes()).unwrap(), value);
    }

    #[test]
    fn what_is_accepted_reads_the_same_to_a_plain_reader(text in r#"[\[\]{}:,"a\\u0-9dD8eE.+ \-truefalsn]{0,40}"#) {
        if let Ok(value) = read(text.as_bytes()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn doubling_any_member_of_an_object_is_refused(value in any_json(), name in "[a-z]{1,4}") {
        let name = Value::from(name);
        refused(format!("{{{name}:{value},{name}:null}}"));
    }
}
