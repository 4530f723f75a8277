//! What a caller may say of those whom it asks about: which properties of subject, resource and action, and which keys of the
//! context. What it may not say is left out, as if it had not been said. That takes nothing from anybody's safety, since who
//! asks could always have kept silent, and members that mean nothing to us are to be ignored anyhow (Authorization API 1.0,
//! section 5).
//!
//! What it may say fills in what is not stored. What it may overlay comes before what is stored: that is granted name by name,
//! to one caller after the other, and it is attributes alone. What an entity is within nobody says but the store.

use std::collections::BTreeSet;

use super::Caller;
use crate::decision::principal::DELEGATION;
use crate::decision::query::{Entity, Overlay, Properties, Query};

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
    /// Properties of the subject that it may say even if others are stored.
    pub subject_overlay: Overlay,
    /// Properties of the resource.
    pub resource: Allowed,
    /// Properties of the resource that it may say even if others are stored.
    pub resource_overlay: Overlay,
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

    /// Leaves out of `query` what its caller may not say. On whose behalf somebody acts is for verified tokens to say, so it is
    /// only taken from a caller that was granted that by its name.
    pub fn restrict(&self, query: &mut Query<'_>, caller: Option<&Caller>) {
        if self.0.is_empty() {
            query.context.retain(|name| name != DELEGATION);
            return;
        }
        let name = caller.map_or(ANY, Caller::name);
        let own = self.0.iter().find(|vocabulary| vocabulary.caller == name);
        let vocabulary = own.or_else(|| self.0.iter().find(|vocabulary| vocabulary.caller == ANY));
        let nothing = Vocabulary::nothing();
        let Vocabulary { caller: _, subject, subject_overlay, resource, resource_overlay, action, context } =
            vocabulary.unwrap_or(&nothing);
        describe(&mut query.subject, subject, subject_overlay);
        describe(&mut query.resource, resource, resource_overlay);
        action.restrict(&mut query.action.properties, |_| false);
        context.restrict(&mut query.context, |_| false);
        if *context == Allowed::Any {
            query.context.retain(|name| name != DELEGATION);
        }
    }
}

impl Vocabulary {
    fn nothing() -> Self {
        let nothing = || Allowed::Names(BTreeSet::new());
        Self {
            caller: ANY.to_owned(),
            subject: nothing(),
            subject_overlay: Overlay::default(),
            resource: nothing(),
            resource_overlay: Overlay::default(),
            action: nothing(),
            context: nothing(),
        }
    }
}

/// Who may overlay a property may say it.
fn describe(entity: &mut Entity<'_>, allowed: &Allowed, overlay: &Overlay) {
    allowed.restrict(&mut entity.properties, |name| overlay.covers(name));
    entity.overlay = overlay.clone();
}

impl Allowed {
    /// Leaves out what is neither one of these nor allowed by `also`.
    fn restrict(&self, properties: &mut Properties<'_>, also: impl Fn(&str) -> bool) {
        if let Self::Names(names) = self {
            properties.retain(|name| names.contains(name) || also(name));
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
        let (caller, context) = (caller.into(), names(&["ip"]));
        Vocabulary { caller, subject, resource: nothing(), action: nothing(), context, ..Vocabulary::nothing() }
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
    fn what_may_be_overlaid_is_granted_by_name_and_to_nobody_else() {
        let overlay = Overlay::of(["department".to_owned(), "clearance".to_owned()].into());
        let shop = Vocabulary { subject_overlay: overlay, ..vocabulary("shop", names(&[])) };
        let all = Statements::new(vec![shop, vocabulary(ANY, Allowed::Any)]);
        let asked = |caller: &str| {
            let properties = serde_json::from_str(r#"{"department": "sales", "role": "admin"}"#).unwrap();
            let alice = Entity { properties, ..Entity::named("user", "alice") };
            let resource = Entity { properties: alice.properties.clone(), ..Entity::named("record", "1") };
            let (action, context) = (crate::decision::query::Action::named("read"), Properties::default());
            let mut query = Query { subject: alice, action, resource, context, extra: Vec::new() };
            all.restrict(&mut query, Some(&Caller::named(Arc::from(caller))));
            query
        };
        let shop = asked("shop");
        let said: Vec<_> = shop.subject.properties.iter().map(|(name, _)| name).collect();
        assert_eq!(said, ["department"], "what may be overlaid may be said");
        assert_eq!(shop.subject.overlay.said(&shop.subject.properties).collect::<Vec<_>>(), ["department"]);
        assert!(shop.resource.properties.is_empty() && shop.resource.overlay.is_empty());
        let other = asked("gateway");
        assert_eq!(other.subject.properties.iter().len(), 2);
        assert!(other.subject.overlay.is_empty(), "to say all is not to overlay anything");
    }

    #[test]
    fn without_any_list_everything_is_said_as_it_was_before_there_were_lists() {
        let said = said(&Statements::default(), Some("gateway"));
        assert_eq!((said.0.len(), said.1.len()), (2, 2));
    }

    #[test]
    fn on_whose_behalf_somebody_acts_is_said_by_nobody_who_was_not_granted_that_by_its_name() {
        let says = |statements: Vec<Vocabulary>| {
            let mut query: Query<'_> = serde_json::from_value(serde_json::json!({
                "subject": {"type": "user", "id": "alice"},
                "action": {"name": "read"},
                "resource": {"type": "record", "id": "1"},
                "context": {"ip": "10.0.0.1", "delegation": {"depth": 1}},
            }))
            .unwrap();
            Statements::new(statements).restrict(&mut query, None);
            query.context.get(DELEGATION).is_some()
        };
        let with = |context: Allowed| vec![Vocabulary { context, ..vocabulary(ANY, Allowed::Any) }];
        assert!(!says(Vec::new()), "where everybody may say everything");
        assert!(!says(with(Allowed::Any)));
        assert!(!says(with(names(&["ip"]))));
        assert!(says(with(names(&["ip", DELEGATION]))));
    }
}
