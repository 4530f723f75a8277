//! What records are found by, and the port of an index of it. An index is made of the log and never believed: what it finds is
//! read from the log, and what it does not have yet is looked at there.

use std::fmt;
use std::pin::Pin;

use portcullis_tlog::tree::{TreeHead, TreeReader};

use super::log::{LogError, LogReader, Retention, RetentionError, Tiles};
use super::record::encoding::{self, OwnedRecord, ReadError};

/// What a record must have. Times are compared as records have them written, so a prefix such as `2026-11-22T01` will do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// Who asked, or a part of that.
    pub principal: Option<String>,
    /// What they wanted to do.
    pub action: Option<String>,
    /// To what, or a part of that.
    pub resource: Option<String>,
    /// `allow`, `deny` or `error`.
    pub decision: Option<String>,
    /// The id of a policy that decided.
    pub policy: Option<String>,
    /// Not before this time.
    pub from: Option<String>,
    /// Before this time.
    pub until: Option<String>,
}

/// What a record is found by; empty where it has no such thing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Terms {
    /// When it happened, in RFC 3339.
    pub time: String,
    /// Who asked.
    pub principal: String,
    /// What they wanted to do.
    pub action: String,
    /// To what.
    pub resource: String,
    /// How it ended.
    pub decision: &'static str,
    /// The policies that decided.
    pub policies: Vec<String>,
}

/// How far an index has followed a log: to the tree of this head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The log's name.
    pub origin: String,
    /// Its tree.
    pub head: TreeHead,
}

/// An answer of an index.
pub type IndexFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, IndexError>> + Send + 'a>>;

/// Why an index can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The index itself failed.
    #[error("the index: {0}")]
    Store(String),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Where its entries begin is not known.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// An entry can't be read.
    #[error("entry {0}: {1}")]
    Entry(u64, ReadError),
    /// It is of another log, or of what this log once was.
    #[error("the index is not of this log: make it anew with `portcullis audit index --rebuild`")]
    OtherLog,
}

/// What finds records.
pub trait SearchIndex: fmt::Debug + Send + Sync {
    /// How far it has followed.
    fn place(&self) -> IndexFuture<'_, Option<Place>>;

    /// Forgets everything.
    fn clear(&self) -> IndexFuture<'_, ()>;

    /// Takes in the entries from `first` on, all of them or none.
    fn add(&self, first: u64, entries: Vec<Terms>) -> IndexFuture<'_, ()>;

    /// Says that it has followed so far.
    fn reach(&self, place: Place) -> IndexFuture<'_, ()>;

    /// The numbers of the first `limit` entries from `from` on that have what is wanted, ascending.
    fn find<'a>(&'a self, wanted: &'a Wanted, from: u64, limit: u32) -> IndexFuture<'a, Vec<u64>>;
}

impl Wanted {
    /// Whether a record with these terms has all of it.
    pub fn has(&self, terms: &Terms) -> bool {
        let contains =
            |text: &str, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| text.contains(wanted.as_str()));
        let is = |text: &str, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| text == wanted);
        contains(&terms.principal, &self.principal)
            && is(&terms.action, &self.action)
            && contains(&terms.resource, &self.resource)
            && is(terms.decision, &self.decision)
            && self.policy.as_ref().is_none_or(|policy| terms.policies.contains(policy))
            && self.from.as_ref().is_none_or(|from| terms.time >= *from)
            && self.until.as_ref().is_none_or(|until| terms.time < *until)
    }
}

impl Terms {
    /// Those of a record.
    pub fn of(record: &OwnedRecord<'_>) -> Self {
        let time = record.time().to_string();
        let owned = |text: &str| text.to_owned();
        match record {
            OwnedRecord::Decision(record) => Self {
                time,
                principal: owned(&record.principal),
                action: owned(&record.action),
                resource: owned(&record.resource),
                decision: record.decision.name(),
                policies: record.policies.iter().map(ToString::to_string).collect(),
            },
            OwnedRecord::Search(record) => Self {
                time,
                principal: owned(&record.principal),
                action: owned(&record.action),
                resource: owned(&record.resource),
                ..Self::default()
            },
            OwnedRecord::Exchange(record) => Self {
                time,
                principal: owned(&record.client),
                action: owned("exchange"),
                resource: record.audience.clone().unwrap_or_default(),
                decision: record.outcome.name(),
                ..Self::default()
            },
            _ => Self { time, ..Self::default() },
        }
    }
}

/// Has `index` follow the log up to `place`, which must be under a checkpoint. Says how many entries were new; those that were
/// taken out of the log before are not.
///
/// # Errors
/// [`IndexError`]. What was taken in before stays, and the next call goes on from there.
pub async fn follow(index: &dyn SearchIndex, reader: &LogReader, place: Place) -> Result<u64, IndexError> {
    let known = checked(index, reader, &place).await?;
    let first = Retention::of(reader.directory()).first()?;
    let (start, size) = (known.map_or(0, |known| known.head.size).max(first), place.head.size);
    let mut next = start;
    while next < size {
        let found = reader.entries(next, size)?;
        let mut terms = Vec::with_capacity(found.entries.len());
        for (number, entry) in (found.first..).zip(&found.entries) {
            let entry = encoding::read(entry).map_err(|error| IndexError::Entry(number, error))?;
            terms.push(Terms::of(&entry.record));
        }
        let first = std::mem::replace(&mut next, found.first.saturating_add(u64::try_from(terms.len()).unwrap_or(0)));
        index.add(first, terms).await?;
        if next == first {
            return Err(IndexError::OtherLog);
        }
    }
    index.reach(place).await?;
    Ok(size.saturating_sub(start))
}

/// How far `index` has followed, if that is a beginning of the log up to `place`.
///
/// # Errors
/// [`IndexError::OtherLog`] if it is not.
pub async fn checked(index: &dyn SearchIndex, reader: &LogReader, place: &Place) -> Result<Option<Place>, IndexError> {
    let Some(known) = index.place().await? else { return Ok(None) };
    let tiles = Tiles(reader.directory());
    let is_beginning = || {
        let head = TreeReader::new(known.head.size, &tiles).ok().and_then(|mut tree| tree.head().ok());
        known.head.size == 0 || head == Some(known.head)
    };
    let is_of_it = known.origin == place.origin && known.head.size <= place.head.size;
    if is_of_it && is_beginning() { Ok(Some(known)) } else { Err(IndexError::OtherLog) }
}
