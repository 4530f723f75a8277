use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::*;
use crate::evidence::{AppendError, Audit, OutboundRecord, Outcome, Record, Taken};
use crate::foundation::backoff::Backoff;
use crate::foundation::clock::{Clock as _, ManualClock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::secret::Secret;
use crate::identity::issue::IssueError;

const START: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
const WEB: &str = "spiffe://example.org/web";
const ASSERTION: &str = "head.claims.signature";

/// All that a keeper knows, and what it said.
#[derive(Debug)]
struct World {
    clock: ManualClock,
    answers: Mutex<VecDeque<Result<TokenAnswer, String>>>,
    asked: Mutex<Vec<Secret<String>>>,
    records: Mutex<Vec<OutboundRecord>>,
    events: Mutex<Vec<String>>,
    is_somebody: AtomicBool,
    is_full: AtomicBool,
}

/// The world, as each port sees it.
#[derive(Clone, Debug)]
struct Seen(Arc<World>);

impl TokenEndpoint for Seen {
    fn post(&self, form: Secret<String>) -> BoxFuture<'_, Result<TokenAnswer, String>> {
        self.0.asked.lock().unwrap().push(form);
        let answer = self.0.answers.lock().unwrap().pop_front().unwrap();
        Box::pin(std::future::ready(answer))
    }
}

impl Assertions for Seen {
    fn sign(&self, client: &SpiffeId, audience: &str) -> Result<Secret<String>, IssueError> {
        assert_eq!(audience, "https://login.example.com");
        if !self.grants(client) {
            return Err(IssueError::NotGranted(client.clone()));
        }
        Ok(Secret::new(ASSERTION.to_owned()))
    }

    fn grants(&self, _client: &SpiffeId) -> bool {
        self.0.is_somebody.load(Ordering::SeqCst)
    }
}

impl Audit for Seen {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        if self.0.is_full.load(Ordering::SeqCst) {
            return Err(AppendError::Full);
        }
        let Record::Outbound(record) = record else { panic!("{record:?}") };
        self.0.records.lock().unwrap().push(*record);
        Ok(Taken::NOW)
    }
}

impl OutboundEvents for Seen {
    fn obtained(&self, _target: &Target, granted: &Granted, not_after: Timestamp) {
        self.0.events.lock().unwrap().push(format!("obtained {granted:?} {not_after}"));
    }

    fn failed(&self, _target: &Target, error: &ObtainError, is_held: bool) {
        self.0.events.lock().unwrap().push(format!("failed {error} {is_held}"));
    }

    fn ended(&self, _target: &Target) {
        self.0.events.lock().unwrap().push("ended".to_owned());
    }
}

#[derive(Debug)]
struct Time(Arc<World>);

impl crate::foundation::clock::Clock for Time {
    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.clock.elapsed()
    }
}

struct Fixture {
    world: Arc<World>,
    tokens: Arc<Tokens>,
    keeper: Keeper,
    backoff: Backoff,
}

impl Fixture {
    fn new(answers: impl IntoIterator<Item = Result<TokenAnswer, String>>) -> Self {
        let world = Arc::new(World {
            clock: ManualClock::new(START),
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
            records: Mutex::default(),
            events: Mutex::default(),
            is_somebody: AtomicBool::new(true),
            is_full: AtomicBool::new(false),
        });
        let seen = Seen(Arc::clone(&world));
        let ports = Ports {
            assertions: Arc::new(seen.clone()),
            audit: Arc::new(seen.clone()),
            events: Arc::new(seen.clone()),
            clock: Arc::new(Time(Arc::clone(&world))),
            entropy: Arc::new(SystemEntropy::new()),
        };
        let tokens = Arc::new(Tokens::new([&target()]));
        let keeper = Keeper::new(target(), Box::new(seen), Arc::clone(&tokens), ports);
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        Self { world, tokens, keeper, backoff }
    }

    async fn turn(&mut self) -> Duration {
        self.keeper.turn(&mut self.backoff).await
    }

    /// What a workload gets: the value of each credential.
    fn of(&self, id: &str) -> Vec<(String, Option<String>)> {
        let id: SpiffeId = id.parse().unwrap();
        let credentials = self.tokens.of(&[&id], self.world.clock.now());
        let text = |value: Secret<Vec<u8>>| String::from_utf8(value.expose().clone()).unwrap();
        credentials.into_iter().map(|one| (one.name.to_string(), one.value.map(text))).collect()
    }

    fn pass(&self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
    }

    fn last_event(&self) -> String {
        self.world.events.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

fn target() -> Target {
    Target {
        name: "billing".into(),
        endpoint: "https://login.example.com/token".to_owned(),
        client: WEB.parse().unwrap(),
        client_id: None,
        audience: "https://login.example.com".to_owned(),
        assertion_type: AssertionType::Spiffe,
        scope: Some("invoices:read invoices:list".to_owned()),
        resource: None,
        workloads: [WEB.parse().unwrap()].into(),
    }
}

fn answer(status: u16, body: &str) -> TokenAnswer {
    TokenAnswer { status, retry_after: None, body: Secret::new(body.as_bytes().to_vec()) }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what an endpoint answers, among others")]
fn granted(token: &str, seconds: u64) -> Result<TokenAnswer, String> {
    Ok(answer(200, &format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#)))
}

fn bearing(token: &str) -> Vec<(String, Option<String>)> {
    vec![("outbound/billing".to_owned(), Some(format!("Bearer {token}")))]
}

fn emptied() -> Vec<(String, Option<String>)> {
    vec![("outbound/billing".to_owned(), None)]
}

fn fields(form: &Secret<String>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(form.expose().as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn what_is_sent_is_a_client_credentials_grant_with_the_svid_for_a_secret() {
    let mut fixture = Fixture::new([granted("t", 600)]);
    fixture.turn().await;
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", WEB),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"),
        ("client_assertion", ASSERTION),
        ("scope", "invoices:read invoices:list"),
    ];
    let sent = fields(&fixture.world.asked.lock().unwrap()[0]);
    assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_server_may_know_the_client_by_another_name_and_the_assertion_as_any_jwt() {
    let target = Target {
        client_id: Some("app-7".to_owned()),
        assertion_type: AssertionType::Bearer,
        scope: None,
        resource: Some("https://billing.example.com/&x=1".to_owned()),
        ..target()
    };
    let sent = fields(&target.form(&Secret::new(ASSERTION.to_owned())));
    let value = |name: &str| sent.iter().find(|field| field.0 == name).map(|field| field.1.as_str());
    assert_eq!(value("client_id"), Some("app-7"));
    assert_eq!(value("client_assertion_type"), Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    assert_eq!((value("scope"), value("resource")), (None, Some("https://billing.example.com/&x=1")));
}

#[tokio::test]
async fn a_token_is_for_those_alone_whom_the_target_names_and_renewed_at_half_of_its_life() {
    let mut fixture = Fixture::new([granted("first", 600), granted("second", 600)]);
    assert_eq!(fixture.of(WEB), [], "nobody has asked yet");
    let pause = fixture.turn().await;
    assert!((300..=360).contains(&pause.as_secs()), "{pause:?}");
    assert_eq!(fixture.of(WEB), bearing("first"));
    assert_eq!(fixture.of("spiffe://example.org/batch"), []);
    fixture.pass(pause.as_secs());
    fixture.turn().await;
    assert_eq!(fixture.of(WEB), bearing("second"));
}

#[tokio::test]
async fn a_token_that_can_not_be_renewed_is_used_until_its_end_and_not_a_moment_longer() {
    let mut fixture = Fixture::new([granted("t", 60), Err("no answer".to_owned()), Ok(answer(503, ""))]);
    fixture.turn().await;
    fixture.pass(31);
    fixture.turn().await;
    assert_eq!((fixture.of(WEB), fixture.last_event()), (bearing("t"), "failed no answer true".to_owned()));
    fixture.pass(29);
    assert_eq!(fixture.of(WEB), emptied(), "even before the keeper has looked");
    let before = fixture.tokens.subscribe();
    assert!(fixture.keeper.look());
    assert_eq!(fixture.last_event(), "ended");
    assert!(before.has_changed().unwrap(), "whoever holds it must be told");
    fixture.turn().await;
    assert_eq!(fixture.of(WEB), emptied());
    assert!(fixture.last_event().ends_with("false"), "{}", fixture.last_event());
}

#[tokio::test]
async fn who_waits_for_a_token_that_can_not_be_had_learns_that_and_is_told_once() {
    let mut fixture = Fixture::new([Err("no".to_owned()), Err("no".to_owned()), granted("t", 600)]);
    let mut changes = fixture.tokens.subscribe();
    fixture.turn().await;
    assert_eq!((fixture.of(WEB), changes.has_changed().unwrap()), (emptied(), true));
    changes.mark_unchanged();
    fixture.turn().await;
    assert!(!changes.has_changed().unwrap());
    fixture.turn().await;
    assert_eq!((fixture.of(WEB), changes.has_changed().unwrap()), (bearing("t"), true));
}

#[tokio::test]
async fn a_client_that_no_entry_grants_any_more_has_no_token_at_once_and_none_is_asked_for() {
    let mut fixture = Fixture::new([granted("t", 600)]);
    fixture.turn().await;
    fixture.world.is_somebody.store(false, Ordering::SeqCst);
    assert!(!fixture.keeper.look());
    assert_eq!((fixture.of(WEB), fixture.last_event()), (emptied(), "ended".to_owned()));
    fixture.turn().await;
    assert_eq!(fixture.world.asked.lock().unwrap().len(), 1);
    let records = fixture.world.records.lock().unwrap();
    assert_eq!((records[1].outcome, records[1].assertion), (Outcome::Error, None));
}

#[tokio::test]
async fn a_token_that_can_not_be_recorded_is_handed_to_nobody() {
    let mut fixture = Fixture::new([granted("t", 600)]);
    fixture.world.is_full.store(true, Ordering::SeqCst);
    fixture.turn().await;
    assert_eq!(fixture.of(WEB), emptied());
    assert!(fixture.last_event().contains("can't be recorded"), "{}", fixture.last_event());
}

#[tokio::test]
async fn each_token_and_each_refusal_is_recorded_and_nothing_secret_is_said_anywhere() {
    let refusal = r#"{"error":"invalid_client","error_description":"not\u001b[2J known"}"#;
    let mut fixture = Fixture::new([granted("s3cret", 600), Ok(answer(401, refusal)), Ok(answer(200, "s3cret"))]);
    for _ in 0..3 {
        fixture.turn().await;
    }
    let records = fixture.world.records.lock().unwrap();
    let outcomes: Vec<_> = records.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Outcome::Allow, Outcome::Deny, Outcome::Error]);
    assert_eq!(records[0].token, Some(Digest::of(b"s3cret")));
    assert_eq!(records[0].not_after, Some(START.after(Duration::from_mins(10))));
    assert!(records.iter().all(|record| record.assertion == Some(Digest::of(ASSERTION.as_bytes()))));
    assert_eq!(records[1].error.as_deref(), Some(r"refused with 401: invalid_client: not\u{1b}[2J known"));
    let said = format!("{records:?} {:?} {:?} {:?}", fixture.world.events, fixture.tokens, fixture.world.asked);
    assert!(!said.contains("s3cret") && !said.contains(ASSERTION), "{said}");
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is_but_not_for_ever() {
    let wishing = |seconds| TokenAnswer { retry_after: Some(Duration::from_secs(seconds)), ..answer(429, "{}") };
    let mut fixture = Fixture::new([Ok(wishing(90)), Ok(wishing(1_000_000))]);
    assert_eq!(fixture.turn().await, Duration::from_secs(90));
    assert_eq!(fixture.turn().await, Duration::from_mins(5));
}

#[test]
fn an_answer_that_is_no_bearer_token_is_refused() {
    let read = |body: &str| Granted::read(&answer(200, body)).map(|granted| granted.lives.as_secs());
    let with = |fields: &str| read(&format!(r#"{{"access_token":"a.b_c~d+e/f-g==",{fields}}}"#));
    assert_eq!(with(r#""token_type":"bearer","expires_in":"3599""#), Ok(3599));
    assert_eq!(with(r#""token_type":"Bearer""#), Ok(60), "a token that lives who knows how long");
    assert_eq!(with(r#""token_type":"Bearer","expires_in":99999999"#), Ok(86_400));
    for fields in [
        r#""token_type":"DPoP","expires_in":60"#,
        r#""expires_in":60"#,
        r#""token_type":"Bearer","expires_in":0"#,
        r#""token_type":"Bearer","expires_in":-1"#,
        r#""token_type":"Bearer","expires_in":"soon""#,
        r#""token_type":"Bearer","token_type":"Bearer","expires_in":60"#,
    ] {
        assert!(matches!(with(fields), Err(Refusal::Malformed(_))), "{fields}");
    }
    let long = "x".repeat((16 << 10) + 1);
    for token in ["", "=", "a b", r"a\r\nx-admin: 1", "ä", "a,b", r"a\u0000", &long] {
        let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":60}}"#);
        assert!(matches!(read(&body), Err(Refusal::Malformed(_))), "{token}");
    }
    for body in ["", "[]", "null", "{", r#"{"access_token":7,"token_type":"Bearer"}"#] {
        assert!(matches!(read(body), Err(Refusal::Malformed(_))), "{body}");
    }
}

#[test]
fn only_a_word_of_the_server_is_a_refusal_and_only_a_lasting_one_is_final() {
    let read = |status, body: &str| Granted::read(&answer(status, body)).unwrap_err();
    assert!(read(400, r#"{"error":"invalid_scope"}"#).is_final());
    assert!(!read(503, r#"{"error":"temporarily_unavailable"}"#).is_final());
    for status in [201, 204, 301, 302, 404, 500] {
        let body = r#"{"access_token":"t","token_type":"Bearer","expires_in":60}"#;
        assert_eq!(read(status, body), Refusal::Status { status });
    }
}
