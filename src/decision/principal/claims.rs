//! What the claims of a verified token are in the terms of policies: an entity with an id, attributes and groups.

use smallvec::SmallVec;

use super::Principal;
use super::attributes::attribute;
use super::template::{ClaimPath, Template};
use crate::decision::mapping::workload;
use crate::decision::query::{Entity, EntityRef, Properties};
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;
use crate::decision::schema::SchemaTypes;
use crate::identity::delegation::origin;
use crate::identity::token::VerifiedToken;
use portcullis_spiffe::SpiffeId;
use serde_json::Value;

/// The most groups that are taken from a token. One has 8 KiB at most.
const MAX_GROUPS: usize = 256;

/// What becomes of the tokens of an issuer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mapping {
    /// JWT-SVIDs: the workload of their subject, as a certificate's.
    Spiffe,
    /// Tokens of our own exchange: the workload of their subject, if a trust domain vouched for it; else as others.
    Delegated(ClaimMapping),
    /// Others.
    Claims(ClaimMapping),
}

/// What becomes of claims.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimMapping {
    /// The type of the entity. Never `Workload`, whose ids only a trust domain vouches for.
    pub kind: String,
    /// Its id.
    pub id: Template,
    /// Its attributes and where their values stand. What the schema does not declare is left out.
    pub attributes: Vec<(String, ClaimPath)>,
    /// Its groups.
    pub groups: Option<GroupMapping>,
}

/// Which claim says what an entity is within.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupMapping {
    /// Where the names stand: a list of texts, or one text.
    pub claim: ClaimPath,
    /// The type of the groups.
    pub kind: String,
    /// What each name is preceded by, so that an issuer's groups can be kept apart from those that are stored.
    pub prefix: String,
}

impl Mapping {
    /// Whom the token names, and nothing of what it says of them.
    pub(in crate::decision) fn name(&self, token: &VerifiedToken) -> Result<Principal, Refusal> {
        self.entity(token, &SchemaTypes::default()).map(|entity| Principal::of(&entity))
    }

    pub(in crate::decision) fn entity<'c>(
        &self,
        token: &'c VerifiedToken,
        types: &SchemaTypes,
    ) -> Result<Entity<'c>, Refusal> {
        match self {
            Self::Spiffe => {
                let id: SpiffeId = token.subject.parse().map_err(|why| Refusal::new(Reason::BadToken, why, ""))?;
                Ok(workload(&id).into_owned())
            }
            Self::Delegated(mapping) => match vouched_workload(token) {
                Some(id) => Ok(workload(&id).into_owned()),
                None => mapping.entity(token, types),
            },
            Self::Claims(mapping) => mapping.entity(token, types),
        }
    }

    /// Whether all tokens of this issuer are of those that were exchanged.
    pub(in crate::decision) const fn is_delegated(&self) -> bool {
        matches!(self, Self::Delegated(_))
    }
}

/// The subject of a token that was exchanged, if it is a workload: that it looks like one does not say so, for issuers of people
/// name them as they like.
fn vouched_workload(token: &VerifiedToken) -> Option<SpiffeId> {
    let id: SpiffeId = token.subject.parse().ok()?;
    let vouched = origin(token)?.issuer?;
    (vouched.strip_prefix("spiffe://") == Some(id.trust_domain().as_str())).then_some(id)
}

impl ClaimMapping {
    fn entity<'c>(&self, token: &'c VerifiedToken, types: &SchemaTypes) -> Result<Entity<'c>, Refusal> {
        let bad = |why: &dyn std::fmt::Display| Refusal::new(Reason::BadToken, why, "");
        let id = self.id.fill(&token.claims).map_err(|why| bad(&why))?;
        let declared = types.entities.get(&*self.kind).map(|kind| &kind.attributes);
        let mut properties = Properties::with_capacity(self.attributes.len());
        for (name, path) in &self.attributes {
            let kind = declared.and_then(|declared| declared.get(name)).map(|attribute| &attribute.kind);
            if let Some((kind, claim)) = kind.zip(path.find(&token.claims)) {
                properties.insert(name.clone(), attribute(kind, claim));
            }
        }
        let parents = match &self.groups {
            Some(groups) => groups.of(token).map_err(|why| bad(&why))?,
            None => SmallVec::new(),
        };
        Ok(Entity { properties, parents, ..Entity::named(self.kind.clone(), id) })
    }
}

impl GroupMapping {
    fn of<'c>(&self, token: &VerifiedToken) -> Result<SmallVec<[EntityRef<'c>; 1]>, &'static str> {
        let names = match self.claim.find(&token.claims) {
            // OpenID Connect Core section 5.6.2: they are elsewhere, as of a user with very many. To go on without them
            // would be to overlook what is forbidden to one of them.
            None if token.claims.get("_claim_names").is_some_and(|names| names.get(self.claim.as_str()).is_some()) => {
                return Err("the token says that its groups are to be had elsewhere");
            }
            None => &[],
            Some(Value::Array(names)) => names.as_slice(),
            Some(name) => std::slice::from_ref(name),
        };
        if names.len() > MAX_GROUPS {
            return Err("the token has more than 256 groups");
        }
        let mut groups = SmallVec::new();
        for name in names {
            let name = name.as_str().ok_or("the token's groups are not texts")?;
            let group = EntityRef::new(self.kind.clone(), format!("{}{name}", self.prefix));
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        Ok(groups)
    }
}
