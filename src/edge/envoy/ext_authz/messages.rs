//! What a person is told, by reason and language: in English, unless the operator has other words or other languages.

use std::collections::BTreeMap;

use super::wanted::look_up;
use crate::decision::Reason;
use crate::evidence::Outcome;

/// The language of the texts below.
const ENGLISH: &str = "en";

/// The keys of texts for all reasons that have none of their own.
const DENIED: &str = "denied";
const FAILED: &str = "error";

/// Texts of an operator, by language tag in lower case, then by reason, or `denied` or `error`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Messages {
    texts: BTreeMap<String, BTreeMap<String, String>>,
    /// The language of whoever wants none of those that there are.
    default: Option<String>,
}

impl Messages {
    /// Texts that were checked: by language, then by key; `default` is the language for everybody else, or English.
    pub const fn new(texts: BTreeMap<String, BTreeMap<String, String>>, default: Option<String>) -> Self {
        Self { texts, default }
    }

    /// Whether a text can have this key.
    pub fn is_key(key: &str) -> bool {
        let is_told = |reason: &Reason| reason.name() == key && reason.outcome() != Outcome::Allow;
        matches!(key, DENIED | FAILED) || Reason::ALL.iter().any(is_told)
    }

    /// The text for `reason`, and the tag of its language.
    pub(super) fn text(&self, reason: Reason, languages: &[String]) -> (&str, &str) {
        let own = |tag: &str| {
            let (tag, texts) = self.texts.get_key_value(tag)?;
            let all = if reason.outcome() == Outcome::Error { FAILED } else { DENIED };
            let text = texts.get(reason.name()).or_else(|| texts.get(all))?;
            Some((text.as_str(), tag.as_str()))
        };
        // English is there whether somebody has written it or not.
        let found = look_up(languages, |tag| own(tag).or_else(|| (tag == ENGLISH).then(|| (english(reason), ENGLISH))));
        let default = || own(self.default.as_deref().unwrap_or(ENGLISH)).unwrap_or_else(|| (english(reason), ENGLISH));
        found.unwrap_or_else(default)
    }
}

/// No more than the client knows or may know: which policy denied, and what it reads, is in the record.
pub(super) const fn english(reason: Reason) -> &'static str {
    match reason {
        Reason::Permitted => "The request is permitted.",
        Reason::NoPermit => "Nobody has permitted this request.",
        Reason::Forbidden | Reason::ForbidFailed => "This request is forbidden.",
        Reason::UnmetObligation => "This request is permitted on a condition that can't be met here.",
        Reason::NoCertificate => "The request came without a client certificate.",
        Reason::BadCertificate => "The client certificate is not one that is taken here.",
        Reason::ExpiredCertificate => "The client certificate has expired or is not valid yet.",
        Reason::RevokedCertificate => "The client certificate was revoked.",
        Reason::ForeignIdentity => "The caller is of another trust domain, and not let in here.",
        Reason::UntrustedCertificate => "Nobody who is trusted here vouches for the client certificate.",
        Reason::PrincipalMismatch => "The client certificate is not that of the caller.",
        Reason::BadPrincipal => "The caller's name is not one.",
        Reason::NoToken => "The request came without a token.",
        Reason::BadToken => "The token is malformed or not of a form that is taken here.",
        Reason::ExpiredToken => "The token has expired or is not valid yet.",
        Reason::UntrustedToken => "The token is not of an issuer that is trusted here, or not for this service.",
        Reason::ReplayedToken => "The token was used before.",
        Reason::OtherHolder => "The token was made for another than its sender.",
        Reason::RevokedToken => "The token was revoked.",
        Reason::TokensFull => "No more tokens for one use can be taken at the moment.",
        Reason::CallerNotPermitted => "The caller may not ask this.",
        Reason::BadMethod => "The method can't be understood.",
        Reason::BadPath => "The path can be read in two ways.",
        Reason::BadHost => "The host can be read in two ways.",
        Reason::BadHeader => "A header is there twice or can't be understood.",
        Reason::HeadersNotRaw | Reason::NoService => "The proxy is not set up for this request.",
        Reason::NoRoute => "There is no such route.",
        Reason::BadQuery => "A query parameter is there twice or can't be understood.",
        Reason::BadBody => "The body is not there whole or can't be understood.",
        Reason::BadMessage => "The message in the body can't be understood.",
        Reason::MetadataMismatch => "The message in the body is not what the proxy or a header says of it.",
        Reason::Unregistered => "There is no such tool.",
        Reason::MissingInput => "Something that this route needs is missing from the request.",
        Reason::UnknownAction | Reason::SchemaMismatch => "This request is not one that can be permitted.",
        Reason::Undecodable => "The request can't be understood.",
        Reason::DeadlineExpired => "There was not enough time to decide.",
        Reason::Overloaded => "There is too much to decide at the moment.",
        Reason::AuditUnavailable => "The decision could not be recorded.",
        Reason::Internal => "No decision could be made.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(default: Option<&str>) -> Messages {
        let german = BTreeMap::from([("denied", "Nein."), ("no_token", "Wer da?"), ("error", "Kaputt.")]);
        let swiss = BTreeMap::from([("no_permit", "Nei.")]);
        let owned = |texts: BTreeMap<&str, &str>| {
            texts.into_iter().map(|(key, text)| (key.to_owned(), text.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let texts = BTreeMap::from([("de".to_owned(), owned(german)), ("de-ch".to_owned(), owned(swiss))]);
        Messages::new(texts, default.map(str::to_owned))
    }

    fn told(messages: &Messages, reason: Reason, languages: &[&str]) -> (String, String) {
        let languages: Vec<_> = languages.iter().map(|tag| (*tag).to_owned()).collect();
        let (text, tag) = messages.text(reason, &languages);
        (text.to_owned(), tag.to_owned())
    }

    #[test]
    fn the_best_language_that_has_words_for_it_is_spoken() {
        let messages = messages(None);
        let is = |reason, languages: &[&str], text: &str, tag: &str| {
            assert_eq!(told(&messages, reason, languages), (text.to_owned(), tag.to_owned()), "{languages:?}");
        };
        is(Reason::NoPermit, &["de-ch"], "Nei.", "de-ch");
        is(Reason::NoToken, &["de-ch"], "Wer da?", "de");
        is(Reason::Forbidden, &["fr", "de-at", "en"], "Nein.", "de");
        is(Reason::Internal, &["de"], "Kaputt.", "de");
        is(Reason::Forbidden, &["en-us", "de"], "This request is forbidden.", "en");
        is(Reason::Forbidden, &["fr"], "This request is forbidden.", "en");
        is(Reason::Forbidden, &[], "This request is forbidden.", "en");
    }

    #[test]
    fn an_operator_may_have_another_language_for_everybody_else() {
        assert_eq!(told(&messages(Some("de")), Reason::Forbidden, &["fr"]).0, "Nein.");
        assert_eq!(told(&messages(Some("de")), Reason::Forbidden, &["en"]).1, "en");
        assert_eq!(told(&messages(Some("it")), Reason::Forbidden, &["fr"]).1, "en");
    }

    #[test]
    fn a_key_is_a_reason_to_deny_or_to_fail_or_all_of_these() {
        assert!(["denied", "error", "no_permit", "internal"].into_iter().all(Messages::is_key));
        assert!(!["permitted", "", "Denied", "no permit"].into_iter().any(Messages::is_key));
    }

    /// A challenge repeats it within quotes.
    #[test]
    fn what_is_said_in_english_is_plain_ascii() {
        for reason in Reason::ALL {
            let text = english(reason);
            assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')), "{text}");
        }
    }
}
