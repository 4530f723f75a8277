//! A question with the subject or the resource left open.

use super::Searching;
use crate::decision::entity::UidRef;
use crate::decision::foreign::{describe_resource, describe_subject};
use crate::decision::mapping::{
    WORKLOAD, complete_resource, complete_subject, parents_of_resource, parents_of_subject,
};
use crate::decision::policy::index::Party;
use crate::decision::query::{Entity, Overlay, Properties, Query};
use crate::decision::search::{Search, Sought};

/// The question. The open part has a type and may have properties, but no id.
pub(super) struct Open {
    query: Query<'static>,
    pub(super) party: Party,
    /// The types of the parents that follow from the ids of those who are sought, if anything does.
    pub(super) derived: Option<&'static [&'static str]>,
}

impl Open {
    /// The question of a search; `None` if it is the action that is open.
    pub(super) fn of(search: &Search<'_>) -> Option<Self> {
        let unnamed = |kind: &str, properties: &Properties<'_>, overlay: &Overlay| Entity {
            properties: properties.clone().into_owned(),
            overlay: overlay.clone(),
            ..Entity::named(kind.to_owned(), "")
        };
        let (party, subject, action, resource) = match &search.sought {
            Sought::Actions { .. } => return None,
            Sought::Subjects { kind, properties, overlay, action, resource } => {
                (Party::Principal, unnamed(kind, properties, overlay), action, resource.clone().into_owned())
            }
            Sought::Resources { subject, action, kind, properties, overlay } => {
                (Party::Resource, subject.clone().into_owned(), action, unnamed(kind, properties, overlay))
            }
        };
        let derived = match party {
            Party::Principal => parents_of_subject(&subject.kind),
            Party::Resource => parents_of_resource(&resource.kind),
        };
        let (action, context) = (action.clone(), search.context.clone());
        let query = Query { subject, action, resource, context, extra: Vec::new() }.into_owned();
        Some(Self { query, party, derived })
    }

    /// The question, to be asked about one after the other.
    pub(super) fn query<'q>(&self) -> Query<'q> {
        self.query.clone().into_owned()
    }

    /// The type of those who are sought.
    pub(super) fn kind(&self) -> &str {
        match self.party {
            Party::Principal => &self.query.subject.kind,
            Party::Resource => &self.query.resource.kind,
        }
    }

    /// Whether a question says more of those who are sought than who they are, so that each has to be typed.
    pub(super) fn is_described(&self) -> bool {
        let open = match self.party {
            Party::Principal => &self.query.subject,
            Party::Resource => &self.query.resource,
        };
        // What is known of a workload of another trust domain follows from its id, too.
        self.derived.is_some() || !open.properties.is_empty() || open.kind == WORKLOAD
    }

    /// The same about `uid`, of whom nothing is said. `None` if what is known is refused.
    pub(super) fn about<'q>(&self, uid: UidRef<'q>, searching: &Searching<'_, '_>) -> Option<Query<'q>> {
        let mut query = self.query();
        *party_of(&mut query, self.party) = Entity::named(uid.kind(), uid.id());
        let known = match self.party {
            Party::Principal => complete_resource(&mut query),
            Party::Resource => complete_subject(&mut query),
        };
        // Of those who are sought, nothing is known yet.
        let (foreign, types) = (searching.foreign, searching.types);
        let described = match self.party {
            Party::Principal => describe_resource(&mut query, foreign, types),
            Party::Resource => describe_subject(&mut query, foreign, types),
        };
        (known.is_ok() && described.is_ok()).then_some(query)
    }
}

/// The open part.
pub(super) fn party_of<'q, 's>(query: &'q mut Query<'s>, party: Party) -> &'q mut Entity<'s> {
    match party {
        Party::Principal => &mut query.subject,
        Party::Resource => &mut query.resource,
    }
}
