use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read_of(permits: bool, annotations: &[(&str, &str)]) -> Result<Option<Arc<Guidance>>, String> {
    read(&"p".into(), permits, annotations.iter().copied())
}

fn forbid(annotations: &[(&str, &str)]) -> Arc<Guidance> {
    read_of(false, annotations).unwrap().expect("says something")
}

fn refused(permits: bool, key: &str, value: &str) -> String {
    let why = read_of(permits, &[(key, value)]).expect_err(&format!("@{key}({value:?})"));
    assert!(why.starts_with(&format!("policy `p`: `@{key}`: ")), "{why}");
    why
}

/// What several say together, each with its id.
fn together(all: &[(&str, &[(&str, &str)])], is_remediable: bool) -> Option<Arc<Guidance>> {
    let all: Vec<(Arc<str>, _)> = all
        .iter()
        .map(|(id, annotations)| ((*id).into(), read(&(*id).into(), false, annotations.iter().copied()).unwrap()))
        .collect();
    let merged = |all: &[(Arc<str>, Option<Arc<Guidance>>)]| {
        merge(all.iter().map(|(id, guidance)| (id, guidance.as_ref())), is_remediable)
    };
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(merged(&all), merged(&reversed), "the order in which they are found does not matter");
    merged(&all)
}

#[test]
fn annotations_of_others_say_nothing() {
    assert_eq!(read_of(true, &[("id", "x"), ("cache", "5s"), ("owner", "me\r\n")]), Ok(None));
}

#[test]
fn a_forbid_says_what_its_denial_is_like() {
    let guidance = forbid(&[
        ("deny_status", "404"),
        ("deny_body_de", "Gibt es nicht."),
        ("deny_body", "There is no such order."),
        ("deny_body_pt_br", "Não existe."),
        ("header_retry_after", "30"),
        ("advice", "Ask the order desk."),
    ]);
    let text = guidance.text.as_ref().unwrap();
    assert_eq!((guidance.status, &*text.plain), (Some(404), "There is no such order."));
    assert_eq!(text.translations.iter().map(|(tag, _)| &**tag).collect::<Vec<_>>(), ["de", "pt-br"]);
    assert_eq!((guidance.headers[0].name(), guidance.headers[0].value()), ("retry-after", "30"));
    assert_eq!(guidance.advice, ["Ask the order desk.".into()]);
}

#[test]
fn a_permit_can_only_say_what_goes_with_a_permit() {
    for key in ["deny_status", "deny_body", "deny_body_de", "step_up", "access_request"] {
        let why = read_of(true, &[("deny_body", "x"), (key, "404")]).unwrap_err();
        assert!(why.contains("only a `forbid` can say"), "{why}");
    }
    assert!(read_of(true, &[("advice", "a"), ("header_x_tier", "gold")]).unwrap().is_some());
}

#[test]
fn a_status_is_one_that_envoy_can_answer_with() {
    for status in ["400", "404", "429", "503", "511"] {
        assert_eq!(forbid(&[("deny_status", status)]).status, status.parse().ok());
    }
    for status in
        ["", "200", "302", "399", "407", "408", "418", "426", "451", "600", "42", " 404", "+404", "0404", "4e2"]
    {
        refused(false, "deny_status", status);
    }
    refused(false, "deny_satus", "404");
}

/// A permit whose `@obligations` nobody reads would be one without any.
#[test]
fn an_annotation_that_is_nearly_one_of_ours_is_refused() {
    for (key, meant) in [
        ("obligations", "obligation"),
        ("Obligation", "obligation"),
        ("advices", "advice"),
        ("stepup", "step_up"),
        ("step_ups", "step_up"),
        ("denyStatus", "deny_status"),
        ("accessRequest", "access_request"),
    ] {
        for permits in [true, false] {
            let why = read_of(permits, &[(key, "x")]).unwrap_err();
            assert!(why.contains(&format!("did you mean `{meant}`?")), "{key}: {why}");
        }
    }
}

/// Envoy writes what it is given as it is, so nothing that could end a line may get that far.
#[test]
fn nothing_can_be_written_that_splits_an_answer() {
    for value in ["a\r\nx-evil: 1", "a\n", "a\0", "a\tb", "é", "", " a", "a ", "\u{7f}", &"x".repeat(1025)] {
        refused(false, "header_x_any", value);
        refused(true, "header_x_any", value);
    }
    for text in ["a\nb", "a\r", "\0", "\u{1b}[2J", "\u{202e}txt", "", " ", &"x".repeat(1025)] {
        refused(false, "deny_body", text);
        refused(false, "advice", text);
    }
}

#[test]
fn headers_that_mean_something_to_http_or_to_us_are_not_for_policies() {
    for name in [
        "header_host",
        "header_connection",
        "header_transfer_encoding",
        "header_content_length",
        "header_content_type",
        "header_x_portcullis_principal",
        "header_x_envoy_original_path",
        "header_x_forwarded_for",
        "header_authorization",
        "header_proxy_authorization",
        "header_cookie",
        "header_www_authenticate",
        "header_X_Tier",
        "header_",
        "header__x",
        "header_x_",
    ] {
        refused(false, name, "v");
        refused(true, name, "v");
    }
}

#[test]
fn an_obligation_is_an_object_of_three_members() {
    let one = r#"{"id": "log", "type": "notification", "properties": {"to": "ops@example.org", "body": "é"}}"#;
    let guidance = read_of(true, &[("obligation", one)]).unwrap().unwrap();
    assert_eq!(
        serde_json::to_value(&guidance.obligations).unwrap(),
        json!([{"id": "log", "type": "notification", "properties": {"to": "ops@example.org", "body": "é"}}])
    );
    let header = in_header(&guidance.obligations).unwrap();
    assert!(header.is_ascii() && header.contains("\\u00e9"), "{header}");
    let read: Value = serde_json::from_str(&header).unwrap();
    assert_eq!(read, serde_json::to_value(&guidance.obligations).unwrap());
    assert_eq!(read_of(true, &[("obligation", &format!("[{one}, {one}]"))]).unwrap().unwrap().obligations.len(), 2);
    for wrong in [
        "",
        "[]",
        "7",
        "{",
        r#"{"id": "a", "type": "b"}"#,
        r#"{"id": "a", "type": "b", "properties": []}"#,
        r#"{"id": "", "type": "b", "properties": {}}"#,
        r#"{"id": "a", "id": "b", "type": "b", "properties": {}}"#,
        r#"{"id": "a", "type": "b", "properties": {}, "extra": 1}"#,
        r#"{"id": "a", "type": "step-up", "properties": {}}"#,
        &format!(r#"{{"id": "a", "type": "b", "properties": {{"x": "{}"}}}}"#, "x".repeat(2048)),
    ] {
        refused(true, "obligation", wrong);
    }
}

#[test]
fn what_is_too_long_for_a_header_is_not_cut() {
    let one = format!(r#"{{"id": "a", "type": "b", "properties": {{"x": "{}"}}}}"#, "é".repeat(900));
    let guidance = read_of(true, &[("obligation", &one)]).unwrap().unwrap();
    assert!(in_header(&guidance.obligations).is_some());
    assert_eq!(in_header(&[&guidance.obligations[..], &guidance.obligations[..]].concat()), None);
}

#[test]
fn a_step_up_is_an_obligation_too() {
    let guidance = forbid(&[("step_up", "acr=urn:example:mfa urn:example:hwk, amr=hwk, max_age=300")]);
    let step_up = guidance.remedy.as_ref().unwrap().step_up.as_ref().unwrap();
    assert_eq!(step_up.acr_values, ["urn:example:mfa".into(), "urn:example:hwk".into()]);
    assert_eq!(step_up.max_age, Some(Duration::from_mins(5)));
    let properties = json!({"acr_value": "urn:example:mfa", "amr_values": ["hwk"], "max_age": 300});
    assert_eq!(
        serde_json::to_value(&guidance.obligations).unwrap(),
        json!([{"id": "p", "type": "step-up", "properties": properties}])
    );
    for wrong in [
        "",
        "max_age=5",
        "acr=",
        "acr=a\"b",
        "acr=a\\b",
        "acr=a, acr=b",
        "acr=a, max_age=-1",
        "acr=a, max_age=1s",
        "acr=a a",
        "acr=é",
        "acr=a, level=3",
        "acr",
    ] {
        refused(false, "step_up", wrong);
    }
}

#[test]
fn access_is_asked_for_at_a_page_for_people() {
    let guidance = forbid(&[("access_request", "https://access.example.org/new?app=orders")]);
    let request = guidance.remedy.as_ref().unwrap().access_request.as_ref().unwrap();
    assert_eq!(request.form_url(), "https://access.example.org/new?app=orders");
    for wrong in [
        "",
        "javascript:alert(1)",
        "http://a/",
        "https://u:p@a/",
        "https://a/\r\nb",
        " https://a/",
        "https://a/\"",
        "/x",
    ] {
        refused(false, "access_request", wrong);
    }
}

#[test]
fn of_several_the_highest_status_leads_and_then_the_order_of_ids() {
    let merged = together(
        &[
            ("a", &[("deny_status", "403"), ("deny_body", "A."), ("advice", "one"), ("header_x_a", "a")]),
            ("b", &[("deny_status", "404"), ("advice", "two"), ("header_x_a", "b"), ("header_x_b", "b")]),
            ("c", &[("deny_status", "404"), ("deny_body", "C."), ("advice", "one")]),
            ("d", &[]),
        ],
        true,
    )
    .unwrap();
    assert_eq!((merged.status, &*merged.text.as_ref().unwrap().plain), (Some(404), "C."));
    assert_eq!(merged.advice, ["two".into(), "one".into()]);
    let headers: Vec<_> = merged.headers.iter().map(|header| (header.name(), header.value())).collect();
    assert_eq!(headers, [("x-a", "b"), ("x-b", "b")]);
    assert_eq!(together(&[("a", &[]), ("b", &[])], true), None);
}

#[test]
fn a_denial_can_be_remedied_only_if_that_helps_against_all_that_deny() {
    let step_up: &[_] = &[("step_up", "acr=mfa hwk, max_age=300")];
    let stricter: &[_] = &[("step_up", "acr=hwk, max_age=60"), ("access_request", "https://a.example/")];
    let remedy = |all: &[(&str, &[(&str, &str)])]| together(all, true)?.remedy.clone();
    let both = remedy(&[("a", step_up), ("b", stricter)]).unwrap();
    let needed = both.step_up.unwrap();
    assert_eq!((needed.acr_values, needed.max_age), (vec!["hwk".into()], Some(Duration::from_mins(1))));
    assert_eq!(both.access_request, None, "a would still deny");
    assert_eq!(remedy(&[("a", step_up), ("b", &[])]), None);
    assert_eq!(remedy(&[("a", step_up), ("b", &[("step_up", "acr=other")])]), None, "no login is both");
    let one = together(&[("a", step_up), ("b", stricter)], true).unwrap();
    assert_eq!(one.obligations.len(), 1);
}

/// Nobody is sent to log in again only to be denied again.
#[test]
fn without_a_permit_there_is_no_remedy() {
    let all: &[(&str, &[(&str, &str)])] = &[("a", &[("step_up", "acr=mfa"), ("advice", "x")])];
    assert!(together(all, true).unwrap().remedy.is_some());
    let merged = together(all, false).unwrap();
    assert_eq!((&merged.remedy, merged.obligations.len(), merged.advice.len()), (&None, 0, 1));
    assert_eq!(together(&[("a", &[("step_up", "acr=mfa")])], false), None);
}

proptest! {
    /// Whatever stands in an annotation, what is read of it fits a header line.
    #[test]
    fn every_header_that_is_read_is_fit_for_a_wire(name in "[a-zA-Z0-9_]{0,20}", value in any::<String>()) {
        if let Ok(header) = Header::read(&name, &value) {
            prop_assert!(header.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
            prop_assert!(header.value().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
    }

    #[test]
    fn nothing_makes_it_panic(key in "(deny_status|step_up|obligation|access_request|deny_body_[a-z_]{0,5})", value in any::<String>()) {
        let _either = read_of(false, &[("deny_body", "x"), (&key, &value)]);
    }
}
