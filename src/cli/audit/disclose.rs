//! Opens redacted fields for someone who is to know them, and checks what was opened.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::show::line;
use super::{AuditError, Exit, LogArgs, Output, decision, policy_of_key, read, unproven};
use crate::app::evidence::DISCLOSURE_FILE;
use crate::evidence::disclosure::{DisclosureKey, Opening};
use crate::evidence::receipt::Receipt;
use crate::evidence::record::encoding::OwnedRecord;

/// What is to be opened.
pub(super) struct Wanted {
    pub(super) fields: Vec<String>,
    pub(super) value: Option<String>,
    pub(super) key: Option<PathBuf>,
}

/// Prints the openings.
pub(super) fn run(
    log: &LogArgs,
    decision_id: &str,
    wanted: &Wanted,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let (index, entry) = log.entry(decision_id)?;
    let record = decision(index, &entry)?;
    if wanted.value.is_some() && wanted.fields.len() != 1 {
        return Err(AuditError::Usage("`--value` is that of one `--field`".to_owned()));
    }
    let path = wanted.key.clone().unwrap_or_else(|| log.log.join(DISCLOSURE_FILE));
    let key = DisclosureKey::load(&path).map_err(|error| AuditError::Usage(error.to_string()))?;
    let mut fields = wanted.fields.clone();
    if fields.is_empty() {
        let redacted = record.fields.iter().flatten().filter(|field| field.commitment.is_some());
        fields = redacted.map(|field| field.name.clone()).collect();
    }
    let openings: Result<Vec<Opening>, _> =
        fields.iter().map(|name| key.open(&record, name, wanted.value.as_deref())).collect();
    Ok(output.print(&line(&json!(openings.map_err(unproven)?))?))
}

/// Checks openings with nothing but the log's key and the receipt.
pub(super) fn verify(
    disclosure: &Path,
    receipt: &Path,
    key: &str,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let policy = policy_of_key(key)?;
    let openings: Vec<Opening> = serde_json::from_slice(&read(disclosure)?).map_err(unproven)?;
    let receipt = Receipt::parse(&read(receipt)?).map_err(unproven)?;
    let proved = receipt.verify(&policy).map_err(unproven)?;
    let OwnedRecord::Decision(record) = &proved.entry.record else {
        return Err(AuditError::Unproven("the receipt is not of a decision".to_owned()));
    };
    if openings.is_empty() {
        return Err(AuditError::Unproven("it opens nothing".to_owned()));
    }
    let mut told = String::new();
    for opening in &openings {
        opening.verify(record).map_err(unproven)?;
        let shown = json!({"decision_id": opening.decision_id, "name": opening.name, "value": opening.value});
        told.push_str(&line(&shown)?);
    }
    Ok(output.print(&told))
}
