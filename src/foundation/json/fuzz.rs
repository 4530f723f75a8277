//! The reader, fed with anything. What it takes, every other reader takes too, whichever of two members that would have
//! preferred, and it reads what it wrote as the same.

use serde_json::Value;

use super::{MAX_DEPTH, read};
use crate::foundation::fuzzing;

fn body(bytes: &[u8]) -> bool {
    let value = match read(bytes) {
        Ok(value) => value,
        Err(error) => {
            let told = error.to_string();
            assert!(told.len() < 512 && !told.chars().any(char::is_control), "{told:?}");
            return false;
        }
    };
    assert_eq!(serde_json::from_slice::<Value>(bytes).unwrap(), value, "another reader sees something else");
    let written = serde_json::to_vec(&value).unwrap();
    let again = read(&written).unwrap();
    // Of a fraction the last bit may differ, since the library reads these fast and not exactly.
    assert!(again == value || has_fraction(&value), "{value}");
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut bytes = written.iter();
    while let Some(byte) = bytes.next() {
        match (byte, in_text) {
            (b'\\', true) => drop(bytes.next()),
            (b'"', _) => in_text = !in_text,
            (b'[' | b'{', false) => depth += 1,
            (b']' | b'}', false) => depth -= 1,
            _ => {}
        }
        assert!(depth <= MAX_DEPTH);
    }
    true
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}

#[test]
fn whatever_the_bytes_are_two_readers_see_one_thing() {
    let (understood, changed) = fuzzing::run("json", 200, body);
    assert!(understood >= 8 && changed > 100, "{understood} and {changed}: the corpus has rotted");
}
