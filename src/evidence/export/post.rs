//! Records told to a server: in which form, and what its answer means. What it did not take is told again, so nothing is lost
//! while it is away; nobody but this sink waits for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::otlp::Otlp;
use super::webhook::Webhook;
use super::{Exported, Sink, SinkError};
use crate::foundation::clock::Clock;
use crate::foundation::telemetry::printable;

/// How much of an answer is shown, in bytes.
const SHOWN: usize = 200;

/// What is told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Message {
    /// Beside the content type, which is JSON.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

/// What was answered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// After what time to come again, if that was said.
    pub retry_after: Option<Duration>,
}

/// What messages are told by, which is HTTP.
pub trait Courier: fmt::Debug + Send + Sync + 'static {
    /// Tells it, and returns the answer, whatever it is.
    ///
    /// # Errors
    /// Why there is none.
    fn tell(&self, message: Message) -> BoxFuture<'_, Result<Answer, String>>;
}

/// How records are told.
#[derive(Debug)]
pub enum Form {
    /// As OpenTelemetry's logs.
    Otlp(Otlp),
    /// As a Standard Webhook.
    Webhook(Webhook),
}

/// A server that is told.
#[derive(Debug)]
pub struct Posts {
    form: Form,
    courier: Box<dyn Courier>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
}

impl Form {
    /// What an answer means that is no success. For good is what is said of the records; what is said of the caller, of the
    /// place or of the moment, such as 401, 404 or 429, may change. Webhooks have one answer that ends all (410).
    const fn refusal(&self, status: u16) -> fn(String) -> SinkError {
        match (self, status) {
            (Self::Webhook(_), 410) => SinkError::Ended,
            (_, 413) | (Self::Otlp(_), 400 | 406 | 409..=412 | 414..=424 | 426..=428 | 430..=499) => {
                SinkError::Unacceptable
            }
            _ => SinkError::Untold,
        }
    }
}

impl Posts {
    /// Tells by `courier`, on this runtime.
    pub fn new(form: Form, courier: Box<dyn Courier>, clock: Arc<dyn Clock>, runtime: Handle) -> Self {
        Self { form, courier, clock, runtime }
    }
}

impl Sink for Posts {
    fn give(&mut self, records: &[Exported<'_>]) -> Result<(), SinkError> {
        let now = self.clock.now();
        let message = match &self.form {
            Form::Otlp(otlp) => otlp.message(records, now)?,
            Form::Webhook(webhook) => webhook.message(records, now)?,
        };
        let answer = self.runtime.block_on(self.courier.tell(message)).map_err(SinkError::Untold)?;
        if !(200..300).contains(&answer.status) {
            let said = printable(String::from_utf8_lossy(&answer.body).trim_end(), SHOWN);
            let refused = self.form.refusal(answer.status)(format!("it answered with {}: {said}", answer.status));
            return Err(match (refused, answer.retry_after) {
                (SinkError::Untold(why), Some(wish)) => SinkError::Later(why, wish),
                (refused, _) => refused,
            });
        }
        if matches!(self.form, Form::Otlp(_)) {
            Otlp::look_at(&answer);
        }
        Ok(())
    }

    fn names_messages(&self) -> bool {
        matches!(self.form, Form::Webhook(_))
    }
}

#[cfg(test)]
mod tests;
