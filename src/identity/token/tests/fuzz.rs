//! The reader of tokens and of key sets, fed with anything: a body that a fuzzer can drive, run here over a corpus and
//! over what a deterministic sequence makes of it.

use super::*;
use crate::foundation::fuzzing;

/// Whatever the bytes are: no panic, no token that passes, and words that a log line can hold. Returns whether they are a key set,
/// or a token in whose name somebody could have signed.
fn body(tokens: &Tokens, bytes: &[u8]) -> bool {
    let mut understood = false;
    if let Ok(text) = std::str::from_utf8(bytes) {
        let error = tokens.verify(text, NOW).expect_err("nobody signed this");
        let words = error.to_string();
        assert!(words.len() < 2048 && !words.chars().any(char::is_control), "{words:?}");
        understood = error.fault() != TokenFault::Bad;
    }
    match KeySet::parse(bytes) {
        Ok(_keys) => understood = true,
        Err(error) => assert!(!error.to_string().chars().any(char::is_control), "{error:?}"),
    }
    // The parts of a token, each in the place where it is read.
    let (key, lossy) = (Key::p256(), String::from_utf8_lossy(bytes));
    let texts = (header("ES256").to_string(), claims().to_string());
    assert!(tokens.verify(&token_of_texts(&lossy, &texts.1, &key), NOW).is_err());
    assert!(tokens.verify(&token_of_texts(&texts.0, &lossy, &key), NOW).is_err());
    understood
}

#[test]
fn the_corpus_and_what_becomes_of_it_neither_pass_nor_panic() {
    let tokens = tokens(&Key::p256());
    let (understood, changed) = fuzzing::run("jwt", 40, |bytes| body(&tokens, bytes));
    assert!(understood >= 6 && changed > 8, "{understood} and {changed}: the corpus has rotted");
}
