//! Pages of a search (Authorization API 1.0, section 8): what a request may ask of one, and the token that leads to
//! the next. A token is bound to the request that it came from by a digest. It is no secret, and nothing depends on who
//! made it: it only says where to go on, and every result is decided anew.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::question::{Members, QuestionError};
use crate::foundation::digest::Digest;
use crate::foundation::json;

/// The member `page` of a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PageRequest {
    /// Whether it is there at all.
    pub(super) given: bool,
    token: Option<String>,
    limit: Option<u64>,
}

/// Where a page begins, and how long it may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// The last name of the page before.
    pub(super) after: Option<String>,
    /// As the client said on its first request. One page never has more than the server's maximum.
    pub(super) limit: Option<u64>,
}

/// The member `page` of an answer.
#[derive(Debug, Serialize)]
pub(super) struct PageAnswer {
    pub(super) next_token: String,
}

/// The token does not belong here.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum PageError {
    /// It is none of ours.
    #[error("`page.token` is not a token that this server gave")]
    Garbage,
    /// It is one of ours, from another request.
    #[error("`page.token` was given for another request")]
    OtherRequest,
    /// The limit was changed on the way.
    #[error("`page.limit` must stay what it was, or be left out, on a request with `page.token`")]
    OtherLimit,
}

/// What a token says, in few letters since it travels with every page.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Token<'a> {
    /// The digest of the request, without its page.
    r: Cow<'a, str>,
    /// The limit that the client set.
    #[serde(skip_serializing_if = "Option::is_none")]
    l: Option<u64>,
    /// The last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<Cow<'a, str>>,
}

impl PageRequest {
    /// Reads the member `page` of a request; its members that have no meaning here are ignored.
    pub(super) fn read(page: Option<Members<'_>>) -> Result<Self, QuestionError> {
        let Some(mut page) = page else { return Ok(Self::default()) };
        let token = match page.take("token") {
            None => None,
            Some(Value::String(token)) => Some(token),
            Some(_) => return Err(page.wrong("token", "a string")),
        };
        let limit = match page.take("limit").as_ref().map(whole_number) {
            None => None,
            Some(Some(limit)) => Some(limit),
            Some(None) => return Err(page.wrong("limit", "a whole number that is not negative")),
        };
        Ok(Self { given: true, token, limit })
    }

    /// Where the page begins that is wanted of the request with this digest.
    pub(super) fn place(self, request: &Digest) -> Result<Place, PageError> {
        let Some(token) = self.token else { return Ok(Place { after: None, limit: self.limit }) };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_malformed| PageError::Garbage)?;
        let value = json::read(&bytes).map_err(|_malformed| PageError::Garbage)?;
        let token: Token<'_> = serde_json::from_value(value).map_err(|_malformed| PageError::Garbage)?;
        if token.r != hex::encode(request.as_bytes()) {
            return Err(PageError::OtherRequest);
        }
        if self.limit.is_some() && self.limit != token.l {
            return Err(PageError::OtherLimit);
        }
        Ok(Place { after: token.a.map(Cow::into_owned), limit: token.l })
    }
}

/// JSON has one kind of number, so `2.0` is a whole one, too.
fn whole_number(value: &Value) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and within 53 bits")]
    let cast = |number: f64| number as u64;
    let is_whole = |number: &f64| (0.0..=EXACT).contains(number) && number.fract() == 0.0;
    value.as_u64().or_else(|| value.as_f64().filter(is_whole).map(cast))
}

impl Place {
    /// How many names the page may have, of at most `most`.
    pub(super) fn length(&self, most: usize) -> usize {
        self.limit.and_then(|limit| usize::try_from(limit).ok()).map_or(most, |limit| limit.min(most))
    }

    /// The token of the page after `last`; after nothing, it is this page again.
    pub(super) fn next(&self, request: &Digest, last: Option<&str>) -> Result<String, serde_json::Error> {
        let token = Token {
            r: hex::encode(request.as_bytes()).into(),
            l: self.limit,
            a: last.or(self.after.as_deref()).map(Cow::Borrowed),
        };
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::question::object;
    use super::*;

    fn read(page: &Value) -> Result<PageRequest, QuestionError> {
        let mut body = object(json!({ "page": page }).to_string().as_bytes()).unwrap();
        PageRequest::read(body.optional_object("page")?)
    }

    fn with_token(token: &str, limit: Option<u64>) -> PageRequest {
        PageRequest { given: true, token: Some(token.to_owned()), limit }
    }

    #[test]
    fn a_page_is_read_strictly_and_strangers_in_it_are_ignored() {
        let page = read(&json!({"token": "t", "limit": 3, "size": 7, "properties": {"a": 1}})).unwrap();
        assert_eq!(page, with_token("t", Some(3)));
        assert_eq!(read(&json!({"limit": 0})).unwrap().limit, Some(0));
        assert_eq!(read(&json!({"limit": 2.0})).unwrap().limit, Some(2));
        assert_eq!(read(&json!(null)).unwrap(), PageRequest::default());
        assert!(read(&json!({"limit": null, "token": null})).unwrap().given);
        for bad in [json!(-1), json!(-1.0), json!(1.5), json!("1"), json!([]), json!(1e30), json!(true)] {
            assert!(read(&json!({ "limit": bad })).is_err(), "{bad}");
        }
        for bad in [json!(1), json!({}), json!(false)] {
            assert!(read(&json!({ "token": bad })).is_err(), "{bad}");
            assert!(read(&json!([bad])).is_err());
        }
    }

    #[test]
    fn a_token_leads_on_with_the_limit_of_the_first_request() {
        let request = Digest::of(b"request");
        let first = PageRequest { given: true, token: None, limit: Some(2) }.place(&request).unwrap();
        assert_eq!(first, Place { after: None, limit: Some(2) });
        let token = first.next(&request, Some("b")).unwrap();
        let second = Place { after: Some("b".to_owned()), limit: Some(2) };
        assert_eq!(with_token(&token, None).place(&request).unwrap(), second);
        assert_eq!(with_token(&token, Some(2)).place(&request).unwrap(), second);
        assert_eq!(with_token(&token, Some(3)).place(&request), Err(PageError::OtherLimit));
        assert_eq!(with_token(&token, None).place(&Digest::of(b"other")), Err(PageError::OtherRequest));
        assert_eq!(with_token(&second.next(&request, None).unwrap(), None).place(&request).unwrap(), second);
    }

    #[test]
    fn a_page_is_never_longer_than_the_server_likes() {
        for (limit, length) in [(None, 10), (Some(0), 0), (Some(9), 9), (Some(11), 10), (Some(u64::MAX), 10)] {
            assert_eq!(Place { after: None, limit }.length(10), length);
        }
    }

    #[test]
    fn what_is_no_token_of_ours_is_garbage() {
        let request = Digest::of(b"request");
        let good = Place { after: None, limit: None }.next(&request, Some("b")).unwrap();
        let mut bad: Vec<String> = ["", "x", "!", "e30", "bnVsbA", "W10"].map(str::to_owned).into();
        bad.extend([format!("{good}="), format!("{good}AA"), good.chars().skip(1).collect()]);
        let more = json!({"r": hex::encode(request.as_bytes()), "a": "b", "x": 1}).to_string();
        bad.push(URL_SAFE_NO_PAD.encode(more));
        for token in bad {
            assert_eq!(with_token(&token, None).place(&request), Err(PageError::Garbage), "{token}");
        }
    }

    proptest! {
        #[test]
        fn any_name_survives_its_token(name in any::<String>(), limit in any::<Option<u64>>()) {
            let request = Digest::of(b"request");
            let name = name.replace(|c| (u32::from(c) & 0xFFFE) == 0xFFFE || ('\u{fdd0}'..='\u{fdef}').contains(&c), "");
            let token = Place { after: None, limit }.next(&request, Some(&name)).unwrap();
            let place = with_token(&token, None).place(&request).unwrap();
            prop_assert_eq!(place, Place { after: Some(name), limit });
        }
    }
}
