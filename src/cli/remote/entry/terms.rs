//! What an entry is to say, from flags.

use std::path::PathBuf;

use clap::Args;
use portcullis_spiffe_api::spire::api::types::Entry;
use portcullis_spiffe_api::spire::api::types::entry::AdditionalAttributes;

use super::data;
use crate::cli::remote::console::Failure;
use crate::cli::remote::go;

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
pub(in crate::cli) struct TermsArgs {
    /// The entry's id; a new entry without one gets a random one.
    #[arg(long = "entryID", value_name = "ID")]
    entry_id: Option<String>,
    /// Who may hand the identity out.
    #[arg(long = "parentID", value_name = "ID")]
    parent_id: Option<String>,
    /// The identity.
    #[arg(long = "spiffeID", value_name = "ID")]
    spiffe_id: Option<String>,
    /// What a workload must be, `type:value`. May be repeated: it must be all of it.
    #[arg(long = "selector", value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// How long an X.509-SVID lives, in seconds; 0 is the default.
    #[arg(long = "x509SVIDTTL", value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    x509_svid_ttl: i32,
    /// How long a JWT-SVID lives, in seconds; 0 is the default.
    #[arg(long = "jwtSVIDTTL", value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    jwt_svid_ttl: i32,
    /// A file with `{"entries": […]}` in place of all other flags, or `-` for standard input.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// A trust domain whose bundle the workload gets. May be repeated.
    #[arg(long = "federatesWith", value_name = "ID")]
    federates_with: Vec<String>,
    /// The identity may use the admin API over the network.
    #[arg(long)]
    admin: bool,
    /// The identity is a server with an authority below ours.
    #[arg(long)]
    downstream: bool,
    /// When the entry ends, in seconds since 1970; 0 is never.
    #[arg(long = "entryExpiry", value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    entry_expiry: i64,
    /// A DNS name for the certificate. May be repeated.
    #[arg(long = "dns", value_name = "NAME")]
    dns_names: Vec<String>,
    /// The SVID is for a store of secrets.
    #[arg(long = "storeSVID")]
    store_svid: bool,
    /// A word by which a workload tells several identities apart.
    #[arg(long, value_name = "HINT", default_value = "")]
    hint: String,
    /// The X.509-SVID need not be there before it is asked for.
    #[arg(long = "disableX509SVIDPrefetch", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_x509_svid_prefetch: Option<bool>,
    /// Every JWT-SVID has a `jti` of its own.
    #[arg(long = "jwtSVIDIncludeJTI", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    jwt_svid_include_jti: Option<bool>,
}

/// Those of the additional attributes that were named.
pub(super) struct NamedAttributes<'a>(&'a TermsArgs);

impl NamedAttributes<'_> {
    /// What was named, over what is known.
    pub(super) fn over(&self, known: Option<AdditionalAttributes>) -> AdditionalAttributes {
        let known = known.unwrap_or_default();
        AdditionalAttributes {
            disable_x509_svid_prefetch: self.0.disable_x509_svid_prefetch.unwrap_or(known.disable_x509_svid_prefetch),
            jwt_svid_include_jti: self.0.jwt_svid_include_jti.unwrap_or(known.jwt_svid_include_jti),
        }
    }
}

impl TermsArgs {
    /// The entries to create; of an alias of agents if `node`.
    pub(super) fn to_create(&self, node: bool) -> Result<Vec<Entry>, Failure> {
        if let Some(path) = &self.data {
            return data::entries(path);
        }
        self.check_selectors()?;
        if node && !self.federates_with.is_empty() {
            return Err(Failure::new("node entries can not federate"));
        }
        if self.parent_id.is_none() && !node {
            return Err(Failure::new("a parent ID is required if the node flag is not set"));
        }
        let mut entry = self.entry()?;
        if node {
            let server = entry.spiffe_id.clone().map(|id| format!("spiffe://{}/spire/server", id.trust_domain));
            entry.parent_id = server.as_deref().map(go::spiffe_id).transpose()?;
        }
        entry.additional_attributes =
            Some(self.attributes().over(None)).filter(|it| *it != AdditionalAttributes::default());
        Ok(vec![entry])
    }

    /// The entries to update.
    pub(super) fn to_update(&self) -> Result<Vec<Entry>, Failure> {
        if let Some(path) = &self.data {
            return data::entries(path);
        }
        if self.entry_id.is_none() {
            return Err(Failure::new("entry ID is required"));
        }
        self.check_selectors()?;
        if self.parent_id.is_none() {
            return Err(Failure::new("a parent ID is required"));
        }
        Ok(vec![self.entry()?])
    }

    /// The additional attributes, if any was named by a flag.
    pub(super) fn additional_attributes(&self) -> Option<NamedAttributes<'_>> {
        let named = self.disable_x509_svid_prefetch.is_some() || self.jwt_svid_include_jti.is_some();
        (named && self.data.is_none()).then(|| self.attributes())
    }

    fn attributes(&self) -> NamedAttributes<'_> {
        NamedAttributes(self)
    }

    fn check_selectors(&self) -> Result<(), Failure> {
        if self.selectors.is_empty() { Err(Failure::new("at least one selector is required")) } else { Ok(()) }
    }

    fn entry(&self) -> Result<Entry, Failure> {
        let spiffe_id = self.spiffe_id.as_deref().ok_or_else(|| Failure::new("a SPIFFE ID is required"))?;
        if self.x509_svid_ttl < 0 {
            return Err(Failure::new("a positive x509-SVID TTL is required"));
        }
        if self.jwt_svid_ttl < 0 {
            return Err(Failure::new("a positive JWT-SVID TTL is required"));
        }
        Ok(Entry {
            id: self.entry_id.clone().unwrap_or_default(),
            spiffe_id: Some(go::spiffe_id(spiffe_id)?),
            parent_id: self.parent_id.as_deref().map(go::spiffe_id).transpose()?,
            selectors: self.selectors.iter().map(|text| go::selector(text)).collect::<Result<_, _>>()?,
            x509_svid_ttl: self.x509_svid_ttl,
            jwt_svid_ttl: self.jwt_svid_ttl,
            federates_with: self.federates_with.clone(),
            admin: self.admin,
            downstream: self.downstream,
            expires_at: self.entry_expiry,
            dns_names: self.dns_names.clone(),
            store_svid: self.store_svid,
            hint: self.hint.clone(),
            ..Entry::default()
        })
    }
}
