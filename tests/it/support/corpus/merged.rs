//! Many cases as one policy directory: every type of a case goes into a namespace of the case's own, so that the answers
//! stay what they were, while the index has all policies to choose from.

mod rename;

use std::collections::BTreeMap;

use cedar_policy::{Policy, SchemaFragment};
use portcullis::decision::policy::{LoadError, PolicySet};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::rename::Renaming;
use super::{Case, Loaded, Request, Uid};

/// A case as it is in the merged directory.
struct Moved {
    schema: Value,
    policies: Vec<String>,
    entities: Value,
    names: BTreeMap<String, (String, cedar_policy::Effect)>,
    requests: Vec<Request>,
}

/// One of the cases that were merged, with its requests as they are to be asked.
pub(crate) struct Member {
    pub(crate) loaded: Loaded,
    pub(crate) requests: Vec<Request>,
}

/// Merges the cases and loads them all as one set of policies.
pub(crate) fn merge<'c>(cases: impl Iterator<Item = &'c Case>) -> Result<Vec<Member>, LoadError> {
    let moved: Vec<_> = cases.enumerate().map(|(number, case)| case.moved(number)).collect();
    let home = TempDir::new().unwrap();
    for (number, case) in moved.iter().enumerate() {
        let write =
            |kind: &str, text: &str| std::fs::write(home.path().join(format!("c{number}.{kind}")), text).unwrap();
        write("cedarschema.json", &case.schema.to_string());
        write("cedar", &case.policies.join("\n"));
        write("json", &case.entities.to_string());
    }
    let policies = PolicySet::load(home.path())?;
    let member = |case: Moved| {
        let loaded = Loaded { policies: policies.clone(), names: case.names, brought: Vec::new() };
        Member { loaded, requests: case.requests }
    };
    Ok(moved.into_iter().map(member).collect())
}

impl Case {
    fn moved(&self, number: usize) -> Moved {
        let text = std::fs::read_to_string(&self.schema).unwrap();
        let schema = SchemaFragment::from_cedarschema_str(&text).unwrap().0.to_json_value().unwrap();
        let renaming = Renaming::new(&schema, &format!("C{number}"));
        let actions = renaming.actions(&schema);
        let entities = serde_json::from_slice(&std::fs::read(&self.entities).unwrap()).unwrap();
        let mut moved = Moved {
            schema: renaming.schema(&schema),
            policies: Vec::new(),
            entities: renaming.data(entities),
            names: BTreeMap::new(),
            requests: self.requests.iter().map(|request| request.moved(&renaming)).collect(),
        };
        let parsed: cedar_policy::PolicySet = std::fs::read_to_string(&self.policies).unwrap().parse().unwrap();
        for policy in parsed.policies() {
            let ours = format!("c{number} {}", policy.id());
            moved.policies.push(text_of(policy, &ours, &actions, &renaming));
            moved.names.insert(policy.id().to_string(), (ours, policy.effect()));
        }
        moved
    }
}

/// The policy under the id `ours`, in terms of the case's own types. One that is for any action at all is for those of
/// its own case, since the other cases' requests are none that its case was asked.
fn text_of(policy: &Policy, ours: &str, actions: &[Value], renaming: &Renaming) -> String {
    let mut json = renaming.data(policy.to_json().unwrap());
    json["annotations"] = json!({"id": ours});
    if json["action"]["op"] == "All" {
        json["action"] = json!({"op": "in", "entities": actions});
    }
    Policy::from_json(None, json).unwrap().to_cedar().unwrap()
}

impl Request {
    fn moved(&self, renaming: &Renaming) -> Self {
        let uid = |uid: &Uid| Uid { kind: renaming.moved(&uid.kind), id: uid.id.clone() };
        let context = renaming.data(Value::Object(self.context.clone()));
        Self {
            principal: uid(&self.principal),
            action: uid(&self.action),
            resource: uid(&self.resource),
            context: context.as_object().unwrap().clone(),
            decision: self.decision,
            reason: self.reason.clone(),
            errors: self.errors.clone(),
        }
    }
}
