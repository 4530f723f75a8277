//! SAPL's hospital, as its documentation describes it, in Cedar: for each department 32 permits by role and kind of record
//! and one `forbid` by sensitivity, beside five permits for emergencies. The two engines here are asked in one process,
//! without a wire, which is how SAPL publishes its own figures (0.18 to 0.37 µs).
//!
//! What SAPL has in conditions is in a policy's scope here, where a Cedar author would put it: the department that both
//! the caller and the record must be in, and the action.

mod engines;
mod scenario;

use std::path::Path;

use serde::Serialize;

pub use self::scenario::Hospital;
use crate::{Failure, clock};

/// What one engine took for a decision, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Which engine.
    pub engine: &'static str,
    /// How many departments.
    pub departments: usize,
    /// How many policies.
    pub policies: usize,
    /// How many of the 500 questions were answered with yes.
    pub permitted: usize,
    /// On average.
    pub mean_us: f64,
    /// The median.
    pub p50_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
}

/// Writes the hospital into `directory` and asks both engines for `seconds` each.
///
/// # Errors
/// [`Failure`] if something does not load, or an answer is wrong.
pub fn measure(departments: usize, directory: &Path, seconds: f64) -> Result<Vec<Figures>, Failure> {
    let hospital = Hospital::new(departments);
    hospital.write(directory)?;
    let portcullis = engines::portcullis(&hospital, directory)?;
    let plain = engines::plain_cedar(&hospital, directory)?;
    Ok(vec![time("portcullis", &hospital, seconds, &portcullis)?, time("cedar-policy", &hospital, seconds, &plain)?])
}

/// Asks the questions in turn until the time is over.
fn time(
    engine: &'static str,
    hospital: &Hospital,
    seconds: f64,
    decide: &dyn Fn(usize) -> Result<bool, Failure>,
) -> Result<Figures, Failure> {
    let mut permitted = 0;
    for (number, question) in hospital.questions().iter().enumerate() {
        let answer = decide(number)?;
        if answer != question.permitted {
            return Err(Failure::new(format_args!("{engine} says {answer} to question {number}"), "that is wrong"));
        }
        permitted += usize::from(answer);
    }
    let count = hospital.questions().len();
    let mut taken = Vec::new();
    let began = clock::now();
    for number in (0..count).cycle() {
        let before = clock::now();
        let _ = std::hint::black_box(decide(number));
        taken.push(before.elapsed());
        if number + 1 == count && began.elapsed().as_secs_f64() > seconds {
            break;
        }
    }
    taken.sort_unstable();
    let at = |hundredths: usize| taken.get(taken.len() * hundredths / 100).map_or(0.0, |took| took.as_secs_f64() * 1e6);
    #[expect(clippy::cast_precision_loss, reason = "counts fit")]
    let mean_us = taken.iter().map(std::time::Duration::as_secs_f64).sum::<f64>() * 1e6 / taken.len().max(1) as f64;
    Ok(Figures {
        engine,
        departments: hospital.departments(),
        policies: hospital.policies(),
        permitted,
        mean_us,
        p50_us: at(50),
        p99_us: at(99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_agree_with_the_plain_reading_of_the_rules() {
        let directory = tempfile::tempdir().unwrap();
        let figures = measure(5, directory.path(), 0.0).unwrap();
        assert_eq!(figures.iter().map(|figures| figures.policies).collect::<Vec<_>>(), [170, 170]);
        // SAPL's own generator comes to 15 to 17 % of 500.
        assert!((50..=125).contains(&figures[0].permitted), "{figures:?}");
        assert_eq!(figures[0].permitted, figures[1].permitted);
    }
}
