//! The secret discovery service, SDS v3: hands a workload's Envoy its SVIDs and the bundles it may trust
//! (`envoy.service.secret.v3.SecretDiscoveryService`, state of the world and incremental).
//!
//! Who calls is what the kernel says of the Unix socket; the node in a request is a claim and only chooses between two
//! spellings of the same bundle. What a name means, here with the names that [`SdsConfig::new`] sets:
//!
//! | name | secret |
//! |---|---|
//! | `spiffe://td/path` | that SVID and its key |
//! | `default` | the first SVID |
//! | `spiffe://td` | a validation context that trusts this trust domain |
//! | `ROOTCA` | the same for our own trust domain |
//! | `ALL` | the same for all of them |
//! | `outbound/name` | what is to be shown to that service outside, as a generic secret |
//!
//! Several names in one request are all answered, each at most once.
//!
//! # A name that we can't answer
//! SPIRE ends the stream with `InvalidArgument`, which takes the other names with it and makes an Envoy that asks for
//! `file-root:system` reconnect for ever. Here such a name is left out and the stream stays open, as xDS has it; the
//! secret is pushed as soon as an entry grants it, so a workload may start before its entry. Until then Envoy does not
//! open the listener, or resets every connection: it fails closed. If nothing can be answered, nothing is sent. Each
//! such name is logged and counted once. `FetchSecrets` has no later, so there it is `PermissionDenied`. With
//! [`UnknownNames::Refuse`] it is all as in SPIRE.
//!
//! A request without names gets nothing: it is how Envoy spells a wildcard, and a wildcard would hand out every key, as
//! SPIRE does.
//!
//! # Removal is not revocation
//! Envoy keeps the last secret that it accepted, whatever a later response leaves out.
//! - A bundle that goes away is therefore replaced by a SPIFFE validator with no trust domain, which Envoy accepts and
//!   which then refuses everyone. This is also what a client gets that comes back, with the version of a secret it
//!   still holds, after the bundle went. An empty `trusted_ca` would be read as "verify nothing", so the plain form
//!   is emptied in the same way; Envoy 1.17 and older can't read it and keep the old bundle, which is logged.
//! - A credential that is over, or no longer granted, is replaced by an empty one: Envoy's injector then refuses
//!   requests.
//! - An SVID that is no longer granted can't be taken back so: Envoy refuses an empty certificate. It is logged, counted
//!   and never renewed, so it ends with its `notAfter`; until then every Check on the other side looks at the leaf
//!   again and refuses it once it is revoked or its authority has left the bundle. On an incremental stream it is also
//!   called removed: a selector of certificates on demand then throws it away, and a listener or cluster that names it
//!   says that it heard and keeps it. A name that was never granted is not called removed, since Envoy would open its
//!   port without a certificate, nor is an SVID whose renewal is late.
//!
//! # When something is sent
//! After the first request, after one with another set of names, and when the content of a subscribed secret changed: all
//! that is subscribed in the state of the world, what the client does not have on an incremental stream. Versions are
//! digests of the content.
//! A caller is attested at its first request and again before each renewal or change is looked at, so a process that
//! ended or became another program gets nothing more. An answer that Envoy rejected is not sent again until it differs.
//! Every stream ends with `UNAVAILABLE` when the process drains.

mod delta;
#[cfg(test)]
mod fixture;
mod identify;
mod metrics;
mod names;
mod node;
mod pem;
mod protocol;
mod secret;
mod service;
mod session;
mod state_of_the_world;
mod subscriptions;
mod version;

use portcullis_spiffe::TrustDomain;

pub use metrics::Metrics;
pub use service::SecretService;

/// What the names of secrets mean, and how bundles are spelt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SdsConfig {
    /// Our own trust domain: whose bundle is "ours".
    pub trust_domain: TrustDomain,
    /// The name of the first SVID. Of equal names the first of these three wins, and all win over SPIFFE IDs.
    pub default_svid_name: String,
    /// The name of our own bundle.
    pub default_bundle_name: String,
    /// The name of all bundles together.
    pub default_all_bundles_name: String,
    /// Whether bundles are a plain `trusted_ca`, for listeners that must not demand a client certificate. A node says
    /// otherwise for itself with `disable_spiffe_cert_validation` in its metadata. All bundles together can't be
    /// spelt so: any authority could then speak for any trust domain.
    pub disable_spiffe_cert_validation: bool,
    /// What happens to a stream that asks for what nobody grants.
    pub unknown_names: UnknownNames,
}

/// What happens to a stream that asks for a name that can't be answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UnknownNames {
    /// It gets its other names, and this one once an entry grants it.
    #[default]
    Wait,
    /// It ends, as SPIRE's does.
    Refuse,
}

impl SdsConfig {
    /// SPIRE's names, and bundles for Envoy's SPIFFE validator.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            default_svid_name: String::from("default"),
            default_bundle_name: String::from("ROOTCA"),
            default_all_bundles_name: String::from("ALL"),
            disable_spiffe_cert_validation: false,
            unknown_names: UnknownNames::Wait,
        }
    }
}
