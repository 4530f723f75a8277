//! What a client is told that is denied, or that we failed: the same fields either way, in the form and language that it
//! wants.

use serde::Serialize;

use super::super::wanted::{Form, Wanted, look_up};
use super::super::{Answers, english};
use crate::decision::guidance::{AccessRequest, Guidance, Remedy, StepUp};
use crate::decision::{Reason, Verdict};
use crate::evidence::Outcome;
use crate::foundation::clock::Timestamp;

/// The body of an answer.
pub(super) struct Body {
    pub(super) form: Form,
    /// The language that its text is in, if that is known.
    pub(super) language: Option<String>,
    pub(super) text: String,
}

/// As JSON; the members of a problem (RFC 9457 section 3.1) are there if it is one.
#[derive(Serialize)]
struct Told<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'t str>,
    decision: bool,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'t str>,
    decision_id: &'t str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    advice: &'t [std::sync::Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<ToldRemedy<'t>>,
}

/// What who made a call is told in its own protocol. What the policies say of it is fit for a person to read: it was checked
/// when it was loaded.
#[derive(Serialize)]
pub(super) struct Data<'t> {
    reason: &'static str,
    decision_id: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'t str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    advice: &'t [std::sync::Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<ToldRemedy<'t>>,
}

#[derive(Serialize)]
struct ToldRemedy<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    step_up: Option<ToldStepUp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_request: Option<ToldRequest<'t>>,
}

/// As in a challenge (RFC 9470 section 3).
#[derive(Serialize)]
struct ToldStepUp {
    acr_values: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr_values: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<u64>,
}

#[derive(Serialize)]
struct ToldRequest<'t> {
    form_url: &'t str,
    expires_at: Timestamp,
}

impl Body {
    /// What is told of `verdict`, which is no allow.
    pub(super) fn of(verdict: &Verdict, status: u16, decision_id: &str, answers: &Answers, wanted: &Wanted) -> Self {
        let guidance = verdict.guidance();
        let (message, language) = message(verdict, guidance, answers, wanted);
        let advice = guidance.map_or(&[][..], |guidance| &guidance.advice);
        let text = match wanted.form {
            Form::Plain => {
                let mut lines = vec![message.to_owned()];
                lines.extend(advice.iter().map(ToString::to_string));
                lines.push(format!("reason: {}", verdict.reason.name()));
                lines.push(format!("decision: {decision_id}"));
                lines.join("\n") + "\n"
            }
            form => {
                let is_problem = form == Form::Problem;
                let title = || http::StatusCode::from_u16(status).ok()?.canonical_reason();
                let told = Told {
                    r#type: is_problem.then_some("about:blank"),
                    title: is_problem.then(title).flatten(),
                    status: is_problem.then_some(status),
                    detail: is_problem.then_some(message),
                    decision: false,
                    reason: verdict.reason.name(),
                    message: (!is_problem).then_some(message),
                    decision_id,
                    advice,
                    remedy: ToldRemedy::of(verdict),
                };
                // Texts and numbers always have a form in JSON.
                serde_json::to_string(&told).unwrap_or_default()
            }
        };
        Self { form: wanted.form, language: language.map(str::to_owned), text }
    }
}

impl<'t> Data<'t> {
    /// What is told of `verdict`, which is no allow.
    pub(super) fn of(verdict: &'t Verdict, decision_id: &'t str, wanted: &Wanted) -> Self {
        let guidance = verdict.guidance();
        Self {
            reason: verdict.reason.name(),
            decision_id,
            message: guidance.and_then(|guidance| text_of_policy(guidance, wanted)).map(|(text, _)| text),
            advice: guidance.map_or(&[][..], |guidance| &guidance.advice),
            remedy: ToldRemedy::of(verdict),
        }
    }
}

/// The text for a person, and its language: that of a policy before that of the reason.
fn message<'t>(
    verdict: &Verdict,
    guidance: Option<&'t Guidance>,
    answers: &'t Answers,
    wanted: &Wanted,
) -> (&'t str, Option<&'t str>) {
    guidance.and_then(|guidance| text_of_policy(guidance, wanted)).unwrap_or_else(|| {
        let (text, language) = answers.messages.text(verdict.reason, &wanted.languages);
        (text, Some(language))
    })
}

fn text_of_policy<'t>(guidance: &'t Guidance, wanted: &Wanted) -> Option<(&'t str, Option<&'t str>)> {
    let text = guidance.text.as_ref()?;
    let translated = |tag: &str| text.translations.iter().find(|(known, _)| **known == *tag);
    Some(match look_up(&wanted.languages, translated) {
        Some((tag, text)) => (text, Some(tag)),
        None => (&text.plain, None),
    })
}

impl<'t> ToldRemedy<'t> {
    fn of(verdict: &'t Verdict) -> Option<Self> {
        let remedy: &Remedy = verdict.guidance()?.remedy.as_ref()?;
        let step_up = remedy.step_up.as_ref().map(|step_up| ToldStepUp {
            acr_values: step_up.acr_values.join(" "),
            amr_values: Some(step_up.amr_values.join(" ")).filter(|values| !values.is_empty()),
            max_age: step_up.max_age.map(|max_age| max_age.as_secs()),
        });
        let access_request = remedy.access_request.as_ref().map(|request| ToldRequest {
            form_url: request.form_url(),
            expires_at: verdict.manner.time.after(AccessRequest::VALID_FOR),
        });
        Some(Self { step_up, access_request })
    }
}

/// What would authenticate the client (RFC 9110 section 11.6.1): every 401 says so.
pub(super) fn challenge(verdict: &Verdict, answers: &Answers) -> String {
    let remedy = verdict.guidance().and_then(|guidance| guidance.remedy.as_ref());
    if let Some(step_up) = remedy.and_then(|remedy| remedy.step_up.as_ref()) {
        return bearer(answers, Some(("insufficient_user_authentication", STEP_UP)), Some(step_up));
    }
    match verdict.reason {
        Reason::NoCertificate
        | Reason::BadCertificate
        | Reason::ExpiredCertificate
        | Reason::RevokedCertificate
        | Reason::UntrustedCertificate
        | Reason::PrincipalMismatch => format!("X509-SVID realm=\"{}\"", answers.realm),
        Reason::BadToken
        | Reason::ExpiredToken
        | Reason::UntrustedToken
        | Reason::ReplayedToken
        | Reason::OtherHolder
        | Reason::RevokedToken => bearer(answers, Some(("invalid_token", english(verdict.reason))), None),
        // To who has shown no token, no error is told (RFC 6750 section 3.1).
        _ => bearer(answers, None, None),
    }
}

const STEP_UP: &str = "The user must authenticate anew.";

/// A challenge of RFC 6750 section 3, with what RFC 9470 section 3 and RFC 9728 section 5.1 add. Every part is visible ASCII
/// without quotes: it was checked when it was read.
fn bearer(answers: &Answers, error: Option<(&str, &str)>, step_up: Option<&StepUp>) -> String {
    let mut parts = vec![format!("realm=\"{}\"", answers.realm)];
    if let Some((error, description)) = error {
        parts.push(format!("error=\"{error}\", error_description=\"{description}\""));
    }
    if let Some(step_up) = step_up {
        parts.push(format!("acr_values=\"{}\"", step_up.acr_values.join(" ")));
        parts.extend(step_up.max_age.map(|max_age| format!("max_age=\"{}\"", max_age.as_secs())));
    }
    parts.extend(answers.resource_metadata.iter().map(|metadata| format!("resource_metadata=\"{metadata}\"")));
    format!("Bearer {}", parts.join(", "))
}

/// The status of a denial or an error: what a policy or a route says, or else that of the reason.
pub(super) fn status(verdict: &Verdict) -> u16 {
    let remedy = verdict.guidance().and_then(|guidance| guidance.remedy.as_ref());
    if remedy.is_some_and(|remedy| remedy.step_up.is_some()) {
        return 401;
    }
    let of_route = || verdict.manner.on_error.filter(|_| verdict.outcome != Outcome::Deny)?.status;
    let said = verdict.guidance().and_then(|guidance| guidance.status).or_else(of_route);
    said.unwrap_or_else(|| of_reason(verdict.reason))
}

/// The HTTP status that a client sees for a reason.
const fn of_reason(reason: Reason) -> u16 {
    match reason {
        Reason::Permitted => 200,
        Reason::NoPermit
        | Reason::Forbidden
        | Reason::ForbidFailed
        | Reason::UnmetObligation
        | Reason::ForeignIdentity
        | Reason::CallerNotPermitted
        | Reason::Unregistered
        | Reason::UnknownAction
        | Reason::SchemaMismatch
        | Reason::NoService
        | Reason::NoRoute
        | Reason::HeadersNotRaw => 403,
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
        | Reason::RevokedToken => 401,
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
        | Reason::Undecodable => 400,
        Reason::TokensFull | Reason::DeadlineExpired | Reason::Overloaded | Reason::AuditUnavailable => 503,
        Reason::Internal => 500,
    }
}
