//! The reader of tokens and of key sets, fed with anything: a body that a fuzzer can drive, run here over a corpus and
//! over what a deterministic sequence makes of it.

use super::*;
use crate::foundation::fuzzing;

/// Whatever the bytes are: no panic, no token that passes, and words that a log line can hold.
fn body(tokens: &Tokens, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let error = tokens.verify(text, NOW).expect_err("nobody signed this");
        let words = error.to_string();
        assert!(words.len() < 2048 && !words.chars().any(char::is_control), "{words:?}");
        let _kind = error.fault();
    }
    if let Err(error) = KeySet::parse(bytes) {
        assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
    }
    // The parts of a token, each in the place where it is read.
    let (key, lossy) = (Key::p256(), String::from_utf8_lossy(bytes));
    let texts = (header("ES256").to_string(), claims().to_string());
    assert!(tokens.verify(&token_of_texts(&lossy, &texts.1, &key), NOW).is_err());
    assert!(tokens.verify(&token_of_texts(&texts.0, &lossy, &key), NOW).is_err());
}

#[test]
fn the_corpus_and_what_becomes_of_it_neither_pass_nor_panic() {
    let tokens = tokens(&Key::p256());
    fuzzing::run("jwt", 40, |bytes| {
        body(&tokens, bytes);
        true
    });
}
