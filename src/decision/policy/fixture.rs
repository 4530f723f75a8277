//! Policy directories and questions for the tests of this room.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{LoadError, PolicySet};
use crate::decision::query::{Action, Entity, EntityRef, Properties, Query};

/// A schema with a value of every type.
pub(in crate::decision) const SCHEMA: &str = r#"
entity Team in [Team];
entity User in [Team] = {
  level?: Long,
  admin?: Bool,
  manager?: User,
  home?: ipaddr,
} tags String;
entity Document in [Folder] = { owner?: User, labels?: Set<String>, place?: Place };
entity Folder in [Folder];
type Place = { city: String, geo: { north: decimal, floors: Set<Long> } };
action any;
action read, "say \"hi\"" in [any] appliesTo { principal: User, resource: Document, context: {
  ip?: ipaddr,
  at?: datetime,
  lasts?: duration,
  by?: User,
  n?: Long,
  place?: Place,
  action?: { note?: String, dry_run?: Bool },
} };
action write in [any] appliesTo { principal: User, resource: Document, context: { reason: String } };
"#;

/// A directory that is deleted with the value.
pub(in crate::decision) struct Directory(TempDir);

impl Directory {
    pub(in crate::decision) fn new(files: &[(&str, &str)]) -> Self {
        let directory = Self(TempDir::new().unwrap());
        for (name, text) in files {
            directory.write(name, text);
        }
        directory
    }

    /// [`SCHEMA`] and these policies.
    pub(in crate::decision) fn of(policies: &str) -> Self {
        Self::new(&[("s.cedarschema", SCHEMA), ("p.cedar", policies)])
    }

    pub(in crate::decision) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts the file there in one step, so that whoever watches never sees it half written.
    pub(in crate::decision) fn write(&self, name: &str, text: &str) {
        let new = self.path().join(".new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path().join(name)).unwrap();
    }

    pub(in crate::decision) fn load(&self) -> Result<PolicySet, LoadError> {
        PolicySet::load(self.path())
    }

    /// The refusal, with the directory's own path taken out.
    pub(in crate::decision) fn refusal(&self) -> String {
        self.load().map(|_| ()).unwrap_err().to_string().replace(&format!("{}/", self.path().display()), "")
    }
}

pub(in crate::decision) fn entity(kind: &str, id: &str, properties: Value) -> Entity<'static> {
    Entity { properties: object(properties), ..Entity::named(kind.to_owned(), id.to_owned()) }
}

pub(in crate::decision) fn parent(kind: &str, id: &str) -> EntityRef<'static> {
    EntityRef::new(kind.to_owned(), id.to_owned())
}

pub(in crate::decision) fn object(value: Value) -> Properties<'static> {
    serde_json::from_value::<Map<_, _>>(value).unwrap().into()
}

/// May alice read the plan?
pub(in crate::decision) fn question() -> Query<'static> {
    Query {
        subject: entity("User", "alice", json!({})),
        action: Action::named("read"),
        resource: entity("Document", "plan", json!({})),
        context: Properties::default(),
        extra: Vec::new(),
    }
}
