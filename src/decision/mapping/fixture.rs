//! A schema, and requests, for the tests of this room.

use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::{Mapped, Mapping, MappingFiles, Routed, workload};
use crate::decision::check::{Body, Check, HttpAttributes};
use crate::decision::policy::PolicySet;
use crate::decision::policy::fixture::Directory;
use crate::decision::reason::Reason;
use crate::decision::request::{HttpRequest, Refusal};

/// Todos, and the routes of a gateway.
pub(super) const SCHEMA: &str = r#"
entity TrustDomain;
entity Workload in [TrustDomain] { trust_domain: String, path: String };
entity Service;
entity Path in [Path, Service];
entity Authority in [Service];
entity User;
entity Todo in [Service] { list?: String, owner?: User, priority?: Long, place?: { city: String, floor?: Long } };
entity route { params?: { todoId?: String, n?: Long }, path?: String, hostname?: String, method?: String, query?: String };
action GET, POST, DELETE, upgrade appliesTo { principal: Workload, resource: [route, Path], context: {
  host?: String, path?: String, headers?: { "x-tenant"?: String } } };
action can_read_todo, can_write_todo appliesTo { principal: Workload, resource: Todo, context: {
  path?: String, tenant?: String, amount?: Long, urgent?: Bool, tags?: Set<String>, by?: User, ip?: ipaddr, note?: String } };
action Get appliesTo { principal: Workload, resource: [route, Todo], context: {} };
action needs appliesTo { principal: Workload, resource: Todo, context: { amount: Long } };
action CONNECT appliesTo { principal: Workload, resource: Authority, context: { host: String } };
"#;

/// The schema, with a policy. Loaded once, since it takes as long as a hundred of the tests' requests.
pub(super) fn policies() -> PolicySet {
    static LOADED: LazyLock<PolicySet> = LazyLock::new(|| {
        let files = [("s.cedarschema", SCHEMA), ("p.cedar", "permit (principal, action, resource);")];
        Directory::new(&files).load().unwrap()
    });
    LOADED.clone()
}

/// A mapping of these routes, each as a list item of YAML in one line.
pub(super) fn mapping(routes: &[&str]) -> Mapping {
    let mapping = Mapping::compile(&files(routes)).unwrap_or_else(|error| panic!("{error}"));
    mapping.fit(&policies()).unwrap_or_else(|error| panic!("{error}"));
    mapping
}

/// Why these routes are refused.
pub(super) fn refusal(routes: &[&str]) -> String {
    let compiled = Mapping::compile(&files(routes));
    compiled.and_then(|mapping| mapping.fit(&policies())).unwrap_err().to_string()
}

fn files(routes: &[&str]) -> MappingFiles {
    let lines: Vec<_> = routes.iter().map(|route| format!("  - {route}\n")).collect();
    MappingFiles::of(&[("m.yaml", &format!("version: 1\nroutes:\n{}", lines.concat()))])
}

/// A request with everything in it that a test may want to change.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) host: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) extensions: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// What the proxy's MCP filter says.
    pub(super) mcp: Option<Json>,
}

impl Asked {
    pub(super) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            host: "api.example.com".into(),
            headers: Vec::new(),
            extensions: vec![("service".into(), "todos".into())],
            body: Vec::new(),
            mcp: None,
        }
    }

    pub(super) fn host(self, host: &str) -> Self {
        Self { host: host.into(), ..self }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn extension(mut self, key: &str, value: &str) -> Self {
        self.extensions.push((key.into(), value.into()));
        self
    }

    /// A JSON body as Envoy sends it along, whole.
    pub(super) fn json(self, body: &str) -> Self {
        let sent = Self { body: body.as_bytes().to_vec(), ..self };
        sent.header("content-type", "application/json")
            .header("content-length", &body.len().to_string())
            .header("x-envoy-auth-partial-body", "false")
    }

    /// What becomes of it.
    pub(super) fn with<T>(
        &self,
        mapping: &Mapping,
        policies: &PolicySet,
        then: impl FnOnce(Mapped<'_>) -> T,
    ) -> Result<T, Refusal> {
        let check = self.check();
        let request = HttpRequest::from_attributes(check.http.as_ref().expect("is HTTP"))?;
        let principal = "spiffe://example.org/web".parse().expect("a SPIFFE ID");
        let routed = mapping.route(&request, &check)?;
        let mapped = routed.query(workload(&principal), policies)?;
        mapped.registered.clone()?;
        Ok(then(mapped))
    }

    /// Something of the route that it takes, which must be one.
    pub(super) fn routed<T>(&self, mapping: &Mapping, then: impl FnOnce(&Routed<'_>) -> T) -> T {
        let check = self.check();
        let request = HttpRequest::from_attributes(check.http.as_ref().expect("is HTTP")).expect("is one");
        then(&mapping.route(&request, &check).expect("takes a route"))
    }

    fn check(&self) -> Check<'_> {
        Check {
            destination: "spiffe://example.org/orders",
            http: Some(HttpAttributes {
                method: &self.method,
                path: &self.path,
                host: &self.host,
                scheme: "https",
                protocol: "HTTP/2",
                headers: Some(self.headers.iter().map(|(name, value)| (&**name, value.as_bytes())).collect()),
                body: Body::Bytes(&self.body),
            }),
            mcp: self.mcp.clone(),
            extensions: self.extensions.iter().map(|(key, value)| (&**key, &**value)).collect::<Vec<_>>().into(),
            ..Check::default()
        }
    }

    /// Action, resource and context of the question, and the route's name.
    pub(super) fn by(&self, mapping: &Mapping) -> Result<Json, Refusal> {
        self.by_both(mapping, &policies())
    }

    /// The same, by other policies.
    pub(super) fn by_both(&self, mapping: &Mapping, policies: &PolicySet) -> Result<Json, Refusal> {
        self.with(mapping, policies, |mapped| {
            let query = &mapped.query;
            assert!(policies.question(query).is_ok(), "{:?}", policies.question(query).err());
            json!({
                "route": mapped.route().map(|(name, _)| name.to_owned()),
                "action": query.action.name,
                "resource": query.resource.to_string(),
                "properties": Json::from(query.resource.properties.clone()),
                "parents": query.resource.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "context": Json::from(query.context.clone()),
            })
        })
    }

    /// The name of the route that it takes, or why it takes none.
    pub(super) fn route(&self, mapping: &Mapping, policies: &PolicySet) -> Result<String, Reason> {
        let named = self.with(mapping, policies, |mapped| mapped.route().expect("not a tunnel").0.to_owned());
        named.map_err(|refusal| refusal.reason())
    }

    /// Why it is refused.
    pub(super) fn refused(&self, mapping: &Mapping) -> (Reason, String) {
        let refusal = self.by(mapping).expect_err("is refused");
        (refusal.reason(), refusal.detail().to_owned())
    }
}
