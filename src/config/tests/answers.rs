//! What denied clients are told.

use super::*;

#[test]
fn the_realm_is_the_trust_domain_unless_it_is_said() {
    let answers = load("trust_domain: example.org\n").config.answers;
    assert_eq!((answers.realm.as_str(), answers.resource_metadata), ("example.org", None));
    let yaml = "trust_domain: a
answers: {realm: Orders API, resource_metadata: 'https://a/.well-known/oauth-protected-resource', language: de-CH}
";
    let answers = load(yaml).config.answers;
    assert_eq!(answers.realm, "Orders API");
    assert_eq!(answers.resource_metadata.as_deref(), Some("https://a/.well-known/oauth-protected-resource"));
}

/// They stand in a header between quotes, or before people's eyes.
#[test]
fn texts_that_could_break_an_answer_are_refused() {
    for (answers, told) in [
        ("{realm: \"a\\\"b\"}", "answers.realm: must be ASCII"),
        ("{realm: \"a\\r\\nx-evil: 1\"}", "answers.realm: must be ASCII"),
        ("{realm: \"é\"}", "answers.realm: must be ASCII"),
        ("{resource_metadata: \"https://a/\\\\\"}", "answers.resource_metadata: must be ASCII"),
        ("{language: '../x'}", "answers.language: `../x` is not a language"),
        ("{messages: {deutsch-: {denied: a}}}", "answers.messages: `deutsch-` is not a language"),
        ("{messages: {de: {denied: a}, DE: {denied: b}}}", "answers.messages: `DE` is there twice"),
        ("{messages: {de: {permitted: a}}}", "answers.messages: `permitted` is none of"),
        ("{messages: {de: {denied: \"a\\nb\"}}}", "answers.messages: `de`, `denied`: the text must be one line"),
        ("{messages: {de: {denied: ''}}}", "answers.messages: `de`, `denied`: the text must be one line"),
        ("{messages: {de: {denied: 7}}}", "answers.messages: `de`, `denied`: expected a text"),
        ("{messages: {de: nein}}", "answers.messages: expected a mapping of reasons to texts"),
        ("{messages: [de]}", "answers.messages: expected a mapping of languages to texts"),
    ] {
        let said = complaints(&sources(&format!("trust_domain: a\nanswers: {answers}\n")));
        assert!(said.contains(told), "{answers}\n{said}");
    }
}
