//! Prints records.

use std::fmt::Write as _;

use clap::Args;
use portcullis_tlog::checkpoint::SignedCheckpoint;
use serde_json::{Map, Value, json};

use super::{AuditError, Exit, LogArgs, Output, unproven};
use crate::evidence::log::LogReader;
use crate::evidence::record::encoding::{self, Entry};
use crate::foundation::telemetry::is_unprintable;

/// What a record must have.
#[derive(Args, Debug)]
pub(in crate::cli) struct Wanted {
    /// Who asked, e.g. `Workload::"spiffe://example.org/web"`, or a part of that.
    #[arg(long, value_name = "TEXT")]
    principal: Option<String>,
    /// What they wanted to do.
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// To what, or a part of that.
    #[arg(long, value_name = "TEXT")]
    resource: Option<String>,
    /// `allow`, `deny` or `error`.
    #[arg(long, value_name = "OUTCOME")]
    decision: Option<String>,
    /// The id of a policy that decided.
    #[arg(long, value_name = "ID")]
    policy: Option<String>,
    /// Not before this time, e.g. `2026-11-22T01:49`.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Prints the last `lines` records.
pub(super) fn tail(log: &LogArgs, lines: u64, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    let size = size(log)?;
    each(log, size.saturating_sub(lines), size, |_| true, output)
}

/// Prints the records that are wanted.
pub(super) fn search(log: &LogArgs, wanted: &Wanted, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    each(log, 0, size(log)?, |record| wanted.has(record), output)
}

/// How many entries are under the checkpoint.
fn size(log: &LogArgs) -> Result<u64, AuditError> {
    let policy = log.policy()?;
    let Some(checkpoint) = LogReader::new(&log.log).checkpoint().map_err(unproven)? else { return Ok(0) };
    let signed = SignedCheckpoint::parse(&checkpoint).map_err(unproven)?;
    Ok(policy.verify(&signed).map_err(unproven)?.checkpoint.head().size)
}

fn each(
    log: &LogArgs,
    mut next: u64,
    size: u64,
    is_wanted: impl Fn(&Map<String, Value>) -> bool,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let reader = LogReader::new(&log.log);
    while next < size {
        let found = reader.entries(next, size).map_err(unproven)?;
        let mut lines = String::new();
        for (index, bytes) in (found.first..).zip(&found.entries) {
            let entry = encoding::read(bytes).map_err(|error| unproven(format!("entry {index}: {error}")))?;
            if fields(&entry)?.as_object().is_some_and(&is_wanted) {
                lines.push_str(&json(index, &entry)?);
            }
            next = index + 1;
        }
        let printed = output.print(&lines);
        if printed != Exit::Success {
            return Ok(printed);
        }
    }
    Ok(Exit::Success)
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
    fn has(&self, record: &Map<String, Value>) -> bool {
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let contains = |name: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| text(name).contains(wanted.as_str()))
        };
        let is = |name: &str, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| text(name) == wanted);
        let policies = record.get("policies").and_then(Value::as_array);
        let named = |id: &String| policies.is_some_and(|all| all.iter().any(|policy| policy == id.as_str()));
        contains("principal", &self.principal)
            && is("action", &self.action)
            && contains("resource", &self.resource)
            && is("decision", &self.decision)
            && self.policy.as_ref().is_none_or(named)
            && self.from.as_ref().is_none_or(|from| text("time") >= from.as_str())
            && self.until.as_ref().is_none_or(|until| text("time") < until.as_str())
    }
}
