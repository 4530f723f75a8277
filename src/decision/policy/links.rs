//! Templates and the links that fill them in: `*.links.json`, in the form that Cedar's own command line takes with
//! `--template-linked`. A link is compiled as the policy that its template's text becomes.

use std::collections::BTreeMap;

use cedar_policy::EntityUid;
use serde::Deserialize;

use super::draft::Template;
use super::problem::{Position, Problem};
use super::source::{File, Kind, Sources};
use super::statement::Statement;

/// A template filled in.
#[derive(Debug)]
pub(super) struct Linked<'a> {
    pub(super) id: String,
    pub(super) template: String,
    pub(super) text: String,
    /// The file that links.
    pub(super) file: &'a File,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    #[serde(rename = "template_id")]
    template: String,
    #[serde(rename = "link_id")]
    id: String,
    args: BTreeMap<String, String>,
}

/// All links of all files, filled in.
pub(super) fn links<'a>(
    sources: &'a Sources,
    templates: &BTreeMap<String, Template<'_>>,
    problems: &mut Vec<Problem>,
) -> Vec<Linked<'a>> {
    let mut linked = Vec::new();
    for file in sources.of_kind(Kind::Links) {
        let links: Vec<Link> = serde_json::from_str(&file.text).unwrap_or_else(|error| {
            let position = Position { line: error.line(), column: error.column() };
            problems.push(Problem::positioned(&file.path, position, error));
            Vec::new()
        });
        for link in links {
            let filled = match templates.get(&link.template) {
                Some(template) => fill(template, &link.args),
                None => Err(format!("there is no template `{}`", link.template)),
            };
            match filled {
                Ok(text) => linked.push(Linked { id: link.id, template: link.template, text, file }),
                Err(what) => problems.push(Problem::new(&file.path, format!("link `{}`: {what}", link.id))),
            }
        }
    }
    linked
}

/// The template's text with the entities in the place of the slots.
fn fill(template: &Template<'_>, arguments: &BTreeMap<String, String>) -> Result<String, String> {
    let text = |range| template.file.text.get(range).unwrap_or_default();
    let Statement { range, slots } = &template.statement;
    let mut filled = String::new();
    let mut from = range.start;
    for slot in slots {
        let name = text(slot.clone());
        let entity = arguments.get(name).ok_or_else(|| format!("`{name}` is not given"))?;
        let entity: EntityUid = entity.parse().map_err(|_| format!("`{name}` is not the name of an entity"))?;
        filled.push_str(text(from..slot.start));
        filled.push_str(&entity.to_string());
        from = slot.end;
    }
    filled.push_str(text(from..range.end));
    let unused = arguments.keys().find(|name| slots.iter().all(|slot| text(slot.clone()) != name.as_str()));
    unused.map_or(Ok(filled), |name| Err(format!("the template has no `{name}`")))
}
