//! What came of fetching the bundles of others, for people.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_spiffe_api::portcullis::federation::v1::federation_client::FederationClient;
use portcullis_spiffe_api::portcullis::federation::v1::{ListPeersRequest, Peer};
use serde_json::Value;
use tonic::Code;
use tonic::transport::Channel;

use crate::cli::remote::connection::MAX_ANSWER;
use crate::cli::remote::console::Failure;
use crate::cli::remote::{go, json};
use crate::foundation::clock::{Clock as _, SystemClock, Timestamp};

/// All that the server says of its peers, by trust domain; nothing, if it is SPIRE's.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<String, Peer>);

impl Peers {
    pub(super) async fn ask(channel: Channel) -> Result<Self, Failure> {
        let mut client = FederationClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        match client.list_peers(ListPeersRequest {}).await {
            Ok(answer) => {
                let peers = answer.into_inner().peers.into_iter();
                Ok(Self(peers.map(|peer| (peer.trust_domain.clone(), peer)).collect()))
            }
            Err(status) if status.code() == Code::Unimplemented => Ok(Self(BTreeMap::new())),
            Err(status) => Err(Failure::of("failed to list the peers", Failure::from(status))),
        }
    }

    /// What is known of one, below the lines of its relationship.
    pub(super) fn lines(&self, trust_domain: &str) -> String {
        let Some(peer) = self.0.get(trust_domain) else { return String::new() };
        let state = match (peer.stale, peer.failures) {
            (true, _) => "stale: nobody is believed",
            (false, 0) if peer.reached_at == 0 => "not asked yet",
            (false, 0) => "current",
            (false, _) => "failing",
        };
        let mut rows = vec![("Bundle", state.to_owned())];
        if peer.bundle_sequence > 0 {
            rows.push(("Bundle sequence", peer.bundle_sequence.to_string()));
        }
        if peer.reached_at > 0 {
            rows.push(("Last fetched", Timestamp::from_unix_seconds(peer.reached_at).to_string()));
        }
        if peer.ageing_since > 0 {
            let age = SystemClock::new().now().since(Timestamp::from_unix_seconds(peer.ageing_since));
            rows.push(("Bundle age", shown(age)));
        }
        if peer.failures > 0 {
            let at = Timestamp::from_unix_seconds(peer.failed_at);
            rows.push(("Last error", format!("{at}, {} in a row: {}", peer.failures, peer.failure)));
        }
        if peer.configured {
            rows.push(("Kept in", "the configuration".to_owned()));
        }
        go::table(26, rows)
    }

    /// What is known of one, as JSON; nothing, if nothing is known of it.
    pub(super) fn json(&self, trust_domain: &str) -> Result<Option<Value>, Failure> {
        self.0.get(trust_domain).map(json::value).transpose()
    }

    /// What is known of all of them, as JSON.
    pub(super) fn all_json(&self) -> Result<Value, Failure> {
        self.0.values().map(json::value).collect::<Result<Vec<_>, _>>().map(Value::Array)
    }
}

/// `1h2m3s`, without what is not needed at its beginning.
fn shown(age: Duration) -> String {
    let seconds = age.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_as_long_as_it_must_be() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m0s"), (3_599, "59m59s"), (90_061, "25h1m1s")] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }
}
