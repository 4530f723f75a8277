//! Records as OpenTelemetry's logs: OTLP 1.x over HTTP, in its JSON encoding (`ExportLogsServiceRequest`). Numbers of 64 bits
//! are texts there, and enumerations are numbers.

use serde_json::{Map, Value, json};

use super::post::{Answer, Message};
use super::{Exported, SinkError};
use crate::evidence::record::Outcome;
use crate::evidence::record::encoding::OwnedRecord;
use crate::foundation::clock::Timestamp;
use crate::foundation::telemetry::printable;

/// How much of a complaint is shown, in bytes.
const SHOWN: usize = 200;

/// Who tells.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// The name of the log.
    pub log: String,
    /// The name of the gateway.
    pub gateway: String,
}

impl Otlp {
    /// The request that tells these records.
    pub(super) fn message(&self, records: &[Exported<'_>], now: Timestamp) -> Result<Message, SinkError> {
        let records = records.iter().map(|exported| log_record(exported, now)).collect::<Result<Vec<_>, _>>()?;
        let version = env!("CARGO_PKG_VERSION");
        let resource = [
            ("service.name", "portcullis"),
            ("service.version", version),
            ("service.instance.id", &self.gateway),
            ("portcullis.log", &self.log),
        ];
        let resource = resource.map(|(key, value)| attribute(key, &value.into()));
        let body = json!({"resourceLogs": [{
            "resource": {"attributes": resource},
            "scopeLogs": [{"scope": {"name": "portcullis.audit", "version": version}, "logRecords": records}],
        }]});
        Ok(Message { headers: Vec::new(), body: serde_json::to_vec(&body)? })
    }

    /// What a collector refuses for good is not told again: the protocol has it so. It is in our log either way.
    pub(super) fn look_at(answer: &Answer) {
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return };
        let Some(partial) = body.get("partialSuccess") else { return };
        let rejected = partial.get("rejectedLogRecords");
        let rejected = rejected.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()));
        let complaint = partial.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
        if rejected.is_some_and(|rejected| rejected > 0) || !complaint.is_empty() {
            let complaint = printable(complaint, SHOWN);
            tracing::warn!(rejected, "the collector of records complains: {complaint}");
        }
    }
}

fn log_record(exported: &Exported<'_>, now: Timestamp) -> serde_json::Result<Value> {
    let record = serde_json::to_value(&exported.record)?;
    let (number, text) = severity(&exported.record);
    let kind = record.get("record").and_then(Value::as_str).unwrap_or_default();
    Ok(json!({
        "timeUnixNano": exported.record.time().unix_nanos().to_string(),
        "observedTimeUnixNano": now.unix_nanos().to_string(),
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("portcullis.{kind}"),
        "body": any(&record),
        "attributes": [attribute("portcullis.index", &exported.index.into())],
    }))
}

/// `SeverityNumber`, and its name.
const fn severity(record: &OwnedRecord<'_>) -> (u8, &'static str) {
    match record {
        OwnedRecord::Decision(decision) => match decision.decision {
            Outcome::Allow => (9, "INFO"),
            Outcome::Deny => (13, "WARN"),
            Outcome::Error => (17, "ERROR"),
        },
        OwnedRecord::Witness(_) => (17, "ERROR"),
        _ => (9, "INFO"),
    }
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({"key": key, "value": any(value)})
}

/// As an `AnyValue`; of nothing there is one without a field.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => Value::Object(Map::new()),
        Value::Bool(value) => json!({"boolValue": value}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::String(text) => json!({"stringValue": text}),
        Value::Array(values) => json!({"arrayValue": {"values": values.iter().map(any).collect::<Vec<_>>()}}),
        Value::Object(fields) => {
            let values: Vec<Value> = fields.iter().map(|(key, value)| attribute(key, value)).collect();
            json!({"kvlistValue": {"values": values}})
        }
    }
}
