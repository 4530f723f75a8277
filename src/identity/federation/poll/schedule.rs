//! When to ask next.

use std::time::Duration;

use crate::foundation::backoff::Backoff;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, random};

/// How often to look if the publisher does not say (SPIFFE Trust Domain and Bundle 4.1.2).
const DEFAULT_INTERVAL: Duration = Duration::from_mins(5);

/// How long the first failure is waited out, at the most; each further one doubles it, up to the interval.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// When to ask, and how long to believe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PollConfig {
    /// How long one answer may take, from connecting to the last byte.
    pub timeout: Duration,
    /// The least between two questions, whatever the publisher hints at.
    pub shortest: Duration,
    /// The most.
    pub longest: Duration,
    /// How long a bundle is believed that can't be fetched anew; `None` if for as long as that takes.
    pub max_stale: Option<Duration>,
}

impl PollConfig {
    /// Between two questions that are answered; `hint` is what the publisher of the bundle that is held hints at.
    pub(super) fn interval(&self, hint: Option<Duration>) -> Duration {
        let hint = hint.filter(|hint| !hint.is_zero()).unwrap_or(DEFAULT_INTERVAL);
        hint.max(self.shortest).min(self.longest)
    }

    /// How failures are waited out.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(FIRST_PAUSE, self.longest)
    }

    /// `wait`, unless what is held, which has been ageing `since` then if it is not stale already, turns stale earlier: it does so
    /// on time, and not only when it is asked for the next time.
    pub(super) fn before_it_turns_stale(&self, wait: Duration, since: Option<Timestamp>, now: Timestamp) -> Duration {
        let left = self.max_stale.zip(since).map(|(limit, since)| limit.saturating_sub(now.since(since)));
        left.filter(|left| !left.is_zero()).map_or(wait, |left| wait.min(left))
    }
}

/// Up to a tenth earlier, so that peers that began together don't ask together.
pub(super) fn earlier(wait: Duration, entropy: &dyn Entropy) -> Duration {
    let [byte] = random::<1>(entropy).unwrap_or_default();
    wait.saturating_sub(wait / 10 * u32::from(byte) / 255)
}
