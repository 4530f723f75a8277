//! `portcullis mapping try`: what a request becomes.

use std::path::PathBuf;

use clap::Args;
use portcullis_spiffe::SpiffeId;
use serde_json::{Value as Json, json};

use super::{Exit, Failure};
use crate::decision::mapping::{Mapping, http_query, workload};
use crate::decision::policy::PolicySet;
use crate::decision::request::{HttpRequest, Refusal};
use crate::decision::{Body, Check, HttpAttributes, Query};

/// Who asks, if nobody in particular does.
const ANYBODY: &str = "spiffe://example.org/anybody";

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
pub(in crate::cli) struct Attempt {
    /// The request's method.
    method: String,
    /// Its URL, e.g. `https://api.example.com/todos/7`. It is taken as it is; Envoy would normalise it before.
    url: String,
    /// A header, e.g. `x-tenant: blue`. May be repeated.
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The file with the request's body, JSON unless a header says otherwise.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A context extension of Envoy's route, e.g. `service=orders`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = extension)]
    extension: Vec<(String, String)>,
    /// Who asks. Without it the question has no subject.
    #[arg(long, value_name = "SPIFFE_ID")]
    subject: Option<SpiffeId>,
    /// The file with the routes, or the directory of them. Without it: what a request is by itself.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// The directory of policies, whose schema says what a question can have in it.
    #[arg(long, value_name = "DIRECTORY", default_value = "policies")]
    policies: PathBuf,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written `name: value`")?;
    // As Envoy sends it.
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn extension(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("an extension is written `key=value`")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Scheme, authority and path with query.
fn parts(url: &str) -> Option<(&str, &str, String)> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some((scheme, authority, format!("{slash}{path}")))
}

impl Attempt {
    /// The question, and which route made it.
    pub(super) fn run(mut self) -> Result<(String, String), Failure> {
        let policies = PolicySet::load(&self.policies).map_err(Failure::usage)?;
        let mapping = self.mapping.as_deref().map(Mapping::load).transpose().map_err(Failure::usage)?;
        if let Some(mapping) = &mapping {
            mapping.fit(&policies).map_err(Failure::usage)?;
        }
        let body = self.read_body()?;
        let (scheme, host, path) = parts(&self.url)
            .ok_or_else(|| Failure::usage(format_args!("`{}` is not a URL such as `https://host/path`", self.url)))?;
        let check = Check {
            http: Some(HttpAttributes {
                method: &self.method,
                path: if self.method == "CONNECT" { "" } else { &path },
                host,
                scheme,
                protocol: "HTTP/2",
                headers: Some(self.header.iter().map(|(name, value)| (&**name, value.as_bytes())).collect()),
                body: Body::Bytes(&body),
            }),
            extensions: self.extension.iter().map(|(key, value)| (&**key, &**value)).collect::<Vec<_>>().into(),
            ..Check::default()
        };
        self.shown(&check, mapping.as_ref(), &policies)
    }

    fn shown(
        &self,
        check: &Check<'_>,
        mapping: Option<&Mapping>,
        policies: &PolicySet,
    ) -> Result<(String, String), Failure> {
        let denied =
            |refusal: &Refusal| Failure(format!("{}: {}", refusal.reason().name(), refusal.detail()), Exit::Refused);
        let principal = match &self.subject {
            Some(subject) => subject.clone(),
            None => ANYBODY.parse().map_err(Failure::usage)?,
        };
        let http = check.http.clone().unwrap_or_default();
        let request = HttpRequest::from_attributes(&http).map_err(|refusal| denied(&refusal))?;
        let subject = workload(&principal);
        let routed = mapping.map(|mapping| mapping.route(&request, check)).transpose();
        let routed = routed.map_err(|refusal| denied(&refusal))?;
        let (query, route) = match &routed {
            Some(routed) => {
                let mapped = routed.query(subject, policies).map_err(|refusal| denied(&refusal))?;
                mapped.registered.as_ref().map_err(denied)?;
                let route = mapped.route().map(|(name, place)| format!("route `{name}`, {place}"));
                (mapped.query, route)
            }
            None => (http_query(subject, &request, check, policies.shape()).map_err(|refusal| denied(&refusal))?, None),
        };
        if let Err(error) = policies.question(&query) {
            return Err(Failure(format!("schema_mismatch: {error}"), Exit::Refused));
        }
        let question = question(query, self.subject.is_some());
        let text = serde_json::to_string_pretty(&question).map_err(Failure::usage)?;
        Ok((format!("{text}\n"), route.unwrap_or_else(|| "no route: what the request is by itself".to_owned())))
    }

    /// The body, with the headers beside it that Envoy sends with a whole one.
    fn read_body(&mut self) -> Result<Vec<u8>, Failure> {
        let Some(file) = &self.body else { return Ok(Vec::new()) };
        let body = std::fs::read(file).map_err(|error| Failure::of(file, error))?;
        let length = body.len().to_string();
        for (name, value) in
            [("content-type", "application/json"), ("content-length", &length), ("x-envoy-auth-partial-body", "false")]
        {
            if !self.header.iter().any(|(given, _)| given == name) {
                self.header.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(body)
    }
}

/// The question as `AuthZEN` has it (Authorization API 1.0, section 6.1).
fn question(query: Query<'_>, with_subject: bool) -> Json {
    let mut question = json!({
        "action": {"name": query.action.name},
        "resource": {"type": query.resource.kind, "id": query.resource.id, "properties": Json::from(query.resource.properties)},
        "context": Json::from(query.context),
    });
    if let Some(members) = question.as_object_mut().filter(|_| with_subject) {
        members.insert("subject".to_owned(), json!({"type": query.subject.kind, "id": query.subject.id}));
    }
    question
}
