//! SPIFFE IDs on the wire: two strings, or one for a trust domain. What is wrong with one is told in go-spiffe's words,
//! which clients show and compare.

use portcullis_spiffe::{IdError, SpiffeId, TrustDomain, TrustDomainError};
use portcullis_spiffe_api::spire::api::types::Spiffeid;

/// What is wrong with an ID, for the caller.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum IdFault {
    /// There is none.
    #[error("request must specify SPIFFE ID")]
    Absent,
    /// It is not one.
    #[error("{0}")]
    Malformed(String),
    /// It can't be what it should: whose, what it should be, why not.
    #[error("\"{id}\" is not {what} trust domain \"{ours}\"{why}")]
    Unfit { id: String, what: &'static str, ours: TrustDomain, why: &'static str },
}

/// An ID that is well formed.
struct Parsed {
    trust_domain: TrustDomain,
    /// `None` if the path is empty.
    id: Option<SpiffeId>,
}

/// Any ID of `ours` with a path.
pub(super) fn member(ours: &TrustDomain, id: Option<&Spiffeid>) -> Result<SpiffeId, IdFault> {
    own(ours, id, "a member of")
}

/// An ID of `ours` that a workload may have.
pub(super) fn workload(ours: &TrustDomain, id: Option<&Spiffeid>) -> Result<SpiffeId, IdFault> {
    let id = own(ours, id, "a workload in")?;
    let reserved = id.path() == "/spire" || id.path().starts_with("/spire/");
    if reserved {
        Err(unfit(ours, id.as_str(), "a workload in", "; path is in the reserved namespace"))
    } else {
        Ok(id)
    }
}

/// An ID of `ours` that a workload may have, as a URI.
pub(super) fn of_uri(ours: &TrustDomain, uri: &str) -> Result<SpiffeId, IdFault> {
    let rest = uri.strip_prefix("spiffe://").ok_or_else(|| IdFault::Malformed(words(&IdError::Scheme, "")))?;
    let (name, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    workload(ours, Some(&Spiffeid { trust_domain: name.to_owned(), path: path.to_owned() }))
}

/// An ID of `ours` that an agent may have.
pub(super) fn agent(ours: &TrustDomain, id: Option<&Spiffeid>) -> Result<SpiffeId, IdFault> {
    let id = own(ours, id, "an agent in")?;
    if id.path().starts_with("/spire/agent/") {
        Ok(id)
    } else {
        Err(unfit(ours, id.as_str(), "an agent in", "; path is not in the agent namespace"))
    }
}

/// A trust domain by its name, or by any ID of it.
pub(super) fn trust_domain(text: &str) -> Result<TrustDomain, IdFault> {
    if !text.contains(":/") {
        return text.parse().map_err(|error| IdFault::Malformed(domain_words(&error)));
    }
    let rest = text.strip_prefix("spiffe://").ok_or_else(|| IdFault::Malformed(words(&IdError::Scheme, "")))?;
    let (name, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    Ok(parse(name, path)?.trust_domain)
}

/// As it goes over the wire.
pub(super) fn to_wire(id: &SpiffeId) -> Spiffeid {
    Spiffeid { trust_domain: id.trust_domain().to_string(), path: id.path().to_owned() }
}

fn own(ours: &TrustDomain, id: Option<&Spiffeid>, what: &'static str) -> Result<SpiffeId, IdFault> {
    let id = id.ok_or(IdFault::Absent)?;
    let name = trust_domain(&id.trust_domain)?;
    let parsed = parse(name.as_str(), &id.path)?;
    if parsed.trust_domain != *ours {
        let shown = parsed.id.map_or_else(|| parsed.trust_domain.id_string(), |id| id.to_string());
        return Err(unfit(ours, &shown, "a member of", ""));
    }
    parsed.id.ok_or_else(|| unfit(ours, &ours.id_string(), what, "; path is empty"))
}

fn parse(name: &str, path: &str) -> Result<Parsed, IdFault> {
    let trust_domain: TrustDomain = name.parse().map_err(|error| IdFault::Malformed(domain_words(&error)))?;
    if path.is_empty() {
        return Ok(Parsed { trust_domain, id: None });
    }
    if !path.starts_with('/') {
        return Err(IdFault::Malformed("path must have a leading slash".to_owned()));
    }
    let id = format!("spiffe://{trust_domain}{path}").parse();
    let id = id.map_err(|error| IdFault::Malformed(words(&error, path)))?;
    Ok(Parsed { trust_domain, id: Some(id) })
}

fn unfit(ours: &TrustDomain, id: &str, what: &'static str, why: &'static str) -> IdFault {
    IdFault::Unfit { id: id.to_owned(), what, ours: ours.clone(), why }
}

fn words(error: &IdError, path: &str) -> String {
    match error {
        IdError::Scheme => "scheme is missing or invalid",
        IdError::TrustDomain(error) => return domain_words(error),
        IdError::EmptySegment if path.ends_with('/') && !path.contains("//") => "path cannot have a trailing slash",
        IdError::EmptySegment => "path cannot contain empty segments",
        IdError::DotSegment => "path cannot contain dot segments",
        IdError::Character(_) => {
            "path segment characters are limited to letters, numbers, dots, dashes, and underscores"
        }
        // go-spiffe has no such bound, so no words either.
        other => return other.to_string(),
    }
    .to_owned()
}

fn domain_words(error: &TrustDomainError) -> String {
    match error {
        TrustDomainError::Empty => "trust domain is missing".to_owned(),
        TrustDomainError::Character(_) => {
            "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores"
                .to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as messages have it")]
    fn id(trust_domain: &str, path: &str) -> Option<Spiffeid> {
        Some(Spiffeid { trust_domain: trust_domain.into(), path: path.into() })
    }

    fn told(fit: fn(&TrustDomain, Option<&Spiffeid>) -> Result<SpiffeId, IdFault>, id: Option<&Spiffeid>) -> String {
        let ours = "example.org".parse().unwrap();
        fit(&ours, id).map_or_else(|fault| fault.to_string(), |id| id.to_string())
    }

    /// The words are those of a SPIRE 1.15 server that was asked the same.
    #[test]
    fn what_is_wrong_with_an_id_is_told_as_spire_does() {
        const DOMAIN: &str =
            "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores";
        for (given, expected) in [
            (None, "request must specify SPIFFE ID"),
            (id("", ""), "trust domain is missing"),
            (id("Example.org", "/a"), DOMAIN),
            (id("a\0b", "/a"), DOMAIN),
            (id("example.org", "a"), "path must have a leading slash"),
            (id("example.org", "/a/"), "path cannot have a trailing slash"),
            (id("example.org", "/"), "path cannot have a trailing slash"),
            (id("example.org", "/a//b"), "path cannot contain empty segments"),
            (id("example.org", "/a/../b"), "path cannot contain dot segments"),
            (
                id("example.org", "/a\0"),
                "path segment characters are limited to letters, numbers, dots, dashes, and underscores",
            ),
            (id("http://example.org", "/a"), "scheme is missing or invalid"),
            (id("other.org", "/a"), r#""spiffe://other.org/a" is not a member of trust domain "example.org""#),
            (
                id("example.org", ""),
                r#""spiffe://example.org" is not a workload in trust domain "example.org"; path is empty"#,
            ),
            (
                id("example.org", "/spire/server"),
                r#""spiffe://example.org/spire/server" is not a workload in trust domain "example.org"; path is in the reserved namespace"#,
            ),
            (id("spiffe://example.org", "/a"), "spiffe://example.org/a"),
            (id("spiffe://example.org/x", "/a"), "spiffe://example.org/a"),
        ] {
            assert_eq!(told(workload, given.as_ref()), expected, "{given:?}");
        }
        assert_eq!(told(member, id("example.org", "/spire/server").as_ref()), "spiffe://example.org/spire/server");
        assert_eq!(
            told(member, id("example.org", "").as_ref()),
            r#""spiffe://example.org" is not a member of trust domain "example.org"; path is empty"#
        );
        assert_eq!(
            told(agent, id("example.org", "/a").as_ref()),
            r#""spiffe://example.org/a" is not an agent in trust domain "example.org"; path is not in the agent namespace"#
        );
        assert_eq!(told(agent, id("example.org", "/spire/agent/x").as_ref()), "spiffe://example.org/spire/agent/x");
    }

    #[test]
    fn no_text_makes_it_panic() {
        use proptest::prelude::*;

        proptest!(|(name in ".{0,40}", path in ".{0,40}", url in "(spiffe:/)?/?[a-z/.:]{0,20}")| {
            for given in [&name, &path, &url] {
                let ours = "example.org".parse().unwrap();
                let _ = workload(&ours, id(given, &path).as_ref());
                let _ = trust_domain(given);
            }
        });
    }
}
