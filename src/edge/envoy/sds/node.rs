//! What the node in a request says of the client, which decides how bundles are spelt for it and nothing else.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::google::protobuf::value::Kind;

/// The key in a node's metadata that overrides the configuration, in both directions.
const OVERRIDE: &str = "disable_spiffe_cert_validation";

/// The first Envoy that has the SPIFFE validator, major and minor.
const FIRST_WITH_VALIDATOR: (u32, u32) = (1, 18);

/// How a bundle is spelt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Validation {
    /// For `envoy.tls.cert_validator.spiffe`, which lets each authority speak only for its own trust domain.
    Spiffe,
    /// As `trusted_ca`.
    TrustedCa,
}

impl Validation {
    /// The spelling for a client that says `node` of itself, or nothing.
    pub(super) fn new(disabled_by_config: bool, node: Option<&Node>) -> Self {
        let disabled = node.and_then(disabled_by_node).unwrap_or(disabled_by_config);
        if disabled || node.is_some_and(is_too_old) { Self::TrustedCa } else { Self::Spiffe }
    }
}

/// A value that can't be read is as good as none.
fn disabled_by_node(node: &Node) -> Option<bool> {
    match node.metadata.as_ref()?.fields.get(OVERRIDE)?.kind.as_ref()? {
        Kind::BoolValue(disabled) => Some(*disabled),
        Kind::StringValue(text) => parse_bool(text),
        _ => None,
    }
}

/// The spellings that SPIRE takes (Go's `strconv.ParseBool`).
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A client that does not give its version is taken to be new.
fn is_too_old(node: &Node) -> bool {
    match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
            build.version.is_some_and(|version| (version.major_number, version.minor_number) < FIRST_WITH_VALIDATOR)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::BuildVersion;
    use envoy_types::pb::envoy::r#type::v3::SemanticVersion;
    use envoy_types::pb::google::protobuf::{Struct, Value};

    use super::*;

    fn with_metadata(kind: Kind) -> Node {
        let value = Value { kind: Some(kind) };
        Node { metadata: Some(Struct { fields: [(OVERRIDE.into(), value)].into() }), ..Node::default() }
    }

    fn with_version(major: u32, minor: u32) -> Node {
        let version = Some(SemanticVersion { major_number: major, minor_number: minor, patch: 9 });
        let build = BuildVersion { version, metadata: None };
        Node { user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(build)), ..Node::default() }
    }

    /// S7.
    #[test]
    fn metadata_overrides_the_configuration_both_ways_and_garbage_does_not() {
        let text = |text: &str| Kind::StringValue(text.into());
        for (kind, disabled) in [
            (Kind::BoolValue(true), Some(true)),
            (Kind::BoolValue(false), Some(false)),
            (text("true"), Some(true)),
            (text("T"), Some(true)),
            (text("1"), Some(true)),
            (text("false"), Some(false)),
            (text("0"), Some(false)),
            (text("yes"), None),
            (text(""), None),
            (text("tRUE"), None),
            (Kind::NumberValue(1.0), None),
            (Kind::NullValue(0), None),
            (Kind::StructValue(Struct::default()), None),
        ] {
            let node = with_metadata(kind);
            for by_config in [false, true] {
                let expected = if disabled.unwrap_or(by_config) { Validation::TrustedCa } else { Validation::Spiffe };
                assert_eq!(Validation::new(by_config, Some(&node)), expected, "{node:?} {by_config}");
            }
        }
    }

    /// S7.
    #[test]
    fn an_envoy_from_before_the_validator_gets_a_plain_authority() {
        for (major, minor, expected) in [
            (0, 99, Validation::TrustedCa),
            (1, 17, Validation::TrustedCa),
            (1, 18, Validation::Spiffe),
            (1, 40, Validation::Spiffe),
            (2, 0, Validation::Spiffe),
        ] {
            assert_eq!(Validation::new(false, Some(&with_version(major, minor))), expected, "{major}.{minor}");
        }
    }

    /// S7.
    #[test]
    fn metadata_cannot_give_an_old_envoy_a_validator_that_it_lacks() {
        let node = Node { metadata: with_metadata(Kind::BoolValue(false)).metadata, ..with_version(1, 17) };
        assert_eq!(Validation::new(false, Some(&node)), Validation::TrustedCa);
    }

    /// S6, S7.
    #[test]
    fn without_a_node_or_a_version_the_configuration_decides() {
        for node in [None, Some(Node::default())] {
            assert_eq!(Validation::new(false, node.as_ref()), Validation::Spiffe);
            assert_eq!(Validation::new(true, node.as_ref()), Validation::TrustedCa);
        }
    }
}
