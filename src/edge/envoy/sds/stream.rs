//! One stream's side of the xDS protocol, state of the world, as a machine without I/O: requests and identities go in,
//! verdicts and responses come out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use super::SdsConfig;
use super::names::Asked;
use super::node::Validation;
use super::secret::{self, Missing};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::entropy::{self, Entropy, EntropyError};
use crate::foundation::telemetry::printable;
use crate::identity::issue::Identities;

/// How many secrets one stream may ask for. Envoy asks for one a stream.
const MAX_NAMES: usize = 100;

/// The longest name, in bytes: that of the longest SPIFFE ID.
const MAX_NAME_BYTES: usize = 2048;

/// How much of a client's own words goes into a log line, in bytes.
const MAX_SHOWN_BYTES: usize = 512;

/// A request that breaks the protocol.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum RequestError {
    /// It asks for something other than secrets.
    #[error("only secrets are served here, not `{0}`")]
    TypeUrl(String),
    /// It asks for too many.
    #[error("a request may name at most {MAX_NAMES} secrets, not {0}")]
    TooManyNames(usize),
    /// A name is too long to be one.
    #[error("the name of a secret may have at most {MAX_NAME_BYTES} bytes, not {0}")]
    LongName(usize),
}

/// What a request said of the last response.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing: there was none, or this was said before.
    None,
    /// It was accepted.
    Accepted,
    /// It was rejected, for this reason in the client's words.
    Rejected(String),
    /// The request is about an earlier response. It was ignored, since the client will answer the last one too.
    Stale,
}

/// Something about a subscribed name that an operator wants to know.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Notice {
    /// It can't be answered, and was not before.
    Unanswered(String, Missing),
    /// An SVID that the client holds is no longer granted; it keeps it.
    Withdrawn(String, Missing),
    /// A bundle that the client holds is gone and was replaced by one that trusts no one.
    Emptied(String),
}

/// What is to be sent, and what is worth saying.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The response, if anything is new to the client.
    pub(super) response: Option<DiscoveryResponse>,
    /// Each told once, until it changes.
    pub(super) notices: Vec<Notice>,
}

/// The state of one stream.
#[derive(Debug)]
pub(super) struct SecretStream {
    config: Arc<SdsConfig>,
    validation: Validation,
    subscriptions: BTreeMap<String, Subscription>,
    /// Whether the next answer is sent even if the client has it all.
    due: bool,
    begun: bool,
    version: u64,
    last: Option<Sent>,
}

/// One name that the client asks for.
#[derive(Debug)]
struct Subscription {
    asked: Asked,
    held: Option<Held>,
    missing: Option<Missing>,
}

/// What the client was given last under a name, whether it took it or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Held {
    /// Something, on an earlier stream.
    Something,
    /// This.
    Content(Digest),
}

/// The last response.
#[derive(Debug)]
struct Sent {
    version: String,
    nonce: String,
    judged: bool,
}

impl SecretStream {
    /// A stream on which nothing was said yet.
    pub(super) fn new(config: Arc<SdsConfig>) -> Self {
        Self {
            validation: Validation::new(config.disable_spiffe_cert_validation, None),
            config,
            subscriptions: BTreeMap::new(),
            due: false,
            begun: false,
            version: 0,
            last: None,
        }
    }

    /// Takes in a request.
    pub(super) fn hear(&mut self, request: &DiscoveryRequest) -> Result<Verdict, RequestError> {
        check(request)?;
        let verdict = self.judge(request);
        if verdict == Verdict::Stale {
            return Ok(verdict);
        }
        // Envoy may send its node only once (`set_node_on_first_message_only`), so what it said is kept.
        if let Some(node) = &request.node {
            let validation = Validation::new(self.config.disable_spiffe_cert_validation, Some(node));
            self.due |= self.validation != validation;
            self.validation = validation;
        }
        // A first request with a version comes from a client that reconnects with what it got elsewhere. Which version
        // that was says nothing here, only that there is something, which may have to be emptied.
        let held = (!self.begun && !request.version_info.is_empty()).then_some(Held::Something);
        self.begun = true;
        self.subscribe(&request.resource_names, held);
        Ok(verdict)
    }

    /// Whether the client asks for anything.
    pub(super) fn is_subscribed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// When the first SVID that the client asks for is due for renewal.
    pub(super) fn renew_at(&self, identities: &Identities) -> Option<Timestamp> {
        let svids = self.subscriptions.values().filter_map(|name| secret::svid(&name.asked, identities));
        svids.map(|svid| svid.renew_at).min()
    }

    /// What there is to send to a client that is entitled to `identities` at `now`: all it asks for, or nothing if it
    /// has that already.
    pub(super) fn answer(
        &mut self,
        identities: &Identities,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Answer, EntropyError> {
        let mut news = std::mem::take(&mut self.due);
        let mut notices = Vec::new();
        let mut resources = Vec::new();
        for (name, subscription) in &mut self.subscriptions {
            let found = secret::answer(name, &subscription.asked, identities, self.validation, now);
            let gone = found == Err(Missing::NotGranted) && subscription.is_trust_held();
            let found = if gone { Ok(secret::trust_in_no_one(name)) } else { found };
            match found {
                Ok(resource) => {
                    if subscription.give(Held::Content(Digest::of(&resource.value))) {
                        news = true;
                        notices.extend(gone.then(|| Notice::Emptied(shown(name))));
                    }
                    resources.push(resource);
                }
                Err(missing) => notices.extend(subscription.miss(name, missing)),
            }
        }
        let response = if news && !resources.is_empty() {
            Some(DiscoveryResponse { resources, ..self.envelope(entropy)? })
        } else {
            None
        };
        Ok(Answer { response, notices })
    }

    fn judge(&mut self, request: &DiscoveryRequest) -> Verdict {
        match &mut self.last {
            None => Verdict::None,
            Some(last) if last.nonce != request.response_nonce => Verdict::Stale,
            // A client repeats its last word on a response whenever it asks for other names.
            Some(last) if last.judged => Verdict::None,
            Some(last) => {
                last.judged = true;
                match &request.error_detail {
                    Some(error) => Verdict::Rejected(shown(&error.message)),
                    None if request.version_info == last.version => Verdict::Accepted,
                    None => Verdict::Rejected(String::from("no reason given")),
                }
            }
        }
    }

    fn subscribe(&mut self, names: &[String], held: Option<Held>) {
        let wanted: BTreeSet<&String> = names.iter().collect();
        if wanted.iter().copied().eq(self.subscriptions.keys()) {
            return;
        }
        self.due = true;
        self.subscriptions.retain(|name, _| wanted.contains(name));
        for name in wanted {
            self.subscriptions.entry(name.clone()).or_insert_with(|| Subscription {
                asked: Asked::new(name, &self.config),
                held,
                missing: None,
            });
        }
    }

    /// A response without resources, with the next version and a new nonce.
    fn envelope(&mut self, entropy: &dyn Entropy) -> Result<DiscoveryResponse, EntropyError> {
        self.version = self.version.saturating_add(1);
        let version = self.version.to_string();
        let nonce = hex::encode(entropy::random::<4>(entropy)?);
        self.last = Some(Sent { version: version.clone(), nonce: nonce.clone(), judged: false });
        Ok(DiscoveryResponse { version_info: version, nonce, type_url: secret::type_url(), ..Default::default() })
    }
}

impl Subscription {
    const fn is_trust_held(&self) -> bool {
        self.held.is_some() && self.asked.is_trust()
    }

    /// Notes that the client is given `content`, and says whether that is new to it.
    fn give(&mut self, content: Held) -> bool {
        self.missing = None;
        self.held.replace(content) != Some(content)
    }

    /// Notes that there is nothing to give, and says so if that is new.
    fn miss(&mut self, name: &str, missing: Missing) -> Option<Notice> {
        if self.missing.replace(missing) == Some(missing) {
            return None;
        }
        let notice = if self.held.is_some() { Notice::Withdrawn } else { Notice::Unanswered };
        Some(notice(shown(name), missing))
    }
}

/// Whether a request keeps to what is served here.
pub(super) fn check(request: &DiscoveryRequest) -> Result<(), RequestError> {
    if !request.type_url.is_empty() && request.type_url != secret::type_url() {
        return Err(RequestError::TypeUrl(shown(&request.type_url)));
    }
    let names = &request.resource_names;
    if names.len() > MAX_NAMES {
        return Err(RequestError::TooManyNames(names.len()));
    }
    match names.iter().map(String::len).find(|length| *length > MAX_NAME_BYTES) {
        Some(length) => Err(RequestError::LongName(length)),
        None => Ok(()),
    }
}

/// `text`, fit for a log line or an error message.
pub(super) fn shown(text: &str) -> String {
    printable(text, MAX_SHOWN_BYTES)
}

#[cfg(test)]
mod tests;
