//! People in teams, teams in departments, departments in one company: of a hundred entities one is a team, of a hundred
//! teams one is a department. People have a name, a level, an address, an owner and a set of words.

use std::fmt::Write as _;

pub(crate) const SCHEMA: &str = "
    entity Company in [Company];
    entity Department in [Company];
    entity Team in [Department];
    entity User in [Team] { name: String, level: Long, address: ipaddr, boss?: User, words: Set<String> } tags String;
    action read appliesTo { principal: User, resource: Team };
";

/// All entities as one JSON array.
pub(crate) fn json(count: usize) -> String {
    let mut text = String::from("[\n");
    for index in 0..count {
        if index > 0 {
            text.push_str(",\n");
        }
        text.push_str(&entity(index, 0));
    }
    text.push_str("\n]\n");
    text
}

/// One of them; people of another `level` differ in nothing else.
pub(crate) fn entity(index: usize, level: usize) -> String {
    let mut text = String::new();
    let (kind, id) = name(index);
    let parent = match kind {
        "Company" => None,
        "Department" => Some(("Company", 0)),
        "Team" => Some(("Department", index - index % 10_000)),
        _ => Some(("Team", index - index % 100)),
    };
    // The company and the first department share a place, as do a department and its first team.
    let parents = parent.map_or_else(String::new, |(kind, id)| format!(r#"{{"type":"{kind}","id":"{id}"}}"#));
    let attributes = if kind == "User" { attributes(index, level) } else { "{}".to_owned() };
    write!(text, r#"{{"uid":{{"type":"{kind}","id":"{id}"}},"attrs":{attributes},"parents":[{parents}]}}"#).unwrap();
    text
}

pub(crate) fn attributes(index: usize, level: usize) -> String {
    let (a, b) = (index / 250 % 250, index % 250);
    format!(
        r#"{{"name":"Person Number {index}","level":{level},"address":"10.1.{a}.{b}","boss":{{"type":"User","id":"{}"}},"words":["red","blue","w{}"]}}"#,
        index / 2,
        index % 50,
    )
}

/// Where the company is moved to.
pub(crate) const HOLDING: &str = r#"[{"type":"Company","id":"holding"}]"#;

/// The type and the id of the entity at `index`.
pub(crate) fn name(index: usize) -> (&'static str, usize) {
    match index {
        0 => ("Company", 0),
        1 => ("Department", 0),
        2 => ("Team", 0),
        _ if index.is_multiple_of(10_000) => ("Department", index),
        _ if index % 10_000 == 1 => ("Team", index - 1),
        _ if index.is_multiple_of(100) => ("Team", index),
        _ => ("User", index),
    }
}

/// The `run`th of the people that are changed.
pub(crate) fn user(run: usize, count: usize) -> usize {
    let index = (run + 1) * 7919 % count;
    if name(index).0 == "User" { index } else { (index + 3).min(count - 1) }
}
