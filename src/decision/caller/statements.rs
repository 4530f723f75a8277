//! What a caller may say of those whom it asks about: which properties of subject, resource and action, and which keys of the
//! context. What it may not say is left out, as if it had not been said. That takes nothing from anybody's safety, since who
//! asks could always have kept silent, and members that mean nothing to us are to be ignored anyhow (Authorization API 1.0,
//! section 5).

use std::collections::BTreeSet;

use super::Caller;
use crate::decision::query::{Properties, Query};

/// Stands for all callers that have no place of their own, and, in a list, for all names.
pub const ANY: &str = "*";

/// Some names, or all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Allowed {
    /// All names.
    Any,
    /// These.
    Names(BTreeSet<String>),
}

/// What one caller may say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vocabulary {
    /// Who, by [`Caller::name`]; or [`ANY`].
    pub caller: String,
    /// Properties of the subject.
    pub subject: Allowed,
    /// Properties of the resource.
    pub resource: Allowed,
    /// Properties of the action.
    pub action: Allowed,
    /// Keys of the context.
    pub context: Allowed,
}

/// What each caller may say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Statements(Vec<Vocabulary>);

impl Statements {
    /// These; of two for the same caller the first counts. A caller without one may say nothing; if there are none at all,
    /// everybody may say everything.
    pub const fn new(vocabularies: Vec<Vocabulary>) -> Self {
        Self(vocabularies)
    }

    /// Leaves out of `query` what its caller may not say.
    pub fn restrict(&self, query: &mut Query<'_>, caller: Option<&Caller>) {
        if self.0.is_empty() {
            return;
        }
        let name = caller.map_or(ANY, Caller::name);
        let own = self.0.iter().find(|vocabulary| vocabulary.caller == name);
        let vocabulary = own.or_else(|| self.0.iter().find(|vocabulary| vocabulary.caller == ANY));
        let nothing = Allowed::Names(BTreeSet::new());
        let (subject, resource, action, context) = vocabulary.map_or(
            (&nothing, &nothing, &nothing, &nothing),
            |Vocabulary { caller: _, subject, resource, action, context }| (subject, resource, action, context),
        );
        subject.restrict(&mut query.subject.properties);
        resource.restrict(&mut query.resource.properties);
        action.restrict(&mut query.action.properties);
        context.restrict(&mut query.context);
    }
}

impl Allowed {
    fn restrict(&self, properties: &mut Properties<'_>) {
        if let Self::Names(names) = self {
            properties.retain(|name| names.contains(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn names(names: &[&str]) -> Allowed {
        Allowed::Names(names.iter().map(ToString::to_string).collect())
    }

    fn vocabulary(caller: &str, subject: Allowed) -> Vocabulary {
        let nothing = || names(&[]);
        Vocabulary { caller: caller.into(), subject, resource: nothing(), action: nothing(), context: names(&["ip"]) }
    }

    fn said(statements: &Statements, caller: Option<&str>) -> (Vec<String>, Vec<String>) {
        let mut query: Query<'_> = serde_json::from_value(serde_json::json!({
            "subject": {"type": "user", "id": "alice", "properties": {"department": "sales", "role": "admin"}},
            "action": {"name": "read", "properties": {"soft": true}},
            "resource": {"type": "record", "id": "1", "properties": {"owner": "alice"}},
            "context": {"ip": "10.0.0.1", "time": "now"},
        }))
        .unwrap();
        let caller = caller.map(|name| Caller::named(Arc::from(name)));
        statements.restrict(&mut query, caller.as_ref());
        let all = |properties: &Properties<'_>| properties.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(query.action.properties.is_empty(), !statements.0.is_empty());
        assert_eq!(query.resource.properties.is_empty(), !statements.0.is_empty());
        (all(&query.subject.properties), all(&query.context))
    }

    #[test]
    fn each_caller_says_what_it_may_and_no_more() {
        let all =
            Statements::new(vec![vocabulary("gateway", Allowed::Any), vocabulary("shop", names(&["department"]))]);
        let ip = vec!["ip".to_owned()];
        assert_eq!(said(&all, Some("gateway")), (vec!["department".to_owned(), "role".to_owned()], ip.clone()));
        assert_eq!(said(&all, Some("shop")), (vec!["department".to_owned()], ip.clone()));
        assert_eq!(said(&all, Some("other")), (vec![], vec![]), "who is not there says nothing");
        assert_eq!(said(&all, None), (vec![], vec![]));
        let everyone = Statements::new(vec![vocabulary(ANY, names(&["role"]))]);
        assert_eq!(said(&everyone, Some("other")), (vec!["role".to_owned()], ip.clone()));
        assert_eq!(said(&everyone, None), (vec!["role".to_owned()], ip));
    }

    #[test]
    fn without_any_list_everything_is_said_as_it_was_before_there_were_lists() {
        let said = said(&Statements::default(), Some("gateway"));
        assert_eq!((said.0.len(), said.1.len()), (2, 2));
    }
}
