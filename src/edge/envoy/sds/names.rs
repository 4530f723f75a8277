//! What the name of a secret asks for.

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::SdsConfig;
use crate::delegation::outbound;

/// What a client asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// The first SVID.
    DefaultSvid,
    /// The SVID with this ID.
    Svid(SpiffeId),
    /// The bundle of one trust domain.
    Bundle(TrustDomain),
    /// All bundles.
    AllBundles,
    /// What is to be shown to a service outside.
    Credential,
    /// Nothing that there could ever be.
    Nonsense,
}

impl Asked {
    /// What `name` means under `config`.
    pub(super) fn new(name: &str, config: &SdsConfig) -> Self {
        if name == config.default_svid_name {
            Self::DefaultSvid
        } else if name == config.default_bundle_name {
            Self::Bundle(config.trust_domain.clone())
        } else if name == config.default_all_bundles_name {
            Self::AllBundles
        } else if let Ok(id) = name.parse() {
            Self::Svid(id)
        } else if let Some(Ok(trust_domain)) = name.strip_prefix("spiffe://").map(str::parse) {
            Self::Bundle(trust_domain)
        } else if name.strip_prefix(outbound::PREFIX).is_some_and(|target| !target.is_empty()) {
            Self::Credential
        } else {
            Self::Nonsense
        }
    }

    /// Whether there is an empty answer, which takes an earlier one back.
    pub(super) const fn can_be_emptied(&self) -> bool {
        matches!(self, Self::Bundle(_) | Self::AllBundles | Self::Credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SdsConfig {
        SdsConfig::new("prod.example".parse().unwrap())
    }

    /// S1.
    #[test]
    fn every_row_of_the_names_table() {
        let bundle = |name: &str| Asked::Bundle(name.parse().unwrap());
        for (name, asked) in [
            ("default", Asked::DefaultSvid),
            ("ROOTCA", bundle("prod.example")),
            ("ALL", Asked::AllBundles),
            ("spiffe://prod.example", bundle("prod.example")),
            ("spiffe://partner.example", bundle("partner.example")),
            ("spiffe://prod.example/web", Asked::Svid("spiffe://prod.example/web".parse().unwrap())),
            ("outbound/billing", Asked::Credential),
        ] {
            assert_eq!(Asked::new(name, &config()), asked, "{name}");
        }
    }

    /// S3.
    #[test]
    fn what_is_no_name_of_ours_asks_for_nothing() {
        for name in [
            "",
            "*",
            "Default",
            "rootca",
            "file-root:system",
            "file-cert:/etc/tls.crt~/etc/tls.key",
            "spiffe://",
            "spiffe://prod.example/",
            "spiffe://PROD.example",
            "spiffe://prod.example/../web",
            "spiffe://prod.example?x",
            "prod.example",
            "outbound",
            "outbound/",
            "Outbound/billing",
        ] {
            assert_eq!(Asked::new(name, &config()), Asked::Nonsense, "{name}");
        }
    }

    /// S1.
    #[test]
    fn names_can_be_moved_as_istio_needs_it() {
        let config = SdsConfig {
            default_bundle_name: String::from("null"),
            default_all_bundles_name: String::from("ROOTCA"),
            ..config()
        };
        assert_eq!(Asked::new("ROOTCA", &config), Asked::AllBundles);
        assert_eq!(Asked::new("null", &config), Asked::Bundle("prod.example".parse().unwrap()));
        assert_eq!(Asked::new("ALL", &config), Asked::Nonsense);
    }
}
