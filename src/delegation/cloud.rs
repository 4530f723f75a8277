//! A JWT-SVID shown to the token service of a cloud for credentials of that cloud: what is asked, what an answer means, and when
//! it is worth asking again. The protocols of the clouds' own tools, by which these credentials are handed on, are the command
//! line's (`portcullis credential`).

pub mod aws;
pub mod azure;
pub mod gcp;

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::outbound::answer::is_passing;
use super::outbound::{Granted, Refusal, TokenAnswer, TokenEndpoint};
use crate::foundation::backoff::Backoff;
use crate::foundation::entropy::Entropy;
use crate::foundation::secret::Secret;

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// A failed exchange. Nothing secret is in it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CloudError {
    /// A word of the cloud's, or of ours.
    pub code: String,
    /// Sanitised.
    pub message: String,
    /// Whether it may go better in a moment.
    pub is_passing: bool,
}

impl CloudError {
    /// One that asking again does not mend.
    pub fn last(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), is_passing: false }
    }
}

impl From<Refusal> for CloudError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Error { status, error, description } => {
                Self { code: error, message: description, is_passing: is_passing(status) }
            }
            Refusal::Status { status } => {
                let message = format!("the token service answered with {status}");
                Self { code: "unexpected_answer".to_owned(), message, is_passing: is_passing(status) }
            }
            Refusal::Malformed(what) => Self::last("unexpected_answer", what),
        }
    }
}

/// Sends `form` until `read` makes something of the answer, until that fails for good, or until `within` has passed.
///
/// # Errors
/// The last [`CloudError`].
pub async fn exchange<T>(
    endpoint: &dyn TokenEndpoint,
    form: &Secret<String>,
    within: Duration,
    entropy: &dyn Entropy,
    read: impl Fn(&TokenAnswer) -> Result<T, CloudError>,
) -> Result<T, CloudError> {
    let mut last = CloudError::last("timeout", format!("no answer within {within:?}"));
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let asking = async {
        loop {
            let error = match endpoint.post(form.clone()).await {
                Ok(answer) => match read(&answer) {
                    Ok(read) => return Ok(read),
                    Err(error) => error,
                },
                Err(message) => CloudError { code: "unreachable".to_owned(), message, is_passing: true },
            };
            if !error.is_passing {
                return Err(error);
            }
            last = error;
            sleep(backoff.pause(entropy)).await;
        }
    };
    match timeout(within, asking).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(last),
    }
}

/// The access token in an answer of those clouds that speak OAuth.
fn access_token(answer: &TokenAnswer) -> Result<Granted, CloudError> {
    Ok(Granted::read(answer)?)
}

#[cfg(test)]
mod tests;
