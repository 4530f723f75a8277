//! Records as events of the Open Cybersecurity Schema Framework: all of them are API Activity (class 6003), decisions with their
//! outcome as the actor's authorization. What OCSF has no place for is in `unmapped`, as it is recorded.

use serde_json::{Map, Value, json};

use super::Exported;
use crate::evidence::record::encoding::OwnedRecord;
use crate::evidence::record::{DecisionRecord, Outcome};

/// What every event begins with, and so a file of them.
pub(super) const START: &[u8] = br#"{"activity_id":"#;

/// The version of the schema.
const VERSION: &str = "1.6.0";

/// The class, and its category.
const API_ACTIVITY: u32 = 6003;
const APPLICATION_ACTIVITY: u32 = 6;

/// An event of the log of this name. Its members are sorted, so that it begins with [`START`].
pub(super) fn event(log: &str, exported: &Exported<'_>) -> serde_json::Result<Value> {
    let record = serde_json::to_value(&exported.record)?;
    let kind = record.get("record").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut event = match &exported.record {
        OwnedRecord::Decision(decision) => decided(decision),
        _ => happened(&kind, &record),
    };
    let activity = event.get("activity_id").and_then(Value::as_u64).unwrap_or(99);
    event.extend(members(json!({
        "category_name": "Application Activity",
        "category_uid": APPLICATION_ACTIVITY,
        "class_name": "API Activity",
        "class_uid": API_ACTIVITY,
        "metadata": {
            "event_code": kind,
            "log_name": log,
            "product": {"name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION")},
            "sequence": exported.index,
            "uid": format!("{log}/{}", exported.index),
            "version": VERSION,
        },
        "time": exported.record.time().unix_millis(),
        "type_uid": u64::from(API_ACTIVITY) * 100 + activity,
        "unmapped": record,
    })));
    Ok(Value::Object(event))
}

fn decided(record: &DecisionRecord<'_>) -> Map<String, Value> {
    let (activity_id, activity_name) = activity(&record.action);
    let outcome = match record.decision {
        Outcome::Allow => "Allowed",
        Outcome::Deny => "Denied",
        Outcome::Error => "Error",
    };
    let mut authorizations: Vec<Value> =
        record.policies.iter().map(|policy| json!({"decision": outcome, "policy": {"uid": policy}})).collect();
    if authorizations.is_empty() {
        authorizations.push(json!({"decision": outcome}));
    }
    let (status_id, status) = if record.decision == Outcome::Allow { (1, "Success") } else { (2, "Failure") };
    members(json!({
        "activity_id": activity_id,
        "activity_name": activity_name,
        "actor": {"authorizations": authorizations, "user": {"uid": record.principal}},
        "api": {
            "operation": record.action,
            "request": {"uid": record.decision_id},
            "response": {"message": record.reason},
            "service": {"name": record.edge.name()},
        },
        "duration": record.latency_us / 1000,
        "resources": [{"uid": record.resource}],
        // Low for what was refused, medium for what could not be decided.
        "severity_id": match record.decision { Outcome::Allow => 1, Outcome::Deny => 2, Outcome::Error => 3 },
        "src_endpoint": {"name": record.peer.as_ref().unwrap_or(&record.principal)},
        "status": status,
        "status_detail": record.reason,
        "status_id": status_id,
    }))
}

/// What we did, or were told to do.
fn happened(kind: &str, record: &Value) -> Map<String, Value> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let failed = text("error").is_some();
    let subject = text("spiffe_id").or_else(|| text("authority")).or_else(|| text("log")).unwrap_or(kind);
    let uid = record.get("uid").and_then(Value::as_u64).map_or_else(|| "portcullis".to_owned(), |uid| uid.to_string());
    let mut event = members(json!({
        "activity_id": 99,
        "activity_name": kind,
        "actor": {"user": {"uid": uid}},
        "api": {"operation": text("method").unwrap_or(kind), "service": {"name": "portcullis"}},
        "resources": [{"uid": subject}],
        "severity_id": if kind == "witness" { 5 } else { 1 },
        "src_endpoint": {"name": "portcullis"},
        "status": if failed { "Failure" } else { "Success" },
        "status_id": if failed { 2 } else { 1 },
    }));
    // What is not there must not be null either.
    event.extend(text("error").map(|why| ("status_detail".to_owned(), why.into())));
    event
}

/// What kind of activity an action is, as far as its name tells.
fn activity(action: &str) -> (u32, &str) {
    match action.to_ascii_lowercase().as_str() {
        "create" | "add" | "post" => (1, "Create"),
        "read" | "get" | "head" | "list" | "view" => (2, "Read"),
        "update" | "put" | "patch" | "write" | "edit" => (3, "Update"),
        "delete" | "remove" => (4, "Delete"),
        _ => (99, action),
    }
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
