//! Where in a request a token stands: in raw header lines, and never in the path or the query, which are logged.

use super::AUTHORIZATION;
use crate::decision::reason::Reason;
use crate::decision::request::{Headers, Refusal};

/// The only scheme under which there is one. Its case does not matter (RFC 9110 section 11.1).
const BEARER: &str = "bearer";

/// The token among `headers`, in one of those with these `names`, and in which. Another scheme than `Bearer` is the backend's
/// business.
pub(super) fn token<'h, 'n>(headers: Headers<'h>, names: &'n [String]) -> Result<Option<(&'n str, &'h str)>, Refusal> {
    let mut found = None;
    for name in names {
        let value = headers.unique(name).map_err(|why| Refusal::new(Reason::BadHeader, why, ""))?;
        let shown = if name == AUTHORIZATION { value.and_then(bearer) } else { value };
        if shown.is_some() && found.is_some() {
            return Err(Refusal::new(Reason::BadToken, "there are tokens in two headers", name));
        }
        found = found.or(shown.map(|shown| (name.as_str(), shown)));
    }
    Ok(found)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::check::HeaderLine;

    fn found(lines: &[HeaderLine<'_>]) -> Result<Option<String>, Reason> {
        let names = ["authorization".to_owned(), "x-forwarded-access-token".to_owned()];
        let headers = Headers::parse(lines).unwrap();
        token(headers, &names).map(|found| found.map(|(_, shown)| shown.to_owned())).map_err(|refusal| refusal.reason())
    }

    #[test]
    fn a_token_stands_in_one_place_or_in_none() {
        for (value, expected) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bearer  a.b.c", Some("a.b.c")),
            ("BEARER a b", Some("a b")),
            ("Bearer", Some("")),
            ("Basic YWxpY2U6eA==", None),
            ("Bearera.b.c", None),
            ("", None),
        ] {
            let found = found(&[("authorization", value.as_bytes())]);
            assert_eq!(found.unwrap().as_deref(), expected, "{value}");
        }
        assert_eq!(found(&[("x-forwarded-access-token", b"a.b.c")]).unwrap().as_deref(), Some("a.b.c"));
        assert_eq!(found(&[("x-other", b"Bearer a.b.c"), (":path", b"/?access_token=a.b.c")]).unwrap(), None);
    }

    #[test]
    fn two_of_them_are_refused() {
        let (one, two) = (b"Bearer a.b.c".as_slice(), b"a.b.c".as_slice());
        assert_eq!(found(&[("authorization", one), ("x-forwarded-access-token", two)]), Err(Reason::BadToken));
        assert_eq!(found(&[("authorization", one), ("authorization", one)]), Err(Reason::BadHeader));
        assert_eq!(found(&[("authorization", one), ("authorization", b"Basic x")]), Err(Reason::BadHeader));
        assert_eq!(found(&[("x-forwarded-access_token", two)]), Err(Reason::BadHeader), "a lookalike");
    }
}
