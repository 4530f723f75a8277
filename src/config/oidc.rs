//! The section `oidc`: the face of an OpenID provider.

use std::collections::HashSet;

use portcullis_spiffe::TrustDomain;

use super::listen::Listen;
use super::reader::Section;
use super::server_tls::{self, ServerTls};
use crate::edge::http::oidc::Identifier;

/// The section `oidc`.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// The names of the provider.
    pub issuers: Vec<Identifier>,
    /// What addresses `tls:IP:PORT` of `listen.oidc` show.
    pub tls: Option<ServerTls>,
    /// How many requests of one machine are answered in a second.
    pub requests_per_second: u32,
}

impl Oidc {
    pub(super) fn read(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<Self> {
        let issuers = section.one_or_more::<Identifier>("issuers", "[]");
        let tls = section.optional_section("tls", |section| server_tls::read(section, ours)).valid();
        let requests_per_second = section.bounded("requests_per_second", "20", (1, 1_000_000));
        let issuers = issuers?;
        let mut paths = HashSet::new();
        if let Some(issuer) = issuers.iter().find(|issuer| !paths.insert(issuer.path())) {
            // A request says by its path whom it means; its host is anybody's to write.
            section.fault("issuers", format!("`{issuer}` has the path of another issuer"));
        }
        Some(Self { issuers, tls: tls?, requests_per_second: requests_per_second? })
    }

    /// Whether what listens has something to serve and to show, and tokens are issued under a name that can be looked up.
    pub(super) fn check(&self, section: &mut Section<'_>, listen: &Listen, jwt_issuer: Option<&str>) {
        let complain = |section: &mut Section<'_>, message: String| {
            if let Some(address) = listen.oidc.first() {
                section.complain(address.origin.clone(), "listen.oidc", message);
            }
        };
        if listen.oidc.is_empty() {
            return;
        }
        if self.issuers.is_empty() {
            complain(section, "needs `oidc.issuers`: the names under which others know it".to_owned());
        } else if !self.issuers.iter().any(|issuer| Some(issuer.as_str()) == jwt_issuer) {
            let message = "`identity.jwt_issuer` must be one of `oidc.issuers`, or no token could be verified by them";
            complain(section, message.to_owned());
        }
        if let Some(address) = listen.oidc.iter().find(|address| address.tls && self.tls.is_none()) {
            complain(section, format!("`{address}` needs `oidc.tls`, which says what certificate is shown"));
        }
    }
}
