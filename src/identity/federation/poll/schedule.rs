//! When to ask next.

use std::time::Duration;

use super::PeerState;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, random};

/// How often to look if the publisher does not say (SPIFFE Trust Domain and Bundle 4.1.2).
const DEFAULT_INTERVAL: Duration = Duration::from_mins(5);

/// How long the first failure is waited out; each further one doubles it, up to the interval.
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
    /// How long to wait after a question that left `state`; `hint` is what the publisher of the bundle that is held hints at.
    pub(super) fn wait(
        &self,
        hint: Option<Duration>,
        state: &PeerState,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Duration {
        let hint = hint.filter(|hint| !hint.is_zero()).unwrap_or(DEFAULT_INTERVAL);
        let interval = hint.max(self.shortest).min(self.longest);
        let wait = state.failure.as_ref().map_or(interval, |failure| {
            let doublings = failure.times.saturating_sub(1).min(16);
            FIRST_PAUSE.saturating_mul(1 << doublings).min(interval)
        });
        let wait = earlier(wait, entropy);
        // What turns stale does so on time, and not only when it is asked for the next time.
        match self.max_stale.map(|limit| limit.saturating_sub(now.since(state.since()))) {
            Some(left) if !state.is_stale && !left.is_zero() => wait.min(left),
            _ => wait,
        }
    }
}

/// Up to a tenth earlier, so that peers that began together don't ask together.
fn earlier(wait: Duration, entropy: &dyn Entropy) -> Duration {
    let [byte] = random::<1>(entropy).unwrap_or_default();
    wait.saturating_sub(wait / 10 * u32::from(byte) / 255)
}
