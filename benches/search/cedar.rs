//! Plain Cedar, asked about each.

use std::path::Path;

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, Schema};
use portcullis::decision::Search;
use portcullis::decision::policy::PolicySet as Ours;

use crate::questions;
use crate::stopwatch::timed;

/// About how many it is asked: each takes many milliseconds.
const FEW: u32 = 20;

pub(crate) struct Cedar {
    policies: PolicySet,
    entities: Entities,
}

impl Cedar {
    pub(crate) fn of(directory: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        let (schema, _warnings) = Schema::from_cedarschema_str(&read("library.cedarschema")).unwrap();
        let entities = Entities::from_json_str(&read("library.json"), Some(&schema)).unwrap();
        Self { policies: read("library.cedar").parse().unwrap(), entities }
    }

    /// How long it takes to ask about everyone, in seconds, reckoned from a few.
    pub(crate) fn reckon(&self, set: &Ours, search: &Search<'_>) -> f64 {
        let everyone = u32::try_from(questions(set, search).count()).unwrap();
        let few: Vec<_> = questions(set, search).take(FEW as usize).map(|(_, query)| query).collect();
        let uid = |kind: &str, id: &str| -> EntityUid { format!("{kind}::{id:?}").parse().unwrap() };
        let requests: Vec<_> = few
            .iter()
            .map(|query| {
                let (subject, resource) = (&query.subject, &query.resource);
                let (principal, action) = (uid(&subject.kind, &subject.id), uid("Action", &query.action.name));
                Request::new(principal, action, uid(&resource.kind, &resource.id), Context::empty(), None).unwrap()
            })
            .collect();
        let authorizer = Authorizer::new();
        let (took, _allowed) = timed(|| {
            let allowed =
                requests.iter().map(|request| authorizer.is_authorized(request, &self.policies, &self.entities));
            allowed.filter(|response| response.decision() == cedar_policy::Decision::Allow).count()
        });
        took / 1e3 * f64::from(everyone) / f64::from(FEW.min(everyone))
    }
}
