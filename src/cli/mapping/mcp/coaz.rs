//! What a tool declares of its calls, `x-authzen-mapping` in the `AuthZEN` working group's draft COAZ-MCP, in the terms of a
//! route. Of the draft's expressions those are understood that name a parameter; there is no other language in a route.

use serde_json::{Map, Value as Json};

use super::literal;
use crate::cli::mapping::written::quoted;

/// Who asks is what was proved, never what a tool says.
const SUBJECT: &str = "$token.sub";

/// The declaration as YAML, or why it can't be one.
pub(super) fn written(declared: &Json) -> Result<String, String> {
    let template = match declared.as_object().map(|members| (members.len(), members.get("evaluation"))) {
        Some((1, Some(template))) => template.as_object().ok_or("has an `evaluation` that is not an object")?,
        _ => return Err("is not one `evaluation`".to_owned()),
    };
    if let Some(other) = template.keys().find(|name| !["subject", "action", "resource", "context"].contains(&&***name))
    {
        return Err(format!("has `{other}`, which no question has"));
    }
    subject(template.get("subject"))?;
    let action = object(template, "action")?;
    only(action, &["name"])?;
    let action = match action.get("name").and_then(Json::as_str) {
        Some(name) if !name.starts_with('$') => name,
        _ => return Err("has an action that is not one name".to_owned()),
    };
    let resource = object(template, "resource")?;
    only(resource, &["type", "id", "properties"])?;
    let kind = match resource.get("type").and_then(Json::as_str) {
        Some(kind) if !kind.starts_with('$') => kind,
        _ => return Err("has a resource that is not of one type".to_owned()),
    };
    let id = text(resource.get("id").and_then(Json::as_str).ok_or("has a resource without an id")?)?;
    let mut about = vec![format!("type: {}", quoted(kind)), format!("id: {}", quoted(&id))];
    if resource.contains_key("properties") {
        about.push(format!("properties: {}", members(object(resource, "properties")?)?));
    }
    let mut all =
        vec![format!("action: {{ name: {} }}", quoted(action)), format!("resource: {{ {} }}", about.join(", "))];
    if template.contains_key("context") {
        all.push(format!("context: {}", members(object(template, "context")?)?));
    }
    Ok(format!("{{ {} }}", all.join(", ")))
}

fn object<'j>(of: &'j Map<String, Json>, name: &str) -> Result<&'j Map<String, Json>, String> {
    of.get(name).and_then(Json::as_object).ok_or_else(|| format!("has no `{name}` that is an object"))
}

fn only(of: &Map<String, Json>, names: &[&str]) -> Result<(), String> {
    match of.keys().find(|name| !names.contains(&&***name)) {
        Some(other) => Err(format!("has `{other}` where only {} can be", names.join(", "))),
        None => Ok(()),
    }
}

fn subject(subject: Option<&Json>) -> Result<(), String> {
    let id = subject.and_then(|subject| subject.get("id"));
    match id {
        None => Ok(()),
        Some(Json::String(id)) if id == SUBJECT => Ok(()),
        Some(_) => Err(format!("has a subject whose id is not `{SUBJECT}`")),
    }
}

/// Attributes, but for claims of the token: these are in the context of every question, where the schema declares them.
fn members(of: &Map<String, Json>) -> Result<String, String> {
    let mut written = Vec::with_capacity(of.len());
    for (name, value) in of {
        let value = match value {
            Json::String(claim) if claim.starts_with("$token.") => continue,
            Json::String(value) => quoted(&text(value)?),
            Json::Bool(_) => value.to_string(),
            Json::Number(number) if number.is_i64() => value.to_string(),
            Json::Object(inner) => members(inner)?,
            _ => return Err(format!("has `{name}`, which is neither a text, a boolean, an integer nor an object")),
        };
        written.push(format!("{}: {value}", quoted(name)));
    }
    Ok(format!("{{ {} }}", written.join(", ")))
}

/// A literal, or a parameter: `$params.arguments.id`, `$params.arguments.?id`.
fn text(value: &str) -> Result<String, String> {
    let Some(expression) = value.strip_prefix('$') else { return Ok(literal(value)) };
    if let Some(escaped) = expression.strip_prefix('$') {
        return Ok(literal(&format!("${escaped}")));
    }
    let path = expression.strip_prefix("params.").unwrap_or_default();
    let names: Vec<&str> = path.split('.').map(|name| name.strip_prefix('?').unwrap_or(name)).collect();
    // CEL has no `-` in a name: it would be a subtraction.
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !names.iter().all(is_name) {
        return Err(format!("has the expression `{value}`, which no route can say"));
    }
    Ok(format!("{{params.{}}}", names.join(".")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_declaration_of_parameters_and_literals_is_a_route_s() {
        let declared = json!({"evaluation": {
            "subject": {"type": "identity", "id": "$token.sub"},
            "action": {"name": "get_customer"},
            "resource": {"type": "Customer", "id": "$params.arguments.id", "properties": {"tier": "$$gold {x}", "n": 3}},
            "context": {"agent": "$token.?client_id", "case": "$params.arguments.?case", "deep": {"a": true}},
        }});
        assert_eq!(
            written(&declared).unwrap(),
            r#"{ action: { name: "get_customer" }, resource: { type: "Customer", id: "{params.arguments.id}", properties: { "tier": "$gold {{x}}", "n": 3 } }, context: { "case": "{params.arguments.case}", "deep": { "a": true } } }"#
        );
    }

    #[test]
    fn what_no_route_can_say_is_told() {
        let good = json!({"evaluation": {"action": {"name": "a"}, "resource": {"type": "T", "id": "x"}}});
        assert!(written(&good).is_ok());
        let with = |pointer: &str, value: Json| {
            let mut changed = good.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
            changed
        };
        for (declared, why) in [
            (json!({"evaluations": {}}), "is not one `evaluation`"),
            (with("/more", json!({})), "is not one `evaluation`"),
            (json!([]), "is not one `evaluation`"),
            (with("/evaluation/subject", json!({"id": "alice"})), "subject"),
            (with("/evaluation/subject", json!({"id": "$params.arguments.user"})), "subject"),
            (with("/evaluation/options", json!({})), "which no question has"),
            (with("/evaluation/action/name", json!("$params.name")), "an action that is not one name"),
            (with("/evaluation/action/properties", json!({})), "only name"),
            (with("/evaluation/resource/type", json!("$params.name")), "not of one type"),
            (with("/evaluation/resource/id", json!("$params.arguments.a > 1 ? 'x' : 'y'")), "no route can say"),
            (with("/evaluation/resource/id", json!("$params.arguments['a']")), "no route can say"),
            (with("/evaluation/resource/id", json!("$params.")), "no route can say"),
            (with("/evaluation/resource/id", json!("$token.sub")), "no route can say"),
            (with("/evaluation/resource/id", json!(7)), "without an id"),
            (with("/evaluation/context", json!({"a": ["x"]})), "which is neither"),
            (with("/evaluation/context", json!([])), "no `context`"),
        ] {
            let said = written(&declared).unwrap_err();
            assert!(said.contains(why), "{declared}: {said}");
        }
    }
}
