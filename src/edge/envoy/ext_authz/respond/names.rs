//! The names of the headers that answers carry.

use http::HeaderName;

use crate::decision::Check;
use crate::decision::request::headers::looks_like;

/// Under which names a backend learns who calls it and which decision let the call through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderNames {
    identity: HeaderName,
    decision: HeaderName,
}

/// Why names won't do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderNamesError {
    /// Not a header name.
    #[error("`{0}` is not the name of a header")]
    Invalid(String),
    /// One that HTTP or Envoy has a use for.
    #[error("the header `{0}` means something to HTTP or Envoy already")]
    Reserved(String),
    /// The same for both.
    #[error("identity and decision id can't share the header `{0}`")]
    Same(String),
}

impl HeaderNames {
    /// `identity` carries the caller's SPIFFE ID, `decision` the decision id; in any case, sent in lower case.
    ///
    /// # Errors
    /// [`HeaderNamesError`].
    pub fn new(identity: &str, decision: &str) -> Result<Self, HeaderNamesError> {
        let (identity, decision) = (checked(identity)?, checked(decision)?);
        if looks_like(identity.as_str(), decision.as_str()) {
            return Err(HeaderNamesError::Same(identity.as_str().to_owned()));
        }
        Ok(Self { identity, decision })
    }

    /// The header with the caller's SPIFFE ID.
    pub fn identity(&self) -> &str {
        self.identity.as_str()
    }

    /// The header with the decision's id.
    pub fn decision(&self) -> &str {
        self.decision.as_str()
    }

    /// Whether HTTP or Envoy has a use for the header `name`.
    pub fn is_reserved(name: &HeaderName) -> bool {
        let text = name.as_str();
        text.starts_with("x-envoy-")
            || text.starts_with("x-forwarded-")
            || matches!(
                text,
                "host"
                    | "connection"
                    | "content-length"
                    | "content-type"
                    | "content-encoding"
                    | "transfer-encoding"
                    | "te"
                    | "trailer"
                    | "upgrade"
                    | "keep-alive"
                    | "proxy-connection"
                    | "authorization"
                    | "cookie"
                    | "set-cookie"
                    | "date"
                    | "location"
                    | "x-request-id"
            )
    }

    /// Whether a backend could take the header `name` for one of these.
    pub fn is_ours(&self, name: &str) -> bool {
        [self.identity(), self.decision()].iter().any(|ours| looks_like(name, ours))
    }

    /// The headers of a request that a backend could take for ours, or for one of `others`, though Envoy does not
    /// overwrite them: all but ours and those that are `set`. Each once.
    pub fn lookalikes_in<'n>(
        &self,
        check: &Check<'_>,
        others: &(impl Iterator<Item = &'n str> + Clone),
        set: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let ours = [self.identity(), self.decision()];
        let is_taken = |line: &str| self.is_ours(line) || others.clone().any(|name| looks_like(line, name));
        let mut found: Vec<String> = check
            .http
            .iter()
            .flat_map(|http| http.headers.iter().flatten())
            .filter(|(line, _value)| is_taken(line))
            // What comes out of this is lower case and a token, so it is fit for the wire.
            .filter_map(|(line, _value)| HeaderName::from_bytes(line.as_bytes()).ok())
            .filter(|line| !ours.contains(&line.as_str()) && !set(line.as_str()))
            .map(|line| line.as_str().to_owned())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// `x-spiffe-id` and `x-decision-id`.
impl Default for HeaderNames {
    fn default() -> Self {
        let (identity, decision) = (HeaderName::from_static("x-spiffe-id"), HeaderName::from_static("x-decision-id"));
        Self { identity, decision }
    }
}

fn checked(name: &str) -> Result<HeaderName, HeaderNamesError> {
    let invalid = |_| HeaderNamesError::Invalid(name.escape_debug().to_string());
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?;
    if HeaderNames::is_reserved(&name) {
        return Err(HeaderNamesError::Reserved(name.as_str().to_owned()));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::HttpAttributes;

    #[test]
    fn the_defaults_pass_their_own_checks() {
        assert_eq!(HeaderNames::new("X-SPIFFE-ID", "X-Decision-Id"), Ok(HeaderNames::default()));
    }

    fn lookalikes(lines: &[&str]) -> Vec<String> {
        let headers = lines.iter().map(|line| (*line, [].as_slice())).collect();
        let http = HttpAttributes { headers: Some(headers), ..HttpAttributes::default() };
        let check = Check { http: Some(http), ..Check::default() };
        HeaderNames::default().lookalikes_in(&check, &std::iter::empty(), |_| false)
    }

    /// Who is let through without it must not bring it along.
    #[test]
    fn a_header_that_policies_give_is_taken_from_clients_unless_it_is_overwritten() {
        let lines = ["x-tier", "X_Tier", "x-tenant", "x-other"];
        let headers = lines.iter().map(|line| (*line, [].as_slice())).collect();
        let http = HttpAttributes { headers: Some(headers), ..HttpAttributes::default() };
        let check = Check { http: Some(http), ..Check::default() };
        let removed = |set: &str| {
            HeaderNames::default().lookalikes_in(&check, &["x-tenant", "x-tier"].into_iter(), |name| name == set)
        };
        assert_eq!(removed(""), ["x-tenant", "x-tier", "x_tier"]);
        assert_eq!(removed("x-tier"), ["x-tenant", "x_tier"]);
    }

    /// oauth2-proxy CVE-2025-64484.
    #[test]
    fn cve_2025_64484_every_spelling_that_a_backend_may_confuse_is_taken_away() {
        let lines = ["x_spiffe_id", "x-spiffe_id", "x.spiffe.id", "X_Decision~ID", "x_spiffe_id"];
        assert_eq!(lookalikes(&lines), ["x-spiffe_id", "x.spiffe.id", "x_decision~id", "x_spiffe_id"]);
    }

    #[test]
    fn ours_and_strangers_stay_and_nothing_unfit_for_the_wire_comes_out() {
        assert!(lookalikes(&["x-spiffe-id", "X-Spiffe-Id", "x-spiffe-ids", ":path", "xspiffeid"]).is_empty());
        assert!(lookalikes(&["x\r\n:spiffe-id", "x spiffe id", "x:spiffe:id"]).is_empty());
        let none = HeaderNames::default().lookalikes_in(&Check::default(), &["x-tier"].into_iter(), |_| false);
        assert!(none.is_empty());
    }

    #[test]
    fn names_that_would_break_a_request_are_refused() {
        for name in ["", "x spiffe", "x:y", ":path", "x\r\ny: z", "é"] {
            assert!(matches!(HeaderNames::new(name, "d"), Err(HeaderNamesError::Invalid(_))), "{name:?}");
        }
        for name in ["Host", "content-length", "x-envoy-original-path", "x-forwarded-client-cert", "authorization"] {
            assert!(matches!(HeaderNames::new("i", name), Err(HeaderNamesError::Reserved(_))), "{name}");
        }
        assert!(matches!(HeaderNames::new("x-id", "X_ID"), Err(HeaderNamesError::Same(_))));
    }
}
