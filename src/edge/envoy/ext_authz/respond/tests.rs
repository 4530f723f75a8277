mod told;

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse};
use envoy_types::pb::google::protobuf::value::Kind;
use portcullis_spiffe::SpiffeId;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::super::{Answers, english};
use super::*;
use crate::decision::{Manner, Reason};
use crate::evidence::{CacheState, DecisionId, Taken};

fn verdict(outcome: Outcome, reason: Reason) -> Verdict {
    Verdict {
        id: DecisionId::NIL,
        outcome,
        reason,
        policies: Arc::from([Arc::from("web-reads-orders"), Arc::from("odd\r\nid")]),
        cache: CacheState::Miss,
        principal: Some("spiffe://example.org/web".parse::<SpiffeId>().unwrap().into()),
        manner: Manner::default(),
        taken: Taken::NOW,
    }
}

fn written(verdict: &Verdict) -> CheckResponse {
    let requested = Requested { removed: vec!["x.spiffe_id".to_owned()], ..Requested::default() };
    read(&answer(verdict, &config(), &requested).into_bytes())
}

fn config() -> ExtAuthzConfig {
    let answers = Answers { realm: "example.org".to_owned(), ..Answers::default() };
    ExtAuthzConfig { answers, ..ExtAuthzConfig::default() }
}

/// What Envoy's definitions read of it, nothing of which is unknown to them.
fn read(frame: &[u8]) -> CheckResponse {
    let (head, message) = frame.split_at(5);
    assert_eq!((head[0], u32::from_be_bytes(head[1..].try_into().unwrap()) as usize), (0, message.len()));
    let read = CheckResponse::decode(message).unwrap();
    // Of a field that they do not know nothing would be left. The others are as long in whatever order.
    let zero = if code(&read) == 0 { 2 } else { 0 };
    assert_eq!(read.encoded_len() + zero, message.len(), "a field that there is none of: {read:?}");
    read
}

fn code(response: &CheckResponse) -> i32 {
    response.status.as_ref().expect("has a status").code
}

fn pairs(headers: &[HeaderValueOption]) -> Vec<(&str, &str)> {
    headers.iter().map(|option| option.header.as_ref().unwrap()).map(|h| (h.key.as_str(), h.value.as_str())).collect()
}

fn refused(response: &CheckResponse) -> (i32, i32, &DeniedHttpResponse) {
    let (HttpResponse::DeniedResponse(body) | HttpResponse::ErrorResponse(body)) =
        response.http_response.as_ref().unwrap()
    else {
        panic!("an allow")
    };
    (code(response), body.status.as_ref().unwrap().code, body)
}

#[test]
fn an_allow_says_who_is_asking_and_overwrites_what_the_client_said() {
    let response = written(&verdict(Outcome::Allow, Reason::Permitted));
    assert_eq!(code(&response), 0);
    let Some(HttpResponse::OkResponse(ok)) = &response.http_response else { panic!("not an allow") };
    let id = DecisionId::NIL.to_string();
    assert_eq!(pairs(&ok.headers), [("x-spiffe-id", "spiffe://example.org/web"), ("x-decision-id", id.as_str())]);
    assert_eq!(pairs(&ok.response_headers_to_add), [("x-decision-id", id.as_str())]);
    assert_eq!(ok.headers_to_remove, ["x.spiffe_id"]);
    for option in ok.headers.iter().chain(&ok.response_headers_to_add) {
        assert_eq!(option.append_action(), HeaderAppendAction::OverwriteIfExistsOrAdd);
    }
}

/// Envoy's access log, and its other filters, find it in the metadata.
#[test]
fn an_answer_says_where_its_receipt_is_if_that_was_asked_whatever_it_is() {
    let texts = |response: &CheckResponse| {
        let fields = &response.dynamic_metadata.as_ref().unwrap().fields;
        ["receipt_url", "receipt"].map(|name| match &fields.get(name)?.kind {
            Some(Kind::StringValue(text)) => Some(text.clone()),
            other => panic!("{other:?}"),
        })
    };
    let (url, proof) = ("https://gate.example/v1/audit/receipt/0".to_owned(), "c2sp.org/tlog-proof@v1\n".to_owned());
    for (outcome, reason) in
        [(Outcome::Allow, Reason::Permitted), (Outcome::Deny, Reason::Forbidden), (Outcome::Error, Reason::Internal)]
    {
        for proof in [None, Some(proof.clone())] {
            let told = ReceiptTold { decision_id: DecisionId::NIL, url: url.clone(), proof: proof.clone() };
            let requested = Requested { receipt: Some(told), ..Requested::default() };
            let response = read(&answer(&verdict(outcome, reason), &config(), &requested).into_bytes());
            assert_eq!(texts(&response), [Some(url.clone()), proof]);
        }
        assert_eq!(texts(&written(&verdict(outcome, reason))), [None, None]);
    }
}

/// No id can pass for a SPIFFE ID or end the line, and a client's own copy of the header never gets through.
#[test]
fn a_backend_is_told_of_a_token_by_type_and_id_in_ascii() {
    for (id, told) in [
        ("alice", r#"Human::"alice""#),
        ("spiffe://example.org/web", r#"Human::"spiffe://example.org/web""#),
        ("é\r\nx: y\"", r#"Human::"\u{e9}\r\nx: y\"""#),
    ] {
        let principal = Some(Principal::of(&crate::decision::Entity::named("Human", id)));
        let response = written(&Verdict { principal, ..verdict(Outcome::Allow, Reason::Permitted) });
        let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("not an allow") };
        assert_eq!(ok.headers[0].header.clone().unwrap().value, told);
    }
}

#[test]
fn each_reason_to_deny_has_its_status() {
    for reason in Reason::ALL.into_iter().filter(|reason| reason.outcome() == Outcome::Deny) {
        let response = written(&verdict(Outcome::Deny, reason));
        let (code, status, body) = refused(&response);
        let expected = match reason {
            Reason::NoCertificate
            | Reason::BadCertificate
            | Reason::ExpiredCertificate
            | Reason::RevokedCertificate
            | Reason::UntrustedCertificate
            | Reason::PrincipalMismatch
            | Reason::NoToken
            | Reason::BadToken
            | Reason::ExpiredToken
            | Reason::UntrustedToken
            | Reason::ReplayedToken
            | Reason::OtherHolder
            | Reason::RevokedToken => (16, 401),
            Reason::BadPrincipal
            | Reason::BadMethod
            | Reason::BadPath
            | Reason::BadHost
            | Reason::BadHeader
            | Reason::BadQuery
            | Reason::BadBody
            | Reason::BadMessage
            | Reason::MetadataMismatch
            | Reason::MissingInput
            | Reason::Undecodable => (7, 400),
            Reason::TokensFull => (7, 503),
            _ => (7, 403),
        };
        assert_eq!((code, status), expected, "{reason:?}");
        assert!(matches!(response.http_response, Some(HttpResponse::DeniedResponse(_))));
        let told: serde_json::Value = serde_json::from_str(&body.body).unwrap();
        let id = DecisionId::NIL.to_string();
        let message = english(reason);
        assert_eq!(told, json!({"decision": false, "reason": reason.name(), "message": message, "decision_id": id}));
        let headers = pairs(&body.headers);
        let challenged = headers.iter().any(|(name, _)| *name == "www-authenticate");
        assert_eq!(challenged, status == 401, "{reason:?}");
        let plain: Vec<_> = headers.into_iter().filter(|(name, _)| *name != "www-authenticate").collect();
        let expected = [
            ("content-type", "application/json"),
            ("x-decision-id", id.as_str()),
            ("content-language", "en"),
            ("cache-control", "no-store"),
        ];
        assert_eq!(plain, expected);
    }
}

#[test]
fn a_fault_of_ours_is_an_error_response() {
    for (reason, expected) in [
        (Reason::Internal, (13, 500)),
        (Reason::DeadlineExpired, (14, 503)),
        (Reason::Overloaded, (14, 503)),
        (Reason::AuditUnavailable, (14, 503)),
    ] {
        let response = written(&verdict(Outcome::Error, reason));
        let (code, status, _body) = refused(&response);
        assert_eq!((code, status), expected, "{reason:?}");
        assert!(matches!(response.http_response, Some(HttpResponse::ErrorResponse(_))), "{reason:?}");
    }
}

#[test]
fn metadata_tells_the_access_log_about_every_answer() {
    let response = written(&verdict(Outcome::Deny, Reason::Forbidden));
    let fields = response.dynamic_metadata.unwrap().fields;
    let text = |name: &str| match &fields[name].kind {
        Some(Kind::StringValue(text)) => text.clone(),
        other => panic!("{name} is {other:?}"),
    };
    assert_eq!((text("decision"), text("reason"), text("cache")), ("deny".into(), "forbidden".into(), "miss".into()));
    assert_eq!(
        (text("principal"), text("decision_id")),
        ("spiffe://example.org/web".into(), DecisionId::NIL.to_string())
    );
    let Some(Kind::ListValue(policies)) = &fields["policies"].kind else { panic!("not a list") };
    assert_eq!(policies.values.len(), 2);
    let nobody = Verdict { principal: None, ..verdict(Outcome::Deny, Reason::NoCertificate) };
    assert!(!written(&nobody).dynamic_metadata.unwrap().fields.contains_key("principal"));
}

/// The golden matrix: whatever a verdict says, status 0 and an OK body come together and only for a true allow, and
/// nothing is ever left out.
#[test]
fn no_verdict_but_a_permitted_allow_with_a_principal_lets_anything_through() {
    for reason in Reason::ALL {
        for outcome in [Outcome::Allow, Outcome::Deny, Outcome::Error] {
            for known in [true, false] {
                let mut verdict = verdict(outcome, reason);
                verdict.principal = verdict.principal.filter(|_| known);
                let response = written(&verdict);
                let allows = outcome == Outcome::Allow && reason == Reason::Permitted && known;
                let ok = matches!(response.http_response, Some(HttpResponse::OkResponse(_)));
                assert_eq!((code(&response) == 0, ok), (allows, allows), "{verdict:?}");
                assert!(response.http_response.is_some() && response.dynamic_metadata.is_some());
                if !allows {
                    let (_code, status, _body) = refused(&response);
                    assert!(matches!(status, 400 | 401 | 403 | 500 | 503), "{verdict:?} became {status}");
                }
            }
        }
    }
}

#[test]
fn reason_names_are_distinct_words() {
    let mut names = Reason::ALL.map(Reason::name).to_vec();
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::ALL.len());
}

fn header_read(value: &str) -> Option<HeaderValueOption> {
    let frame = Message::framed(|message| header(message, 2, "x-any", value));
    DeniedHttpResponse::decode(&frame[5..]).unwrap().headers.pop()
}

/// Envoy without `validate_mutations` writes a CR LF in a denied response's header to the client as it is.
#[test]
fn no_header_value_can_split_a_response() {
    for value in ["a\r\nx-evil: 1", "a\n", "a\0", "a\tb", "é", "\u{7f}"] {
        assert_eq!(header_read(value), None, "{value:?}");
    }
    assert!(header_read("spiffe://example.org/web").is_some());
}

proptest! {
    #[test]
    fn every_header_value_that_is_sent_is_visible_ascii(value in any::<String>()) {
        if let Some(option) = header_read(&value) {
            prop_assert!(option.header.unwrap().value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
    }

    /// Whatever a verdict holds, what is read of its answer is what it says, and all of it.
    #[test]
    fn what_is_written_is_what_was_meant(
        reason in prop::sample::select(Reason::ALL.to_vec()),
        policies in proptest::collection::vec(".{0,80}", 0..20),
        lookalikes in proptest::collection::vec("[a-z_.]{1,200}", 0..4),
        principal in proptest::option::of("spiffe://[a-z]{1,60}/[a-zA-Z0-9]{1,400}"),
    ) {
        let verdict = Verdict {
            policies: policies.iter().map(|policy| Arc::from(policy.as_str())).collect(),
            principal: principal.as_ref().map(|id| id.parse::<SpiffeId>().unwrap().into()),
            ..verdict(reason.outcome(), reason)
        };
        let requested = Requested { removed: lookalikes.clone(), ..Requested::default() };
        let response = read(&answer(&verdict, &config(), &requested).into_bytes());
        let fields = response.dynamic_metadata.unwrap().fields;
        let text = |name: &str| match fields.get(name).and_then(|value| value.kind.clone()) {
            Some(Kind::StringValue(text)) => Some(text),
            _ => None,
        };
        prop_assert_eq!(text("principal"), principal.clone());
        let allows = reason == Reason::Permitted && principal.is_some();
        let expected = if allows { "allow" } else if reason.outcome() == Outcome::Deny { "deny" } else { "error" };
        prop_assert_eq!(text("decision"), Some(expected.to_owned()));
        let Some(Kind::ListValue(list)) = fields["policies"].kind.clone() else { panic!("not a list") };
        let texts = list.values.into_iter().map(|value| value.kind).collect::<Vec<_>>();
        prop_assert_eq!(texts, policies.into_iter().map(|policy| Some(Kind::StringValue(policy))).collect::<Vec<_>>());
        prop_assert_eq!(response.status.unwrap().message, reason.name());
        if let Some(HttpResponse::OkResponse(ok)) = response.http_response {
            prop_assert!(allows);
            prop_assert_eq!(ok.headers_to_remove, lookalikes);
            prop_assert_eq!(Some(ok.headers[0].header.clone().unwrap().value), principal);
        }
    }
}

/// The status and the body of the answer to a call.
fn answered(
    outcome: Outcome,
    reason: Reason,
    id: Option<serde_json::Value>,
    in_band: bool,
) -> (i32, serde_json::Value) {
    let call = Some(crate::decision::Call { id, in_band });
    let manner = Manner { call, ..Manner::default() };
    let written = written(&Verdict { manner, ..verdict(outcome, reason) });
    assert_ne!(code(&written), 0);
    let (status, headers, body) = match written.http_response.expect("says something") {
        HttpResponse::DeniedResponse(denied) => (denied.status, denied.headers, denied.body),
        HttpResponse::ErrorResponse(error) => (error.status, error.headers, error.body),
        HttpResponse::OkResponse(_) => panic!("allows"),
    };
    let json = headers.iter().filter_map(|header| header.header.as_ref());
    assert!(json.into_iter().any(|header| (&*header.key, &*header.value) == ("content-type", "application/json")));
    (status.expect("has a status").code, serde_json::from_str(&body).expect("is JSON"))
}

#[test]
fn a_call_is_answered_in_its_own_protocol() {
    let id = Some(serde_json::json!("a\"\r\n\u{2028}"));
    let (status, body) = answered(Outcome::Deny, Reason::NoPermit, id.clone(), true);
    assert_eq!(status, 200);
    let error = serde_json::json!({
        "code": -32001, "message": "access denied: no_permit",
        "data": {"reason": "no_permit", "decision_id": DecisionId::NIL.to_string()},
    });
    assert_eq!(body, serde_json::json!({"jsonrpc": "2.0", "id": id, "error": error}));
    for (outcome, reason, id, in_band, expected) in [
        (Outcome::Deny, Reason::Unregistered, Some(7.into()), false, (403, -32001)),
        (Outcome::Deny, Reason::MissingInput, Some(7.into()), true, (200, -32602)),
        (Outcome::Deny, Reason::BadBody, None, false, (400, -32600)),
        (Outcome::Deny, Reason::NoCertificate, Some(7.into()), true, (401, -32001)),
        (Outcome::Error, Reason::AuditUnavailable, Some(u64::MAX.into()), true, (503, -32603)),
        (Outcome::Error, Reason::Internal, Some(7.into()), true, (500, -32603)),
        // An allow that names nobody is an error.
        (Outcome::Allow, Reason::NoPermit, Some(7.into()), true, (500, -32603)),
    ] {
        let (status, body) = answered(outcome, reason, id.clone(), in_band);
        assert_eq!((status, body["error"]["code"].as_i64()), (expected.0, Some(expected.1)), "{reason:?}");
        assert_eq!(body["id"], id.unwrap_or_default());
    }
}

proptest! {
    #[test]
    fn whatever_the_id_is_the_answer_is_no_allow_and_names_it(id in ".{0,64}", reason in prop::sample::select(Reason::ALL[1..].to_vec())) {
        let (status, body) = answered(reason.outcome(), reason, Some(id.clone().into()), true);
        prop_assert!(matches!(status, 200 | 401 | 500 | 503));
        prop_assert_eq!(body["id"].as_str(), Some(&*id));
        prop_assert_eq!(body["error"]["data"]["reason"].as_str(), Some(reason.name()));
    }
}
