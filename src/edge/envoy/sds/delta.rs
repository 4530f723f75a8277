//! An incremental stream: names are subscribed and unsubscribed one by one, and a response holds what the client does not
//! have yet. Envoy's selectors of certificates on demand speak this and nothing else.

use std::collections::VecDeque;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};

use super::SdsConfig;
use super::protocol::{Answer, Protocol, RequestError, Verdict, check, nonce, rejected};
use super::secret;
use super::subscriptions::{Given, Held, Subscriptions};
use super::version::Version;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, EntropyError};
use crate::identity::issue::Identities;

/// How many responses may wait for a verdict before the oldest is no longer waited for.
const MAX_UNJUDGED: usize = 16;

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Delta {
    subscriptions: Subscriptions,
    begun: bool,
    /// The nonces of the responses that the client has said nothing of yet, oldest first.
    unjudged: VecDeque<String>,
}

impl Protocol for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn new(config: Arc<SdsConfig>) -> Self {
        Self { subscriptions: Subscriptions::new(config), begun: false, unjudged: VecDeque::new() }
    }

    /// What a request asks for counts whichever response it is about: other than in the state of the world, no later
    /// one repeats it.
    fn hear(&mut self, request: &DeltaDiscoveryRequest) -> Result<Verdict, RequestError> {
        let (more, less) = (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        check(&request.type_url, more.len(), more)?;
        let verdict = self.judge(request);
        self.subscriptions.heed(request.node.as_ref());
        for name in less {
            self.subscriptions.remove(name);
        }
        // Only the first request may say what the client brings with it, and only of names that it asks for.
        let brought = if self.begun { None } else { Some(&request.initial_resource_versions) };
        for name in more {
            let version = brought.and_then(|versions| versions.get(name));
            self.subscriptions.want(name, version.map(|version| held(version)));
        }
        self.begun = true;
        check(&request.type_url, self.subscriptions.names().len(), [])?;
        Ok(verdict)
    }

    fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// What is new to the client, and which SVIDs it is to throw away.
    fn answer(
        &mut self,
        identities: &Identities,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Answer<DeltaDiscoveryResponse>, EntropyError> {
        let look = self.subscriptions.look(identities, now);
        let (refused, notices) = (look.refused, look.notices);
        let resources: Vec<_> = look.given.into_iter().filter(|given| given.is_news).map(resource).collect();
        if !refused.is_empty() || resources.is_empty() && look.withdrawn.is_empty() {
            return Ok(Answer { response: None, refused, notices });
        }
        for name in &look.withdrawn {
            self.subscriptions.take_back(name);
        }
        let nonce = nonce(entropy)?;
        if self.unjudged.len() == MAX_UNJUDGED {
            self.unjudged.pop_front();
        }
        self.unjudged.push_back(nonce.clone());
        let response = DeltaDiscoveryResponse {
            resources,
            removed_resources: look.withdrawn,
            type_url: secret::type_url(),
            nonce,
            ..DeltaDiscoveryResponse::default()
        };
        Ok(Answer { response: Some(response), refused, notices })
    }
}

impl Delta {
    fn judge(&mut self, request: &DeltaDiscoveryRequest) -> Verdict {
        if request.response_nonce.is_empty() {
            return Verdict::None;
        }
        let Some(position) = self.unjudged.iter().position(|nonce| *nonce == request.response_nonce) else {
            return Verdict::Stale;
        };
        self.unjudged.remove(position);
        request.error_detail.as_ref().map_or(Verdict::Accepted, |error| rejected(&error.message))
    }
}

/// What a client holds that says so on a new stream.
fn held(version: &str) -> Held {
    Version::parse(version).map_or(Held::Something, Held::Version)
}

fn resource(given: Given) -> Resource {
    Resource {
        name: given.name,
        version: given.version.to_string(),
        resource: Some(given.secret),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests;
