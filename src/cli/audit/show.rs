//! Prints records.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use clap::Args;
use portcullis_tlog::tree::{Frontier, TreeHead};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::index::Open;
use super::prune::time;
use super::verify::extends;
use super::{AuditError, Exit, LogArgs, Output, unproven};
use crate::evidence::Outcome;
use crate::evidence::log::{Entries, LogReader, Retention, Tiles};
use crate::evidence::record::encoding::{self, Entry, OwnedRecord};
use crate::evidence::search::{self, Terms};
use crate::foundation::telemetry::is_unprintable;

/// What a record must have.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Wanted {
    /// Who asked, e.g. `Workload::"spiffe://example.org/web"`, or a part of that.
    #[arg(long, value_name = "TEXT")]
    pub(super) principal: Option<String>,
    /// What they wanted to do.
    #[arg(long, value_name = "NAME")]
    pub(super) action: Option<String>,
    /// To what, or a part of that.
    #[arg(long, value_name = "TEXT")]
    pub(super) resource: Option<String>,
    /// `allow`, `deny` or `error`.
    #[arg(long, value_name = "OUTCOME")]
    pub(super) decision: Option<String>,
    /// The id of a policy that decided.
    #[arg(long, value_name = "ID")]
    pub(super) policy: Option<String>,
    /// Not before this time, in RFC 3339 or the beginning of one in UTC, e.g. `2026-11-22T01:49`.
    #[arg(long, value_name = "TIME")]
    pub(super) from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
}

/// How often it is looked whether there is another checkpoint.
const LOOK: Duration = Duration::from_millis(200);

/// Prints the last `lines` records, and those that come after them if it is to `follow`.
pub(super) fn tail(log: &LogArgs, lines: u64, follow: bool, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    let mut head = head(log)?;
    let mut next = head.size.saturating_sub(lines).max(Retention::of(&log.log).first().map_err(unproven)?);
    loop {
        match each(log, next, head.size, |_| true, output)? {
            ControlFlow::Continue(()) if follow => {}
            ControlFlow::Continue(()) => return Ok(Exit::Success),
            ControlFlow::Break(exit) => return Ok(exit),
        }
        next = next.max(head.size);
        let later = loop {
            thread::sleep(LOOK);
            let later = self::head(log)?;
            if later != head {
                break later;
            }
        };
        extends(&Tiles(&log.log), &head, &later)?;
        head = later;
    }
}

/// Prints the records that are wanted: those that the index finds, if there is one, and of those that it does not have yet the ones
/// that a look at each finds.
pub(super) fn search(
    log: &LogArgs,
    wanted: &Wanted,
    index: Option<&Open>,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let (wanted, size) = (wanted.to_search()?, head(log)?.size);
    let mut from = Retention::of(&log.log).first().map_err(unproven)?;
    if let Some(index) = index {
        let reach = index.reach(log)?;
        while let numbers = index.next(&wanted, from)?
            && let Some(last) = numbers.last()
        {
            from = last + 1;
            let known = numbers.into_iter().filter(|number| *number < reach);
            let printed = some(log, known, size, |record| wanted.has(&Terms::of(record)), output)?;
            if printed != Exit::Success {
                return Ok(printed);
            }
        }
        from = from.max(reach);
    }
    Ok(match each(log, from, size, |record| wanted.has(&Terms::of(record)), output)? {
        ControlFlow::Continue(()) => Exit::Success,
        ControlFlow::Break(exit) => exit,
    })
}

/// What the checkpoint says of the tree; without one it is empty.
fn head(log: &LogArgs) -> Result<TreeHead, AuditError> {
    Ok(log.believed()?.map_or_else(|| Frontier::new().head(), |signed| *signed.unverified().head()))
}

fn each(
    log: &LogArgs,
    mut next: u64,
    size: u64,
    is_wanted: impl Fn(&OwnedRecord<'_>) -> bool,
    output: &mut Output<'_>,
) -> Result<ControlFlow<Exit>, AuditError> {
    let reader = LogReader::new(&log.log);
    while next < size {
        let found = reader.entries(next, size).map_err(unproven)?;
        let mut lines = String::new();
        for (index, bytes) in (found.first..).zip(&found.entries) {
            let entry = encoding::read(bytes).map_err(|error| unproven(format!("entry {index}: {error}")))?;
            if is_wanted(&entry.record) {
                lines.push_str(&json(index, &entry)?);
            }
            next = index + 1;
        }
        if let ControlFlow::Break(exit) = output.print_on(&lines) {
            return Ok(ControlFlow::Break(exit));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Prints those of the entries `numbers`, ascending, that are wanted: what an index says is not taken for what the log says.
fn some(
    log: &LogArgs,
    numbers: impl Iterator<Item = u64>,
    size: u64,
    is_wanted: impl Fn(&OwnedRecord<'_>) -> bool,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let reader = LogReader::new(&log.log);
    let mut read = Entries { first: 0, entries: Vec::new() };
    let mut lines = String::new();
    for number in numbers {
        let place = |read: &Entries| usize::try_from(number.checked_sub(read.first)?).ok();
        if place(&read).is_none_or(|place| place >= read.entries.len()) {
            read = reader.entries(number, size).map_err(unproven)?;
        }
        let bytes = place(&read).and_then(|place| read.entries.get(place));
        let bytes = bytes.ok_or_else(|| unproven(format!("entry {number} is not there")))?;
        let entry = encoding::read(bytes).map_err(|error| unproven(format!("entry {number}: {error}")))?;
        if is_wanted(&entry.record) {
            lines.push_str(&json(number, &entry)?);
        }
    }
    Ok(output.print(&lines))
}

/// A record as a line of JSON: its number in the log, who wrote it, and what it says.
pub(super) fn json(index: u64, entry: &Entry<'_>) -> Result<String, AuditError> {
    line(&json!({
        "index": index,
        "gateway": &*entry.writer.gateway,
        "config_digest": entry.writer.config,
        "record": fields(entry)?,
    }))
}

/// JSON on a line, with nothing in it that a terminal would obey.
pub(super) fn line(value: &Value) -> Result<String, AuditError> {
    // All of these stand within texts, where JSON may have them escaped, and none is beyond what four digits say.
    let mut shown = String::new();
    for c in value.to_string().chars() {
        let written = if is_unprintable(c) { write!(shown, "\\u{:04x}", u32::from(c)) } else { shown.write_char(c) };
        written.map_err(unproven)?;
    }
    shown.push('\n');
    Ok(shown)
}

pub(super) fn fields(entry: &Entry<'_>) -> Result<Value, AuditError> {
    serde_json::to_value(&entry.record).map_err(unproven)
}

impl Wanted {
    fn to_search(&self) -> Result<search::Wanted, AuditError> {
        let Self { principal, action, resource, decision, policy, from, until } = self.clone();
        let (from, until) = (from.map(moment).transpose()?, until.map(moment).transpose()?);
        let outcomes = [Outcome::Allow, Outcome::Deny, Outcome::Error].map(Outcome::name);
        if let Some(other) = decision.as_deref().filter(|word| !outcomes.contains(word)) {
            return Err(AuditError::Usage(format!("`{other}` is none of {}", outcomes.join(", "))));
        }
        Ok(search::Wanted { principal, action, resource, decision, policy, from, until })
    }
}

/// A time as records have it, or the beginning of one.
fn moment(text: String) -> Result<String, AuditError> {
    const SHAPE: &str = "0000-00-00T00:00:00.000000Z";
    match time(&text) {
        Ok(moment) => Ok(moment.to_string()),
        Err(error) => {
            let fits = |(c, shape): (char, char)| if shape == '0' { c.is_ascii_digit() } else { c == shape };
            let is_beginning = text.len() < SHAPE.len() && text.chars().zip(SHAPE.chars()).all(fits);
            // The rest of some time must make it one: there is no thirteenth month to search from.
            let least = format!("{text}{}", "0000-01-01T00:00:00.000000Z".get(text.len()..).unwrap_or_default());
            let most = format!("{text}{}", "9999-10-10T00:00:00.000000Z".get(text.len()..).unwrap_or_default());
            let is_time = [least, most].iter().any(|whole| OffsetDateTime::parse(whole, &Rfc3339).is_ok());
            if is_beginning && !text.is_empty() && is_time { Ok(text) } else { Err(error) }
        }
    }
}
