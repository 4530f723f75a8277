//! How long things took, each kept as it was: a run has at most some millions of them.

use std::time::Duration;

/// Durations.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Takes one more.
    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// These shares of the samples took at most so many microseconds (nearest rank); 0 if there are none.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [f64; N] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        shares.map(|share| sorted.get(rank(share, sorted.len())).map_or(0.0, |took| took.as_secs_f64() * 1e6))
    }
}

/// The place among `count` sorted samples of the smallest that at least this share does not exceed.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts fit")]
fn rank(share: f64, count: usize) -> usize {
    ((share * count as f64).ceil() as usize).saturating_sub(1).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_samples_is_no_slower() {
        let mut samples = Samples::default();
        assert!(samples.quantiles([0.5])[0].abs() < 1e-9);
        for micros in (1..=1000).rev() {
            samples.push(Duration::from_micros(micros));
        }
        let found = samples.quantiles([0.0, 0.5, 0.99, 0.999, 1.0]).map(f64::round);
        assert!(found.iter().zip([1.0, 500.0, 990.0, 999.0, 1000.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    }
}
