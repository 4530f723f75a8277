//! How long to wait before the next attempt: twice as long after each failure, and never quite as long as others do who
//! failed at the same time.

use std::time::Duration;

use super::entropy::{Entropy, random};

/// The pauses between attempts at one thing.
#[derive(Clone, Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with about `least` and never waits longer than `most`.
    pub const fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, next: least }
    }

    /// How long to wait after one more failure: between half of the pause and all of it.
    pub fn pause(&mut self, entropy: &dyn Entropy) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.most);
        // Without randomness all wait for the whole of it, which is no harm.
        let part = random::<1>(entropy).map_or(u8::MAX, |[part]| part);
        pause / 2 + pause / 2 * u32::from(part) / u32::from(u8::MAX)
    }

    /// It went well.
    pub const fn reset(&mut self) {
        self.next = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundation::entropy::{EntropyError, SystemEntropy};

    #[derive(Debug)]
    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn pauses_grow_to_a_limit_and_begin_anew() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause(&Fixed(u8::MAX))).collect();
        assert_eq!(pauses, [1, 2, 4, 5, 5].map(Duration::from_secs));
        assert_eq!(backoff.pause(&Fixed(0)), 5 * second / 2);
        backoff.reset();
        assert_eq!(backoff.pause(&Fixed(0)), second / 2);
    }

    #[test]
    fn two_that_fail_together_do_not_come_back_together() {
        let mut backoff = Backoff::new(Duration::from_hours(1), Duration::from_hours(1));
        let pauses: std::collections::BTreeSet<_> = (0..40).map(|_| backoff.pause(&SystemEntropy::new())).collect();
        assert!(pauses.len() > 1, "{pauses:?}");
    }
}
