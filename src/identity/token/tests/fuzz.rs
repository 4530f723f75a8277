//! The reader of tokens and of key sets, fed with anything: a body that a fuzzer can drive, run here over a corpus and
//! over what a deterministic sequence makes of it.

use super::*;

/// Tokens and key sets, good and bad, one a file.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/jwt");

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
    let mut files: Vec<_> = std::fs::read_dir(CORPUS).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "the corpus is there");
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut roll = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from(dice % u64::try_from(sides.max(1)).unwrap()).unwrap()
    };
    for file in files {
        let seed = std::fs::read(&file).unwrap();
        body(&tokens, &seed);
        for _ in 0..40 {
            let mut changed = seed.clone();
            for _ in 0..=roll(3) {
                let (at, byte) = (roll(changed.len()), u8::try_from(roll(256)).unwrap());
                match roll(4) {
                    0 if !changed.is_empty() => changed[at] = byte,
                    1 => changed.insert(at.min(changed.len()), byte),
                    2 => changed.truncate(at),
                    _ => changed.extend_from_slice(&seed[..at.min(seed.len())]),
                }
            }
            body(&tokens, &changed);
        }
    }
}
