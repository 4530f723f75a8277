//! Engines asked in one process, without a wire: what a decision costs alone, with nothing remembered.

mod estate;
mod hospital;
mod plain_cedar;
mod portcullis;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use self::hospital::Hospital;
use crate::load::Samples;
use crate::question::Questions;
use crate::{Failure, clock};

/// Answers the question of this number.
type Decide = Box<dyn Fn(usize) -> Result<bool, Failure>>;

/// A question in `AuthZEN`'s shape, and the right answer.
#[derive(Clone, Debug)]
struct Asked {
    question: Value,
    permitted: bool,
}

/// What one engine took for a decision, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Which engine.
    pub engine: &'static str,
    /// How many policies.
    pub policies: usize,
    /// How many questions there are.
    pub questions: usize,
    /// How many of them were answered with yes.
    pub permitted: usize,
    /// On average, with no clock read in between.
    pub mean_us: f64,
    /// The median. From here on the clock is read before and after each decision, and `clock_us` is in the figure.
    pub p50_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
    /// What reading the clock takes.
    pub clock_us: f64,
}

/// Writes SAPL's hospital of so many departments into `directory` and asks both engines for `seconds` each.
///
/// # Errors
/// [`Failure`] if something does not load, or an answer is wrong.
pub fn hospital(departments: usize, directory: &Path, seconds: f64) -> Result<Vec<Figures>, Failure> {
    let hospital = Hospital::new(departments);
    hospital.write(directory)?;
    let (asked, policies) = (hospital.asked(), hospital.policies());
    Ok(vec![
        time("Portcullis", policies, &asked, seconds, &portcullis::load(directory, &asked)?.1)?,
        time("cedar-policy", policies, &asked, seconds, &plain_cedar::load(directory, &asked)?)?,
    ])
}

/// Asks Portcullis's engine for `seconds` what servers are asked over their wires.
///
/// # Errors
/// [`Failure`] if something does not load, or an answer is wrong.
pub fn estate(directory: &Path, questions: &Questions, seconds: f64) -> Result<Figures, Failure> {
    let asked = estate::asked(questions);
    let (policies, decide) = portcullis::load(directory, &asked)?;
    time("Portcullis", policies, &asked, seconds, &decide)
}

/// Asks the questions in turn: once for the answers, then for half of the time without looking at the clock for each, then
/// with. An engine that takes all of the time for the first round is not asked again.
fn time(
    engine: &'static str,
    policies: usize,
    asked: &[Asked],
    seconds: f64,
    decide: &Decide,
) -> Result<Figures, Failure> {
    let mut samples = Samples::default();
    let began = clock::now();
    for (number, asked) in asked.iter().enumerate() {
        let before = clock::now();
        let answer = decide(number)?;
        samples.push(before.elapsed());
        if answer != asked.permitted {
            return Err(Failure::new(format_args!("{engine} says {answer} to {}", asked.question), "that is wrong"));
        }
    }
    let (mut count, mut took) = (1, began.elapsed());
    if took.as_secs_f64() < seconds {
        let half = Duration::try_from_secs_f64(seconds / 2.0).unwrap_or_default();
        (count, took) = rounds(half, || {
            for number in 0..asked.len() {
                let _ = black_box(decide(black_box(number)));
            }
        });
        samples = timed(half, asked.len(), |number| drop(black_box(decide(black_box(number)))));
    }
    let [clock_us] = timed(Duration::ZERO, 10_000, |_| {}).quantiles([0.5]);
    let [p50_us, p99_us] = samples.quantiles([0.5, 0.99]);
    #[expect(clippy::cast_precision_loss, reason = "counts fit")]
    let mean_us = took.as_secs_f64() * 1e6 / (count * asked.len().max(1)) as f64;
    let permitted = asked.iter().filter(|asked| asked.permitted).count();
    Ok(Figures { engine, policies, questions: asked.len(), permitted, mean_us, p50_us, p99_us, clock_us })
}

/// Does it again and again until the time is over, at least once. Returns how often, and how long that took.
fn rounds(time: Duration, mut round: impl FnMut()) -> (usize, Duration) {
    let began = clock::now();
    for done in 1.. {
        round();
        let took = began.elapsed();
        if took >= time {
            return (done, took);
        }
    }
    (usize::MAX, began.elapsed())
}

/// The same with each of `count` steps timed.
fn timed(time: Duration, count: usize, mut step: impl FnMut(usize)) -> Samples {
    let mut samples = Samples::default();
    rounds(time, || {
        for number in 0..count {
            let before = clock::now();
            step(number);
            samples.push(before.elapsed());
        }
    });
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_agree_with_the_plain_reading_of_the_rules() {
        let directory = tempfile::tempdir().unwrap();
        let figures = hospital(5, directory.path(), 0.0).unwrap();
        assert_eq!(figures.iter().map(|figures| figures.policies).collect::<Vec<_>>(), [170, 170]);
        // SAPL's own generator comes to 15 to 17 % of 500.
        assert!((50..=125).contains(&figures[0].permitted), "{figures:?}");
    }

    #[test]
    fn a_wrong_answer_is_no_figure() {
        let asked = [Asked { question: Value::Null, permitted: true }];
        let no: Decide = Box::new(|_| Ok(false));
        assert!(time("one that always refuses", 0, &asked, 0.0, &no).is_err());
    }
}
