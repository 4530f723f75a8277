//! Routes out of an `OpenAPI` document: one for each operation. Only paths, methods, servers and operation ids are read;
//! parameters and schemas say nothing of who may do what.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::Failure;
use super::written::{Written, quoted};
use crate::decision::mapping::check_template;

/// The operations of a path item (`OpenAPI` 3.1, section 4.8.9.1).
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Where operations are served: a host, if one is named, and what stands before each path.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Server {
    host: Option<String>,
    base: String,
}

/// The mapping, as YAML.
pub(super) fn mapping(file: &Path, hosts: bool, operation_ids: bool) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::of(file, error))?;
    let document = parse(&text).map_err(|error| Failure::of(file, error))?;
    if !document.get("openapi").and_then(Json::as_str).is_some_and(|version| version.starts_with("3.")) {
        return Err(Failure::of(file, "not an OpenAPI document: `openapi` does not say 3.x"));
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut made = Made { written: Written::new(&name), hosts, operation_ids };
    let nothing = Map::new();
    let paths = document.get("paths").and_then(Json::as_object).unwrap_or(&nothing);
    for (path, item) in paths {
        made.path(path, item, document.get("servers"));
    }
    Ok(made.written.finish())
}

fn parse(text: &str) -> Result<Json, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
}

/// What is being made.
struct Made {
    written: Written,
    hosts: bool,
    operation_ids: bool,
}

impl Made {
    fn path(&mut self, path: &str, item: &Json, servers: Option<&Json>) {
        if item.get("$ref").is_some() {
            self.written.left_out(path, "its item is a `$ref`; bundle the document first");
            return;
        }
        let servers = item.get("servers").or(servers);
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                self.operation(path, &method.to_ascii_uppercase(), operation, operation.get("servers").or(servers));
            }
        }
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Json, servers: Option<&Json>) {
        let served = self.served(servers);
        let id = operation.get("operationId").and_then(Json::as_str);
        for Server { host, base } in &served {
            let template = format!("{base}{path}");
            if let Err(why) = check_template(&template) {
                self.written.left_out(&format!("{method} {template}"), &why);
                continue;
            }
            let mut members = Vec::new();
            // Under two bases of one host the name would be there twice.
            members.extend(id.filter(|_| served.len() == 1).map(|id| format!("name: {}", quoted(id))));
            let host = host.as_ref().map(|host| format!("host: {}, ", quoted(host))).unwrap_or_default();
            members.push(format!("match: {{ {host}path: {}, method: {method} }}", quoted(&template)));
            let action = id.filter(|_| self.operation_ids);
            members.extend(action.map(|id| format!("action: {{ name: {} }}", quoted(id))));
            self.written.route(&members, "");
        }
    }

    /// Where an operation is served, each place once.
    fn served(&self, servers: Option<&Json>) -> Vec<Server> {
        let servers = servers.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut served: Vec<Server> = Vec::new();
        for mut place in servers.iter().map(Server::of) {
            place.host = place.host.filter(|_| self.hosts);
            if !served.contains(&place) {
                served.push(place);
            }
        }
        if served.is_empty() {
            served.push(Server { host: None, base: String::new() });
        }
        served
    }
}

impl Server {
    /// Of a server object: its URL may be a path alone, and have variables, which stand for their defaults.
    fn of(server: &Json) -> Self {
        let mut url = server.get("url").and_then(Json::as_str).unwrap_or_default().to_owned();
        let variables = server.get("variables").and_then(Json::as_object);
        for (name, variable) in variables.into_iter().flatten() {
            url =
                url.replace(&format!("{{{name}}}"), variable.get("default").and_then(Json::as_str).unwrap_or_default());
        }
        let (host, base) = match url.split_once("://") {
            Some((_, rest)) => {
                let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = authority.split_once(':').map_or(authority, |(host, _port)| host);
                (Some(host.to_ascii_lowercase()), base)
            }
            None => (None, &*url),
        };
        Self { host: host.filter(|host| !host.is_empty()), base: base.trim_end_matches('/').to_owned() }
    }
}
