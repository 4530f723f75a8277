//! Receipts: what proves one decision to a stranger.

use std::path::Path;

use serde_json::{Value, json};

use super::super::files::write_public;
use super::show::{fields, line};
use super::{AuditError, Exit, LogArgs, Output, TrustArgs, id, none_of, read, unproven};
use crate::evidence::receipt::{Found, Proved, Receipt};
use crate::evidence::record::encoding::OwnedRecord;
use crate::evidence::{DecisionRecord, Edge};
use crate::foundation::clock::{Clock as _, SystemClock};
use crate::identity::svid::verify_chain;

/// Finds the decision, and proves that it is in the log.
pub(super) fn write(
    log: &LogArgs,
    decision_id: &str,
    file: Option<&Path>,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let receipt = match log.receipts()?.find(id(decision_id)?, SystemClock::new().now()).map_err(unproven)? {
        Found::Receipt(receipt) => receipt.to_string(),
        Found::Pending => {
            let why = format!("no checkpoint has the decision `{decision_id}` yet: try again in a moment");
            return Err(AuditError::Unproven(why));
        }
        Found::TakenOut => {
            let none = none_of(decision_id);
            return Err(AuditError::Unproven(format!("{none}: those of its time may have been taken out")));
        }
        Found::Nothing => return Err(none_of(decision_id)),
    };
    match file {
        None => Ok(output.print(&receipt)),
        Some(path) => match write_public(path, receipt.as_bytes()) {
            Ok(()) => Ok(Exit::Success),
            Err(error) => Err(AuditError::Usage(format!("`{}`: {error}", path.display()))),
        },
    }
}

/// Checks a receipt with nothing but the keys that are believed.
pub(super) fn verify(file: &Path, trust: &TrustArgs, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    let policy =
        trust.policy()?.ok_or_else(|| AuditError::Usage("say whom to believe: --key or --trust-policy".to_owned()))?;
    let receipt = Receipt::parse(&read(file)?).map_err(unproven)?;
    let proved = receipt.verify(&policy).map_err(unproven)?;
    let told = json!({
        "index": proved.index,
        "gateway": &*proved.entry.writer.gateway,
        "config_digest": proved.entry.writer.config,
        "certificates": certificates(&proved)?,
        "record": fields(&proved.entry)?,
    });
    Ok(output.print(&line(&told)?))
}

/// Whom the certificates proved at the time of the decision. Null if the record names none; without them a receipt still proves
/// the record, so it is said that they are missing.
pub(super) fn certificates(proved: &Proved<'_>) -> Result<Value, AuditError> {
    let (Some([leaf, authority]), OwnedRecord::Decision(record)) = (proved.chain, &proved.entry.record) else {
        let names_any = matches!(&proved.entry.record, OwnedRecord::Decision(record) if record.leaf.is_some());
        return Ok(if names_any {
            json!({"absent": "the record names certificates that are not here"})
        } else {
            Value::Null
        });
    };
    let id = verify_chain(leaf, authority, record.time).map_err(unproven)?;
    if record.edge == Edge::ExtAuthz && !names(record, id.as_str()) {
        return Err(AuditError::Unproven(format!("the certificate is of `{id}`, whom the record does not name")));
    }
    Ok(json!({"spiffe_id": id.as_str(), "bundle_sequence": record.bundle_sequence}))
}

/// Whether a workload is the record's principal or peer.
fn names(record: &DecisionRecord<'_>, id: &str) -> bool {
    record.peer.as_deref().unwrap_or_default() == id || *record.principal == format!("Workload::{id:?}")
}
