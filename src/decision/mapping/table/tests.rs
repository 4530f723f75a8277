use proptest::prelude::*;

use super::super::fixture::{Asked, policies};
use super::super::template::Template;
use super::super::template::tests::matches;
use super::super::{Mapping, MappingFiles};
use crate::decision::policy::PolicySet;
use crate::decision::reason::Reason;

/// A route, as plain as can be.
#[derive(Clone, Debug)]
struct Model {
    host: Option<&'static str>,
    path: String,
    methods: Vec<&'static str>,
    tenant: Option<&'static str>,
    tier: Option<&'static str>,
}

/// A request of the little world in which all of this happens.
#[derive(Clone, Debug)]
struct Request {
    host: &'static str,
    path: String,
    method: &'static str,
    tenant: Option<&'static str>,
    tier: Option<&'static str>,
}

const HOSTS: [&str; 4] = ["a.test", "b.a.test", "c.b.a.test", "test"];

impl Model {
    fn text(&self, name: usize) -> String {
        let host = self.host.map(|host| format!("host: '{host}', ")).unwrap_or_default();
        let method =
            if self.methods.is_empty() { String::new() } else { format!("method: [{}], ", self.methods.join(", ")) };
        let tenant = self.tenant.map(|value| format!("headers: {{x-tenant: {value}}}, ")).unwrap_or_default();
        let tier = self.tier.map(|value| format!("extensions: {{tier: {value}}}, ")).unwrap_or_default();
        let matches = format!("{host}{method}{tenant}{tier}path: '{}'", self.path);
        format!("  - {{name: '{name}', match: {{{matches}}}, action: {{name: GET}}}}\n")
    }

    fn matches(&self, request: &Request) -> bool {
        self.host == group(request.host, &[self.host])
            && matches(&Template::parse(&self.path).unwrap(), &request.path)
            && (self.methods.is_empty() || self.methods.contains(&request.method))
            && (self.tenant.is_none() || self.tenant == request.tenant)
            && (self.tier.is_none() || self.tier == request.tier)
    }
}

/// Which of these patterns a host belongs to: itself, else the longest that it is below of, else none.
fn group(host: &str, patterns: &[Option<&'static str>]) -> Option<&'static str> {
    let named = patterns.iter().flatten();
    let covers = |pattern: &&&str| match pattern.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix),
        None => host == **pattern,
    };
    named.filter(covers).max_by_key(|pattern| (!pattern.starts_with('*'), pattern.len())).copied()
}

fn world() -> Vec<Request> {
    let names = ["", "x", "y", "z"];
    let mut paths: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
    for first in &names[1..] {
        paths.extend(names.iter().map(|last| format!("/{first}/{last}")));
        for second in &names[1..] {
            paths.extend(names.iter().map(|last| format!("/{first}/{second}/{last}")));
        }
    }
    let mut all = Vec::new();
    for path in paths {
        for method in ["GET", "POST", "DELETE"] {
            for tenant in [None, Some("blue"), Some("red")] {
                for tier in [None, Some("gold")] {
                    all.push(Request { host: "a.test", path: path.clone(), method, tenant, tier });
                }
            }
        }
    }
    all
}

fn models(hosts: &'static [Option<&'static str>]) -> impl Strategy<Value = Vec<Model>> {
    let segment = prop_oneof![Just("x"), Just("y"), Just("{}")];
    let end = prop_oneof![4 => Just(""), 1 => Just("/"), 1 => Just("/{rest=**}")];
    let path = (proptest::collection::vec(segment, 0..3), end).prop_map(|(segments, end)| {
        let named = segments.iter().enumerate().map(|(at, text)| text.replace("{}", &format!("{{v{at}}}")));
        let path: String = named.map(|segment| format!("/{segment}")).chain([end.to_owned()]).collect();
        if path.is_empty() { "/".to_owned() } else { path }
    });
    let methods = prop_oneof![Just(vec![]), Just(vec!["GET"]), Just(vec!["POST", "GET"])];
    let tenant = prop_oneof![3 => Just(None), 1 => Just(Some("blue")), 1 => Just(Some("red"))];
    let tier = prop_oneof![3 => Just(None), 1 => Just(Some("gold"))];
    let model = (proptest::sample::select(hosts), path, methods, tenant, tier)
        .prop_map(|(host, path, methods, tenant, tier)| Model { host, path, methods, tenant, tier });
    proptest::collection::vec(model, 1..6)
}

fn compile(models: &[Model]) -> Result<Mapping, String> {
    let routes: String = models.iter().enumerate().map(|(name, model)| model.text(name)).collect();
    let text = format!("version: 1\nroutes:\n{routes}");
    Mapping::compile(&MappingFiles::of(&[("m.yaml", &text)])).map_err(|error| error.to_string())
}

fn taken(mapping: &Mapping, policies: &PolicySet, request: &Request) -> Option<usize> {
    let mut asked = Asked::new(request.method, &request.path).host(request.host);
    if let Some(tenant) = request.tenant {
        asked = asked.header("x-tenant", tenant);
    }
    if let Some(tier) = request.tier {
        asked = asked.extension("tier", tier);
    }
    match asked.route(mapping, policies) {
        Ok(name) => Some(name.parse().unwrap()),
        Err(reason) => {
            assert_eq!(reason, Reason::NoRoute, "{request:?}");
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two routes are refused exactly if there is a request of both, and neither has all requests of the other and more.
    /// All others are accepted, and each request takes the one with the fewest requests.
    #[test]
    fn routes_and_their_conflicts_are_what_all_requests_together_say(models in models(&[None])) {
        let world = world();
        let sets: Vec<Vec<bool>> =
            models.iter().map(|model| world.iter().map(|request| model.matches(request)).collect()).collect();
        let count = |set: &[bool]| set.iter().filter(|taken| **taken).count();
        let both = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && **b).count();
        let clear = |a: &[bool], b: &[bool]| {
            let both = both(a, b);
            both == 0 || (count(a) != count(b) && (both == count(a) || both == count(b)))
        };
        let all_clear = (0..sets.len()).all(|a| (0..a).all(|b| clear(&sets[a], &sets[b])));
        let compiled = compile(&models);
        prop_assert_eq!(compiled.is_ok(), all_clear, "{:?}", compiled.err());
        let Ok(mapping) = compile(&models) else { return Ok(()) };
        let policies = policies();
        for (at, request) in world.iter().enumerate() {
            let narrowest = (0..sets.len()).filter(|model| sets[*model][at]).min_by_key(|model| count(&sets[*model]));
            prop_assert_eq!(taken(&mapping, &policies, request), narrowest, "{:?}", request);
        }
    }

    /// The host says which routes there are, and no others are looked at.
    #[test]
    fn a_host_has_its_own_routes_alone(
        models in models(&[None, Some("a.test"), Some("*.a.test"), Some("*.b.a.test")]),
    ) {
        let Ok(mapping) = compile(&models) else { return Ok(()) };
        let policies = policies();
        let patterns: Vec<_> = models.iter().map(|model| model.host).collect();
        for host in HOSTS {
            let group = group(host, &patterns);
            for request in world().into_iter().step_by(7).map(|request| Request { host, ..request }) {
                let taken = taken(&mapping, &policies, &request);
                prop_assert!(taken.is_none_or(|taken| models[taken].host == group), "{request:?} took {taken:?}");
                let there = models.iter().filter(|model| model.host == group);
                let any = there.into_iter().any(|model| Model { host: None, ..model.clone() }.matches(&request));
                prop_assert_eq!(taken.is_some(), any, "{:?}", request);
            }
        }
    }
}

#[test]
fn a_header_that_selects_must_be_there_once() {
    let mapping = compile(&[
        Model { host: None, path: "/x".into(), methods: vec![], tenant: Some("blue"), tier: None },
        Model { host: None, path: "/x".into(), methods: vec![], tenant: None, tier: None },
    ])
    .unwrap();
    let policies = policies();
    let twice = Asked::new("GET", "/x").header("x-tenant", "blue").header("x-tenant", "red");
    assert_eq!(twice.route(&mapping, &policies), Err(Reason::BadHeader));
    assert_eq!(Asked::new("GET", "/x").header("x-tenant", "Blue").route(&mapping, &policies), Ok("1".into()));
}
