//! The same server deciding with the `cedar-policy` crate alone: the policies, entities and schema that Portcullis reads,
//! and Cedar's own `Authorizer`, which goes through all policies. The caller's certificate is not looked at, and nothing
//! is recorded or remembered.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Request,
    RestrictedExpression, Schema,
};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc::Status as Said;
use tonic::{Code, Response, Status};

use super::always_allow::allowed;
use super::files;
use crate::Failure;

/// Cedar, and what it decides with.
#[derive(Debug)]
pub struct PlainCedar {
    authorizer: Authorizer,
    policies: PolicySet,
    /// Workloads with the groups that they are in.
    workloads: HashMap<EntityUid, Vec<Entity>>,
    kinds: Kinds,
}

/// Entity types, parsed once.
#[derive(Debug)]
struct Kinds {
    workload: EntityTypeName,
    action: EntityTypeName,
    path: EntityTypeName,
    service: EntityTypeName,
}

impl PlainCedar {
    /// Reads a policy directory.
    ///
    /// # Errors
    /// [`Failure`] if something in it is not as it should be.
    pub fn load(directory: &Path) -> Result<Self, Failure> {
        let fail = |error: &dyn std::fmt::Display| Failure::new(directory.display(), error);
        let mut policies = PolicySet::new();
        for (number, text) in files(directory, ".cedar")?.iter().enumerate() {
            let parsed: PolicySet = text.parse().map_err(|error| fail(&error))?;
            for policy in parsed.policies() {
                let id = PolicyId::new(format!("{number}-{}", policy.id()));
                policies.add(policy.new_id(id)).map_err(|error| fail(&error))?;
            }
        }
        let schema = files(directory, ".cedarschema")?.concat();
        let (schema, _) = Schema::from_cedarschema_str(&schema).map_err(|error| fail(&error))?;
        let mut workloads = HashMap::new();
        for text in files(directory, ".json")? {
            let entities = Entities::from_json_str(&text, Some(&schema)).map_err(|error| fail(&error))?;
            for entity in entities.iter().filter(|entity| entity.uid().type_name().basename() == "Workload") {
                let groups = entities.ancestors(&entity.uid()).into_iter().flatten();
                let groups = groups.filter_map(|group| entities.get(group)).cloned();
                workloads.insert(entity.uid(), std::iter::once(entity.clone()).chain(groups).collect());
            }
        }
        let kind = |name: &str| name.parse::<EntityTypeName>().map_err(|error| fail(&error));
        let kinds = Kinds {
            workload: kind("Workload")?,
            action: kind("Action")?,
            path: kind("Path")?,
            service: kind("Service")?,
        };
        Ok(Self { authorizer: Authorizer::new(), policies, workloads, kinds })
    }

    fn decide(&self, check: &CheckRequest) -> Option<Decision> {
        let attributes = check.attributes.as_ref()?;
        let http = attributes.request.as_ref()?.http.as_ref()?;
        let service = attributes.context_extensions.get("service")?;
        let principal = uid(&self.kinds.workload, &attributes.source.as_ref()?.principal);
        let action = uid(&self.kinds.action, &http.method);
        let (path, query) =
            http.path.split_once('?').map_or((http.path.as_str(), None), |(path, query)| (path, Some(query)));
        let mut entities = self.paths(path, service);
        entities.extend(self.workloads.get(&principal).into_iter().flatten().cloned());
        entities.extend(methods(&self.kinds.action, &action, &http.method));
        let entities = Entities::from_entities(entities, None).ok()?;
        let context = context(http, path, query)?;
        let request = Request::new(principal, action, uid(&self.kinds.path, path), context, None).ok()?;
        Some(self.authorizer.is_authorized(&request, &self.policies, &entities).decision())
    }

    /// A path and those that enclose it, up to the service.
    fn paths(&self, path: &str, service: &str) -> Vec<Entity> {
        let service = uid(&self.kinds.service, service);
        let mut inner = path;
        let mut entities = Vec::new();
        while inner != "/" {
            let outer =
                inner.rfind('/').and_then(|at| inner.get(..at)).filter(|outer| !outer.is_empty()).unwrap_or("/");
            entities.push(within(uid(&self.kinds.path, inner), uid(&self.kinds.path, outer)));
            inner = outer;
        }
        entities.push(within(uid(&self.kinds.path, "/"), service));
        entities
    }
}

#[tonic::async_trait]
impl Authorization for PlainCedar {
    async fn check(&self, request: tonic::Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(match self.decide(request.get_ref()) {
            Some(Decision::Allow) => allowed(),
            Some(Decision::Deny) | None => denied(),
        }))
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn within(inner: EntityUid, outer: EntityUid) -> Entity {
    Entity::new_no_attrs(inner, HashSet::from([outer]))
}

/// The action with the group that the schema puts it into.
fn methods(kind: &EntityTypeName, action: &EntityUid, method: &str) -> Option<Entity> {
    let group = match method {
        "GET" | "HEAD" | "OPTIONS" => "read",
        "POST" | "PUT" | "PATCH" | "DELETE" => "write",
        _ => return None,
    };
    Some(within(action.clone(), uid(kind, group)))
}

fn context(http: &HttpRequest, path: &str, query: Option<&str>) -> Option<Context> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let lines = http.header_map.iter().flat_map(|map| &map.headers);
    let tenant = lines.filter(|line| line.key == "x-tenant").map(|line| String::from_utf8_lossy(&line.raw_value));
    let headers = tenant.map(|tenant| ("x-tenant".to_owned(), text(&tenant)));
    let mut pairs = vec![
        ("host".to_owned(), text(&http.host)),
        ("path".to_owned(), text(path)),
        ("scheme".to_owned(), text(&http.scheme)),
        ("protocol".to_owned(), text(&http.protocol)),
        ("headers".to_owned(), RestrictedExpression::new_record(headers).ok()?),
    ];
    pairs.extend(query.map(|query| ("query".to_owned(), text(query))));
    Context::from_pairs(pairs).ok()
}

fn denied() -> CheckResponse {
    let refusal = DeniedHttpResponse { status: Some(HttpStatus { code: 403 }), ..DeniedHttpResponse::default() };
    CheckResponse {
        status: Some(Said { code: Code::PermissionDenied.into(), ..Said::default() }),
        http_response: Some(HttpResponse::DeniedResponse(refusal)),
        ..CheckResponse::default()
    }
}
