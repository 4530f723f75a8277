//! Keeping the token of one target: asked for, recorded, handed out, renewed at half of its life, gone at its end. There is
//! one keeper a target, so nobody is ever asked twice at a time for the same.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::answer::{Granted, Refusal};
use super::port::{Assertions, ObtainError, OutboundEvents, TokenEndpoint};
use super::{Target, Tokens};
use crate::evidence::{Audit, OutboundRecord, Outcome, Record};
use crate::foundation::backoff::Backoff;
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::entropy::{Entropy, random};
use crate::foundation::secret::Secret;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::printable;

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The longest pause that a server may ask for.
const LONGEST_WISH: Duration = Duration::from_mins(5);

/// How often at least to look whether the token is over and its client still somebody: timers stand still while the machine
/// sleeps, and clocks get corrected.
const LOOK: Duration = Duration::from_secs(2);

/// How much of an error a record keeps, in bytes.
const MAX_ERROR: usize = 1024;

/// What a keeper works with.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Signs for the client.
    pub assertions: Arc<dyn Assertions>,
    /// Where what is obtained and what is refused is recorded.
    pub audit: Arc<dyn Audit>,
    /// Is told how it goes.
    pub events: Arc<dyn OutboundEvents>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Spreads renewals.
    pub entropy: Arc<dyn Entropy>,
}

/// Keeps the token of one target.
#[derive(Debug)]
pub struct Keeper {
    target: Target,
    endpoint: Box<dyn TokenEndpoint>,
    tokens: Arc<Tokens>,
    ports: Ports,
}

/// How one attempt went, for the record.
#[derive(Default)]
struct Attempt {
    assertion: Option<Digest>,
    wish: Option<Duration>,
}

impl Keeper {
    /// Keeps the token of `target`, which is one of those of `tokens`.
    pub fn new(target: Target, endpoint: Box<dyn TokenEndpoint>, tokens: Arc<Tokens>, ports: Ports) -> Self {
        Self { target, endpoint, tokens, ports }
    }

    /// Keeps it until the drain starts.
    pub async fn run(self, mut signal: ShutdownSignal) {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let pause = tokio::select! {
                () = signal.draining() => return,
                pause = self.turn(&mut backoff) => pause,
            };
            tokio::select! {
                () = signal.draining() => return,
                () = self.rest(pause) => {}
            }
        }
    }

    /// Asks once; says how long to wait before the next time.
    pub(super) async fn turn(&self, backoff: &mut Backoff) -> Duration {
        let asked = self.ports.clock.now();
        let mut attempt = Attempt::default();
        let outcome = self.obtain(&mut attempt).await;
        match self.record(asked, &attempt, outcome) {
            Ok(granted) => {
                backoff.reset();
                let not_after = asked.after(granted.lives);
                self.tokens.put(&self.target, &granted.token, not_after);
                self.ports.events.obtained(&self.target, &granted, not_after);
                self.renewal(granted.lives)
            }
            Err(error) => {
                self.look();
                let is_held = self.tokens.not_after(&self.target).is_some();
                if !is_held {
                    // Whoever waits for it learns that there is none.
                    self.tokens.clear(&self.target);
                }
                self.ports.events.failed(&self.target, &error, is_held);
                backoff.pause(&*self.ports.entropy).max(attempt.wish.unwrap_or_default().min(LONGEST_WISH))
            }
        }
    }

    async fn obtain(&self, attempt: &mut Attempt) -> Result<Granted, ObtainError> {
        let assertion = self.ports.assertions.sign(&self.target.client, &self.target.audience)?;
        attempt.assertion = Some(Digest::of(assertion.expose().as_bytes()));
        let answer = self.endpoint.post(self.target.form(&assertion)).await.map_err(ObtainError::Unreachable)?;
        attempt.wish = answer.retry_after;
        Ok(Granted::read(&answer)?)
    }

    /// Records what came of it. What can't be recorded is handed to nobody.
    fn record(
        &self,
        time: Timestamp,
        attempt: &Attempt,
        outcome: Result<Granted, ObtainError>,
    ) -> Result<Granted, ObtainError> {
        let granted = outcome.as_ref().ok();
        let record = OutboundRecord {
            time,
            target: self.target.name.to_string(),
            spiffe_id: self.target.client.to_string(),
            endpoint: self.target.endpoint.clone(),
            outcome: match &outcome {
                Ok(_) => Outcome::Allow,
                Err(ObtainError::Refused(Refusal::Error { .. })) => Outcome::Deny,
                Err(_) => Outcome::Error,
            },
            error: outcome.as_ref().err().map(|error| printable(&error.to_string(), MAX_ERROR)),
            assertion: attempt.assertion,
            token: granted.map(|granted| digest(&granted.token)),
            scope: granted.and_then(|granted| granted.scope.clone()),
            not_after: granted.map(|granted| time.after(granted.lives)),
        };
        match (self.ports.audit.append(Record::Outbound(Box::new(record))), outcome) {
            // It is given to a proxy of ours, and each use of it leaves its own traces: nothing waits for the disk.
            (Ok(_durable_soon), outcome) => outcome,
            (Err(error), Ok(_)) => Err(error.into()),
            (Err(_), Err(error)) => Err(error),
        }
    }

    /// Half of its life, and up to a fifth of that more.
    fn renewal(&self, lives: Duration) -> Duration {
        let part = random::<1>(&*self.ports.entropy).map_or(0, |[part]| part);
        lives / 2 + lives / 10 * u32::from(part) / u32::from(u8::MAX)
    }

    /// Waits for `pause`, and looks meanwhile; no longer than until the client is somebody again who was nobody.
    async fn rest(&self, pause: Duration) {
        let end = self.ports.clock.now().after(pause);
        let mut was_somebody = self.ports.assertions.grants(&self.target.client);
        loop {
            let now = self.ports.clock.now();
            let left = end.since(now);
            if left.is_zero() {
                return;
            }
            let until_its_end = self.tokens.not_after(&self.target).map(|not_after| not_after.since(now));
            sleep(left.min(LOOK).min(until_its_end.unwrap_or(LOOK))).await;
            let is_somebody = self.look();
            if is_somebody && !was_somebody {
                return;
            }
            was_somebody = is_somebody;
        }
    }

    /// Takes back a token that is over or that nobody may have any more; says whether the client is somebody.
    pub(super) fn look(&self) -> bool {
        let is_somebody = self.ports.assertions.grants(&self.target.client);
        let is_over = |not_after: Timestamp| not_after <= self.ports.clock.now();
        let ends = self.tokens.not_after(&self.target).is_some_and(|not_after| !is_somebody || is_over(not_after));
        if ends && self.tokens.clear(&self.target) {
            self.ports.events.ended(&self.target);
        }
        is_somebody
    }
}

fn digest(token: &Secret<String>) -> Digest {
    Digest::of(token.expose().as_bytes())
}
