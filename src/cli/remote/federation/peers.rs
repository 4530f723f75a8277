//! What came of fetching the bundles of others, for people.

use std::collections::BTreeMap;

use portcullis_spiffe_api::portcullis::federation::v1::federation_client::FederationClient;
use portcullis_spiffe_api::portcullis::federation::v1::{ListPeersRequest, Peer};
use tonic::Code;
use tonic::transport::Channel;

use crate::cli::remote::connection::MAX_ANSWER;
use crate::cli::remote::console::Failure;
use crate::cli::remote::go;
use crate::foundation::clock::Timestamp;

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
        if peer.failures > 0 {
            let at = Timestamp::from_unix_seconds(peer.failed_at);
            rows.push(("Last error", format!("{at}, {} in a row: {}", peer.failures, peer.failure)));
        }
        if peer.configured {
            rows.push(("Kept in", "the configuration".to_owned()));
        }
        go::table(26, rows)
    }
}
