//! Cerbos's `CheckResources`: the fields of `cerbos.request.v1` and `cerbos.response.v1` that are needed.
//!
//! A workload has its own name and its groups as roles, since a caller of Cerbos says which roles it has.

use std::collections::{BTreeMap, HashMap};

use prost::Message as _;
use prost_types::Value;
use prost_types::value::Kind;

use super::{Answer, Head, grpc};
use crate::question::{ITEM, Question};
use crate::template::{ITEM_DIGITS, REQUEST_DIGITS};

/// `EFFECT_ALLOW` and `EFFECT_DENY` of `cerbos.effect.v1.Effect`.
const ALLOW: i32 = 1;
const DENY: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct CheckResourcesRequest {
    #[prost(string, tag = "1")]
    request_id: String,
    #[prost(message, optional, tag = "3")]
    principal: Option<Principal>,
    #[prost(message, repeated, tag = "4")]
    resources: Vec<ResourceEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Principal {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "3")]
    roles: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceEntry {
    #[prost(string, repeated, tag = "1")]
    actions: Vec<String>,
    #[prost(message, optional, tag = "2")]
    resource: Option<Resource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(btree_map = "string, message", tag = "4")]
    attr: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckResourcesResponse {
    #[prost(message, repeated, tag = "2")]
    results: Vec<ResultEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResultEntry {
    #[prost(map = "string, int32", tag = "2")]
    actions: HashMap<String, i32>,
}

pub(super) fn prepare(question: &Question) -> (Head, Vec<u8>) {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let path = question.path.replace(ITEM, ITEM_DIGITS);
    let tenant = question.tenant.iter().map(|tenant| ("tenant".to_owned(), text(tenant)));
    let name = question.principal.rsplit('/').next().unwrap_or_default().to_owned();
    let message = CheckResourcesRequest {
        request_id: format!("7f0f3a52-92d6-4c4e-a1d3-{REQUEST_DIGITS}"),
        principal: Some(Principal {
            id: question.principal.clone(),
            roles: std::iter::once(name).chain(question.groups.iter().cloned()).collect(),
        }),
        resources: vec![ResourceEntry {
            actions: vec![question.method.clone()],
            resource: Some(Resource {
                kind: question.service.clone(),
                id: path.clone(),
                attr: tenant.chain([("path".to_owned(), text(&path))]).collect(),
            }),
        }],
    };
    (grpc::head("/cerbos.svc.v1.CerbosService/CheckResources"), grpc::framed(&message))
}

pub(super) fn read(message: &[u8]) -> Result<Answer, String> {
    let response = CheckResourcesResponse::decode(message).map_err(|error| error.to_string())?;
    let mut effects = response.results.iter().flat_map(|result| result.actions.values());
    match (effects.next(), effects.next()) {
        (Some(&ALLOW), None) => Ok(Answer::Allow),
        (Some(&DENY), None) => Ok(Answer::Deny),
        _ => Err(format!("not one effect: {response:?}")),
    }
}
