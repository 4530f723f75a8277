//! Federation relationships: where another trust domain's bundle is to be had (SPIFFE Federation, section 5).

use std::fmt;
use std::str::FromStr;

use portcullis_spiffe::{SpiffeId, TrustDomain};
use url::Url;

/// The longest URL of a bundle endpoint, in bytes.
const MAX_URL: usize = 2048;

/// Where another trust domain's bundle is to be had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Relationship {
    /// The other trust domain.
    pub trust_domain: TrustDomain,
    /// Where its bundle is served.
    pub endpoint: EndpointUrl,
    /// How the server proves that it may serve it.
    pub profile: EndpointProfile,
}

/// How a bundle endpoint is authenticated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndpointProfile {
    /// `https_web`: by a certificate of the Web's authorities, for the URL's host (SPIFFE Federation 5.2.1).
    Web,
    /// `https_spiffe`: by an X.509-SVID with this ID, which may be of any trust domain whose bundle we have (5.2.2).
    Spiffe(SpiffeId),
}

/// The URL of a bundle endpoint: `https`, with a host, without user info or fragment. Kept as it was written, since
/// those who set it compare it with what they read back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointUrl(String);

/// Why a text is not the URL of a bundle endpoint (SPIFFE Federation 5.1).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointUrlError {
    /// Too long.
    #[error("bundle endpoint URL has {0} bytes, more than {MAX_URL}")]
    TooLong(usize),
    /// Another scheme, or none.
    #[error("bundle endpoint URL must use the https scheme")]
    Scheme,
    /// No host.
    #[error("bundle endpoint URL must specify the host")]
    Host,
    /// A user name or password: it would be sent to, and shown by, who must not know it.
    #[error("bundle endpoint URL must not contain user info")]
    UserInfo,
    /// A fragment, which no server ever sees.
    #[error("bundle endpoint URL must not contain a fragment")]
    Fragment,
    /// Not a URL.
    #[error("failed to parse bundle endpoint URL: {0}")]
    Syntax(&'static str),
}

impl EndpointUrl {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointUrl {
    type Err = EndpointUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_URL {
            return Err(EndpointUrlError::TooLong(text.len()));
        }
        let rest = after_scheme(text).ok_or(EndpointUrlError::Scheme)?;
        // Browsers forgive these, and so does the parser. Who reads it next may see another host.
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(EndpointUrlError::Syntax("it has white space, a control character or a backslash"));
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(EndpointUrlError::UserInfo);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(EndpointUrlError::Host);
        }
        let url = Url::parse(text).map_err(|_reason| EndpointUrlError::Syntax("it has no valid host or port"))?;
        if url.fragment().is_some() {
            return Err(EndpointUrlError::Fragment);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What follows `https://`, in whatever case that is written.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    scheme.eq_ignore_ascii_case("https").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_kept_as_it_was_written() {
        for url in
            ["https://h", "https://h/", "HTTPS://127.0.0.1:8443/b?x=1", "https://[::1]:1/b", "https://bücher.example/"]
        {
            assert_eq!(url.parse::<EndpointUrl>().unwrap().as_str(), url);
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_names_no_server_is_refused() {
        use EndpointUrlError::{Fragment, Host, Scheme, Syntax, TooLong, UserInfo};
        let refused = |url: &str| url.parse::<EndpointUrl>().unwrap_err();
        for url in ["", "h", "http://h/b", "https:h", "https:/h", "file:///etc/passwd", "spiffe://h", " https://h"] {
            assert_eq!(refused(url), Scheme, "{url}");
        }
        for url in ["https://", "https:///b", "https://:443/b", "https://?x", "https://#x"] {
            assert_eq!(refused(url), Host, "{url}");
        }
        for url in ["https://u@h/b", "https://u:p@h/b", "https://@h", "https://:@h", "https://h@evil.example"] {
            assert_eq!(refused(url), UserInfo, "{url}");
        }
        assert_eq!(refused("https://h/b#x"), Fragment);
        for url in [
            "https://x y",
            "https://h\\@evil",
            "https://h\n/b",
            "https://h/\u{7f}",
            "https://h:99999/",
            "https://[::1/b",
            "https://h%00/",
        ] {
            assert!(matches!(refused(url), Syntax(_)), "{url}: {}", refused(url));
        }
        assert_eq!(refused(&format!("https://h/{}", "b".repeat(2048))), TooLong(2058));
    }
}
