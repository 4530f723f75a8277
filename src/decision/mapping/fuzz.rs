//! A mapping and a request to it, fed with anything: nothing may panic, and what comes out must be the same each time.

use super::fixture::{Asked, policies};
use super::{Mapping, MappingFiles};
use crate::decision::policy::PolicySet;
use crate::evidence::Outcome;
use crate::foundation::fuzzing;

/// What stands between the mapping's text and the request.
const SEPARATOR: &[u8] = b"%%\n";

/// The request of a corpus file: `METHOD PATH HOST`, headers, an empty line, the body.
fn asked(text: &[u8]) -> Asked {
    let ends_at = text.windows(2).position(|pair| pair == b"\n\n").unwrap_or(text.len());
    let (head, body) = text.split_at(ends_at);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let mut asked = Asked::new(method, path).host(first.next().unwrap_or_default());
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        asked = asked.header(name, value.trim_start());
    }
    Asked { body: body.get(2..).unwrap_or_default().to_vec(), ..asked }
}

/// One input. Returns whether the request became a question.
fn body(bytes: &[u8], policies: &PolicySet) -> bool {
    let at = bytes.windows(SEPARATOR.len()).position(|window| window == SEPARATOR).unwrap_or(bytes.len());
    let (yaml, request) = bytes.split_at(at);
    let yaml = String::from_utf8_lossy(yaml);
    let mapping = match Mapping::compile(&MappingFiles::of(&[("m.yaml", &yaml)])) {
        Ok(mapping) => mapping,
        Err(error) => {
            assert!(error.to_string().contains("m.yaml"), "{error}");
            return false;
        }
    };
    let _fits_or_not = mapping.fit(policies);
    let asked = asked(request.get(SEPARATOR.len()..).unwrap_or_default());
    let once = || {
        let mapped = asked.with(&mapping, policies, |mapped| {
            let route = mapped.route().map(|(name, place)| (name.to_owned(), place));
            (mapped.query.digest(), route, policies.question(&mapped.query).is_ok())
        });
        mapped.map_err(|refusal| {
            assert_eq!(refusal.reason().outcome(), Outcome::Deny);
            assert!(refusal.detail().len() < 1024 && !refusal.detail().chars().any(char::is_control), "{refusal:?}");
            refusal.reason()
        })
    };
    let first = once();
    assert_eq!(first, once());
    first.is_ok()
}

#[test]
fn the_corpus_and_what_becomes_of_it_neither_panics_nor_says_two_things() {
    let policies = policies();
    let (understood, changed) = fuzzing::run("mapping", 100, |bytes| body(bytes, &policies));
    assert!(understood >= 6 && changed > 100, "{understood} and {changed}: the corpus has rotted");
}
