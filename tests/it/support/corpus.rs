//! Cedar's own differential tests (cedar-policy/cedar-integration-tests, `corpus-tests`): policy sets with schema,
//! entities and requests, and what Cedar's reference answers to each.

mod merged;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cedar_policy::PolicyId;
use portcullis::decision::policy::{Effect, Evaluation, LoadError, PolicySet};
use portcullis::decision::query::{Action, Entity, EntityRef, Query};
use serde::Deserialize;
use serde_json::{Map, Value};
use tempfile::TempDir;

pub(crate) use self::merged::{Member, merge};

/// The corpus, unpacked. Deleted with the value.
pub(crate) struct Corpus(TempDir);

/// One policy set with its requests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    policies: PathBuf,
    entities: PathBuf,
    schema: PathBuf,
    /// Whether Cedar's strict validation accepts the policies.
    pub(crate) should_validate: bool,
    /// What is asked.
    pub(crate) requests: Vec<Request>,
}

/// One request, and Cedar's answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    principal: Uid,
    action: Uid,
    resource: Uid,
    context: Map<String, Value>,
    decision: Decision,
    reason: BTreeSet<String>,
    errors: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Allow,
    Deny,
}

#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq)]
struct Uid {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

/// An entity of a case, as the corpus writes it down.
#[derive(Clone, Debug, Deserialize)]
struct Stored {
    uid: Uid,
    attrs: Map<String, Value>,
    parents: Vec<Uid>,
    #[serde(default)]
    tags: Map<String, Value>,
}

/// A case as we take it: our policy set, our names for its policies, and what every question brings with it.
pub(crate) struct Loaded {
    policies: PolicySet,
    /// By Cedar's id: ours, and the side it is on.
    names: BTreeMap<String, (String, cedar_policy::Effect)>,
    brought: Vec<Stored>,
}

/// What we answered to a request, in Cedar's terms as far as Cedar has one.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) effect: Effect,
    policies: BTreeSet<String>,
    errors: BTreeSet<String>,
}

impl Corpus {
    /// Unpacks the archive.
    pub(crate) fn unpack(archive: &Path) -> Self {
        let home = TempDir::new().unwrap();
        let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(home.path()).status().unwrap();
        assert!(status.success(), "can't unpack {}: {status}", archive.display());
        Self(home)
    }

    /// The names of all cases, sorted.
    pub(crate) fn cases(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path().join("corpus-tests")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut cases: Vec<_> = paths
            .filter(|path| {
                let name = path.to_string_lossy();
                name.ends_with(".json") && !name.ends_with(".entities.json")
            })
            .collect();
        cases.sort();
        cases
    }

    /// Reads one case.
    pub(crate) fn case(&self, path: &Path) -> Case {
        let mut case: Case = serde_json::from_slice(&std::fs::read(path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for file in [&mut case.policies, &mut case.entities, &mut case.schema] {
            *file = self.0.path().join(&*file);
        }
        case
    }
}

impl Case {
    /// Loads the case as a policy directory with its entities in it.
    pub(crate) fn load(&self) -> Result<Loaded, LoadError> {
        self.load_with(&std::fs::read_to_string(&self.entities).unwrap(), Vec::new())
    }

    /// Loads the case as a directory without entities: every question brings them all. `None` if one has tags, which no
    /// question can bring.
    pub(crate) fn load_without_entities(&self) -> Option<Result<Loaded, LoadError>> {
        let mut entities: Vec<Stored> = serde_json::from_slice(&std::fs::read(&self.entities).unwrap()).unwrap();
        entities.retain(|entity| !entity.uid.is_action());
        entities.iter().all(|entity| entity.tags.is_empty()).then(|| self.load_with("[]", entities))
    }

    fn load_with(&self, entities: &str, brought: Vec<Stored>) -> Result<Loaded, LoadError> {
        let home = TempDir::new().unwrap();
        std::fs::copy(&self.policies, home.path().join("p.cedar")).unwrap();
        std::fs::copy(&self.schema, home.path().join("s.cedarschema")).unwrap();
        std::fs::write(home.path().join("e.json"), entities).unwrap();
        let policies = PolicySet::load(home.path())?;
        let parsed: cedar_policy::PolicySet = std::fs::read_to_string(&self.policies).unwrap().parse().unwrap();
        let name = |id: &PolicyId| format!("p#{}", id.to_string().strip_prefix("policy").unwrap());
        let names = parsed.policies().map(|policy| {
            let ours = policy.annotation("id").map_or_else(|| name(policy.id()), str::to_owned);
            (policy.id().to_string(), (ours, policy.effect()))
        });
        Ok(Loaded { policies, names: names.collect(), brought })
    }
}

impl Uid {
    fn is_action(&self) -> bool {
        self.kind.rsplit("::").next() == Some("Action")
    }

    /// Ours for an action: its id, under its namespace if it has one.
    fn action_name(&self) -> String {
        match self.kind.strip_suffix("::Action") {
            Some(namespace) => format!("{namespace}::{}", self.id),
            None => self.id.clone(),
        }
    }
}

impl Loaded {
    /// Whether we warned of anything.
    pub(crate) fn warned(&self) -> bool {
        !self.policies.warnings().is_empty()
    }

    /// Our answer, or why we do not take the question.
    pub(crate) fn answer(&self, request: &Request) -> Result<Verdict, String> {
        let evaluation = self.policies.evaluate(&self.query(request)).map_err(|error| error.to_string())?;
        Ok(self.verdict(&evaluation))
    }

    /// What we owe: Cedar's answer, except that a `forbid` which fails forbids.
    pub(crate) fn owed(&self, request: &Request) -> Verdict {
        let forbids = |id: &&String| self.names.get(*id).unwrap().1 == cedar_policy::Effect::Forbid;
        let failed_forbids: BTreeSet<_> = request.errors.iter().filter(forbids).cloned().collect();
        let (effect, policies) = match request.decision {
            Decision::Deny if !request.reason.is_empty() => (Effect::Forbid, request.reason.clone()),
            _ if !failed_forbids.is_empty() => (Effect::ForbidFailed, failed_forbids),
            Decision::Allow => (Effect::Permit, request.reason.clone()),
            Decision::Deny => (Effect::NoPermit, BTreeSet::new()),
        };
        Verdict { effect, policies, errors: request.errors.clone() }
    }

    fn verdict(&self, evaluation: &Evaluation) -> Verdict {
        let named = |text: &str, is: &dyn Fn(&str, &str) -> bool| {
            let cedars = self.names.iter().find(|(_, (ours, _))| is(text, ours));
            cedars.map_or_else(|| format!("unknown: {text}"), |(id, _)| id.clone())
        };
        let policies = evaluation.policies.iter().map(|id| named(id, &|id, ours| id == ours));
        let begins =
            |error: &str, ours: &str| error.strip_prefix(ours).is_some_and(|message| message.starts_with(": "));
        let errors = evaluation.errors.iter().map(|error| named(error, &begins));
        Verdict { effect: evaluation.effect, policies: policies.collect(), errors: errors.collect() }
    }

    fn query(&self, request: &Request) -> Query<'static> {
        let bare = |uid: &Uid| Entity::named(uid.kind.clone(), uid.id.clone());
        let parent = |parent: &Uid| EntityRef::new(parent.kind.clone(), parent.id.clone());
        let brought = |stored: &Stored| Entity {
            properties: stored.attrs.clone().into(),
            parents: stored.parents.iter().map(parent).collect(),
            ..bare(&stored.uid)
        };
        let whole =
            |uid: &Uid| self.brought.iter().find(|stored| stored.uid == *uid).map_or_else(|| bare(uid), &brought);
        let ends = [&request.principal, &request.resource];
        Query {
            subject: whole(&request.principal),
            action: Action::named(request.action.action_name()),
            resource: whole(&request.resource),
            context: request.context.clone().into(),
            extra: self.brought.iter().filter(|stored| !ends.contains(&&stored.uid)).map(brought).collect(),
        }
    }
}

/// What a refusal is about: how its message begins, up to the first name or value in it.
pub(crate) fn class(message: &str) -> &str {
    let own =
        message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")).map_or(message, |(_, own)| own);
    if own.starts_with("the types ") {
        return "the types are not compatible";
    }
    let own = own.trim_start_matches('`');
    own.split([':', '`', '"', '(']).next().unwrap_or(own).trim_end()
}
