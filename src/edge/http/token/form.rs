//! Reads a form (`application/x-www-form-urlencoded`) strictly: what could be read in two ways is refused.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

/// The parameters of a request, each of which is there once. One without a value counts as absent (RFC 6749 section 3.2).
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let body = str::from_utf8(body).map_err(|_not_utf8| malformed())?;
        let mut parameters = BTreeMap::new();
        for parameter in body.split('&').filter(|_| !body.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or_else(malformed)?;
            let (name, value) = (decoded(name)?, decoded(value)?);
            if parameters.insert(name, value).is_some() {
                return Err(Refusal::bad_request("a parameter is there twice"));
            }
        }
        Ok(Self(parameters))
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// What is written with `+` for a space, and `%` and two hexadecimal digits for a byte.
fn decoded(text: &str) -> Result<String, Refusal> {
    let escapes = text.split('%').skip(1);
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.into_iter().all(is_escape) {
        return Err(malformed());
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_not_utf8| malformed())
}

fn malformed() -> Refusal {
    Refusal::bad_request("the body is not a form")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_form_is_read_in_one_way_or_not_at_all() {
        let form = Form::parse(b"a=1+2&b=%2B%c3%A4&empty=&c=x=y").unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c")), (Some("1 2"), Some("+ä"), Some("x=y")));
        assert_eq!((form.get("empty"), form.get("d")), (None, None));
        assert!(Form::parse(b"").unwrap().get("").is_none());
        for bad in [
            &b"a"[..],
            b"a=1&",
            b"&a=1",
            b"a=1&&b=2",
            b"a=%",
            b"a=%4",
            b"a=%4g",
            b"a=%%41",
            b"a=%ff",
            b"a=\xff",
            b"a=1&a=1",
            b"a=&a=1",
            b"a=1&%61=2",
        ] {
            assert!(Form::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(pairs in proptest::collection::btree_map(".{1,4}", ".{1,8}", 0..6)) {
            let written: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let form = Form::parse(written.as_bytes()).unwrap();
            for (name, value) in &pairs {
                prop_assert_eq!(form.get(name), Some(value.as_str()));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _either = Form::parse(&body);
        }
    }
}
