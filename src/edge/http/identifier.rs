//! The URL under which clients know what we serve: a PDP (Authorization API 1.0, section 9), or an issuer of tokens (OpenID
//! Connect Discovery 1.0, section 3). It is configured and never taken from a request, since a proxy may stand before us and
//! a `Host` header is anybody's to write.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// An `https` URL without query, fragment or a slash at its end, spelled as URLs are normalised, so that there is one way
/// to write it. Its path is a tenant's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identifier {
    url: String,
    path_at: usize,
}

/// The text is no identifier.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentifierError {
    /// It is no URL.
    #[error("it is not a URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// Endpoints are never served in the clear to others.
    #[error("it must begin with `https://`")]
    NotHttps,
    /// It says more than where the PDP is.
    #[error("it must not have a user, a query or a fragment")]
    TooMuch,
    /// A slash more, and clients compare it with something else.
    #[error("it must not end with a slash")]
    TrailingSlash,
    /// There is another spelling of it.
    #[error("it must be written `{0}`")]
    Spelling(String),
    /// Two readers may understand the path in two ways.
    #[error("its path must consist of letters, digits, `-`, `.`, `_`, `~` and single slashes")]
    Path,
    /// What is served there is known to all (RFC 8615), and metadata are.
    #[error("its path must not have a segment `.well-known`")]
    WellKnown,
}

impl Identifier {
    /// The identifier, as it was configured.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The path, without a slash at its end: empty, or the tenant's.
    pub fn path(&self) -> &str {
        self.url.get(self.path_at..).unwrap_or_default()
    }
}

impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, IdentifierError> {
        let parsed = Url::parse(text)?;
        if parsed.scheme() != "https" {
            return Err(IdentifierError::NotHttps);
        }
        let has_user = !parsed.username().is_empty() || parsed.password().is_some();
        if has_user || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(IdentifierError::TooMuch);
        }
        if text.ends_with('/') {
            return Err(IdentifierError::TrailingSlash);
        }
        let path = parsed.path().strip_suffix('/').unwrap_or(parsed.path());
        let normal = parsed.as_str().strip_suffix('/').unwrap_or(parsed.as_str());
        if text != normal {
            return Err(IdentifierError::Spelling(normal.to_owned()));
        }
        let segments_are_plain = path.split('/').skip(1).all(|segment| {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        });
        if !segments_are_plain {
            return Err(IdentifierError::Path);
        }
        if path.split('/').any(|segment| segment == ".well-known") {
            return Err(IdentifierError::WellKnown);
        }
        Ok(Self { url: text.to_owned(), path_at: text.len() - path.len() })
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_taken_as_it_is_written() {
        for (text, path) in [
            ("https://pdp.example.com", ""),
            ("https://pdp.example.com:8443", ""),
            ("https://pdp.example.com/tenant1", "/tenant1"),
            ("https://pdp.example.com/a/b-c_d~e.f", "/a/b-c_d~e.f"),
            ("https://[::1]/t", "/t"),
        ] {
            let identifier: Identifier = text.parse().unwrap();
            assert_eq!((identifier.as_str(), identifier.path()), (text, path));
        }
    }

    #[test]
    fn what_could_be_compared_in_two_ways_is_refused() {
        for (text, complaint) in [
            ("pdp.example.com", "it is not a URL"),
            ("", "it is not a URL"),
            ("http://pdp.example.com", "it must begin with `https://`"),
            ("HTTPS://pdp.example.com", "it must be written `https://pdp.example.com`"),
            ("https://PDP.example.com/t", "it must be written `https://pdp.example.com/t`"),
            ("https://pdp.example.com:443", "it must be written `https://pdp.example.com`"),
            (" https://pdp.example.com", "it must be written"),
            ("https://pdp.example.com/a/../b", "it must be written `https://pdp.example.com/b`"),
            ("https://pdp.example.com/", "it must not end with a slash"),
            ("https://pdp.example.com/t/", "it must not end with a slash"),
            ("https://pdp.example.com?a", "it must not have"),
            ("https://pdp.example.com/#a", "it must not have"),
            ("https://user@pdp.example.com", "it must not have"),
            ("https://pdp.example.com/a//b", "its path must consist of"),
            ("https://pdp.example.com/{tenant}", "it must be written"),
            ("https://pdp.example.com/a%2fb", "its path must consist of"),
            ("https://pdp.example.com/*a", "its path must consist of"),
            (
                "https://pdp.example.com/.well-known/authzen-configuration",
                "its path must not have a segment `.well-known`",
            ),
            ("https://pdp.example.com/t/.well-known", "its path must not have a segment `.well-known`"),
        ] {
            let error = text.parse::<Identifier>().unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
