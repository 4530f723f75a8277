//! The names of the headers that answers carry.

use http::HeaderName;

/// The most `-` in a configured name: each doubles the spellings that have to be taken away from clients.
const MAX_DASHES: usize = 4;

/// Under which names a backend learns who calls it and which decision let the call through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderNames {
    identity: HeaderName,
    decision: HeaderName,
    lookalikes: Vec<String>,
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
    /// Too many dashes.
    #[error("the header `{0}` has more than 4 dashes")]
    Dashes(String),
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
        if spellings(identity.as_str()).iter().any(|name| name == decision.as_str()) {
            return Err(HeaderNamesError::Same(identity.as_str().to_owned()));
        }
        Ok(Self::of(identity, decision))
    }

    fn of(identity: HeaderName, decision: HeaderName) -> Self {
        let mut lookalikes = [spellings(identity.as_str()), spellings(decision.as_str())].concat();
        lookalikes.retain(|name| name != identity.as_str() && name != decision.as_str());
        Self { identity, decision, lookalikes }
    }

    /// The header with the caller's SPIFFE ID.
    pub fn identity(&self) -> &str {
        self.identity.as_str()
    }

    /// The header with the decision's id.
    pub fn decision(&self) -> &str {
        self.decision.as_str()
    }

    /// The same names with `_` for `-`. Many backends can't tell them apart (CGI, WSGI), so no client may send them.
    pub fn lookalikes(&self) -> &[String] {
        &self.lookalikes
    }
}

/// `x-spiffe-id` and `x-decision-id`.
impl Default for HeaderNames {
    fn default() -> Self {
        Self::of(HeaderName::from_static("x-spiffe-id"), HeaderName::from_static("x-decision-id"))
    }
}

fn checked(name: &str) -> Result<HeaderName, HeaderNamesError> {
    let invalid = |_| HeaderNamesError::Invalid(name.escape_debug().to_string());
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?;
    let text = name.as_str();
    let reserved = text.starts_with("x-envoy-")
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
        );
    if reserved {
        return Err(HeaderNamesError::Reserved(text.to_owned()));
    }
    if text.matches(['-', '_']).count() > MAX_DASHES {
        return Err(HeaderNamesError::Dashes(text.to_owned()));
    }
    Ok(name)
}

/// Every spelling of `name` with each `-` or `_` as either, `name` itself included.
fn spellings(name: &str) -> Vec<String> {
    name.chars().fold(vec![String::new()], |heads, character| {
        let choices = if matches!(character, '-' | '_') { vec!['-', '_'] } else { vec![character] };
        heads.iter().flat_map(|head| choices.iter().map(move |choice| format!("{head}{choice}"))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_their_own_checks() {
        assert_eq!(HeaderNames::new("X-SPIFFE-ID", "X-Decision-Id"), Ok(HeaderNames::default()));
    }

    /// oauth2-proxy CVE-2025-64484.
    #[test]
    fn cve_2025_64484_every_spelling_that_a_backend_may_confuse_is_taken_away() {
        let names = HeaderNames::new("x-spiffe-id", "decision").unwrap();
        assert_eq!(names.lookalikes(), ["x-spiffe_id", "x_spiffe-id", "x_spiffe_id"]);
    }

    #[test]
    fn names_that_would_break_a_request_are_refused() {
        for name in ["", "x spiffe", "x:y", ":path", "x\r\ny: z", "é"] {
            assert!(matches!(HeaderNames::new(name, "d"), Err(HeaderNamesError::Invalid(_))), "{name:?}");
        }
        for name in ["Host", "content-length", "x-envoy-original-path", "x-forwarded-client-cert", "authorization"] {
            assert!(matches!(HeaderNames::new("i", name), Err(HeaderNamesError::Reserved(_))), "{name}");
        }
        assert!(matches!(HeaderNames::new("a-b-c-d-e-f", "d"), Err(HeaderNamesError::Dashes(_))));
        assert!(matches!(HeaderNames::new("x-id", "X_ID"), Err(HeaderNamesError::Same(_))));
    }
}
