//! Test data of others, which is not in this repository: `make vectors` says where it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::decision::policy::Effect;

use crate::support::corpus::{Case, Corpus, Loaded, Member, class, merge};
use crate::support::vectors;

/// How many answers must at least be compared, with the entities stored and with the entities brought by the question.
const STORED_FLOOR: usize = 23_280;
const BROUGHT_FLOOR: usize = 10_000;

/// How many cases of the corpus are merged into one policy directory, as far as each loads alone: some two hundred do.
const MERGED: usize = 300;

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
    /// Policy sets that Cedar's validator refuses too, by the reason we tell.
    refused: BTreeMap<String, usize>,
    /// Policy sets that only we refuse.
    refused_by_us_alone: BTreeMap<String, usize>,
    refused_requests: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

#[test]
#[ignore = "needs outside vectors: make vectors"]
fn our_answers_are_plain_cedars() {
    let corpus = Corpus::unpack(&vectors("cedar-corpus.tar.gz"));
    let cases = corpus.cases();
    // Every second case is enough of the other way, which costs a second compilation.
    let counts = Counts::of(&cases, |index, path| compare(path, &corpus.case(path), index.is_multiple_of(2)));
    eprintln!("{counts:#?}");
    assert!(counts.wrong.is_empty(), "{} answers are not Cedar's", counts.wrong.len());
    assert!(counts.stored >= STORED_FLOOR && counts.brought >= BROUGHT_FLOOR, "too little was compared");
    let alone: Vec<_> = counts.refused_by_us_alone.keys().collect();
    assert_eq!(alone, ["policy is impossible"], "beyond Cedar we refuse only a forbid that can never apply");
    counts.have_every_effect();
}

/// A case alone is about one policy; merged, the index has hundreds to choose from.
#[test]
#[ignore = "needs outside vectors: make vectors"]
fn merged_policies_are_answered_as_each_alone() {
    let corpus = Corpus::unpack(&vectors("cedar-corpus.tar.gz"));
    let cases = corpus.cases();
    let groups: Vec<_> = cases.chunks(MERGED).collect();
    let counts = Counts::of(&groups, |_, paths| {
        let cases = paths.iter().map(|path| (path, corpus.case(path)));
        let alone: Vec<_> = cases.filter_map(|(path, case)| Some((path, case.load().ok()?, case))).collect();
        let members = merge(alone.iter().map(|(_, _, case)| case)).unwrap();
        let mut counts = Counts { cases: paths.len(), loaded: alone.len(), ..Counts::default() };
        for ((path, alone, case), member) in alone.iter().zip(&members) {
            counts.compare_merged(path, case, alone, member);
        }
        counts
    });
    eprintln!("{counts:#?}");
    assert!(counts.wrong.is_empty(), "{} answers are not those of the case alone", counts.wrong.len());
    assert!(counts.stored >= STORED_FLOOR, "too little was compared");
    counts.have_every_effect();
}

/// Compares all answers of one case with its entities in the directory, and if `both_ways`, with them in the question.
fn compare(path: &Path, case: &Case, both_ways: bool) -> Counts {
    let mut counts = Counts { cases: 1, ..Counts::default() };
    let loaded = match case.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            let classes = if case.should_validate { &mut counts.refused_by_us_alone } else { &mut counts.refused };
            let problem = error.problems().first().unwrap();
            *classes.entry(class(problem.message()).to_owned()).or_default() += 1;
            return counts;
        }
    };
    counts.loaded = 1;
    // A policy for an action that its scope excludes was an error to Cedar once, and is a warning now.
    if !case.should_validate && !loaded.warned() {
        counts.wrong.push(format!("{}: Cedar refuses the policies and we say nothing", path.display()));
    }
    counts.stored = counts.compare(path, case, &loaded);
    if both_ways && let Some(loaded) = case.load_without_entities() {
        counts.brought = counts.compare(path, case, &loaded.unwrap());
    }
    counts
}

impl Counts {
    /// What all of `work` on the items came to.
    fn of<T: Sync>(items: &[T], work: impl Fn(usize, &T) -> Self + Sync) -> Self {
        let next = AtomicUsize::new(0);
        let counts = Mutex::new(Self::default());
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { return };
                let seen = work(index, item);
                counts.lock().unwrap().add(seen);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
            scope.spawn(work);
        });
        counts.into_inner().unwrap()
    }

    fn have_every_effect(&self) {
        for effect in [Effect::Permit, Effect::NoPermit, Effect::Forbid, Effect::ForbidFailed] {
            assert!(self.effects.contains_key(&format!("{effect:?}")), "{effect:?} was never the answer");
        }
    }

    /// What the case alone refuses must be refused of it here too.
    fn compare_merged(&mut self, path: &Path, case: &Case, alone: &Loaded, member: &Member) {
        for (index, (original, request)) in case.requests.iter().zip(&member.requests).enumerate() {
            let (told, owed) = (member.loaded.answer(request).ok(), alone.answer(original).ok());
            if told != owed.map(|_| alone.owed(original)) {
                self.wrong.push(format!("{} request {index}: {told:?}", path.display()));
            }
            if let Some(told) = told {
                self.stored += 1;
                *self.effects.entry(format!("{:?}", told.effect)).or_default() += 1;
            }
        }
    }

    fn compare(&mut self, path: &Path, case: &Case, loaded: &Loaded) -> usize {
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
                Err(error) => *self.refused_requests.entry(class(&error).to_owned()).or_default() += 1,
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
            (&mut self.refused, other.refused),
            (&mut self.refused_by_us_alone, other.refused_by_us_alone),
            (&mut self.refused_requests, other.refused_requests),
        ] {
            for (key, count) in theirs {
                *mine.entry(key).or_default() += count;
            }
        }
        self.wrong.extend(other.wrong);
    }
}
