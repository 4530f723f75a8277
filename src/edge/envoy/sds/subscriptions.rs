//! What one client asks for and what it holds: the part that is the same in every protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::Any;

use super::names::Asked;
use super::node::Validation;
use super::protocol::{Notice, shown};
use super::secret::{self, Missing};
use super::version::Version;
use super::{SdsConfig, UnknownNames};
use crate::foundation::clock::Timestamp;
use crate::identity::issue::Identities;

/// The names that a client asks for, each with what the client was given under it.
#[derive(Debug)]
pub(super) struct Subscriptions {
    config: Arc<SdsConfig>,
    validation: Validation,
    by_name: BTreeMap<String, Subscription>,
}

/// One name.
#[derive(Debug)]
struct Subscription {
    asked: Asked,
    held: Option<Held>,
    missing: Option<Missing>,
    /// Whether the client wants it even if it has it.
    due: bool,
}

/// What the client was given last under a name, whether it took it or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Held {
    /// Something, on an earlier stream.
    Something,
    /// This.
    Version(Version),
}

/// What a client that is entitled to certain identities gets for its names.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// One for each name that has an answer, in their order.
    pub(super) given: Vec<Given>,
    /// The SVIDs that the client holds, and that no entry grants any more since the last look.
    pub(super) withdrawn: Vec<String>,
    /// All names without an answer.
    pub(super) missing: Vec<String>,
    /// Those of them that end the stream.
    pub(super) refused: Vec<String>,
    /// Each told once, until it changes.
    pub(super) notices: Vec<Notice>,
}

/// One secret.
#[derive(Debug)]
pub(super) struct Given {
    /// Under which name.
    pub(super) name: String,
    /// The secret, encoded.
    pub(super) secret: Any,
    /// Its version.
    pub(super) version: Version,
    /// Whether the client does not have it, or wants it again.
    pub(super) is_news: bool,
}

impl Subscriptions {
    /// No names yet.
    pub(super) fn new(config: Arc<SdsConfig>) -> Self {
        let validation = Validation::new(config.disable_spiffe_cert_validation, None);
        Self { config, validation, by_name: BTreeMap::new() }
    }

    /// Notes what a client says of itself. Envoy may say it only once (`set_node_on_first_message_only`), so it holds
    /// until something else is said.
    pub(super) fn heed(&mut self, node: Option<&Node>) {
        if node.is_some() {
            self.validation = Validation::new(self.config.disable_spiffe_cert_validation, node);
        }
    }

    /// Notes that the client wants `name`, of which it holds `held`. If it wants it already, it gets it once more.
    pub(super) fn want(&mut self, name: &str, held: Option<Held>) {
        if let Some(subscription) = self.by_name.get_mut(name) {
            subscription.due = true;
        } else {
            let asked = Asked::new(name, &self.config);
            self.by_name.insert(name.to_owned(), Subscription { asked, held, missing: None, due: false });
        }
    }

    /// Notes that the client wants those names alone for which `keep` holds.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.by_name.retain(|name, _| keep(name));
    }

    /// Notes that the client no longer wants `name`.
    pub(super) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// Notes that the client was told to throw away what it has under `name`.
    pub(super) fn take_back(&mut self, name: &str) {
        if let Some(subscription) = self.by_name.get_mut(name) {
            subscription.held = None;
        }
    }

    /// The names, sorted.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &String> {
        self.by_name.keys()
    }

    /// Whether the client asks for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// When the first SVID that the client asks for is due for renewal.
    pub(super) fn renew_at(&self, identities: &Identities) -> Option<Timestamp> {
        let svids = self.by_name.values().filter_map(|name| secret::svid(&name.asked, identities));
        svids.map(|svid| svid.renew_at).min()
    }

    /// What a client that is entitled to `identities` at `now` gets. It is taken to have it from now on.
    pub(super) fn look(&mut self, identities: &Identities, now: Timestamp) -> Look {
        let refuses = self.config.unknown_names == UnknownNames::Refuse;
        let mut look = Look::default();
        for (name, subscription) in &mut self.by_name {
            let found = secret::answer(name, &subscription.asked, identities, self.validation, now);
            let gone = found == Err(Missing::NotGranted) && subscription.can_be_emptied();
            let found = if gone { Ok(secret::emptied(name, &subscription.asked)) } else { found };
            match found {
                Ok(secret) => {
                    let version = Version::of(&secret.value);
                    let is_news = subscription.give(version);
                    look.notices.extend((gone && is_news).then(|| Notice::Emptied(shown(name))));
                    look.given.push(Given { name: name.clone(), secret, version, is_news });
                }
                Err(missing) => {
                    look.missing.push(name.clone());
                    // What is only due for renewal is no reason to part.
                    look.refused.extend((refuses && missing != Missing::Expired).then(|| name.clone()));
                    let notice = subscription.miss(name, missing);
                    let withdrawn = matches!(notice, Some(Notice::Withdrawn(_, Missing::NotGranted)));
                    look.withdrawn.extend(withdrawn.then(|| name.clone()));
                    look.notices.extend(notice);
                }
            }
        }
        look
    }
}

impl Subscription {
    const fn can_be_emptied(&self) -> bool {
        self.held.is_some() && self.asked.can_be_emptied()
    }

    /// Notes that the client is given `version`, and says whether it has to be sent for that.
    fn give(&mut self, version: Version) -> bool {
        self.missing = None;
        let held = Some(Held::Version(version));
        let known = std::mem::replace(&mut self.held, held) == held;
        std::mem::take(&mut self.due) || !known
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

#[cfg(test)]
mod tests;
