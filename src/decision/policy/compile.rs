//! From texts to rules, on all cores.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, ValidationWarning, Validator};

use super::draft::{Draft, syntax_problems};
use super::nesting;
use super::problem::Problem;
use super::rule::{Rule, Warning, Workshop};
use super::source::Sources;
use super::vocabulary::Vocabulary;
use crate::decision::entity::{Entities, View};

/// Fewer policies than this are not worth another thread.
const WORTH_A_THREAD: usize = 64;
/// The most threads: decisions need cores too.
const MOST_THREADS: usize = 8;

/// A policy whose syntax is right.
#[derive(Debug)]
pub(super) struct Parsed<'d> {
    pub(super) draft: &'d Draft<'d>,
    pub(super) id: Arc<str>,
    policy: Policy,
}

/// Parses each draft. What is wrong is found again by Cedar in the whole file, which says more of it.
pub(super) fn parse<'d>(sources: &Sources, drafts: Vec<&'d Draft<'d>>, problems: &mut Vec<Problem>) -> Vec<Parsed<'d>> {
    let parts = in_parts(drafts, problems, sources, |drafts| {
        let (mut parsed, mut wrong) = (Vec::new(), Vec::new());
        for draft in drafts {
            match parse_one(draft) {
                Ok(policy) => parsed.push(policy),
                Err(message) => wrong.push((draft, message)),
            }
        }
        (parsed, wrong)
    });
    let mut all = Vec::new();
    let mut reported: Vec<&Path> = Vec::new();
    for (parsed, wrong) in parts {
        all.extend(parsed);
        for (draft, warning) in wrong {
            let path = draft.file.path.as_path();
            if draft.is_link() {
                problems.push(draft.told(&warning));
            } else if !reported.contains(&path) {
                reported.push(path);
                let found = syntax_problems(sources, draft.file);
                let own = found.is_empty().then(|| draft.told(&warning));
                problems.extend(found.into_iter().chain(own));
            }
        }
    }
    all
}

fn parse_one<'d>(draft: &'d Draft<'d>) -> Result<Parsed<'d>, Warning> {
    let policy = Policy::parse(None, &draft.text).map_err(|error| Warning::of(&error))?;
    let named = policy.annotation("id").filter(|_| !draft.is_link());
    let id: Arc<str> = named.unwrap_or(&draft.id).into();
    Ok(Parsed { draft, policy: policy.new_id(PolicyId::new(&*id)), id })
}

/// Validates and compiles what was parsed.
pub(super) fn compile<'d>(
    sources: &Sources,
    parsed: Vec<Parsed<'d>>,
    vocabulary: &Vocabulary,
    problems: &mut Vec<Problem>,
) -> Vec<(&'d Draft<'d>, Arc<Rule>)> {
    let parts = in_parts(parsed, problems, sources, |parsed| {
        let mut problems = Vec::new();
        (compile_part(parsed, vocabulary, &mut problems), problems)
    });
    let mut rules = Vec::new();
    for (compiled, found) in parts {
        rules.extend(compiled);
        problems.extend(found);
    }
    rules
}

fn compile_part<'d>(
    parsed: Vec<Parsed<'d>>,
    vocabulary: &Vocabulary,
    problems: &mut Vec<Problem>,
) -> Vec<(&'d Draft<'d>, Arc<Rule>)> {
    let mut warnings = validate(&parsed, vocabulary, problems);
    let nobody = Entities::default();
    let known = View { stored: &nobody, actions: &vocabulary.actions.entities, brought: &[] };
    let actions: Vec<_> = vocabulary.actions.uids().iter().map(|uid| known.lineage(uid.as_ref())).collect();
    let mut workshop = Workshop::new(&actions, known);
    let mut rules = Vec::with_capacity(parsed.len());
    for (place, Parsed { draft, policy, id }) in parsed.into_iter().enumerate() {
        let mut own = Vec::new();
        while let Some((_, warning)) = warnings.pop_if(|(of, _)| *of == place) {
            own.push(warning);
        }
        match workshop.rule(&policy, id, draft, own) {
            Ok(rule) => rules.push((draft, Arc::new(rule))),
            Err(what) => problems.push(draft.problem(None, &what)),
        }
    }
    rules
}

/// Validates strictly and returns the warnings, each with the place of its policy, last place first. A `forbid` that can
/// never apply is an error, though Cedar only warns of it: whoever wrote it believes something to be forbidden.
fn validate(parsed: &[Parsed<'_>], vocabulary: &Vocabulary, problems: &mut Vec<Problem>) -> Vec<(usize, Warning)> {
    let mut policies = PolicySet::new();
    for Parsed { policy, draft, .. } in parsed {
        if let Err(error) = policies.add(policy.clone()) {
            problems.push(draft.problem(None, &error.to_string()));
        }
    }
    let places = parsed.iter().enumerate().map(|(place, parsed)| (&*parsed.id, place));
    let places: HashMap<&str, usize> = places.collect();
    let place = |id: &PolicyId| places.get(id.to_string().as_str()).copied();
    let result = Validator::new(vocabulary.schema.clone()).validate(&policies, ValidationMode::Strict);
    for error in result.validation_errors() {
        if let Some(parsed) = place(error.policy_id()).and_then(|place| parsed.get(place)) {
            problems.push(parsed.draft.told(&Warning::of(error)));
        }
    }
    let mut warnings = Vec::new();
    for warning in result.validation_warnings() {
        use ValidationWarning::{ImpossiblePolicy, InvalidActionApplication};
        let Some((place, of)) = place(warning.policy_id()).and_then(|place| Some((place, parsed.get(place)?))) else {
            continue;
        };
        let never = matches!(warning, ImpossiblePolicy(_) | InvalidActionApplication(_));
        if never && of.policy.effect() == Effect::Forbid {
            problems.push(of.draft.told(&Warning::of(warning)));
        } else {
            warnings.push((place, Warning::of(warning)));
        }
    }
    warnings.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    warnings
}

/// What `work` makes of the parts that `items` are cut into, on a thread each.
fn in_parts<T: Send, R: Send>(
    mut items: Vec<T>,
    problems: &mut Vec<Problem>,
    sources: &Sources,
    work: impl Fn(Vec<T>) -> R + Sync,
) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let size = items.len().div_ceil(threads).max(WORTH_A_THREAD);
    let mut parts = Vec::new();
    while items.len() > size {
        let rest = items.split_off(size);
        parts.push(std::mem::replace(&mut items, rest));
    }
    parts.push(items);
    nesting::in_parallel(parts, &work).unwrap_or_else(|why| {
        problems.push(Problem::new(sources.directory(), why));
        Vec::new()
    })
}
