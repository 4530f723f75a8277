//! Federation relationships on the wire.

use portcullis_spiffe::{IdError, SpiffeId, TrustDomain};
use portcullis_spiffe_api::spire::api::types::federation_relationship::BundleEndpointProfile;
use portcullis_spiffe_api::spire::api::types::{self, FederationRelationshipMask, HttpsWebProfile, HttpsspiffeProfile};

use crate::edge::spire_api::bundle::{self, BundleFault};
use crate::edge::spire_api::ids::{self, IdFault};
use crate::identity::bundle::Bundle;
use crate::identity::federation::{EndpointProfile, EndpointUrl, EndpointUrlError, Relationship};

/// What is wrong with a relationship.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum RelationshipFault {
    #[error("failed to parse trust domain: {0}")]
    TrustDomain(#[from] IdFault),
    #[error(transparent)]
    Url(#[from] EndpointUrlError),
    #[error("missing bundle endpoint profile")]
    NoProfile,
    #[error("failed to parse endpoint SPIFFE ID: {0}")]
    EndpointId(#[from] IdError),
    #[error("failed to parse bundle: {0}")]
    Bundle(#[from] BundleFault),
    #[error("failed to parse bundle: invalid trust domain: {0}")]
    BundleDomain(IdFault),
    #[error(
        "trust domain bundle (\"{bundle}\") must match the trust domain of the federation relationship (\"{relationship}\")"
    )]
    OtherDomain { bundle: TrustDomain, relationship: TrustDomain },
}

/// All fields.
const ALL: FederationRelationshipMask =
    FederationRelationshipMask { bundle_endpoint_url: true, bundle_endpoint_profile: true, trust_domain_bundle: true };

/// The fields of a relationship that a mask names.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    pub(super) trust_domain: TrustDomain,
    endpoint: Option<EndpointUrl>,
    profile: Option<EndpointProfile>,
    /// The bundle to begin with, if there is one.
    pub(super) bundle: Option<Bundle>,
}

impl Patch {
    /// What `mask` names of `given`. The rest is not looked at.
    pub(super) fn read(
        given: types::FederationRelationship,
        mask: Option<&FederationRelationshipMask>,
    ) -> Result<Self, RelationshipFault> {
        let mask = mask.unwrap_or(&ALL);
        let trust_domain = ids::trust_domain(&given.trust_domain)?;
        let endpoint = mask.bundle_endpoint_url.then(|| given.bundle_endpoint_url.parse()).transpose()?;
        let profile = mask.bundle_endpoint_profile.then(|| read_profile(given.bundle_endpoint_profile)).transpose()?;
        let bundle = given.trust_domain_bundle.filter(|_| mask.trust_domain_bundle);
        let bundle = bundle.map(|bundle| read_bundle(&trust_domain, bundle)).transpose()?;
        Ok(Self { trust_domain, endpoint, profile, bundle })
    }

    /// The relationship that it is, if it has all fields, and the bundle.
    pub(super) fn into_new(self) -> Result<(Relationship, Option<Bundle>), RelationshipFault> {
        let endpoint = self.endpoint.ok_or(EndpointUrlError::Scheme)?;
        let profile = self.profile.ok_or(RelationshipFault::NoProfile)?;
        Ok((Relationship { trust_domain: self.trust_domain, endpoint, profile }, self.bundle))
    }

    pub(super) fn apply(&self, relationship: &mut Relationship) {
        if let Some(endpoint) = &self.endpoint {
            relationship.endpoint = endpoint.clone();
        }
        if let Some(profile) = &self.profile {
            relationship.profile = profile.clone();
        }
    }
}

/// What `mask` names of `relationship`, with the bundle that we have of its trust domain, as it goes over the wire.
pub(super) fn masked(
    relationship: &Relationship,
    bundle: Option<&Bundle>,
    mask: Option<&FederationRelationshipMask>,
) -> types::FederationRelationship {
    let mask = mask.unwrap_or(&ALL);
    let profile = || match &relationship.profile {
        EndpointProfile::Web => BundleEndpointProfile::HttpsWeb(HttpsWebProfile {}),
        EndpointProfile::Spiffe(id) => {
            BundleEndpointProfile::HttpsSpiffe(HttpsspiffeProfile { endpoint_spiffe_id: id.to_string() })
        }
    };
    types::FederationRelationship {
        trust_domain: relationship.trust_domain.to_string(),
        bundle_endpoint_url: if mask.bundle_endpoint_url { relationship.endpoint.to_string() } else { String::new() },
        bundle_endpoint_profile: mask.bundle_endpoint_profile.then(profile),
        trust_domain_bundle: bundle.filter(|_| mask.trust_domain_bundle).map(|bundle| bundle::masked(bundle, None)),
    }
}

fn read_profile(given: Option<BundleEndpointProfile>) -> Result<EndpointProfile, RelationshipFault> {
    match given.ok_or(RelationshipFault::NoProfile)? {
        BundleEndpointProfile::HttpsWeb(_) => Ok(EndpointProfile::Web),
        BundleEndpointProfile::HttpsSpiffe(profile) => {
            let id: SpiffeId = profile.endpoint_spiffe_id.parse()?;
            Ok(EndpointProfile::Spiffe(id))
        }
    }
}

fn read_bundle(trust_domain: &TrustDomain, given: types::Bundle) -> Result<Bundle, RelationshipFault> {
    let named = ids::trust_domain(&given.trust_domain).map_err(RelationshipFault::BundleDomain)?;
    if named != *trust_domain {
        return Err(RelationshipFault::OtherDomain { bundle: named, relationship: trust_domain.clone() });
    }
    Ok(bundle::read(named, given)?)
}
