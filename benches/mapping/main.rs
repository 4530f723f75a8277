//! What it takes to make a question of a request by the routes of a mapping, beside what it takes without one.
//!
//! `cargo bench --bench mapping`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program of its own, for people")]

#[path = "../identity/stopwatch.rs"]
mod stopwatch;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use portcullis::decision::mapping::{Mapping, http_query, workload};
use portcullis::decision::policy::PolicySet;
use portcullis::decision::request::HttpRequest;
use portcullis::decision::{Body, Check, HttpAttributes};
use portcullis_spiffe::SpiffeId;

use self::stopwatch::{Stopwatch, percentile};

/// As in the binary.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCHEMA: &str = "
entity TrustDomain;
entity Workload in [TrustDomain] { trust_domain: String, path: String };
entity Service;
entity Path in [Path, Service];
entity Item in [Service] { list?: String };
action GET, POST appliesTo { principal: Workload, resource: [Path, Item], context: {
  path?: String, tenant?: String, view?: String, amount?: Long } };
";

/// What the routes of one service are, `N` being its number: five each.
const ROUTES: &str = "
  - { match: { path: '/sN/items', method: GET }, resource: { type: Item, id: all } }
  - { match: { path: '/sN/items/{id}', method: GET }, resource: { type: Item, id: '{path.id}' } }
  - match: { path: '/sN/items/{id}/lists/{list}', method: GET }
    resource: { type: Item, id: '{path.id}', properties: { list: '{path.list}' } }
    context: { tenant: '{header.x-tenant}', view: '{query.view}' }
  - match: { path: '/sN/items/{id}/payments', method: POST }
    resource: { type: Item, id: '{path.id}' }
    context: { amount: '{body.amount}' }
  - { match: { path: '/sN/files/{name=**}', method: GET }, resource: { type: Path } }
";

/// What a request is called here, its method and what follows the service in its path, and its body.
const REQUESTS: [(&str, &str, &str, &[u8]); 4] = [
    ("path", "GET", "/items/17", b""),
    ("path, header and query", "GET", "/items/17/lists/9?view=all", b""),
    ("path and body", "POST", "/items/17/payments", br#"{"order":{"id":7,"lines":["a","b"]},"amount":12}"#),
    ("the path itself", "GET", "/files/a/b/c/d", b""),
];

fn main() {
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (rounds, sizes) = if in_earnest { (100_000, &[5, 1_000, 10_000][..]) } else { (10, &[5][..]) };
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("s.cedarschema"), SCHEMA).unwrap();
    std::fs::write(directory.path().join("p.cedar"), "permit (principal, action, resource);").unwrap();
    let policies = PolicySet::load(directory.path()).unwrap();

    println!("{:>7}  {:24} {:>10} {:>10}", "routes", "", "median, ns", "99 %, ns");
    measure(0, None, &policies, rounds);
    for routes in sizes {
        let services = routes / 5;
        let mut text = "version: 1\nroutes:".to_owned();
        (0..services).for_each(|number| write!(text, "{}", ROUTES.replace('N', &number.to_string())).unwrap());
        let file = directory.path().join("m.yaml");
        std::fs::write(&file, text).unwrap();
        let mapping = Mapping::load(&file).unwrap();
        mapping.fit(&policies).unwrap();
        assert_eq!(mapping.len(), *routes);
        measure(services - 1, Some(&mapping), &policies, rounds);
    }
}

/// Each request to the service of this number, from what Envoy says of it to the question.
fn measure(service: usize, mapping: Option<&Mapping>, policies: &PolicySet, rounds: usize) {
    let caller: SpiffeId = "spiffe://example.org/web".parse().unwrap();
    for (what, method, rest, body) in REQUESTS {
        let path = format!("/s{service}{rest}");
        let length = body.len().to_string();
        let check = check(method, &path, &length, body);
        let mut took: Vec<Duration> = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let watch = Stopwatch::start();
            let request = HttpRequest::from_attributes(black_box(check.http.as_ref().unwrap())).unwrap();
            match mapping {
                None => drop(black_box(http_query(workload(&caller), &request, &check, policies.shape()).unwrap())),
                Some(mapping) => {
                    let routed = mapping.route(&request, &check).unwrap();
                    drop(black_box(routed.query(workload(&caller), policies).unwrap()));
                }
            }
            took.push(watch.elapsed());
        }
        took.sort();
        let [median, late] = [50, 99].map(|part| percentile(&took, part).as_nanos());
        let routes = mapping.map_or_else(|| "none".to_owned(), |mapping| mapping.len().to_string());
        println!("{routes:>7}  {what:24} {median:>10} {late:>10}");
    }
}

fn check<'a>(method: &'a str, path: &'a str, length: &'a str, body: &'a [u8]) -> Check<'a> {
    let headers = [
        ("user-agent", "bench"),
        ("accept", "*/*"),
        ("x-tenant", "blue"),
        ("x-request-id", "6b8f2a5e-6a0b-4d0c-9d6e-0f3c9e1f2a77"),
        ("content-type", "application/json"),
        ("content-length", length),
        ("x-envoy-auth-partial-body", "false"),
    ];
    Check {
        destination: "spiffe://example.org/items",
        http: Some(HttpAttributes {
            method,
            path,
            host: "api.example.com",
            scheme: "https",
            protocol: "HTTP/2",
            headers: Some(headers.map(|(name, value)| (name, value.as_bytes())).to_vec()),
            body: Body::Bytes(body),
        }),
        extensions: vec![("service", "items")].into(),
        ..Check::default()
    }
}
