//! What the identities of other trust domains may be here: which of them are let in, and what is known of them beside what
//! they prove. A bundle says who signs for a domain, and that is for the domain to say; how much of the domain counts is
//! for us.

use std::collections::BTreeMap;
use std::str::FromStr;

use portcullis_spiffe::{IdError, SpiffeId, TrustDomain};
use serde_json::{Map, Value};

/// The name of a domain's own place among what is known of its identities.
pub const LOCAL_NAME: &str = "local_name";

/// What the identities of other trust domains may be.
///
/// Held by the [`Bundles`](super::bundle::Bundles) that they are verified by, so that nobody verifies without it. The
/// default lets all in, and takes every identity for one of our own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ForeignIdentities {
    /// What all IDs of our own begin with.
    ours: String,
    domains: BTreeMap<TrustDomain, ForeignDomain>,
    refuses_unlisted: bool,
}

/// What the identities of one other trust domain may be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ForeignDomain {
    /// Within which paths they are let in; nobody is, if there are none.
    pub paths: Vec<PathPrefix>,
    /// What the domain is called here.
    pub local_name: Option<String>,
    /// What else is known of all of them.
    pub attributes: Map<String, Value>,
}

/// A path that stands for itself and all that is within it, by whole segments: `/prod` holds `/prod` and `/prod/web`, and
/// nothing of `/production`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathPrefix(String);

/// Why a text is no path of SPIFFE IDs (SPIFFE-ID section 2.2).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathPrefixError {
    /// It does not begin with a slash.
    #[error("a path begins with `/`")]
    Relative,
    /// No ID has such a path.
    #[error(transparent)]
    Path(#[from] IdError),
}

impl ForeignIdentities {
    /// Those of all trust domains but `ours`: of the `domains` that are listed as it stands there, of others all or, if it
    /// `refuses_unlisted`, none.
    pub fn new(ours: &TrustDomain, domains: BTreeMap<TrustDomain, ForeignDomain>, refuses_unlisted: bool) -> Self {
        Self { ours: format!("spiffe://{ours}/"), domains, refuses_unlisted }
    }

    /// Whether `id`, a SPIFFE ID, is of our own trust domain.
    pub fn is_ours(&self, id: &str) -> bool {
        id.starts_with(&self.ours)
    }

    /// Whether `id` is let in, whoever vouches for it.
    pub fn admits(&self, id: &SpiffeId) -> bool {
        self.is_ours(id.as_str())
            || match self.domains.get(id.trust_domain()) {
                Some(domain) => domain.paths.iter().any(|prefix| prefix.holds(id.path())),
                None => !self.refuses_unlisted,
            }
    }

    /// Whether anybody of `trust_domain` could be let in.
    pub fn admits_some(&self, trust_domain: &TrustDomain) -> bool {
        self.is_ours(&format!("spiffe://{trust_domain}/"))
            || self.domains.get(trust_domain).map_or(!self.refuses_unlisted, |domain| !domain.paths.is_empty())
    }

    /// What is known under `name` of the identities of `trust_domain`, which is not ours.
    pub fn fact(&self, trust_domain: &TrustDomain, name: &str) -> Option<Value> {
        let domain = self.domains.get(trust_domain)?;
        match (name, &domain.local_name) {
            (LOCAL_NAME, Some(local_name)) => Some(Value::String(local_name.clone())),
            _ => domain.attributes.get(name).cloned(),
        }
    }
}

impl PathPrefix {
    fn holds(&self, path: &str) -> bool {
        path.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for PathPrefix {
    type Err = PathPrefixError;

    fn from_str(path: &str) -> Result<Self, PathPrefixError> {
        if !path.starts_with('/') {
            return Err(PathPrefixError::Relative);
        }
        if path == "/" {
            return Ok(Self(String::new()));
        }
        // What no ID can have as its path is no prefix of one either, so there is one spelling of each.
        let id: SpiffeId = format!("spiffe://any{path}").parse()?;
        Ok(Self(id.path().to_owned()))
    }
}

#[cfg(test)]
mod tests;
