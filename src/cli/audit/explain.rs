//! Tells why a decision is as it is.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::show::line;
use super::{AuditError, Exit, LogArgs, Output, decision, unproven};
use crate::app::evidence::DISCLOSURE_FILE;
use crate::decision::policy::Effect;
use crate::decision::policy::explain::{Explanation, Near, Reasoned};
use crate::decision::replay::{self, Replay, Request, replay};
use crate::evidence::log::Archive;
use crate::evidence::{DecisionRecord, DisclosureKey};
use crate::foundation::telemetry::printable;

/// The most of a text that is shown, in bytes.
const SHOWN: usize = 16 << 10;

/// Makes the decision again, and tells what comes out.
pub(super) fn run(
    log: &LogArgs,
    decision_id: &str,
    as_json: bool,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let (index, entry) = log.entry(decision_id)?;
    let record = decision(index, &entry)?;
    // Without the key, what is redacted is not known, and is said not to be.
    let key = DisclosureKey::load(&log.log.join(DISCLOSURE_FILE)).ok();
    let replay = replay(&record, &Archive::new(&log.log), key.as_ref()).map_err(unproven)?;
    let told = if as_json { line(&value(&record, &replay))? } else { text(&record, &replay).map_err(unproven)? };
    Ok(output.print(&told))
}

fn value(record: &DecisionRecord<'_>, replay: &Replay) -> Value {
    let mut told = json!({
        "decision_id": record.decision_id,
        "recorded": {"decision": record.decision, "reason": record.reason, "policies": record.policies},
        "policy_digest": record.policy_digest,
        "request": replay.request,
        "entities": replay.entities,
        "agrees": replay.agrees,
    });
    let more = match &replay.explanation {
        Ok(found) => vec![
            ("effect", json!(name(found.evaluation.effect))),
            ("policies", json!(found.evaluation.policies)),
            ("policy_errors", json!(found.evaluation.errors)),
            ("reasons", found.reasons.iter().map(reason_value).collect()),
            ("near", json!(found.near)),
            ("more_near", json!(found.more_near)),
        ],
        Err(error) => vec![("error", json!(error.to_string()))],
    };
    if let Value::Object(told) = &mut told {
        told.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    told
}

fn reason_value(reason: &Reasoned) -> Value {
    json!({"id": reason.id, "text": reason.text, "without": name(reason.without)})
}

fn text(record: &DecisionRecord<'_>, replay: &Replay) -> Result<String, std::fmt::Error> {
    let mut told = String::new();
    let DecisionRecord { principal, action, resource, reason, .. } = record;
    writeln!(told, "{} {action} {resource}: {} ({reason})", principal, record.decision.name())?;
    writeln!(told, "request:  {}", about_request(replay.request))?;
    writeln!(told, "entities: {}", about_entities(replay.entities))?;
    let agrees = if replay.agrees { "the same answer as was recorded" } else { "another answer than was recorded" };
    writeln!(told, "replay:   {agrees}")?;
    match &replay.explanation {
        Ok(found) => tell(&mut told, found)?,
        Err(error) => writeln!(told, "\nthe question can't be put to the policies: {error}")?,
    }
    Ok(told)
}

fn tell(told: &mut String, found: &Explanation) -> std::fmt::Result {
    writeln!(told, "\n{}", said(found.evaluation.effect))?;
    for Reasoned { id, text, without } in &found.reasons {
        writeln!(told, "  {id}: without it, {}", said(*without))?;
        indented(told, text)?;
    }
    for error in found.evaluation.errors.iter() {
        writeln!(told, "  failed: {}", printable(error, SHOWN))?;
    }
    if !found.near.is_empty() {
        let side = if found.evaluation.effect == Effect::Permit { "forbids" } else { "permits" };
        writeln!(told, "\n{side} that did not apply, the nearest first")?;
    }
    for Near { id, text, unmet } in &found.near {
        writeln!(told, "  {id}: does not hold:")?;
        for unmet in unmet {
            let error = unmet.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            indented(told, &format!("{}{error}", unmet.part))?;
        }
        writeln!(told, "   in")?;
        indented(told, text)?;
    }
    if found.more_near > 0 {
        writeln!(told, "  and {} more", found.more_near)?;
    }
    Ok(())
}

fn indented(told: &mut String, text: &str) -> std::fmt::Result {
    text.lines().filter(|line| !line.is_empty()).try_for_each(|line| writeln!(told, "      {}", printable(line, SHOWN)))
}

const fn about_request(request: Request) -> &'static str {
    match request {
        Request::Recorded => "as it was recorded",
        Request::Rebuilt => "put together from the record; its digest is the recorded one, so nothing is missing",
        Request::Incomplete => {
            "incomplete: the record has a digest of the rest only (`audit.request: full` keeps all of it)"
        }
    }
}

const fn about_entities(entities: replay::Entities) -> &'static str {
    match entities {
        replay::Entities::Recorded => "as they were recorded",
        replay::Entities::Directory => {
            "those of the policy directory, as they were; those of other sources were not kept (`audit.request: full` \
             keeps what a decision looks at)"
        }
        replay::Entities::Missing => "none are kept any more",
    }
}

const fn name(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permitted",
        Effect::NoPermit => "no_permit",
        Effect::Forbid => "forbidden",
        Effect::ForbidFailed => "forbid_failed",
    }
}

const fn said(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "it is permitted",
        Effect::NoPermit => "nothing permits it",
        Effect::Forbid => "it is forbidden",
        Effect::ForbidFailed => "a policy that forbids fails, which forbids",
    }
}
