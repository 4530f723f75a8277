//! An entry as a row has it. What an entry says is one JSON text, in which no character is special to a database, not
//! even NUL, which PostgreSQL takes in no text.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::foundation::clock::Timestamp;
use crate::identity::registry::{AdditionalAttributes, Entry, EntrySource, EntryTerms};

/// Sequence of the trust domain, id, terms, revision, creation, source and rank. Without an entry, only what names it.
pub(super) type ReadRow = (i64, Option<String>, Option<String>, Option<i64>, Option<i64>, Option<String>, Option<i64>);

/// What a row says.
pub(super) struct Row {
    pub(super) sequence: u64,
    pub(super) id: Option<Arc<str>>,
    /// `None` if there is no entry of this id.
    pub(super) entry: Option<Entry>,
}

/// The columns of an entry after its id.
pub(super) struct Columns {
    pub(super) grants: String,
    pub(super) terms: String,
    pub(super) revision: i64,
    pub(super) created_at: i64,
    pub(super) source: &'static str,
    pub(super) rank: i64,
}

/// A row that can't be understood: it was written by hand, or by a later version.
#[derive(Debug, thiserror::Error)]
#[error("the entry `{id}` can't be read: {cause}")]
pub(super) struct RowError {
    id: Arc<str>,
    cause: Box<dyn Error + Send + Sync>,
}

/// [`EntryTerms`] as JSON. A field that we don't know may restrict what the entry grants, so it is an error.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    spiffe_id: String,
    parent_id: String,
    selectors: Vec<String>,
    x509_svid_ttl_nanos: Option<u64>,
    jwt_svid_ttl_nanos: Option<u64>,
    federates_with: Vec<String>,
    admin: bool,
    downstream: bool,
    expires_at_nanos: Option<u64>,
    dns_names: Vec<String>,
    store_svid: bool,
    hint: String,
    additional: Option<Additional>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Additional {
    disable_x509_svid_prefetch: bool,
    jwt_svid_include_jti: bool,
}

type Cause = Box<dyn Error + Send + Sync>;

impl Row {
    pub(super) fn read((sequence, id, terms, revision, created_at, source, rank): ReadRow) -> Result<Self, Cause> {
        let sequence = u64::try_from(sequence)?;
        let id: Option<Arc<str>> = id.map(Into::into);
        let entry = match (&id, terms, revision, created_at, source, rank) {
            (Some(id), Some(terms), Some(revision), Some(created_at), Some(source), Some(rank)) => {
                let entry = read_entry(Arc::clone(id), &terms, (revision, created_at, rank), &source);
                Some(entry.map_err(|cause| RowError { id: Arc::clone(id), cause })?)
            }
            _ => None,
        };
        Ok(Self { sequence, id, entry })
    }
}

impl Columns {
    /// # Errors
    /// A number is too large for its column.
    pub(super) fn of(entry: &Entry) -> Result<Self, Cause> {
        Ok(Self {
            grants: entry.terms.grant().to_string(),
            terms: serde_json::to_string(&Terms::of(&entry.terms)?)?,
            revision: entry.revision.try_into()?,
            created_at: entry.created_at.unix_nanos().try_into()?,
            source: match entry.source {
                EntrySource::Config => "config",
                EntrySource::Api => "api",
            },
            rank: entry.rank.try_into()?,
        })
    }
}

fn read_entry(
    id: Arc<str>,
    terms: &str,
    (revision, created_at, rank): (i64, i64, i64),
    source: &str,
) -> Result<Entry, Cause> {
    Ok(Entry {
        id,
        terms: serde_json::from_str::<Terms>(terms)?.read()?,
        revision: revision.try_into()?,
        created_at: Timestamp::from_unix_nanos(created_at.try_into()?),
        source: match source {
            "config" => EntrySource::Config,
            "api" => EntrySource::Api,
            other => return Err(format!("its source is `{other}`").into()),
        },
        rank: rank.try_into()?,
    })
}

impl Terms {
    fn of(terms: &EntryTerms) -> Result<Self, Cause> {
        let nanos = |ttl: Option<Duration>| ttl.map(|ttl| u64::try_from(ttl.as_nanos())).transpose();
        Ok(Self {
            spiffe_id: terms.spiffe_id.to_string(),
            parent_id: terms.parent_id.to_string(),
            selectors: terms.selectors.iter().map(ToString::to_string).collect(),
            x509_svid_ttl_nanos: nanos(terms.x509_svid_ttl)?,
            jwt_svid_ttl_nanos: nanos(terms.jwt_svid_ttl)?,
            federates_with: terms.federates_with.iter().map(ToString::to_string).collect(),
            admin: terms.admin,
            downstream: terms.downstream,
            expires_at_nanos: terms.expires_at.map(Timestamp::unix_nanos),
            dns_names: terms.dns_names.clone(),
            store_svid: terms.store_svid,
            hint: terms.hint.clone(),
            additional: terms.additional.map(|additional| Additional {
                disable_x509_svid_prefetch: additional.disable_x509_svid_prefetch,
                jwt_svid_include_jti: additional.jwt_svid_include_jti,
            }),
        })
    }

    fn read(self) -> Result<EntryTerms, Cause> {
        Ok(EntryTerms {
            spiffe_id: self.spiffe_id.parse()?,
            parent_id: self.parent_id.parse()?,
            selectors: self.selectors.iter().map(|selector| selector.parse()).collect::<Result<_, _>>()?,
            x509_svid_ttl: self.x509_svid_ttl_nanos.map(Duration::from_nanos),
            jwt_svid_ttl: self.jwt_svid_ttl_nanos.map(Duration::from_nanos),
            federates_with: self.federates_with.iter().map(|domain| domain.parse()).collect::<Result<_, _>>()?,
            admin: self.admin,
            downstream: self.downstream,
            expires_at: self.expires_at_nanos.map(Timestamp::from_unix_nanos),
            dns_names: self.dns_names,
            store_svid: self.store_svid,
            hint: self.hint,
            additional: self.additional.map(|additional| AdditionalAttributes {
                disable_x509_svid_prefetch: additional.disable_x509_svid_prefetch,
                jwt_svid_include_jti: additional.jwt_svid_include_jti,
            }),
        })
    }
}
