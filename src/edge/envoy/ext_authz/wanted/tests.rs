use proptest::prelude::*;

use super::*;
use crate::decision::HttpAttributes;

fn wanted(lines: &[(&str, &[u8])]) -> Wanted {
    let http = HttpAttributes { headers: Some(lines.to_vec()), ..HttpAttributes::default() };
    Wanted::of(&Check { http: Some(http), ..Check::default() })
}

fn form_of(lines: &[&str]) -> Form {
    let lines: Vec<_> = lines.iter().map(|line| ("accept", line.as_bytes())).collect();
    wanted(&lines).form
}

#[test]
fn the_form_is_the_one_that_is_wanted_most() {
    for (lines, form) in [
        (&[][..], Form::Json),
        (&["*/*"], Form::Json),
        (&["application/json"], Form::Json),
        (&["text/plain"], Form::Plain),
        (&["TEXT/Plain;charset=utf-8"], Form::Plain),
        (&["text/*, application/json;q=0.9"], Form::Plain),
        (&["text/plain;q=0.5, application/json;q=0.6"], Form::Json),
        (&["text/plain;q=0, */*;q=0.1"], Form::Json),
        (&["application/json;q=0, */*"], Form::Problem),
        (&["application/problem+json, application/json"], Form::Json),
        (&["application/problem+json"], Form::Problem),
        (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Form::Json),
        (&["image/png"], Form::Json),
    ] {
        assert_eq!(form_of(lines), form, "{lines:?}");
    }
}

/// Several lines are one list, so no line hides behind another.
#[test]
fn two_lines_are_one_list() {
    assert_eq!(form_of(&["application/json;q=0.1", "text/plain"]), Form::Plain);
    assert_eq!(form_of(&["text/plain;q=0.1", "application/json"]), Form::Json);
    assert_eq!(form_of(&["text/plain", "text/plain, , "]), Form::Plain);
}

#[test]
fn what_is_not_a_list_counts_as_not_there() {
    let endless = "text/plain,".repeat(100);
    let many = "a/b,".repeat(33);
    for line in
        ["text/plain;q=2", "text/plain;q=", "text/plain;q=0.1234", "text/plain;q", "te xt/plain", "\"", &endless, &many]
    {
        assert_eq!(form_of(&[line]), Form::Json, "{line}");
        assert_eq!(form_of(&["text/plain", line]), Form::Json, "{line}");
    }
    assert_eq!(wanted(&[("accept", b"text/plain\xff")]).form, Form::Json);
}

#[test]
fn languages_come_in_the_order_of_their_weights() {
    let languages = |line: &str| wanted(&[("accept-language", line.as_bytes())]).languages;
    assert_eq!(languages("de-CH, fr;q=0.8, en;q=0.9, *;q=0.1"), ["de-ch", "en", "fr"]);
    assert_eq!(languages("fr, de;q=0, en"), ["fr", "en"]);
    assert!(languages("de;q=nan").is_empty());
    assert!(languages("../../etc, <script>").is_empty());
}

#[test]
fn a_language_is_found_by_what_it_is_a_kind_of() {
    let has = |known: &'static [&'static str]| move |tag: &str| known.iter().find(|known| **known == tag).copied();
    let wanted = ["de-ch-1996".to_owned(), "fr".to_owned()];
    assert_eq!(look_up(&wanted, has(&["fr", "de"])), Some("de"));
    assert_eq!(look_up(&wanted, has(&["fr", "de-ch"])), Some("de-ch"));
    assert_eq!(look_up(&wanted, has(&["fr", "d"])), Some("fr"));
    assert_eq!(look_up(&wanted, has(&["en"])), None);
}

#[test]
fn grpc_is_told_in_plain_words() {
    let grpc: &[(&str, &[u8])] = &[("content-type", b"application/grpc+proto"), ("accept", b"application/json")];
    assert_eq!(wanted(grpc).form, Form::Plain);
}

proptest! {
    /// Whatever a client sends, it is one of three forms, and tags that can stand anywhere.
    #[test]
    fn nothing_a_client_sends_comes_through(accept in any::<Vec<u8>>(), language in "[ -~]{0,80}") {
        let wanted = wanted(&[("accept", &accept), ("accept-language", language.as_bytes())]);
        for tag in wanted.languages {
            prop_assert!(tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{}", tag);
        }
    }
}
