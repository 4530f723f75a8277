//! Any bytes at all, as a mapping and a request to it: nothing may panic, and what comes out must be the same each time.

use proptest::prelude::*;

use super::fixture::{Asked, policies};
use super::{Mapping, MappingFiles};
use crate::decision::policy::PolicySet;

/// What separates the parts: the mapping's text, method, path, host, headers as `name:value` lines, the body.
const SEPARATOR: u8 = 0;

/// Inputs to start from, so that most of what is derived from them gets far.
const CORPUS: [&str; 7] = [
    "version: 1\nroutes:\n  - {match: {path: '/todos/{id}', method: GET}}\n\0GET\0/todos/7?a=1\0api.test\0x-tenant:blue\n\0",
    "version: 1\nroutes:\n  - match: {path: '/pay/{x=**}', method: [POST, PUT], headers: {x-a: b}, query: {q: '1'}}\n    \
     resource: {type: Todo, id: '{body.order.id}', properties: {list: '{{{path.x}}}'}}\n    action: {name: can_write_todo}\n    \
     context: {amount: '{body.amount}', tags: '{body.tags}', by: {type: User, id: '{host}'}}\n\0POST\0/pay/a/b?q=1\0h\0x-a:b\n\
     content-type:application/json\nx-envoy-auth-partial-body:false\n\0{\"amount\": 1, \"order\": {\"id\": 7}, \"tags\": [\"a\"]}",
    "version: 1\nroutes:\n  - {match: {grpc: {service: a.B, method: Get}, host: '*.test'}}\n\0POST\0/a.B/Get\0x.test:80\0\0",
    "version: 1\nroutes:\n  - {match: {path: /chat, upgrade: websocket}, resource: {type: Path}}\n\0GET\0/chat\0h\0\
     connection:upgrade\nupgrade:websocket\n\0",
    "version: 1\nroutes:\n  - &a {match: {path: '/{a}/b', method: GET}}\n  - {match: {path: '/a/{b}', method: GET}}\n\0GET\0/a/b\0h\0\0",
    "version: 1\nroutes: [*a, {<<: *a}]\n\0GET\0/%2e%2e/%c3%a9;x=//\0[::1]:1\0host:h\n\0\u{1}",
    "\0CONNECT\0\0h:443\0\0",
];

/// One input.
fn fuzz(bytes: &[u8], policies: &PolicySet) {
    let mut parts = bytes.splitn(6, |byte| *byte == SEPARATOR);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (yaml, method, path, host, headers) = (text(), text(), text(), text(), text());
    let body = parts.next().unwrap_or_default().to_vec();
    let Ok(mapping) = Mapping::compile(&MappingFiles::of(&[("m.yaml", &yaml)])) else { return };
    let _fits_or_not = mapping.fit(policies);
    let lines = headers.lines().filter_map(|line| line.split_once(':'));
    let headers = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let asked = Asked { host, headers, body, ..Asked::new(&method, &path) };
    let once = || {
        let mapped =
            asked.with(&mapping, policies, |mapped| (mapped.query.digest(), policies.question(&mapped.query).is_ok()));
        mapped.map_err(|refusal| {
            assert_eq!(refusal.reason().outcome(), crate::evidence::Outcome::Deny);
            assert!(refusal.detail().len() < 1024, "{refusal}");
            refusal.reason()
        })
    };
    assert_eq!(once(), once());
}

#[test]
fn the_corpus_is_met_without_a_panic() {
    let policies = policies();
    for input in CORPUS {
        fuzz(input.as_bytes(), &policies);
        for end in 0..input.len() {
            fuzz(&input.as_bytes()[..end], &policies);
        }
    }
}

/// So that the corpus does not rot into inputs that are all refused at the first look.
#[test]
fn the_corpus_reaches_what_it_is_about() {
    let mappings = CORPUS.map(|input| {
        let yaml = input.split('\0').next().unwrap_or_default();
        Mapping::compile(&MappingFiles::of(&[("m.yaml", yaml)])).is_ok()
    });
    assert_eq!(mappings, [true, true, true, true, false, false, false]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_near_the_corpus_is_met_without_a_panic(
        input in proptest::sample::select(&CORPUS[..]),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = input.as_bytes().to_vec();
        for (place, byte) in edits {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        fuzz(&bytes, &policies());
    }

    #[test]
    fn any_bytes_are_met_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&bytes, &policies());
    }
}
