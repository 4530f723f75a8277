//! Test data of others, which is not in this repository: `make vectors` says where it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::decision::policy::Effect;

use crate::support::corpus::{Case, Corpus, Loaded, class, refusal_class};
use crate::support::vectors;

/// How many answers must at least be compared, with the entities stored and with the entities brought by the question.
const STORED_FLOOR: usize = 1;
const BROUGHT_FLOOR: usize = 1;

/// What came of the corpus.
#[derive(Debug, Default)]
struct Counts {
    cases: usize,
    loaded: usize,
    /// Answers compared with the entities stored.
    stored: usize,
    /// Answers compared with the entities brought by the question.
    brought: usize,
    effects: BTreeMap<String, usize>,
    refused_cases: BTreeMap<String, usize>,
    refused_requests: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

#[test]
#[ignore = "needs outside vectors: make vectors"]
fn our_answers_are_plain_cedars() {
    let corpus = Corpus::unpack(&vectors("cedar-corpus.tar.gz"));
    let cases = corpus.cases();
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(Counts::default());
    let work = || {
        while let Some(path) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let seen = compare(path, &corpus.case(path));
            counts.lock().unwrap().add(seen);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let counts = counts.into_inner().unwrap();
    eprintln!("{counts:#?}");
    assert!(counts.wrong.is_empty(), "{} answers are not Cedar's", counts.wrong.len());
    assert!(counts.stored >= STORED_FLOOR && counts.brought >= BROUGHT_FLOOR, "too little was compared");
    for effect in [Effect::Permit, Effect::NoPermit, Effect::Forbid, Effect::ForbidFailed] {
        assert!(counts.effects.contains_key(&format!("{effect:?}")), "{effect:?} was never the answer");
    }
}

/// Compares all answers of one case: once with its entities in the directory, once with the entities in the question.
fn compare(path: &PathBuf, case: &Case) -> Counts {
    let mut counts = Counts { cases: 1, ..Counts::default() };
    match case.load() {
        Ok(loaded) => {
            counts.loaded = 1;
            if !case.should_validate {
                counts.wrong.push(format!("{}: Cedar refuses the policies and we do not", path.display()));
            }
            counts.stored = counts.compare(path, case, &loaded);
        }
        Err(error) => *counts.refused_cases.entry(refusal_class(&error)).or_default() += 1,
    }
    if let Some(Ok(loaded)) = case.load_without_entities() {
        counts.brought = counts.compare(path, case, &loaded);
    }
    counts
}

impl Counts {
    fn compare(&mut self, path: &PathBuf, case: &Case, loaded: &Loaded) -> usize {
        let mut compared = 0;
        for (index, request) in case.requests.iter().enumerate() {
            match loaded.answer(request) {
                Ok(verdict) => {
                    compared += 1;
                    *self.effects.entry(format!("{:?}", verdict.effect)).or_default() += 1;
                    let owed = loaded.owed(request);
                    if verdict != owed {
                        self.wrong.push(format!("{} request {index}: {verdict:?}, not {owed:?}", path.display()));
                    }
                }
                Err(error) => *self.refused_requests.entry(class(&error)).or_default() += 1,
            }
        }
        compared
    }

    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.loaded += other.loaded;
        self.stored += other.stored;
        self.brought += other.brought;
        for (mine, theirs) in [
            (&mut self.effects, other.effects),
            (&mut self.refused_cases, other.refused_cases),
            (&mut self.refused_requests, other.refused_requests),
        ] {
            for (key, count) in theirs {
                *mine.entry(key).or_default() += count;
            }
        }
        self.wrong.extend(other.wrong);
    }
}
