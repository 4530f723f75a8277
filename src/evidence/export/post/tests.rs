//! What a server is told, and what its answers mean.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Mutex;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::webhook::{Shape, Webhook, WebhookKey};
use super::*;
use crate::evidence::record::encoding::{self, OwnedRecord};
use crate::evidence::record::tests::examples;
use crate::evidence::record::{DecisionRecord, Outcome};
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::digest::Digest;

const LOG: &str = "example.org/audit/gate-1";

/// The key pair of RFC 8032 section 7.1, test 1.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// Answers in turn, and keeps what it was told.
#[derive(Debug, Default)]
struct Server {
    answers: Mutex<VecDeque<Result<Answer, String>>>,
    told: Arc<Mutex<Vec<Message>>>,
}

impl Courier for Server {
    fn tell(&self, message: Message) -> BoxFuture<'_, Result<Answer, String>> {
        self.told.lock().unwrap().push(message);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async { answer.unwrap_or_else(|| Ok(Answer { status: 200, ..Answer::default() })) })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the server keeps its answers")]
fn answer(status: u16, body: &str) -> Result<Answer, String> {
    Ok(Answer { status, body: body.into(), retry_after: None })
}

/// Gives one record of each kind, as they are read from the log, and returns what each attempt gave.
fn give(form: Form, answers: Vec<Result<Answer, String>>) -> (Vec<Result<(), String>>, Vec<Message>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let attempts = answers.len().max(1);
    let server = Server { answers: Mutex::new(answers.into()), ..Server::default() };
    let told = Arc::clone(&server.told);
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    let mut posts = Posts::new(form, Box::new(server), clock.clone(), runtime.handle().clone());
    let writer = encoding::Writer { gateway: "gate-1".into(), config: Digest::of(b"") };
    let entries: Vec<Vec<u8>> = examples()
        .iter()
        .map(|record| {
            let mut entry = Vec::new();
            encoding::write(&mut entry, &writer, record).unwrap();
            entry
        })
        .collect();
    let records: Vec<Exported<'_>> = (7..)
        .zip(&entries)
        .map(|(index, entry)| Exported { index, record: encoding::read(entry).unwrap().record })
        .collect();
    let results = (0..attempts).map(|_| {
        let given = posts.give(&records).map_err(|error| error.to_string());
        clock.advance(Duration::from_secs(1));
        given
    });
    let results = results.collect();
    let told = told.lock().unwrap().clone();
    (results, told)
}

fn body(message: &Message) -> Value {
    serde_json::from_slice(&message.body).unwrap()
}

fn otlp() -> Form {
    Form::Otlp(Otlp { log: LOG.to_owned(), gateway: "gate-1".to_owned() })
}

fn keys(lines: &str) -> Result<Vec<WebhookKey>, super::super::WebhookKeyError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    std::io::Write::write_all(&mut file.unwrap(), lines.as_bytes()).unwrap();
    WebhookKey::load(&path)
}

fn secret() -> String {
    format!("whsec_{}", STANDARD.encode([7; 32]))
}

fn webhook(shape: Shape, lines: &str) -> Form {
    Form::Webhook(Webhook::new(LOG.to_owned(), shape, keys(lines).unwrap()))
}

/// Reads an `AnyValue` back; whatever the standard does not have makes it fail.
fn plain(value: &Value) -> Value {
    let Some((kind, value)) = value.as_object().unwrap().iter().next() else { return Value::Null };
    let list = |name: &str| value[name].as_array().unwrap().clone();
    match kind.as_str() {
        "stringValue" => value.as_str().unwrap().into(),
        "boolValue" => value.as_bool().unwrap().into(),
        "intValue" => value.as_str().unwrap().parse::<i64>().unwrap().into(),
        "arrayValue" => list("values").iter().map(plain).collect(),
        "kvlistValue" => attributes(&list("values")),
        other => panic!("{other}"),
    }
}

fn attributes(list: &[Value]) -> Value {
    Value::Object(
        list.iter().map(|entry| (entry["key"].as_str().unwrap().to_owned(), plain(&entry["value"]))).collect(),
    )
}

#[test]
fn a_collector_gets_every_record_whole_in_the_standards_encoding() {
    let (results, told) = give(otlp(), Vec::new());
    assert_eq!(results, [Ok(())]);
    let request = body(&told[0]);
    let resource = attributes(request["resourceLogs"][0]["resource"]["attributes"].as_array().unwrap());
    assert_eq!((&resource["service.name"], &resource["portcullis.log"]), (&"portcullis".into(), &LOG.into()));
    let scope = &request["resourceLogs"][0]["scopeLogs"][0];
    let records = scope["logRecords"].as_array().unwrap();
    assert_eq!(records.len(), examples().len());
    for ((index, record), example) in (7_u64..).zip(records).zip(examples()) {
        let expected = serde_json::to_value(&example).unwrap();
        assert_eq!(plain(&record["body"]), expected);
        assert_eq!(record["eventName"], format!("portcullis.{}", expected["record"].as_str().unwrap()));
        assert_eq!(attributes(record["attributes"].as_array().unwrap()), json!({"portcullis.index": index}));
        let nanos: u64 = record["timeUnixNano"].as_str().unwrap().parse().unwrap();
        assert_eq!(serde_json::to_value(Timestamp::from_unix_nanos(nanos)).unwrap(), expected["time"]);
        assert!((1..=24).contains(&record["severityNumber"].as_u64().unwrap()));
    }
}

#[test]
fn what_is_not_taken_is_told_again_and_what_is_refused_for_good_is_not() {
    let partial = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
    let answers = vec![
        Err("can't connect".to_owned()),
        answer(503, "busy\u{1b}[2J"),
        answer(301, ""),
        answer(200, partial),
        answer(202, "not JSON"),
    ];
    let (results, told) = give(otlp(), answers);
    assert_eq!(told.len(), 5);
    assert_eq!(results[0], Err("can't connect".to_owned()));
    let why = results[1].clone().unwrap_err();
    assert!(why.contains("503: busy") && !why.contains('\u{1b}'), "{why}");
    assert!(results[2].is_err());
    assert_eq!(results[3..], [Ok(()), Ok(())]);
}

/// Who says when to come again is not asked before, whatever else is tried again by then.
#[test]
fn a_server_that_says_when_is_told_again_then() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let wish = Some(Duration::from_secs(7));
    let answers = [429, 503, 413].map(|status| Ok(Answer { status, retry_after: wish, ..Answer::default() }));
    let server = Server { answers: Mutex::new(answers.into()), ..Server::default() };
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    let mut posts = Posts::new(otlp(), Box::new(server), clock, runtime.handle().clone());
    for _ in 0..2 {
        assert!(matches!(posts.give(&[]), Err(SinkError::Later(_, after)) if Some(after) == wish));
    }
    assert!(matches!(posts.give(&[]), Err(SinkError::Unacceptable(_))), "what is for good is not told again");
}

#[test]
fn what_is_said_of_the_records_is_for_good_and_what_is_said_of_us_is_not() {
    let lines = secret();
    let meant = |status| {
        [otlp(), webhook(Shape::Records, &lines)].map(|form| match form.refusal(status)(String::new()) {
            SinkError::Unacceptable(_) => "never",
            SinkError::Ended(_) => "ended",
            _ => "again",
        })
    };
    assert_eq!(meant(413), ["never", "never"]);
    assert_eq!(meant(400), ["never", "again"]);
    assert_eq!(meant(422), ["never", "again"]);
    assert_eq!(meant(410), ["never", "ended"]);
    for status in [301, 401, 403, 404, 405, 407, 408, 425, 429, 500, 502, 503, 504] {
        assert_eq!(meant(status), ["again", "again"], "{status}");
    }
}

#[test]
fn a_webhook_is_signed_by_all_its_keys_and_keeps_its_id() {
    let whole = STANDARD.encode(hex::decode(format!("{SEED}{PUBLIC}")).unwrap());
    let lines = format!("{}\n\nwhsk_{whole}\n", secret());
    let (_, told) = give(webhook(Shape::Records, &lines), vec![answer(500, ""), answer(200, "")]);
    let header =
        |message: &Message, name: &str| message.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    assert_eq!(header(&told[0], "webhook-id"), header(&told[1], "webhook-id"));
    assert!(!header(&told[0], "webhook-id").contains('.'));
    assert_eq!(told[0].body, told[1].body);
    assert_ne!(header(&told[0], "webhook-timestamp"), header(&told[1], "webhook-timestamp"));
    for message in &told {
        let (id, time) = (header(message, "webhook-id"), header(message, "webhook-timestamp"));
        let signed = [id.as_bytes(), b".", time.as_bytes(), b".", &message.body].concat();
        let signatures = header(message, "webhook-signature");
        let (shared, asymmetric) = signatures.split_once(' ').unwrap();
        let tag = STANDARD.decode(shared.strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), &signed, &tag).unwrap();
        let signature = STANDARD.decode(asymmetric.strip_prefix("v1a,").unwrap()).unwrap();
        UnparsedPublicKey::new(&ED25519, hex::decode(PUBLIC).unwrap()).verify(&signed, &signature).unwrap();
    }
    let message = body(&told[0]);
    assert_eq!((&message["type"], &message["data"]["log"]), (&"portcullis.audit.records".into(), &LOG.into()));
    for ((index, told), example) in (7..).zip(message["data"]["records"].as_array().unwrap()).zip(examples()) {
        assert_eq!(*told, json!({"index": index, "record": serde_json::to_value(&example).unwrap()}));
    }
}

/// The example of the specification's reference implementations.
#[test]
fn the_signature_is_the_one_that_others_make() {
    let key = &keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()[0];
    let signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
    assert_eq!(key.sign(signed), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn keys_that_are_none_or_open_to_others_are_refused() {
    let short = format!("whsec_{}", STANDARD.encode([7; 23]));
    let wrong = format!("whsk_{}", STANDARD.encode(hex::decode(format!("{SEED}{SEED}")).unwrap()));
    for lines in ["", "\n", "whsec_", "whsec_!", "nonsense", &short, &wrong, &format!("{}\nnonsense", secret())] {
        assert!(keys(lines).is_err(), "{lines}");
    }
    let open = tempfile::NamedTempFile::new().unwrap();
    fs::write(open.path(), secret()).unwrap();
    fs::set_permissions(open.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(WebhookKey::load(open.path()).is_err());
    assert_eq!(format!("{:?}", keys(&secret()).unwrap()), "[WebhookKey]");
}

/// What the class API Activity demands, and what every class does.
#[test]
fn every_record_is_an_event_of_ocsf() {
    let (_, told) = give(webhook(Shape::Ocsf, &secret()), Vec::new());
    let message = body(&told[0]);
    let events = message["data"]["records"].as_array().unwrap();
    for (event, example) in events.iter().zip(examples()) {
        for name in ["activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id"] {
            assert!(!event[name].is_null(), "{name}: {event}");
        }
        assert!(event["src_endpoint"]["name"].is_string() && event["api"]["operation"].is_string(), "{event}");
        assert!(event["metadata"]["product"]["vendor_name"].is_string() && event["metadata"]["version"].is_string());
        let activity = event["activity_id"].as_u64().unwrap();
        assert!(matches!(activity, 0..=4 | 99));
        assert_eq!(event["type_uid"].as_u64().unwrap(), 6003 * 100 + activity);
        assert!(event["time"].as_u64().unwrap() > 1_700_000_000_000, "in milliseconds");
        assert_eq!(event["unmapped"], serde_json::to_value(&example).unwrap());
        assert!(event.as_object().unwrap().values().all(|value| !value.is_null()), "null is no text: {event}");
    }
    let decision = &events[0];
    assert_eq!((&decision["activity_name"], &decision["status_id"]), (&"Delete".into(), &2.into()));
    let authorization = &decision["actor"]["authorizations"][0];
    assert_eq!(*authorization, json!({"decision": "Denied", "policy": {"uid": "orders.batch-never-deletes"}}));
    assert_eq!(events[0]["metadata"]["uid"], format!("{LOG}/7"));
}

#[test]
fn an_event_begins_as_a_file_of_them_does_whatever_it_is_of() {
    for outcome in [Outcome::Allow, Outcome::Deny, Outcome::Error] {
        for action in ["read", "POST", "edit", "connect"] {
            let record = DecisionRecord {
                decision: outcome,
                action: action.into(),
                policies: Arc::new([]),
                ..crate::evidence::record::tests::decision(Timestamp::default())
            };
            let exported = Exported { index: 1, record: OwnedRecord::Decision(Box::new(record)) };
            let event = super::super::ocsf::event(LOG, &exported).unwrap();
            let line = serde_json::to_vec(&event).unwrap();
            assert!(line.starts_with(super::super::ocsf::START));
            assert_eq!(event["activity_name"] == action, action == "connect");
        }
    }
}
