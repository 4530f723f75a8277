//! What policies and routes say of an answer, and in which form it is told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::super::Messages;
use super::super::super::wanted::Form;
use super::*;
use crate::decision::guidance::Guidance;
use crate::decision::mapping::OnError;
use crate::foundation::clock::Timestamp;

fn forbidden(annotations: &[(&str, &str)]) -> Verdict {
    let manner = Manner {
        guidance: Some(Guidance::of_annotations(false, annotations)),
        time: Timestamp::from_unix_seconds(1_800_000_000),
        ..Manner::default()
    };
    Verdict { manner, ..verdict(Outcome::Deny, Reason::Forbidden) }
}

fn permitted(annotations: &[(&str, &str)]) -> Verdict {
    let manner = Manner { guidance: Some(Guidance::of_annotations(true, annotations)), ..Manner::default() };
    Verdict { manner, ..verdict(Outcome::Allow, Reason::Permitted) }
}

fn header_of<'r>(body: &'r DeniedHttpResponse, name: &str) -> Option<&'r str> {
    pairs(&body.headers).into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn wanting(form: Form, languages: &[&str]) -> Requested {
    let languages = languages.iter().map(|tag| (*tag).to_owned()).collect();
    Requested { wanted: Wanted { form, languages }, ..Requested::default() }
}

#[test]
fn a_policy_has_the_say_on_status_text_and_headers_of_its_denial() {
    let response = written(&forbidden(&[
        ("deny_status", "404"),
        ("deny_body", r#"There is no "such" order."#),
        ("advice", "Look at /help."),
        ("header_x_why", "gone"),
    ]));
    let (code, status, body) = refused(&response);
    assert_eq!((code, status), (7, 404));
    let told: Value = serde_json::from_str(&body.body).unwrap();
    assert_eq!(
        (&told["message"], &told["advice"]),
        (&json!("There is no \"such\" order."), &json!(["Look at /help."]))
    );
    assert_eq!((header_of(body, "x-why"), header_of(body, "cache-control")), (Some("gone"), Some("no-store")));
    assert_eq!(header_of(body, "content-language"), None);
    let other = written(&forbidden(&[("header_cache_control", "max-age=5")]));
    assert_eq!(header_of(refused(&other).2, "cache-control"), Some("max-age=5"));
}

/// What a policy says of a decision that was then not given is not said.
#[test]
fn a_policy_has_no_say_on_an_error() {
    let unrecorded = forbidden(&[("deny_status", "404"), ("deny_body", "x"), ("header_x_why", "gone")]);
    let unrecorded = Verdict { outcome: Outcome::Error, reason: Reason::AuditUnavailable, ..unrecorded };
    let response = written(&unrecorded);
    let (code, status, body) = refused(&response);
    assert_eq!((code, status, header_of(body, "x-why")), (14, 503, None));
}

/// What made the call shows it to whoever can do something about it.
#[test]
fn a_call_is_told_what_the_policies_say() {
    let mut denied = forbidden(&[
        ("deny_body", "Too much."),
        ("deny_body_de", "Zu viel."),
        ("advice", "Ask for less."),
        ("access_request", "https://access.example.org/new"),
    ]);
    denied.manner.call = Some(crate::decision::Call { id: Some(7.into()), in_band: true });
    let response = read(&answer(&denied, &config(), &wanting(Form::Json, &["de"])).into_bytes());
    let told: Value = serde_json::from_str(&refused(&response).2.body).unwrap();
    let request = json!({"form_url": "https://access.example.org/new", "expires_at": "2027-01-15T09:00:00.000000Z"});
    assert_eq!(
        told["error"]["data"],
        json!({"reason": "forbidden", "decision_id": DecisionId::NIL.to_string(), "message": "Zu viel.",
            "advice": ["Ask for less."], "remedy": {"access_request": request}})
    );
}

#[test]
fn a_step_up_is_a_challenge() {
    let response = written(&forbidden(&[("deny_status", "404"), ("step_up", "acr=urn:a urn:b, max_age=300")]));
    let (code, status, body) = refused(&response);
    assert_eq!((code, status), (16, 401));
    assert_eq!(
        header_of(body, "www-authenticate"),
        Some(
            "Bearer realm=\"example.org\", error=\"insufficient_user_authentication\", \
             error_description=\"The user must authenticate anew.\", acr_values=\"urn:a urn:b\", max_age=\"300\""
        )
    );
    let told: Value = serde_json::from_str(&body.body).unwrap();
    assert_eq!(told["remedy"], json!({"step_up": {"acr_values": "urn:a urn:b", "max_age": 300}}));
}

#[test]
fn a_denial_says_where_access_can_be_asked_for() {
    let response = written(&forbidden(&[("access_request", "https://access.example.org/new")]));
    let told: Value = serde_json::from_str(&refused(&response).2.body).unwrap();
    let request = json!({"form_url": "https://access.example.org/new", "expires_at": "2027-01-15T09:00:00.000000Z"});
    assert_eq!(told["remedy"], json!({"access_request": request}));
}

#[test]
fn each_401_says_how_to_authenticate() {
    let challenge = |reason| {
        let response = written(&verdict(Outcome::Deny, reason));
        header_of(refused(&response).2, "www-authenticate").unwrap_or_default().to_owned()
    };
    assert_eq!(challenge(Reason::NoToken), "Bearer realm=\"example.org\"");
    assert_eq!(
        challenge(Reason::ExpiredToken),
        "Bearer realm=\"example.org\", error=\"invalid_token\", \
         error_description=\"The token has expired or is not valid yet.\""
    );
    assert_eq!(challenge(Reason::NoCertificate), "X509-SVID realm=\"example.org\"");
    assert_eq!(challenge(Reason::Forbidden), "");
    let said = written(&forbidden(&[("deny_status", "401")]));
    assert_eq!(header_of(refused(&said).2, "www-authenticate"), Some("Bearer realm=\"example.org\""));
    let mut config = config();
    config.answers.resource_metadata =
        Some("https://orders.example.org/.well-known/oauth-protected-resource".to_owned());
    let response = read(&answer(&verdict(Outcome::Deny, Reason::NoToken), &config, &Requested::default()).into_bytes());
    assert_eq!(
        header_of(refused(&response).2, "www-authenticate"),
        Some(
            "Bearer realm=\"example.org\", \
             resource_metadata=\"https://orders.example.org/.well-known/oauth-protected-resource\""
        )
    );
}

#[test]
fn a_permit_gives_headers_to_the_backend_and_never_ours() {
    let allowed = permitted(&[("header_x_tier", "gold"), ("header_x_spiffe_id", "spiffe://example.org/admin")]);
    let response = written(&allowed);
    let Some(HttpResponse::OkResponse(ok)) = &response.http_response else { panic!("not an allow") };
    let id = DecisionId::NIL.to_string();
    let expected = [("x-spiffe-id", "spiffe://example.org/web"), ("x-decision-id", id.as_str()), ("x-tier", "gold")];
    assert_eq!(pairs(&ok.headers), expected);
    assert_eq!(pairs(&ok.response_headers_to_add), [("x-decision-id", id.as_str())], "the client gets none of it");
}

/// Even if the plane that decides says otherwise.
#[test]
fn what_a_backend_must_do_and_is_not_told_is_no_allow() {
    let demands = permitted(&[("obligation", r#"{"id": "m", "type": "custom", "properties": {"é": 1}}"#)]);
    assert_eq!(refused(&written(&demands)).1, 500);
    let config = ExtAuthzConfig { forwards_obligations: true, ..config() };
    let response = read(&answer(&demands, &config, &Requested::default()).into_bytes());
    let Some(HttpResponse::OkResponse(ok)) = &response.http_response else { panic!("not an allow") };
    let (_, told) = pairs(&ok.headers).into_iter().find(|(name, _)| *name == OBLIGATIONS).unwrap();
    assert_eq!(told, "[{\"id\":\"m\",\"type\":\"custom\",\"properties\":{\"\\u00e9\":1}}]");
}

#[test]
fn the_same_is_told_in_three_forms() {
    let denied = forbidden(&[("deny_body", "No <b>."), ("advice", "Ask.")]);
    let told = |form| {
        let response = read(&answer(&denied, &config(), &wanting(form, &[])).into_bytes());
        let (_, _, body) = refused(&response);
        (header_of(body, "content-type").unwrap().to_owned(), body.body.clone())
    };
    let (plain, text) = told(Form::Plain);
    assert_eq!(plain, "text/plain; charset=utf-8");
    assert_eq!(text, format!("No <b>.\nAsk.\nreason: forbidden\ndecision: {}\n", DecisionId::NIL));
    let (problem, text) = told(Form::Problem);
    assert_eq!(problem, "application/problem+json");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "No <b>.", "decision": false,
            "reason": "forbidden", "decision_id": DecisionId::NIL.to_string(), "advice": ["Ask."]})
    );
}

#[test]
fn the_text_is_in_the_language_that_is_wanted() {
    let mut config = config();
    let german = BTreeMap::from([("denied".to_owned(), "Nein, \"nie\".".to_owned())]);
    config.answers.messages = Messages::new(BTreeMap::from([("de".to_owned(), german)]), None);
    let told = |verdict: &Verdict, languages: &[&str]| {
        let response = read(&answer(verdict, &config, &wanting(Form::Json, languages)).into_bytes());
        let (_, _, body) = refused(&response);
        let told: Value = serde_json::from_str(&body.body).unwrap();
        (told["message"].as_str().unwrap().to_owned(), header_of(body, "content-language").map(str::to_owned))
    };
    let denied = verdict(Outcome::Deny, Reason::NoPermit);
    assert_eq!(told(&denied, &["de-at"]), ("Nein, \"nie\".".to_owned(), Some("de".to_owned())));
    assert_eq!(told(&denied, &["fr"]).1, Some("en".to_owned()));
    let own = forbidden(&[("deny_body", "Gone."), ("deny_body_fr", "Parti.")]);
    assert_eq!(told(&own, &["fr-ca", "de"]), ("Parti.".to_owned(), Some("fr".to_owned())));
    assert_eq!(told(&own, &["de"]), ("Gone.".to_owned(), None));
}

/// The golden rule of errors: none of them is ever an allow, and on a closed route no proxy can make it one.
#[test]
fn an_error_on_a_closed_route_is_a_denial_to_envoy() {
    for reason in [Reason::AuditUnavailable, Reason::Internal] {
        for (is_closed, status, expected) in
            [(true, Some(502), 502), (false, Some(504), 504), (true, None, 0), (false, None, 0)]
        {
            let manner = Manner { on_error: Some(OnError { is_closed, status }), ..Manner::default() };
            let response = written(&Verdict { manner, ..verdict(Outcome::Error, reason) });
            let (code, told, _body) = refused(&response);
            let is_denied = matches!(response.http_response, Some(HttpResponse::DeniedResponse(_)));
            assert_eq!((is_denied, code != 0), (is_closed, true));
            assert!(if expected == 0 { matches!(told, 500 | 503) } else { told == expected }, "{told}");
        }
    }
    let manner = Manner { on_error: Some(OnError { is_closed: true, status: Some(502) }), ..Manner::default() };
    let denied = Verdict { manner, ..verdict(Outcome::Deny, Reason::NoPermit) };
    assert_eq!(refused(&written(&denied)).1, 403, "a denial is none");
}
