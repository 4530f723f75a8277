//! `portcullis mapping from-mcp`: the tools of an MCP server as entities, and the route to it, out of what the server itself
//! says of them. Whoever runs it reads what comes out: hints are the server's word.

mod coaz;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use super::Failure;
use super::written::{Written, quoted};
use crate::foundation::json;

/// The longest name of a tool that is ever asked about, in bytes.
const MAX_NAME: usize = 256;

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
pub(in crate::cli) struct ToolList {
    /// The answer to `tools/list`: the whole message or its `result`, a file for each page.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The id of the server.
    #[arg(long, value_name = "ID")]
    server: String,
    /// What the ids of tools begin with, e.g. `orders/`, where several servers have tools of one name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// The Cedar namespace of the entity types, e.g. `Mcp`.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Print the route to the server at this path in place of the entities.
    #[arg(long, value_name = "PATH")]
    route: Option<String>,
    /// Have the route only match this host.
    #[arg(long, value_name = "HOST", requires = "route")]
    host: Option<String>,
}

/// A tool as its server describes it.
struct Tool {
    name: String,
    annotations: Json,
    /// What its calls become, written as YAML, if it says so.
    declared: Option<String>,
}

impl ToolList {
    /// What is printed, and which tools are not in it, one a line.
    pub(super) fn print(&self) -> Result<(String, Vec<String>), Failure> {
        let (tools, left_out) = self.read()?;
        let text = match &self.route {
            Some(path) => self.route(path, &tools),
            None => self.entities(&tools),
        };
        Ok((text, left_out))
    }

    fn read(&self) -> Result<(Vec<Tool>, Vec<String>), Failure> {
        let (mut tools, mut left_out, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut goes_on = None;
        for file in &self.files {
            let bytes = std::fs::read(file).map_err(|error| Failure::of(file, error))?;
            let page = json::read(&bytes).map_err(|error| Failure::of(file, error))?;
            let page = page.get("result").unwrap_or(&page);
            let listed = page.get("tools").and_then(Json::as_array);
            let listed = listed.ok_or_else(|| Failure::of(file, "not an answer to `tools/list`: it has no `tools`"))?;
            for tool in listed {
                let name = tool.get("name").and_then(Json::as_str).filter(|name| is_name(name));
                let name = name.ok_or_else(|| {
                    Failure::of(file, "a tool has no name of 1 to 256 bytes without control characters")
                })?;
                if !names.insert(name.to_owned()) {
                    return Err(Failure::of(file, format_args!("the tool `{name}` is there twice")));
                }
                let declared = tool.get("inputSchema").and_then(|schema| schema.get("x-authzen-mapping"));
                match declared.map(coaz::written).transpose() {
                    Ok(declared) => {
                        let annotations = tool.get("annotations").cloned().unwrap_or_default();
                        tools.push(Tool { name: name.to_owned(), annotations, declared });
                    }
                    Err(why) => left_out.push(format!("left out: the tool `{name}`: its `x-authzen-mapping` {why}")),
                }
            }
            goes_on = page.get("nextCursor").is_some_and(|cursor| !cursor.is_null()).then_some(file);
        }
        match goes_on {
            Some(file) => Err(Failure::of(file, "the list goes on (`nextCursor`); give its other pages too")),
            None => Ok((tools, left_out)),
        }
    }

    fn entities(&self, tools: &[Tool]) -> String {
        let kind = |name: &str| match &self.namespace {
            Some(namespace) => format!("{namespace}::{name}"),
            None => name.to_owned(),
        };
        let server = json!({ "type": kind("McpServer"), "id": self.server });
        let mut entities = vec![json!({ "uid": server, "attrs": {}, "parents": [] })];
        for tool in tools {
            let hint =
                |name: &str, otherwise: bool| tool.annotations.get(name).and_then(Json::as_bool).unwrap_or(otherwise);
            let read_only = hint("readOnlyHint", false);
            entities.push(json!({
                "uid": { "type": kind("Tool"), "id": format!("{}{}", self.prefix, tool.name) },
                "attrs": {
                    "name": tool.name,
                    // What a server does not say is taken as MCP says: for the worse.
                    "read_only": read_only,
                    "destructive": hint("destructiveHint", !read_only),
                    "idempotent": hint("idempotentHint", false),
                    "open_world": hint("openWorldHint", true),
                },
                "parents": [server],
            }));
        }
        let lines: Vec<_> = entities.iter().map(|entity| format!("  {entity}")).collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    }

    fn route(&self, path: &str, tools: &[Tool]) -> String {
        let file = self.files.first().and_then(|file| file.file_name()).unwrap_or_default();
        let mut written = Written::new(&file.to_string_lossy());
        let host = self.host.as_deref().map(|host| format!("host: {}, ", quoted(host))).unwrap_or_default();
        let mut members = vec![format!("server: {}", quoted(&literal(&self.server)))];
        if !self.prefix.is_empty() {
            members.push(format!("prefix: {}", quoted(&literal(&self.prefix))));
        }
        members.extend(self.namespace.as_deref().map(|namespace| format!("namespace: {}", quoted(namespace))));
        let declared: Vec<_> = tools
            .iter()
            .filter_map(|tool| Some(format!("{}: {}", quoted(&tool.name), tool.declared.as_deref()?)))
            .collect();
        if !declared.is_empty() {
            members.push(format!("tools: {{ {} }}", declared.join(", ")));
        }
        let route = [
            format!("name: {}", quoted(&format!("{}-mcp", self.server))),
            format!("match: {{ {host}path: {} }}", quoted(path)),
            format!("mcp: {{ {} }}", members.join(", ")),
        ];
        written.route(&route, "");
        written.finish()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// A text in which nothing is put.
fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}
