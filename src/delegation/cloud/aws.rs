//! AWS's Security Token Service: `AssumeRoleWithWebIdentity`, in the query protocol, whose answers are XML.

mod xml;

use std::time::Duration;

use super::super::outbound::answer::is_passing;
use super::super::outbound::{TokenAnswer, form};
use super::CloudError;
use crate::foundation::secret::Secret;
use crate::foundation::telemetry::printable;

/// How long a role may be assumed, at the least and at the most; the role's own limit may be lower.
pub const DURATIONS: (Duration, Duration) = (Duration::from_mins(15), Duration::from_hours(12));

/// The longest name of a session.
const MAX_SESSION_NAME: usize = 64;

/// The longest session policy, in characters.
const MAX_POLICY: usize = 2048;

/// How much of the service's words is shown, in bytes.
const MAX_SHOWN: usize = 256;

/// Errors that are answered with 400 and pass all the same.
const PASSING: [&str; 5] =
    ["IDPCommunicationError", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"];

/// What AWS calls a token whose keys it could not fetch in time, by the same code as one that is forged. AWS's own libraries ask
/// again too.
const UNVERIFIED: (&str, &str) = ("InvalidIdentityToken", "Couldn't retrieve verification key");

/// What is to be assumed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AssumeRole {
    /// Its ARN.
    pub role: String,
    /// What the session is called in AWS's logs.
    pub session: String,
    /// For how long.
    pub duration: Duration,
    /// A policy that narrows what the role may do, as JSON.
    pub policy: Option<String>,
}

/// What a role was assumed by.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `AccessKeyId`, which is no secret.
    pub access_key_id: String,
    /// `SecretAccessKey`.
    pub secret_access_key: Secret<String>,
    /// `SessionToken`.
    pub session_token: Secret<String>,
    /// Until when, as it was told: RFC 3339.
    pub expiration: String,
}

impl AssumeRole {
    /// Whether AWS would even look at it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let (least, most) = DURATIONS;
        if !self.role.starts_with("arn:") || self.role.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(format!("`{}` is no ARN of a role", printable(&self.role, MAX_SHOWN)));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_=,.@-".contains(c);
        if !(2..=MAX_SESSION_NAME).contains(&self.session.len()) || !self.session.chars().all(is_plain) {
            let session = printable(&self.session, MAX_SHOWN);
            return Err(format!(
                "`{session}` is not 2 to 64 letters, digits and `_=,.@-`, as the name of a session is"
            ));
        }
        if self.duration < least || self.duration > most {
            return Err(format!("{:?} is not between 15 minutes and 12 hours", self.duration));
        }
        if self.policy.as_ref().is_some_and(|policy| policy.chars().count() > MAX_POLICY) {
            return Err(format!("a session policy may have {MAX_POLICY} characters"));
        }
        Ok(())
    }

    /// The form by which it is assumed with `token`.
    pub fn form(&self, token: &Secret<String>) -> Secret<String> {
        let seconds = self.duration.as_secs().to_string();
        let fields = [
            ("Action", Some("AssumeRoleWithWebIdentity")),
            ("Version", Some("2011-06-15")),
            ("RoleArn", Some(self.role.as_str())),
            ("RoleSessionName", Some(self.session.as_str())),
            ("DurationSeconds", Some(seconds.as_str())),
            ("Policy", self.policy.as_deref()),
            ("WebIdentityToken", Some(token.expose().as_str())),
        ];
        form(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }
}

/// A session's name that says whose it is: the SPIFFE ID, with a dot for what AWS does not allow there, its end if it is too
/// long.
pub fn session_name(spiffe_id: &str) -> String {
    let id = spiffe_id.strip_prefix("spiffe://").unwrap_or(spiffe_id);
    let name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '.' }).collect();
    name.get(name.len().saturating_sub(MAX_SESSION_NAME)..).unwrap_or_default().to_owned()
}

/// The regional service, in the partition of that region.
pub fn endpoint(region: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || !region.bytes().all(is_plain) {
        return Err(format!("`{}` is no region", printable(region, MAX_SHOWN)));
    }
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    Ok(format!("https://sts.{region}.amazonaws.com{china}/"))
}

/// The credentials in an answer.
///
/// # Errors
/// [`CloudError`].
pub fn read(answer: &TokenAnswer) -> Result<Credentials, CloudError> {
    let status = answer.status;
    let unusable =
        |what: &str| CloudError { is_passing: is_passing(status), ..CloudError::last("unexpected_answer", what) };
    let body = str::from_utf8(answer.body.expose()).map_err(|_bytes| unusable("the answer is not text"))?;
    let text = |name: &str| xml::text(body, name);
    if status != 200 {
        let code = text("Code").ok_or_else(|| unusable(&format!("the service answered with {status}")))?;
        let message = printable(&text("Message").unwrap_or_default(), MAX_SHOWN);
        let is_unverified = code == UNVERIFIED.0 && message.starts_with(UNVERIFIED.1);
        let is_passing = is_passing(status) || is_unverified || PASSING.contains(&code.as_str());
        return Err(CloudError { code: printable(&code, MAX_SHOWN), message, is_passing });
    }
    let needed = |name: &'static str| {
        let found = text(name).filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
        found.ok_or_else(|| unusable(&format!("the answer has no `{name}`")))
    };
    Ok(Credentials {
        access_key_id: needed("AccessKeyId")?,
        secret_access_key: Secret::new(needed("SecretAccessKey")?),
        session_token: Secret::new(needed("SessionToken")?),
        expiration: needed("Expiration")?,
    })
}
