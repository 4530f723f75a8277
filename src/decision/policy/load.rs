//! From the text of a directory to a [`PolicySet`]: parse, name, validate strictly. Nothing that is half right gets
//! through, and everything that is wrong is told at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use cedar_policy::{Authorizer, Effect, EntityUid, PolicyId, Schema, SchemaFragment, ValidationMode, Validator};
use miette::Diagnostic;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::PolicySet;
use super::entities::{EntityStore, chain};
use super::nesting;
use super::problem::{LoadError, Position, Problem, refuse_if_any};
use super::shape::{SchemaShape, unanswerable};
use super::source::{File, Kind, Sources};
use crate::decision::schema::SchemaTypes;

/// The longest policy id, in bytes: ids travel in every answer and record.
const ID_LIMIT: usize = 256;

impl PolicySet {
    /// Compiles what was read. It takes its time: about 50 µs a policy.
    ///
    /// # Errors
    /// [`LoadError`] with every problem that was found.
    pub fn compile(sources: &Sources) -> Result<Self, LoadError> {
        refuse_if_any(sources.files().filter_map(too_deep).collect())?;
        let failed = |message| LoadError::single(Problem::new(sources.directory(), message));
        thread::scope(|scope| {
            let compiler = thread::Builder::new().name("policy-compile".to_owned()).stack_size(nesting::STACK);
            let thread =
                compiler.spawn_scoped(scope, || compile(sources)).map_err(|error| failed(error.to_string()))?;
            thread.join().unwrap_or_else(|_panic| Err(failed("the policy compiler failed".to_owned())))
        })
    }
}

fn too_deep(file: &File) -> Option<Problem> {
    if file.kind == Kind::Entities {
        return None;
    }
    let offset = nesting::too_deep(&file.text)?;
    let (deepest, longest) = (nesting::DEEPEST, nesting::LONGEST);
    Some(Problem::at(
        file,
        offset,
        format!("nested more than {deepest} levels deep, or more than {longest} operators long"),
    ))
}

fn compile(sources: &Sources) -> Result<PolicySet, LoadError> {
    let mut problems = Vec::new();
    let fragments = fragments(sources, &mut problems);
    let (policies, homes) = parse_policies(sources, &mut problems);
    refuse_if_any(problems)?;

    let (schema, types) = schema(sources, fragments)?;
    let mut problems: Vec<_> = unanswerable(&types).iter().map(|what| schema_problem(sources, what)).collect();
    let warnings = validate(sources, &schema, &policies, &homes, &mut problems);
    let entities = EntityStore::load(sources, &schema, &policies, &mut problems);
    refuse_if_any(problems)?;

    let effects = policies.policies().map(|policy| {
        let id = policy.id().to_string();
        (id.clone(), (Arc::from(id), policy.effect()))
    });
    Ok(PolicySet {
        effects: effects.collect(),
        authorizer: Authorizer::new(),
        shape: SchemaShape::of(&types),
        actions: schema.actions().map(|action| (action_name(action), action.clone())).collect(),
        kinds: schema.entity_types().map(|kind| (kind.to_string(), kind.clone())).collect(),
        policy_digest: sources.policy_digest(),
        entity_digest: sources.entity_digest(),
        policies,
        schema,
        types,
        entities,
        warnings,
    })
}

/// `GET` for `Action::"GET"`, `Shop::buy` for `Shop::Action::"buy"`.
fn action_name(action: &EntityUid) -> String {
    let id = action.id().unescaped();
    let namespace = action.type_name().namespace();
    if namespace.is_empty() { id.to_owned() } else { format!("{namespace}::{id}") }
}

fn fragments(sources: &Sources, problems: &mut Vec<Problem>) -> Vec<SchemaFragment> {
    let mut fragments = Vec::new();
    for file in sources.files() {
        match file.kind {
            Kind::CedarSchema => match SchemaFragment::from_cedarschema_str(&file.text) {
                Ok((fragment, _warnings)) => fragments.push(fragment),
                Err(error) => problems.push(Problem::of(&error, sources, &file.path, None)),
            },
            Kind::JsonSchema => match SchemaFragment::from_json_str(&file.text) {
                Ok(fragment) => fragments.push(fragment),
                Err(error) => problems.push(json_problem(file, &error)),
            },
            Kind::Policies | Kind::Entities => {}
        }
    }
    if fragments.is_empty() && problems.is_empty() {
        problems
            .push(Problem::new(sources.directory(), "no schema: there is no `*.cedarschema` or `*.cedarschema.json`"));
    }
    fragments
}

/// A schema in JSON that is not JSON at all has a position; one that is merely wrong has only Cedar's words.
fn json_problem(file: &File, error: &cedar_policy::SchemaError) -> Problem {
    match serde_json::from_str::<IgnoredAny>(&file.text) {
        Err(syntax) => {
            let position = Position { line: syntax.line(), column: syntax.column() };
            Problem::positioned(&file.path, position, syntax)
        }
        Ok(IgnoredAny) => Problem::new(&file.path, chain(error)),
    }
}

fn schema(sources: &Sources, fragments: Vec<SchemaFragment>) -> Result<(Schema, SchemaTypes), LoadError> {
    let refused = |problem| LoadError::single(problem);
    let json: Result<Vec<Value>, _> = fragments.iter().cloned().map(SchemaFragment::to_json_value).collect();
    let home = schema_file(sources);
    let schema =
        Schema::from_schema_fragments(fragments).map_err(|error| refused(Problem::of(&error, sources, &home, None)))?;
    let json = json.map_err(|error| refused(Problem::of(&error, sources, &home, None)))?;
    let types = SchemaTypes::of(&json).map_err(|error| refused(Problem::new(&home, error)))?;
    Ok((schema, types))
}

/// Whom a problem of the schema as a whole is reported for: its file if there is just one, else the directory.
fn schema_file(sources: &Sources) -> PathBuf {
    let mut files = sources.files().filter(|file| matches!(file.kind, Kind::CedarSchema | Kind::JsonSchema));
    match (files.next(), files.next()) {
        (Some(only), None) => only.path.clone(),
        _ => sources.directory().to_owned(),
    }
}

fn schema_problem(sources: &Sources, what: &str) -> Problem {
    Problem::new(&schema_file(sources), what)
}

/// Where each policy stands, by id.
type Homes<'a> = BTreeMap<String, (&'a File, usize)>;

fn parse_policies<'a>(sources: &'a Sources, problems: &mut Vec<Problem>) -> (cedar_policy::PolicySet, Homes<'a>) {
    let mut all = cedar_policy::PolicySet::new();
    let mut homes = Homes::new();
    let before = problems.len();
    for file in sources.of_kind(Kind::Policies) {
        match file.text.parse::<cedar_policy::PolicySet>() {
            Ok(parsed) => add_policies(file, &parsed, &mut all, &mut homes, problems),
            Err(errors) => problems.extend(errors.iter().map(|error| Problem::of(error, sources, &file.path, None))),
        }
    }
    if all.is_empty() && problems.len() == before {
        problems.push(Problem::new(sources.directory(), "no policies: there is no policy in any `*.cedar`"));
    }
    (all, homes)
}

fn add_policies<'a>(
    file: &'a File,
    parsed: &cedar_policy::PolicySet,
    all: &mut cedar_policy::PolicySet,
    homes: &mut Homes<'a>,
    problems: &mut Vec<Problem>,
) {
    for template in parsed.templates() {
        let offset = file.text.find(&template.to_string()).unwrap_or(0);
        problems.push(Problem::at(file, offset, "a template is of no use here: a policy file has no way to link it"));
    }
    let mut searched = 0;
    for (index, policy) in in_order(parsed).into_iter().enumerate() {
        // Cedar keeps each policy's own text, so it stands right where that text is next found.
        let text = policy.to_string();
        let offset =
            file.text.get(searched..).and_then(|rest| rest.find(&text)).map_or(searched, |found| searched + found);
        searched = offset + text.len();
        let id = policy.annotation("id").map_or_else(|| format!("{}#{index}", file.stem()), str::to_owned);
        if let Err(message) = check_id(&id) {
            problems.push(Problem::at(file, offset, message));
        } else if let Some((other, place)) = homes.get(&id) {
            let first = format!("{}:{}", other.path.display(), other.position(*place));
            problems.push(Problem::at(file, offset, format!("the policy id `{id}` is taken: {first} has it")));
        } else if let Err(error) = all.add(policy.new_id(PolicyId::new(&id))) {
            problems.push(Problem::at(file, offset, error));
        } else {
            homes.insert(id, (file, offset));
        }
    }
}

/// The policies of one file in the order of its text: Cedar names them `policy0`, `policy1` and so on.
fn in_order(parsed: &cedar_policy::PolicySet) -> Vec<&cedar_policy::Policy> {
    let position = |policy: &cedar_policy::Policy| -> usize {
        policy.id().to_string().strip_prefix("policy").and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
    };
    let mut policies: Vec<_> = parsed.policies().collect();
    policies.sort_by_key(|policy| position(policy));
    policies
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

/// Validates strictly and returns the warnings. A `forbid` that can never apply is an error, though Cedar only warns of
/// it: whoever wrote it believes something to be forbidden.
fn validate(
    sources: &Sources,
    schema: &Schema,
    policies: &cedar_policy::PolicySet,
    homes: &Homes<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Problem> {
    let located = |id: &PolicyId, diagnostic: &dyn Diagnostic| match homes.get(&id.to_string()) {
        Some((file, offset)) => Problem::of(diagnostic, sources, &file.path, Some(*offset)),
        None => Problem::new(sources.directory(), diagnostic),
    };
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    problems.extend(result.validation_errors().map(|error| located(error.policy_id(), error)));
    let mut warnings = Vec::new();
    for warning in result.validation_warnings() {
        use cedar_policy::ValidationWarning::{ImpossiblePolicy, InvalidActionApplication};
        let never = matches!(warning, ImpossiblePolicy(_) | InvalidActionApplication(_));
        let forbids = policies.policy(warning.policy_id()).is_some_and(|policy| policy.effect() == Effect::Forbid);
        let found = if never && forbids { &mut *problems } else { &mut warnings };
        found.push(located(warning.policy_id(), warning));
    }
    warnings
}

#[cfg(test)]
mod tests;
