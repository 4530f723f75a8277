//! Paths, hosts and methods, fed with anything. What is understood has one spelling, and nothing is left in it that another
//! reader could take for a separator, a dot segment or an escape.

use super::host::Host;
use super::method::Method;
use super::path::{PathError, RequestPath};
use crate::foundation::fuzzing;

fn body(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (method, host) = (Method::parse(text), Host::parse(text));
    assert_eq!((&method, &host), (&Method::parse(text), &Host::parse(text)));
    if let Ok(host) = host {
        let name = host.name();
        assert_eq!(Host::parse(name).unwrap().name(), name, "{text:?}");
        assert!(!name.chars().any(|c| c.is_control() || c.is_whitespace() || "/?#@\\".contains(c)), "{name:?}");
    }
    match RequestPath::parse(text) {
        Ok((path, query)) => {
            understood(path.as_str(), query.as_deref(), text);
            true
        }
        Err(error) => {
            assert!(error.to_string().len() < 256);
            false
        }
    }
}

fn understood(path: &str, query: Option<&str>, raw: &str) {
    assert!(path.starts_with('/') && !path.contains("//"), "{raw:?}");
    assert!(!path.chars().any(|c| c.is_control() || "\\;#?".contains(c)), "{raw:?}");
    let is_dots = |segment: &str| matches!(segment.trim(), "." | "..");
    assert!(!path.split('/').any(is_dots), "{raw:?}");
    assert_eq!(query, raw.split_once('?').map(|(_, query)| query), "the query stays as it was sent");
    // Decoded once and for all: whoever decodes again must find nothing that is an escape.
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().unwrap();
    assert_eq!(decoded, path, "{raw:?}");
    let (again, none) = match RequestPath::parse(&encoded(path)) {
        Err(PathError::TooLong(_)) => return,
        again => again.unwrap(),
    };
    assert_eq!((again.as_str(), none), (path, None), "every spelling is the same path");
    for ancestor in again.ancestors() {
        assert!(path.starts_with(ancestor) && ancestor.len() < path.len(), "{raw:?}");
    }
}

/// A spelling of the path: every byte but the slashes escaped.
fn encoded(path: &str) -> String {
    path.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") }).collect()
}

#[test]
fn whatever_is_sent_has_one_reading_or_none() {
    let (understood, changed) = fuzzing::run("path", 200, body);
    assert!(understood >= 8 && changed > 100, "{understood} and {changed}: the corpus has rotted");
}
