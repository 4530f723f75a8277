//! Messages, fed with anything: a body that a fuzzer can drive, run here over a corpus and over what a deterministic
//! sequence makes of it. Whatever the bytes are, nothing panics, what comes out is the same each time, and a message that is
//! understood says the same to a reader that takes the last of two members.

use serde_json::Value as Json;

use super::tests::policies;
use crate::decision::mapping::fixture::Asked;
use crate::decision::mapping::{Mapping, MappingFiles};
use crate::decision::policy::PolicySet;
use crate::foundation::fuzzing;

const ROUTES: &str = "version: 1\nroutes: [{match: {path: /mcp}, mcp: {server: files}}]\n";

/// One input. Returns whether it was understood.
fn body(bytes: &[u8], mapping: &Mapping, policies: &PolicySet) -> bool {
    let asked = Asked { body: bytes.to_vec(), ..Asked::new("POST", "/mcp") };
    let asked = asked.header("content-type", "application/json").header("x-envoy-auth-partial-body", "false");
    let once = |asked: &Asked| {
        let made = asked.with(mapping, policies, |mapped| {
            let name = mapped.query.action.name.to_string();
            (name, mapped.query.resource.to_string(), mapped.query.digest(), policies.question(&mapped.query).is_ok())
        });
        made.map_err(|refusal| {
            assert!(refusal.detail().len() < 1024 && !refusal.detail().chars().any(char::is_control), "{refusal:?}");
            refusal.reason()
        })
    };
    let first = once(&asked);
    assert_eq!(first, once(&asked));
    let call = asked.routed(mapping, |routed| routed.call().cloned());
    let lenient: Option<Json> = serde_json::from_slice(bytes).ok();
    if let Some(id) = call.and_then(|call| call.id) {
        assert_eq!(lenient.as_ref().map(|message| &message["id"]), Some(&id), "another id is answered");
    }
    let Ok((action, resource, ..)) = first else { return false };
    let lenient = lenient.expect("others read it too");
    match lenient["method"].as_str() {
        Some(method) => assert_eq!(action, method),
        None => assert_eq!(action, "session/respond"),
    }
    if action == "tools/call" {
        let name = lenient["params"]["name"].as_str().expect("a name");
        assert_eq!(resource, format!("Tool::{name:?}"));
    }
    true
}

#[test]
fn the_corpus_and_what_becomes_of_it_neither_panics_nor_says_two_things() {
    let (policies, mapping) = (policies(), Mapping::compile(&MappingFiles::of(&[("m.yaml", ROUTES)])).unwrap());
    let (understood, changed_and_understood) = fuzzing::run("mcp", 60, |bytes| body(bytes, &mapping, &policies));
    assert!(
        understood >= 8 && changed_and_understood > 0,
        "{understood} and {changed_and_understood}: the corpus has rotted"
    );
}
