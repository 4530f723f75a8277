//! A proxy's question before anything in it is believed: what [`crate::edge::envoy::ext_authz`] read from the wire. It
//! borrows from the bytes of the message, of which nothing is copied.

use serde_json::Value as Json;

/// One `CheckRequest`, reduced to the fields that can enter a decision. Nothing here is verified or canonical yet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Check<'a> {
    /// The client's leaf certificate as the proxy gives it: percent-encoded PEM, empty if there was none.
    pub certificate: &'a str,
    /// Who the proxy says the client is: the leaf's first URI SAN. Only compared, never trusted.
    pub principal: &'a str,
    /// The proxy's own identity: the first URI SAN of the certificate it serves with.
    pub destination: &'a str,
    /// The server name of the TLS handshake, empty if there was none.
    pub sni: &'a str,
    /// The request; `None` for a check of a bare TCP connection.
    pub http: Option<HttpAttributes<'a>>,
    /// What the proxy's own configuration says of the route.
    pub extensions: Extensions<'a>,
    /// What the proxy's MCP filter found in the body, as JSON; `null` if that can't be read. `None` if it says nothing.
    pub mcp: Option<Json>,
}

/// The HTTP part of a [`Check`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HttpAttributes<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path with its query, as sent to the backend. Absent for CONNECT.
    pub path: &'a str,
    /// The `:authority`.
    pub host: &'a str,
    /// `http` or `https`, as the client claims.
    pub scheme: &'a str,
    /// `HTTP/1.1` and the like.
    pub protocol: &'a str,
    /// Raw header lines in order, pseudo-headers included. `None` if the proxy sent the joined map, from which duplicates
    /// can't be told.
    pub headers: Option<Vec<HeaderLine<'a>>>,
    /// As much of the body as the proxy sent along, which is nothing unless it was told to.
    pub body: Body<'a>,
}

/// What a proxy sent of a request's body. Only a route of the mapping that reads fields of it looks into it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Body<'a> {
    /// Its bytes as the service gets them; empty if there is none.
    Bytes(&'a [u8]),
    /// The proxy sent it as text, in which bytes that are not UTF-8 have been replaced. So it is not what the service
    /// gets, and is not kept.
    Text,
}

impl Default for Body<'_> {
    fn default() -> Self {
        Self::Bytes(&[])
    }
}

/// One header line: its name, in lower case, and its value.
pub type HeaderLine<'a> = (&'a str, &'a [u8]);

/// What the proxy's own configuration says of a route, each key once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extensions<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Extensions<'a> {
    /// What is said under `key`.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| key).ok()?;
        self.0.get(at).map(|(_, value)| *value)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().copied()
    }
}

/// Of several values under one key the last is kept, as the entries of a protobuf map are.
impl<'a> From<Vec<(&'a str, &'a str)>> for Extensions<'a> {
    fn from(mut entries: Vec<(&'a str, &'a str)>) -> Self {
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                *kept = *later;
            }
            same
        });
        Self(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn extensions_are_a_map_in_which_the_last_of_a_key_counts(
            entries in proptest::collection::vec(("[ab]{0,2}", "[xyz]{0,2}"), 0..12),
        ) {
            let entries: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let (map, extensions) = (BTreeMap::from_iter(entries.clone()), Extensions::from(entries));
            prop_assert!(extensions.iter().eq(map.iter().map(|(key, value)| (*key, *value))));
            for key in ["", "a", "b", "ab", "ba", "c"] {
                prop_assert_eq!(extensions.get(key), map.get(key).copied());
            }
        }
    }
}
