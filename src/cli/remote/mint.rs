//! `portcullis x509` and `portcullis jwt`: SVIDs without an entry, for whoever holds the admin socket.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use portcullis_spiffe::SpiffeId;
use portcullis_spiffe_api::portcullis::identity::v1::identity_client::IdentityClient;
use portcullis_spiffe_api::portcullis::identity::v1::{
    ListRevokedX509sviDsRequest, RevokeX509svidRequest, RevokedX509svid,
};
use portcullis_spiffe_api::spire::api::server::bundle::v1::GetBundleRequest;
use portcullis_spiffe_api::spire::api::server::bundle::v1::bundle_client::BundleClient;
use portcullis_spiffe_api::spire::api::server::svid::v1::svid_client::SvidClient;
use portcullis_spiffe_api::spire::api::server::svid::v1::{MintJwtsvidRequest, MintX509svidRequest};
use rcgen::{CertificateParams, KeyPair, SanType};
use zeroize::Zeroizing;

use super::bundle::{certificates_pem, pem_block};
use super::console::{Console, Failure, Format};
use super::{AdminArgs, Outcome, go};
use crate::cli::files::{write_private, write_public};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum X509Command {
    /// Make a key and have an X.509-SVID signed for it.
    Mint(MintX509),
    /// Revoke an X.509-SVID before it expires.
    Revoke(RevokeX509),
    /// List the X.509-SVIDs that were revoked and have not expired.
    Revoked(Revoked),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum JwtCommand {
    /// Have a JWT-SVID signed.
    Mint(MintJwt),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct MintX509 {
    #[command(flatten)]
    admin: AdminArgs,
    /// The identity.
    #[arg(long = "spiffeID", value_name = "ID")]
    spiffe_id: String,
    /// How long it is to live, e.g. `1h30m`; without it, as long as any other.
    #[arg(long, value_name = "DURATION", value_parser = go::duration, default_value = "0", hide_default_value = true)]
    ttl: Duration,
    /// A DNS name for the certificate. May be repeated.
    #[arg(long = "dns", value_name = "NAME")]
    dns_names: Vec<String>,
    /// Write `svid.pem`, `key.pem` and `bundle.pem` into this directory in place of printing them.
    #[arg(long, value_name = "DIRECTORY")]
    write: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RevokeX509 {
    #[command(flatten)]
    admin: AdminArgs,
    /// The certificate's serial number, hexadecimal.
    #[arg(long, value_name = "HEX")]
    serial: String,
    /// The authority that signed it; without it, the one that signs now.
    #[arg(long = "authorityID", value_name = "ID", default_value = "", hide_default_value = true)]
    authority_id: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Revoked {
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct MintJwt {
    #[command(flatten)]
    admin: AdminArgs,
    /// The identity.
    #[arg(long = "spiffeID", value_name = "ID")]
    spiffe_id: String,
    /// How long it is to live, e.g. `5m`; without it, as long as any other.
    #[arg(long, value_name = "DURATION", value_parser = go::duration, default_value = "0", hide_default_value = true)]
    ttl: Duration,
    /// For whom it is. May be repeated.
    #[arg(long, value_name = "AUDIENCE", required = true)]
    audience: Vec<String>,
    /// Write the token to this file in place of printing it.
    #[arg(long, value_name = "PATH")]
    write: Option<PathBuf>,
}

impl X509Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::Mint(asked) => asked.run(console).await,
            Self::Revoke(asked) => asked.run(console).await,
            Self::Revoked(Revoked { admin }) => {
                let mut client = IdentityClient::new(admin.connect(console).await?.channel);
                let found = client.list_revoked_x509svi_ds(ListRevokedX509sviDsRequest {}).await?.into_inner();
                if !console.json(&found)? {
                    console.say(format!("Found {}\n", go::count(found.revoked.len(), "revoked SVID", "revoked SVIDs")));
                    for revoked in &found.revoked {
                        console.say(format!("\n{}", block(revoked)));
                    }
                }
                Ok(())
            }
        }
    }
}

impl JwtCommand {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let Self::Mint(asked) = self;
        asked.run(console).await
    }
}

/// What minting made, DER.
struct Minted {
    chain: Vec<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    roots: Vec<Vec<u8>>,
}

impl MintX509 {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let id: SpiffeId =
            self.spiffe_id.parse().map_err(|error| Failure::of(&format!("`{}`", self.spiffe_id), error))?;
        let (csr, key) = request(&id, &self.dns_names).map_err(|error| Failure::of("unable to generate CSR", error))?;
        let gateway = self.admin.connect(console).await?;
        let request = MintX509svidRequest { csr, ttl: go::seconds(self.ttl)? };
        let answer = SvidClient::new(gateway.channel.clone()).mint_x509svid(request).await;
        let answer = answer.map_err(|status| Failure::of("unable to mint SVID", Failure::from(status)))?;
        let svid = answer.into_inner().svid.filter(|svid| !svid.cert_chain.is_empty());
        let svid = svid.ok_or_else(|| Failure::new("server response missing SVID chain"))?;
        let bundle = BundleClient::new(gateway.channel).get_bundle(GetBundleRequest { output_mask: None }).await;
        let bundle = bundle.map_err(|status| Failure::of("unable to get bundle", Failure::from(status)))?.into_inner();
        if ends_early(svid.expires_at, self.ttl) {
            let end = go::time(svid.expires_at);
            console.complain(format!("X509-SVID lifetime was capped shorter than specified ttl; expires \"{end}\""));
        }
        let roots = bundle.x509_authorities.into_iter().map(|authority| authority.asn1).collect();
        let minted = Minted { chain: svid.cert_chain, key, roots };
        match &self.write {
            Some(directory) => minted.write(directory, console)?,
            None => minted.print(console),
        }
        Ok(())
    }
}

impl Minted {
    fn print(&self, console: &mut Console<'_, '_>) {
        if console.format == Format::Json {
            let base64 = |der: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
            let all = |ders: &[Vec<u8>]| ders.iter().map(|der| base64(der)).collect::<Vec<_>>();
            let value = serde_json::json!({
                "x509_svid": all(&self.chain), "private_key": base64(&self.key), "root_cas": all(&self.roots),
            });
            console.say(super::json::line(&value));
            return;
        }
        let (chain, key, roots) = self.pem();
        console.say(format!("X509-SVID:\n{chain}\n"));
        console.say(format!("Private key:\n{}\n", *key));
        console.say(format!("Root CAs:\n{roots}\n"));
    }

    fn write(&self, directory: &Path, console: &mut Console<'_, '_>) -> Outcome {
        let (chain, key, roots) = self.pem();
        let path = |name: &str| directory.join(name);
        write_public(&path("svid.pem"), chain.as_bytes())
            .map_err(|error| Failure::of("unable to write SVID", error))?;
        console.say(format!("X509-SVID written to {}\n", path("svid.pem").display()));
        write_private(&path("key.pem"), key.as_bytes()).map_err(|error| Failure::of("unable to write key", error))?;
        console.say(format!("Private key written to {}\n", path("key.pem").display()));
        let written = write_public(&path("bundle.pem"), roots.as_bytes());
        written.map_err(|error| Failure::of("unable to write bundle", error))?;
        console.say(format!("Root CAs written to {}\n", path("bundle.pem").display()));
        Ok(())
    }

    fn pem(&self) -> (String, Zeroizing<String>, String) {
        let certificates = |ders: &[Vec<u8>]| certificates_pem(ders.iter().map(Vec::as_slice));
        (certificates(&self.chain), Zeroizing::new(pem_block("PRIVATE KEY", &self.key)), certificates(&self.roots))
    }
}

impl RevokeX509 {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let mut client = IdentityClient::new(self.admin.connect(console).await?.channel);
        let request = RevokeX509svidRequest { serial: self.serial, authority_id: self.authority_id };
        let answer = client.revoke_x509svid(request).await;
        let failed = |status| Failure::of("could not revoke the X509-SVID", Failure::from(status));
        let answer = answer.map_err(failed)?.into_inner();
        if !console.json(&answer)? {
            console.say(format!("Revoked X509-SVID:\n{}", block(&answer.revoked.unwrap_or_default())));
        }
        Ok(())
    }
}

impl MintJwt {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let id = Some(go::spiffe_id(&self.spiffe_id)?);
        let mut client = SvidClient::new(self.admin.connect(console).await?.channel);
        let request = MintJwtsvidRequest { id, audience: self.audience, ttl: go::seconds(self.ttl)? };
        let answer = client.mint_jwtsvid(request).await;
        let answer = answer.map_err(|status| Failure::of("unable to mint SVID", Failure::from(status)))?.into_inner();
        let svid = answer.svid.as_ref().filter(|svid| !svid.token.is_empty());
        let svid = svid.ok_or_else(|| Failure::new("server response missing token"))?;
        if ends_early(svid.expires_at, self.ttl) {
            let end = go::time(svid.expires_at);
            console.complain(format!("JWT-SVID lifetime was capped shorter than specified ttl; expires \"{end}\""));
        }
        if let Some(path) = &self.write {
            write_private(path, svid.token.as_bytes()).map_err(|error| Failure::of("unable to write token", error))?;
            console.say(format!("JWT-SVID written to {}\n", path.display()));
        } else if !console.json(&answer)? {
            console.say(format!("{}\n", svid.token));
        }
        Ok(())
    }
}

/// A signing request for a new P-256 key, and the key as PKCS#8 DER.
fn request(id: &SpiffeId, dns_names: &[String]) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(dns_names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names.push(SanType::URI(id.as_str().try_into()?));
    Ok((params.serialize_request(&key)?.der().to_vec(), Zeroizing::new(key.serialize_der())))
}

/// Whether what ends at `expires_at` lives shorter than was asked for.
fn ends_early(expires_at: i64, ttl: Duration) -> bool {
    #[expect(clippy::disallowed_methods, reason = "a hint for the one who runs the command, by their own clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(u64::try_from(expires_at).unwrap_or_default()) + Duration::from_secs(1) < now + ttl
}

fn block(revoked: &RevokedX509svid) -> String {
    format!(
        "  Serial number: {}\n  Authority ID: {}\n  Revoked at: {}\n  Forgotten at: {}\n",
        revoked.serial,
        revoked.authority_id,
        go::time(revoked.revoked_at),
        go::time(revoked.forgotten_at),
    )
}
