//! A federation relationship from flags or from a file, and for people.

use std::path::{Path, PathBuf};

use clap::Args;
use portcullis_spiffe::SpiffeId;
use portcullis_spiffe_api::spire::api::types::federation_relationship::BundleEndpointProfile;
use portcullis_spiffe_api::spire::api::types::{FederationRelationship, HttpsWebProfile, HttpsspiffeProfile};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::remote::bundle::{BundleFormat, parse};
use crate::cli::remote::console::Failure;
use crate::cli::remote::entry::read_bytes;
use crate::cli::remote::go;

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
pub(in crate::cli) struct RelationshipArgs {
    /// A file with `{"federationRelationships": […]}` in place of all other flags, or `-` for standard input.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["trust_domain", "url", "profile", "endpoint_id", "bundle"])]
    data: Option<PathBuf>,
    /// The trust domain to federate with.
    #[arg(long = "trustDomain", value_name = "NAME", default_value = "", hide_default_value = true)]
    trust_domain: String,
    /// Where its bundle is: an https URL.
    #[arg(id = "url", long = "bundleEndpointURL", value_name = "URL", default_value = "", hide_default_value = true)]
    url: String,
    /// How its endpoint is authenticated: `https_web` or `https_spiffe`.
    #[arg(
        id = "profile",
        long = "bundleEndpointProfile",
        value_name = "PROFILE",
        default_value = "",
        hide_default_value = true
    )]
    profile: String,
    /// The SPIFFE ID of the endpoint, for `https_spiffe`.
    #[arg(
        id = "endpoint_id",
        long = "endpointSpiffeID",
        value_name = "ID",
        default_value = "",
        hide_default_value = true
    )]
    endpoint_id: String,
    /// A file with its bundle, to begin with.
    #[arg(id = "bundle", long = "trustDomainBundlePath", value_name = "PATH")]
    bundle: Option<PathBuf>,
    /// What is in there.
    #[arg(
        long = "trustDomainBundleFormat",
        value_enum,
        value_name = "FORMAT",
        ignore_case = true,
        default_value_t = BundleFormat::Pem
    )]
    format: BundleFormat,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    federation_relationships: Vec<Written>,
}

/// A relationship as SPIRE's files have it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(rename = "trustDomain")]
    trust_domain: String,
    #[serde(rename = "bundleEndpointURL")]
    url: String,
    #[serde(rename = "bundleEndpointProfile")]
    profile: String,
    #[serde(rename = "endpointSPIFFEID")]
    endpoint_id: String,
    #[serde(rename = "trustDomainBundle")]
    bundle: Option<Box<RawValue>>,
    #[serde(rename = "trustDomainBundleFormat")]
    format: String,
}

impl RelationshipArgs {
    /// The relationships that were asked for.
    pub(super) fn read(&self) -> Result<Vec<FederationRelationship>, Failure> {
        if let Some(path) = &self.data {
            return of_file(path);
        }
        let asked = Written {
            trust_domain: self.trust_domain.clone(),
            url: self.url.clone(),
            profile: self.profile.clone(),
            endpoint_id: self.endpoint_id.clone(),
            ..Written::default()
        };
        let (mut relationship, owner) = asked.resolve()?;
        if let Some(path) = &self.bundle {
            let data = read_bytes(path).map_err(|failure| Failure::of("cannot read bundle file", failure))?;
            let bundle = parse(&data, self.format, &owner);
            relationship.trust_domain_bundle =
                Some(bundle.map_err(|failure| Failure::of("cannot parse bundle file", failure))?);
        }
        Ok(vec![relationship])
    }
}

impl Written {
    /// The relationship without its bundle, and whose bundle that is: the endpoint's, to begin with.
    fn resolve(&self) -> Result<(FederationRelationship, String), Failure> {
        if self.trust_domain.is_empty() {
            return Err(Failure::new("trust domain is required"));
        }
        if self.url.is_empty() {
            return Err(Failure::new("bundle endpoint URL is required"));
        }
        let mut owner = self.trust_domain.clone();
        let profile = match self.profile.as_str() {
            "https_web" => BundleEndpointProfile::HttpsWeb(HttpsWebProfile {}),
            "https_spiffe" if self.endpoint_id.is_empty() => {
                return Err(Failure::new("endpoint SPIFFE ID is required if 'https_spiffe' endpoint profile is set"));
            }
            "https_spiffe" => {
                let id: SpiffeId = self
                    .endpoint_id
                    .parse()
                    .map_err(|error| Failure::of("cannot parse bundle endpoint SPIFFE ID", error))?;
                owner = id.trust_domain().to_string();
                BundleEndpointProfile::HttpsSpiffe(HttpsspiffeProfile { endpoint_spiffe_id: id.to_string() })
            }
            other => return Err(Failure::new(format!("unknown bundle endpoint profile type: {other:?}"))),
        };
        let relationship = FederationRelationship {
            trust_domain: self.trust_domain.clone(),
            bundle_endpoint_url: self.url.clone(),
            bundle_endpoint_profile: Some(profile),
            trust_domain_bundle: None,
        };
        Ok((relationship, owner))
    }

    fn with_bundle(&self) -> Result<FederationRelationship, Failure> {
        let (mut relationship, owner) = self.resolve()?;
        if let Some(raw) = &self.bundle {
            let failed = |reason: &dyn std::fmt::Display| Failure::of("cannot parse bundle raw message", reason);
            let (data, format) = match self.format.as_str() {
                "pem" => {
                    let text: String = serde_json::from_str(raw.get()).map_err(|error| failed(&error))?;
                    (text.into_bytes(), BundleFormat::Pem)
                }
                "spiffe" => (raw.get().as_bytes().to_vec(), BundleFormat::Spiffe),
                other => return Err(failed(&format_args!("bundle format {other:?} is unsupported"))),
            };
            relationship.trust_domain_bundle = Some(parse(&data, format, &owner).map_err(|error| failed(&error))?);
        }
        Ok(relationship)
    }
}

fn of_file(path: &Path) -> Result<Vec<FederationRelationship>, Failure> {
    let file: File =
        serde_json::from_slice(&read_bytes(path)?).map_err(|error| Failure::of("failed to parse JSON", error))?;
    let numbered = file.federation_relationships.iter().enumerate();
    numbered
        .map(|(index, written)| {
            written.with_bundle().map_err(|failure| Failure::of(&format!("could not parse item {index}"), failure))
        })
        .collect()
}

/// A relationship, for people.
pub(super) fn lines(relationship: &FederationRelationship) -> String {
    let mut lines = vec![
        ("Trust domain", relationship.trust_domain.as_str()),
        ("Bundle endpoint URL", relationship.bundle_endpoint_url.as_str()),
    ];
    match &relationship.bundle_endpoint_profile {
        Some(BundleEndpointProfile::HttpsWeb(_)) => lines.push(("Bundle endpoint profile", "https_web")),
        Some(BundleEndpointProfile::HttpsSpiffe(profile)) => {
            lines.push(("Bundle endpoint profile", "https_spiffe"));
            lines.push(("Endpoint SPIFFE ID", profile.endpoint_spiffe_id.as_str()));
        }
        None => {}
    }
    go::table(26, lines)
}
