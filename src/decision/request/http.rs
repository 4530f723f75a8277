//! One HTTP request in canonical form, out of what the proxy says of it.
//!
//! Method, path and host come from the request itself and from nowhere else. Headers in which a client or another proxy
//! tells its own story of them (`x-envoy-original-path`, `x-original-url`, `x-forwarded-uri`,
//! `x-http-method-override`) have no part in it: CVE-2023-27487, CVE-2024-45806, oauth2-proxy CVE-2026-40575.

use super::{Headers, Host, Method, Refusal, RequestPath, Upgrade};
use crate::decision::check::HttpAttributes;
use crate::decision::reason::Reason;

/// A request that can be understood in exactly one way.
#[derive(Clone, Debug)]
pub struct HttpRequest<'a> {
    method: Method<'a>,
    host: Host,
    target: Target,
    upgrade: Option<Upgrade>,
    scheme: Option<String>,
    protocol: Option<&'a str>,
    headers: Headers<'a>,
}

/// What a request is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// Something on the host.
    Path {
        /// Its path.
        path: RequestPath,
        /// What follows the first `?`, as sent.
        query: Option<String>,
    },
    /// A tunnel to this port of the host (RFC 9110 section 9.3.6). There is no path.
    Tunnel {
        /// The port that CONNECT must name.
        port: u16,
    },
}

impl<'a> HttpRequest<'a> {
    /// Reads what a proxy says of a request.
    ///
    /// # Errors
    /// [`Refusal`] if any of it is missing, malformed, contradicts itself or can be read in two ways.
    pub fn from_attributes(http: &'a HttpAttributes<'_>) -> Result<Self, Refusal> {
        let method = Method::parse(http.method).map_err(|why| Refusal::new(Reason::BadMethod, why, http.method))?;
        let host = Host::parse(http.host).map_err(|why| Refusal::new(Reason::BadHost, why, http.host))?;
        let headers = headers(http)?;
        let upgrade = headers.upgrade().map_err(bad_header)?;
        if upgrade.is_some() && !may_upgrade(method.as_str()) {
            return Err(Refusal::new(
                Reason::BadMethod,
                "no request of this method can ask for an upgrade",
                http.method,
            ));
        }
        let tunnel = method.as_str() == "CONNECT" && headers.pseudo(":protocol").map_err(bad_header)?.is_none();
        let target = if tunnel { tunnel_target(http, &host)? } else { path_target(http)? };
        let scheme = word(http.scheme, "scheme")?.map(str::to_ascii_lowercase);
        let protocol = word(http.protocol, "protocol")?;
        Ok(Self { method, host, target, upgrade, scheme, protocol, headers })
    }

    /// The method, as sent.
    pub const fn method(&self) -> &'a str {
        self.method.as_str()
    }

    /// The host it is for.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// What it is about.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Whether it wants to leave HTTP, and for what. A tunnel leaves it anyway.
    pub const fn upgrade(&self) -> Option<&Upgrade> {
        self.upgrade.as_ref()
    }

    /// `http` or `https`, as the client claims; `None` if it claims nothing.
    pub fn scheme(&self) -> Option<&str> {
        self.scheme.as_deref()
    }

    /// `HTTP/1.1` and the like.
    pub const fn protocol(&self) -> Option<&'a str> {
        self.protocol
    }

    /// Its header lines.
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

/// The header lines, once they agree with the attributes that were made of them.
fn headers<'a>(http: &'a HttpAttributes<'_>) -> Result<Headers<'a>, Refusal> {
    let Some(lines) = http.headers.as_deref() else {
        let why = "the proxy sent joined headers; it needs `encode_raw_headers: true`";
        return Err(Refusal::new(Reason::HeadersNotRaw, why, ""));
    };
    let headers = Headers::parse(lines).map_err(bad_header)?;
    for (name, attribute, reason) in [
        (":method", http.method, Reason::BadMethod),
        (":path", http.path, Reason::BadPath),
        (":authority", http.host, Reason::BadHost),
        (":scheme", http.scheme, Reason::BadHeader),
    ] {
        let line = headers.pseudo(name).map_err(|why| Refusal::new(reason, why, ""))?;
        agree(name, line, attribute, reason)?;
    }
    let host = headers.unique("host").map_err(|why| Refusal::new(Reason::BadHost, why, ""))?;
    agree("host", host, http.host, Reason::BadHost)?;
    Ok(headers)
}

fn agree(name: &str, line: Option<&str>, attribute: &str, reason: Reason) -> Result<(), Refusal> {
    match line {
        Some(value) if value != attribute => {
            Err(Refusal::new(reason, format_args!("`{name}` is not what the proxy says it is"), value))
        }
        _ => Ok(()),
    }
}

/// A service is free to ignore the wish to upgrade (RFC 9110 section 7.8) and then answers the request as it stands. Its
/// method is not the action that policies are asked about, so it must be one that the upgrade's own protocol sends:
/// GET (RFC 6455 section 4.1) or CONNECT (RFC 8441 section 4). Otherwise `upgrade: websocket` would carry a DELETE past
/// a policy that forbids it.
const fn may_upgrade(method: &str) -> bool {
    matches!(method.as_bytes(), b"GET" | b"CONNECT")
}

fn tunnel_target(http: &HttpAttributes<'_>, host: &Host) -> Result<Target, Refusal> {
    if !http.path.is_empty() {
        return Err(Refusal::new(Reason::BadPath, "CONNECT has a path", http.path));
    }
    let port = host.port().ok_or_else(|| Refusal::new(Reason::BadHost, "CONNECT names no port", http.host))?;
    Ok(Target::Tunnel { port })
}

fn path_target(http: &HttpAttributes<'_>) -> Result<Target, Refusal> {
    let (path, query) = RequestPath::parse(http.path).map_err(|why| Refusal::new(Reason::BadPath, why, http.path))?;
    Ok(Target::Path { path, query })
}

/// A short word such as `https` or `HTTP/1.1`; `None` if it is empty.
fn word<'a>(raw: &'a str, name: &str) -> Result<Option<&'a str>, Refusal> {
    if raw.len() > 32 || !raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-./".contains(&byte)) {
        return Err(Refusal::new(Reason::BadHeader, format_args!("the {name} is not one"), raw));
    }
    Ok(Some(raw).filter(|raw| !raw.is_empty()))
}

fn bad_header(why: super::HeaderError) -> Refusal {
    Refusal::new(Reason::BadHeader, why, "")
}

#[cfg(test)]
mod tests;
