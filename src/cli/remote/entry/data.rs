//! Entries in files: SPIRE's `-data` and `-file`.

use std::io::Read as _;
use std::path::Path;

use portcullis_spiffe_api::spire::api::types::entry::AdditionalAttributes;
use portcullis_spiffe_api::spire::api::types::{Entry, Selector};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::remote::console::Failure;
use crate::cli::remote::go;

/// The largest file that is read, in bytes: some hundred thousand entries.
const MAX_FILE: u64 = 256 << 20;

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct File {
    entries: Vec<Written>,
}

/// An entry as SPIRE's files have it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    selectors: Vec<WrittenSelector>,
    parent_id: String,
    spiffe_id: String,
    x509_svid_ttl: i32,
    jwt_svid_ttl: i32,
    federates_with: Vec<String>,
    entry_id: String,
    admin: bool,
    downstream: bool,
    #[serde(rename = "entryExpiry")]
    entry_expiry: i64,
    dns_names: Vec<String>,
    store_svid: bool,
    hint: String,
    additional_attributes: Option<WrittenAttributes>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenSelector {
    r#type: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenAttributes {
    disable_x509_svid_prefetch: bool,
    jwt_svid_include_jti: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ids {
    ids: Vec<String>,
}

/// The entries in the file at `path`; `-` is standard input.
pub(super) fn entries(path: &Path) -> Result<Vec<Entry>, Failure> {
    read::<File>(path)?.entries.into_iter().map(Written::into_entry).collect()
}

/// The ids in the file at `path`; `-` is standard input.
pub(super) fn ids(path: &Path) -> Result<Vec<String>, Failure> {
    Ok(read::<Ids>(path)?.ids)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    serde_json::from_slice(&read_bytes(path)?).map_err(|error| Failure::of(&format!("`{}`", path.display()), error))
}

/// What is in the file at `path`; `-` is standard input.
pub(in crate::cli::remote) fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::of(&format!("`{}` can't be read", path.display()), error);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
    }
    .map_err(failed)?;
    Ok(bytes)
}

impl Written {
    fn into_entry(self) -> Result<Entry, Failure> {
        let attributes = self.additional_attributes.map(|it| AdditionalAttributes {
            disable_x509_svid_prefetch: it.disable_x509_svid_prefetch,
            jwt_svid_include_jti: it.jwt_svid_include_jti,
        });
        let selectors = self.selectors.into_iter().map(|it| Selector { r#type: it.r#type, value: it.value });
        Ok(Entry {
            id: self.entry_id,
            spiffe_id: Some(go::spiffe_id(&self.spiffe_id)?),
            parent_id: Some(go::spiffe_id(&self.parent_id)?),
            selectors: selectors.collect(),
            x509_svid_ttl: self.x509_svid_ttl,
            jwt_svid_ttl: self.jwt_svid_ttl,
            federates_with: self.federates_with,
            admin: self.admin,
            downstream: self.downstream,
            expires_at: self.entry_expiry,
            dns_names: self.dns_names,
            store_svid: self.store_svid,
            hint: self.hint,
            additional_attributes: attributes,
            ..Entry::default()
        })
    }
}
