//! The policies of a directory as texts, each with its place: statements of files, and templates that a link fills in.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use cedar_policy::{PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use super::links::{Linked, links};
use super::problem::{Problem, label, told};
use super::rule::{Rule, Warning};
use super::source::{File, Kind, Sources};
use super::statement::{Statement, statements};
use crate::foundation::digest::Digest;

/// A policy to be.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// Its number among all, in the order of files and texts.
    pub(super) place: usize,
    pub(super) text: Cow<'a, str>,
    /// Of the text.
    pub(super) digest: Digest,
    /// The id, if the policy does not name one itself; a link always has its own.
    pub(super) id: String,
    pub(super) file: &'a File,
    /// Where it begins in the file; a link has no place of its own.
    offset: Option<usize>,
}

/// All of them, and the templates.
#[derive(Debug)]
pub(super) struct Drafts<'a> {
    all: Vec<Draft<'a>>,
    templates: BTreeMap<String, Template<'a>>,
    linked: HashSet<String>,
}

/// A policy with places that links fill in.
#[derive(Debug)]
pub(super) struct Template<'a> {
    pub(super) file: &'a File,
    pub(super) statement: Statement,
    parsed: cedar_policy::Template,
}

impl<'a> Drafts<'a> {
    /// Takes the policy and link files apart.
    pub(super) fn of(sources: &'a Sources, problems: &mut Vec<Problem>) -> Self {
        let mut drafts = Self { all: Vec::new(), templates: BTreeMap::new(), linked: HashSet::new() };
        for file in sources.of_kind(Kind::Policies) {
            for (index, statement) in statements(&file.text).into_iter().enumerate() {
                let id = format!("{}#{index}", file.stem());
                let text = file.text.get(statement.range.clone()).unwrap_or_default();
                if statement.slots.is_empty() {
                    drafts.add(Cow::Borrowed(text), id, file, Some(statement.range.start));
                } else if let Err(problem) = drafts.add_template(text, id, file, statement) {
                    problems.extend(problem.map_or_else(|| syntax_problems(sources, file), |problem| vec![problem]));
                }
            }
        }
        for Linked { id, template, text, file } in links(sources, &drafts.templates, problems) {
            drafts.linked.insert(template);
            drafts.add(Cow::Owned(text), id, file, None);
        }
        if drafts.all.is_empty() && problems.is_empty() {
            let what = "no policies: there is no policy in any `*.cedar`";
            problems.push(Problem::new(sources.directory(), what));
        }
        drafts
    }

    fn add(&mut self, text: Cow<'a, str>, id: String, file: &'a File, offset: Option<usize>) {
        let digest = Digest::of(text.as_bytes());
        self.all.push(Draft { place: self.all.len(), text, digest, id, file, offset });
    }

    /// `Err(None)` if the text is not a template at all.
    fn add_template(
        &mut self,
        text: &str,
        id: String,
        file: &'a File,
        statement: Statement,
    ) -> Result<(), Option<Problem>> {
        let parsed = cedar_policy::Template::parse(None, text).map_err(|_syntax| None)?;
        let id = parsed.annotation("id").map_or(id, str::to_owned);
        let parsed = parsed.new_id(PolicyId::new(&id));
        let offset = statement.range.start;
        if self.templates.contains_key(&id) {
            return Err(Some(Problem::at(file, offset, format!("the template id `{id}` is taken"))));
        }
        self.templates.insert(id, Template { file, statement, parsed });
        Ok(())
    }

    /// All policies, in the order of their places.
    pub(super) fn all(&self) -> &[Draft<'a>] {
        &self.all
    }

    /// What is wrong with the templates, linked or not.
    pub(super) fn template_problems(&self, schema: &Schema) -> Vec<Problem> {
        let mut set = PolicySet::new();
        for template in self.templates.values() {
            // The ids are distinct, which is all that could be wrong here.
            drop(set.add_template(template.parsed.clone()));
        }
        if self.templates.is_empty() {
            return Vec::new();
        }
        let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
        let located =
            result.validation_errors().map(|error| match self.templates.get(&error.policy_id().to_string()) {
                Some(template) => {
                    let offset = template.statement.range.start + label(error).unwrap_or(0);
                    Problem::at(template.file, offset, told(error))
                }
                None => Problem::new(std::path::Path::new(""), told(error)),
            });
        located.collect()
    }

    /// Templates that no link fills in, which is odd.
    pub(super) fn unlinked(&self) -> Vec<Problem> {
        let unlinked = self.templates.iter().filter(|(id, _)| !self.linked.contains(*id));
        let odd = unlinked.map(|(id, template)| {
            let what = format!("no link fills in the template `{id}`, so it decides nothing");
            Problem::at(template.file, template.statement.range.start, what)
        });
        odd.collect()
    }
}

impl Draft<'_> {
    /// Whether `rule`, which is of the same text, is this very policy.
    pub(super) fn is(&self, rule: &Rule) -> bool {
        *rule.id == *self.id || (self.offset.is_some() && rule.named)
    }

    /// Whether it is a link, which has its id from there and not from an annotation.
    pub(super) const fn is_link(&self) -> bool {
        self.offset.is_none()
    }

    /// A problem `offset` bytes into the text.
    pub(super) fn problem(&self, offset: Option<usize>, message: &str) -> Problem {
        match self.offset {
            Some(start) => Problem::at(self.file, start + offset.unwrap_or(0), message),
            None => Problem::new(&self.file.path, format!("link `{}`: {message}", self.id)),
        }
    }

    /// What Cedar says of it.
    pub(super) fn told(&self, warning: &Warning) -> Problem {
        self.problem(warning.offset, &warning.message)
    }

    /// Where it is, for others to point to.
    pub(super) fn position(&self) -> String {
        let path = self.file.path.display();
        self.offset.map_or_else(|| path.to_string(), |offset| format!("{path}:{}", self.file.position(offset)))
    }
}

impl Warning {
    /// What Cedar says of a policy that it was given alone.
    pub(super) fn of(diagnostic: &dyn Diagnostic) -> Self {
        Self { offset: label(diagnostic), message: told(diagnostic) }
    }
}

/// What Cedar says of the syntax of a whole file.
pub(super) fn syntax_problems(sources: &Sources, file: &File) -> Vec<Problem> {
    match file.text.parse::<PolicySet>() {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| Problem::of(error, sources, &file.path)).collect(),
    }
}
