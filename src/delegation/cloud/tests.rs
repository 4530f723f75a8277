//! The clouds' answers are those of `tests/data/cloud`, which says where they are documented.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::future::BoxFuture;

use super::aws::AssumeRole;
use super::*;
use crate::foundation::entropy::SystemEntropy;

const ASSUMED: &str = include_str!("../../../tests/data/cloud/aws-assumed.xml");
const DENIED: &str = include_str!("../../../tests/data/cloud/aws-denied.xml");
const EXPIRED: &str = include_str!("../../../tests/data/cloud/aws-expired.xml");
const UNREACHABLE: &str = include_str!("../../../tests/data/cloud/aws-unreachable.xml");
const UNVERIFIED: &str = include_str!("../../../tests/data/cloud/aws-unverified.xml");
const FORGED: &str = include_str!("../../../tests/data/cloud/aws-forged.xml");
const THROTTLED: &str = include_str!("../../../tests/data/cloud/aws-throttled.xml");
const GCP_TOKEN: &str = include_str!("../../../tests/data/cloud/gcp-token.json");
const GCP_REFUSED: &str = include_str!("../../../tests/data/cloud/gcp-refused.json");
const AZURE_TOKEN: &str = include_str!("../../../tests/data/cloud/azure-token.json");
const AZURE_REFUSED: &str = include_str!("../../../tests/data/cloud/azure-refused.json");

const MINUTE: Duration = Duration::from_mins(1);

fn answer(status: u16, body: &str) -> TokenAnswer {
    TokenAnswer { status, retry_after: None, body: Secret::new(body.as_bytes().to_vec()) }
}

fn svid() -> Secret<String> {
    Secret::new("head.claims.signature".to_owned())
}

fn role() -> AssumeRole {
    AssumeRole {
        role: "arn:aws:iam::123456789012:role/reader".to_owned(),
        session: "example.org.web".to_owned(),
        duration: Duration::from_hours(1),
        policy: Some(r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned()),
    }
}

/// What is sent, in order.
fn sent(form: &Secret<String>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(form.expose().as_bytes()).into_owned().collect()
}

fn fields(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A service that answers as it is told, and then no more.
#[derive(Debug)]
struct Scripted(Mutex<VecDeque<Result<TokenAnswer, String>>>);

impl TokenEndpoint for Scripted {
    fn post(&self, _form: Secret<String>) -> BoxFuture<'_, Result<TokenAnswer, String>> {
        match self.0.lock().unwrap().pop_front() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => Box::pin(std::future::pending()),
        }
    }
}

async fn assume(answers: Vec<Result<TokenAnswer, String>>) -> (Result<aws::Credentials, CloudError>, usize) {
    let service = Scripted(Mutex::new(answers.into()));
    let outcome = exchange(&service, &svid(), MINUTE, &SystemEntropy::new(), aws::read).await;
    let unused = service.0.lock().unwrap().len();
    (outcome, unused)
}

#[test]
fn aws_is_asked_for_one_role_and_its_answer_read_whole() {
    let expected = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", "arn:aws:iam::123456789012:role/reader"),
        ("RoleSessionName", "example.org.web"),
        ("DurationSeconds", "3600"),
        ("Policy", r#"{"Version":"2012-10-17","Statement":[]}"#),
        ("WebIdentityToken", "head.claims.signature"),
    ];
    assert_eq!(sent(&role().form(&svid())), fields(&expected));
    let read = aws::read(&answer(200, ASSUMED)).unwrap();
    assert_eq!((&*read.access_key_id, &**read.secret_access_key.expose()), ("ASIAEXAMPLE", "secret/access+key"));
    assert_eq!(&**read.session_token.expose(), "session+token/with==&more");
    assert_eq!(read.expiration, "2026-11-23T01:00:00Z");
    assert!(!format!("{read:?}").contains("secret/access+key"));
}

#[test]
fn an_answer_of_aws_that_lacks_anything_gives_nothing() {
    for name in ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"] {
        for body in [
            ASSUMED.replace(&format!("<{name}>"), "<Other>"),
            ASSUMED.replace(&format!("<{name}>"), &format!("<{name}></{name}><{name}>")),
            ASSUMED.replace(&format!("<{name}>"), &format!("<{name}>a b")),
            ASSUMED.replace(&format!("<{name}>"), &format!("<{name}>&#13;&#10;a")),
            ASSUMED.replace(&format!("<{name}>"), &format!("<{name}>&#0;a")),
            ASSUMED.replace(&format!("<{name}>"), &format!("<{name}>&#x202e;a")),
        ] {
            let error = aws::read(&answer(200, &body)).unwrap_err();
            assert_eq!((&*error.code, error.is_passing), ("unexpected_answer", false), "{body}");
        }
    }
}

#[test]
fn what_aws_would_not_look_at_is_not_sent() {
    assert_eq!(role().check(), Ok(()));
    let with = |change: fn(&mut AssumeRole)| {
        let mut role = role();
        change(&mut role);
        role.check()
    };
    assert!(with(|role| role.role = "reader".to_owned()).is_err());
    assert!(with(|role| role.role.push('\n')).is_err());
    assert!(with(|role| role.session = "a b".to_owned()).is_err());
    assert!(with(|role| role.session = "x".repeat(65)).is_err());
    assert!(with(|role| role.duration = Duration::from_secs(899)).is_err());
    assert!(with(|role| role.duration = Duration::from_secs(43_201)).is_err());
    assert!(with(|role| role.policy = Some(" ".repeat(2049))).is_err());
    for region in ["", "eu-west-1/", "evil.example/?", "EU-WEST-1"] {
        assert!(aws::endpoint(region).is_err(), "{region}");
    }
    assert_eq!(aws::endpoint("eu-west-1").as_deref(), Ok("https://sts.eu-west-1.amazonaws.com/"));
    assert_eq!(aws::endpoint("cn-north-1").as_deref(), Ok("https://sts.cn-north-1.amazonaws.com.cn/"));
}

#[test]
fn a_session_is_called_as_its_workload_is_as_far_as_there_is_room() {
    assert_eq!(aws::session_name("spiffe://example.org/ns/prod/web_1"), "example.org.ns.prod.web_1");
    let long = aws::session_name(&format!("spiffe://example.org/{}", "x/".repeat(200)));
    assert_eq!(long.len(), 64);
    assert_eq!(AssumeRole { session: long, ..role() }.check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let passing = [
        Ok(answer(400, THROTTLED)),
        Ok(answer(400, UNREACHABLE)),
        Ok(answer(400, UNVERIFIED)),
        Ok(answer(503, "<html>")),
        Ok(answer(429, "")),
        Err("can't connect".to_owned()),
    ];
    let (outcome, unused) = assume(passing.into_iter().chain([Ok(answer(200, ASSUMED))]).collect()).await;
    assert_eq!((outcome.unwrap().access_key_id.as_str(), unused), ("ASIAEXAMPLE", 0));
    for (status, body, code) in
        [(403, DENIED, "AccessDenied"), (400, EXPIRED, "ExpiredTokenException"), (400, FORGED, "InvalidIdentityToken")]
    {
        let (outcome, unused) = assume(vec![Ok(answer(status, body)), Ok(answer(200, ASSUMED))]).await;
        assert_eq!((&*outcome.unwrap_err().code, unused), (code, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_in_time_and_says_the_last_thing_that_was_heard() {
    let (silent, _) = assume(Vec::new()).await;
    assert_eq!(silent.unwrap_err().code, "timeout");
    let (outcome, _) = assume((0..1000).map(|_| Ok(answer(400, THROTTLED))).collect()).await;
    assert_eq!(outcome.unwrap_err().to_string(), "Throttling: Rate exceeded");
}

#[test]
fn google_is_asked_for_an_exchange_and_its_words_are_told() {
    let provider = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/spiffe";
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", provider),
        ("scope", "https://www.googleapis.com/auth/cloud-platform"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", "head.claims.signature"),
    ];
    assert_eq!(sent(&gcp::request(provider, gcp::SCOPE, &svid())), fields(&expected));
    let granted = gcp::read(&answer(200, GCP_TOKEN)).unwrap();
    assert_eq!((&**granted.token.expose(), granted.lives.as_secs()), ("ya29.d.federated-token", 3599));
    let error = gcp::read(&answer(400, GCP_REFUSED)).unwrap_err();
    assert_eq!((&*error.code, error.is_passing), ("invalid_grant", false));
    assert!(gcp::read(&answer(503, GCP_REFUSED)).unwrap_err().is_passing);
}

#[test]
fn azure_is_asked_with_the_svid_for_a_secret_and_its_words_can_not_break_a_line() {
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "11111111-2222-3333-4444-555555555555"),
        ("scope", "https://vault.azure.net/.default"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", "head.claims.signature"),
    ];
    let form = azure::request("11111111-2222-3333-4444-555555555555", "https://vault.azure.net/.default", &svid());
    assert_eq!(sent(&form), fields(&expected));
    assert_eq!(azure::endpoint(azure::AUTHORITY, "t"), "https://login.microsoftonline.com/t/oauth2/v2.0/token");
    assert_eq!(azure::endpoint("https://login.example.com", "t"), "https://login.example.com/t/oauth2/v2.0/token");
    let granted = azure::read(&answer(200, AZURE_TOKEN)).unwrap();
    assert_eq!(&**granted.token.expose(), "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJ4In0.c2lnbmF0dXJl");
    let error = azure::read(&answer(401, AZURE_REFUSED)).unwrap_err().to_string();
    assert!(error.starts_with("invalid_client: AADSTS700213") && !error.contains('\n'), "{error}");
}
