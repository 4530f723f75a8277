//! A stream in the state of the world: every response holds all that is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use super::SdsConfig;
use super::protocol::{Answer, Protocol, RequestError, Verdict, check, nonce, rejected};
use super::secret;
use super::subscriptions::{Held, Subscriptions};
use super::version::Version;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, EntropyError};
use crate::identity::issue::Identities;

/// The state of one stream.
#[derive(Debug)]
pub(super) struct StateOfTheWorld {
    subscriptions: Subscriptions,
    /// Whether the next answer is sent even if the client has it all.
    due: bool,
    begun: bool,
    last: Option<Sent>,
}

/// The last response.
#[derive(Debug)]
struct Sent {
    version: String,
    nonce: String,
    judged: bool,
}

impl Protocol for StateOfTheWorld {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn new(config: Arc<SdsConfig>) -> Self {
        Self { subscriptions: Subscriptions::new(config), due: false, begun: false, last: None }
    }

    fn hear(&mut self, request: &DiscoveryRequest) -> Result<Verdict, RequestError> {
        check(&request.type_url, request.resource_names.len(), &request.resource_names)?;
        let verdict = self.judge(request);
        // The client will answer the last response too, and ask for the same again.
        if verdict == Verdict::Stale {
            return Ok(verdict);
        }
        self.subscriptions.heed(request.node.as_ref());
        // A first request with a version comes from a client that reconnects with what it got elsewhere. Which of its
        // secrets that was says nothing here, only that there is something, which may have to be emptied.
        let held = (!self.begun && !request.version_info.is_empty()).then_some(Held::Something);
        self.begun = true;
        self.subscribe(&request.resource_names, held);
        Ok(verdict)
    }

    fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// All that the client asks for, or nothing if it has that already.
    fn answer(
        &mut self,
        identities: &Identities,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Answer<DiscoveryResponse>, EntropyError> {
        let look = self.subscriptions.look(identities, now);
        let (refused, notices) = (look.refused, look.notices);
        let due = std::mem::take(&mut self.due) || look.given.iter().any(|given| given.is_news);
        if !refused.is_empty() || !due || look.given.is_empty() {
            return Ok(Answer { response: None, refused, notices });
        }
        let version = Version::of_all(look.given.iter().map(|given| given.version)).to_string();
        let nonce = nonce(entropy)?;
        self.last = Some(Sent { version: version.clone(), nonce: nonce.clone(), judged: false });
        let response = DiscoveryResponse {
            version_info: version,
            resources: look.given.into_iter().map(|given| given.secret).collect(),
            type_url: secret::type_url(),
            nonce,
            ..DiscoveryResponse::default()
        };
        Ok(Answer { response: Some(response), refused, notices })
    }
}

impl StateOfTheWorld {
    fn judge(&mut self, request: &DiscoveryRequest) -> Verdict {
        match &mut self.last {
            None => Verdict::None,
            Some(last) if last.nonce != request.response_nonce => Verdict::Stale,
            // A client repeats its last word on a response whenever it asks for other names.
            Some(last) if last.judged => Verdict::None,
            Some(last) => {
                last.judged = true;
                match &request.error_detail {
                    Some(error) => rejected(&error.message),
                    None if request.version_info == last.version => Verdict::Accepted,
                    None => rejected("no reason given"),
                }
            }
        }
    }

    /// Notes that the client wants these names and no others.
    fn subscribe(&mut self, names: &[String], held: Option<Held>) {
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        if wanted.iter().eq(self.subscriptions.names()) {
            return;
        }
        self.due = true;
        self.subscriptions.retain(|name| wanted.contains(name));
        for name in wanted {
            self.subscriptions.want(name, held);
        }
    }
}

#[cfg(test)]
mod tests;
