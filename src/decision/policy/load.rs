//! From the text of a directory to a [`PolicySet`]: split, parse, name, validate strictly, compile. Nothing that is half
//! right gets through, and everything that is wrong is told at once.
//!
//! What has not changed since the set before is taken from there, policy by policy.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::PolicySet;
use super::compile::{Parsed, compile, parse};
use super::draft::{Draft, Drafts};
use super::entities;
use super::index::RuleNumber;
use super::nesting;
use super::problem::{LoadError, Problem, refuse_if_any};
use super::rule::Rule;
use super::rules::Rules;
use super::source::{File, Kind, Sources};
use super::vocabulary::Vocabulary;
use crate::foundation::aside::Aside;

/// The longest policy id, in bytes: ids travel in every answer and record.
const ID_LIMIT: usize = 256;

impl PolicySet {
    /// Compiles what was read. It takes its time: about 50 µs of each core for each policy.
    ///
    /// # Errors
    /// [`LoadError`] with every problem that was found.
    pub fn compile(sources: &Sources) -> Result<Self, LoadError> {
        nesting::on_deep_stack(sources.directory(), || load(sources, None))
    }

    /// Compiles what was read, as far as it is not in `self` already.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn recompile(&self, sources: &Sources) -> Result<Self, LoadError> {
        let new = nesting::on_deep_stack(sources.directory(), || load(sources, Some(self)))?;
        if self.callers { new.with_callers(sources.directory()) } else { Ok(new) }
    }
}

fn load(sources: &Sources, before: Option<&PolicySet>) -> Result<PolicySet, LoadError> {
    refuse_if_any(sources.files().filter_map(too_deep).collect())?;
    let before = before.filter(|set| set.vocabulary.digest == sources.schema_digest());
    let mut problems = Vec::new();
    let fragments = if before.is_some() { Vec::new() } else { Vocabulary::fragments(sources, &mut problems) };
    let drafts = Drafts::of(sources, &mut problems);
    let nobody = Rules::default();
    let (kept, new) = split(&drafts, before.map_or(&nobody, |set| &**set.rules));
    let parsed = parse(sources, new, &mut problems);
    check_ids(&kept, &parsed, &mut problems);
    refuse_if_any(problems)?;

    let vocabulary = match before {
        Some(set) => Arc::clone(&set.vocabulary),
        None => Arc::new(Vocabulary::of(sources, fragments)?),
    };
    vocabulary.refuse_unanswerable(sources)?;
    let mut problems = drafts.template_problems(&vocabulary.schema);
    let compiled = compile(sources, parsed, &vocabulary, &mut problems);
    let own = match before.filter(|set| set.entity_digest == sources.entity_digest()) {
        Some(set) => set.own.clone(),
        None => entities::load(sources, &vocabulary.schema, &vocabulary.types, &mut problems),
    };
    refuse_if_any(problems)?;

    let mut warnings = drafts.unlinked();
    let all =
        kept.iter().map(|kept| (kept.draft, &kept.rule)).chain(compiled.iter().map(|(draft, rule)| (*draft, rule)));
    warnings.extend(all.flat_map(|(draft, rule)| rule.warnings.iter().map(|warning| draft.told(warning))));
    let rules = rules(before, &kept, compiled.into_iter().map(|(_, rule)| rule));
    Ok(PolicySet {
        backend_headers: rules.backend_headers(),
        rules: Arc::new(Aside::new(rules)),
        vocabulary,
        entities: own.clone(),
        own,
        warnings: warnings.into(),
        policy_digest: sources.policy_digest(),
        entity_digest: sources.entity_digest(),
        callers: false,
    })
}

/// A draft that is compiled already.
struct Kept<'d> {
    draft: &'d Draft<'d>,
    number: RuleNumber,
    rule: Arc<Rule>,
}

/// Those that are compiled already, and those that are new or changed.
fn split<'d>(drafts: &'d Drafts<'d>, known: &Rules) -> (Vec<Kept<'d>>, Vec<&'d Draft<'d>>) {
    let (mut kept, mut new, mut taken) = (Vec::new(), Vec::new(), HashSet::new());
    for draft in drafts.all() {
        let mut same = known.of_text(&draft.digest);
        match same.find(|(number, rule)| draft.is(rule) && !taken.contains(number)) {
            Some((number, rule)) => {
                taken.insert(number);
                kept.push(Kept { draft, number, rule: Arc::clone(rule) });
            }
            None => new.push(draft),
        }
    }
    (kept, new)
}

fn rules(before: Option<&PolicySet>, kept: &[Kept<'_>], compiled: impl Iterator<Item = Arc<Rule>>) -> Rules {
    let mut rules = before.map(|set| Rules::clone(&set.rules)).unwrap_or_default();
    let kept: HashSet<RuleNumber> = kept.iter().map(|kept| kept.number).collect();
    let gone: Vec<_> = rules.iter().map(|(number, _)| number).filter(|number| !kept.contains(number)).collect();
    for number in gone {
        rules.remove(number);
    }
    for rule in compiled {
        rules.insert(rule);
    }
    if rules.index().is_worn() { rules.anew() } else { rules }
}

fn too_deep(file: &File) -> Option<Problem> {
    if matches!(file.kind, Kind::Entities | Kind::Links) {
        return None;
    }
    let offset = nesting::too_deep(&file.text)?;
    let (deepest, longest) = (nesting::DEEPEST, nesting::LONGEST);
    let what = format!("nested more than {deepest} levels deep, or more than {longest} operators long");
    Some(Problem::at(file, offset, what))
}

/// Every id is fit to be shown, and no two policies have the same.
fn check_ids(kept: &[Kept<'_>], parsed: &[Parsed<'_>], problems: &mut Vec<Problem>) {
    let kept = kept.iter().map(|kept| (kept.draft, &*kept.rule.id));
    let mut all: Vec<_> = kept.chain(parsed.iter().map(|parsed| (parsed.draft, &*parsed.id))).collect();
    all.sort_by_key(|(draft, _)| draft.place);
    let mut homes: HashMap<&str, &Draft<'_>> = HashMap::new();
    for (draft, id) in all {
        if let Err(message) = check_id(id) {
            problems.push(draft.problem(None, &message));
        } else if let Some(first) = homes.get(id) {
            problems.push(draft.problem(None, &format!("the policy id `{id}` is taken: {} has it", first.position())));
        } else {
            homes.insert(id, draft);
        }
    }
}

fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err("the policy id is empty".to_owned());
    }
    if id.len() > ID_LIMIT {
        return Err(format!("the policy id has more than {ID_LIMIT} bytes"));
    }
    if id.chars().any(char::is_control) {
        return Err(format!("the policy id `{id}` has a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
