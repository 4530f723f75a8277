//! In which form and language a client wants to be denied: `accept` (RFC 9110 section 12.5.1) and `accept-language` (section
//! 12.5.4; lookup as in RFC 4647 section 3.4). It changes how a denial reads and nothing else. What can't be read, or is
//! longer than any client's, counts as not there.

use crate::decision::{Check, HeaderLine};

/// The most that is read of either header, all its lines together, in bytes.
const MAX_BYTES: usize = 1024;

/// The most items that are read.
const MAX_ITEMS: usize = 32;

/// A form of body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Form {
    /// An object.
    #[default]
    Json,
    /// The same as a problem (RFC 9457).
    Problem,
    /// Lines for a person.
    Plain,
}

/// What a client wants.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Wanted {
    pub(super) form: Form,
    /// Language tags in lower case, the best first.
    pub(super) languages: Vec<String>,
}

impl Form {
    /// All, the first of equals first.
    const ALL: [Self; 3] = [Self::Json, Self::Problem, Self::Plain];

    const fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application", "json"),
            Self::Problem => ("application", "problem+json"),
            Self::Plain => ("text", "plain"),
        }
    }

    /// For the header `content-type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Problem => "application/problem+json",
            Self::Plain => "text/plain; charset=utf-8",
        }
    }
}

impl Wanted {
    /// What the client of this request wants. Of gRPC, Envoy makes the body the status's message, which is for people.
    pub(super) fn of(check: &Check<'_>) -> Self {
        let Some(lines) = check.http.as_ref().and_then(|http| http.headers.as_deref()) else { return Self::default() };
        let form = if is_grpc(lines) { Form::Plain } else { form(&items(lines, "accept")) };
        Self { form, languages: languages(items(lines, "accept-language")) }
    }
}

fn is_grpc(lines: &[HeaderLine<'_>]) -> bool {
    lines.iter().any(|(name, value)| *name == "content-type" && value.starts_with(b"application/grpc"))
}

/// An item of a list, and how much it is wanted, in thousandths.
type Item<'a> = (&'a str, u16);

/// The items of all lines of this name, which are one list (RFC 9110 section 5.3); none if one of them is none.
fn items<'a>(lines: &[HeaderLine<'a>], name: &str) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    let mut left = MAX_BYTES;
    for (_, value) in lines.iter().filter(|(line, _)| *line == name) {
        let Some(text) = str::from_utf8(value).ok().filter(|text| text.len() <= left) else { return Vec::new() };
        left -= text.len();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match item(part) {
                Some(item) if items.len() < MAX_ITEMS => items.push(item),
                _ => return Vec::new(),
            }
        }
    }
    items
}

/// `text/plain;q=0.5`. Other parameters say of which kind of that type it is, of which ours have none.
fn item(part: &str) -> Option<Item<'_>> {
    let (value, parameters) = part.split_once(';').map_or((part, ""), |(value, parameters)| (value.trim(), parameters));
    let is_value = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*'..=b'+' | b'-'..=b'/' | b'^'..=b'`' | b'|' | b'~')
    };
    if value.is_empty() || !value.bytes().all(is_value) {
        return None;
    }
    let mut weight = 1000;
    for parameter in parameters.split(';').map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        if name.eq_ignore_ascii_case("q") {
            weight = thousandths(value)?;
        }
    }
    Some((value, weight))
}

/// `1`, `0`, `0.5`, `1.000` (RFC 9110 section 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u16 = format!("{whole}{part:0<3}").parse().ok()?;
    (number <= 1000).then_some(number)
}

/// The form that is wanted most; the first one if none is.
fn form(items: &[Item<'_>]) -> Form {
    let mut best = (Form::default(), 0);
    for form in Form::ALL {
        let weight = weight_of(form, items);
        if weight > best.1 {
            best = (form, weight);
        }
    }
    best.0
}

/// By the most specific range that has it.
fn weight_of(form: Form, items: &[Item<'_>]) -> u16 {
    let (kind, sub) = form.media_type();
    let rank = |range: &str| match range.split_once('/') {
        Some((one, other)) if one.eq_ignore_ascii_case(kind) && other.eq_ignore_ascii_case(sub) => Some(3),
        Some((one, "*")) if one.eq_ignore_ascii_case(kind) => Some(2),
        Some(("*", "*")) => Some(1),
        _ => None,
    };
    let ranked = items.iter().filter_map(|(range, weight)| Some((rank(range)?, *weight)));
    ranked.max().map_or(0, |(_, weight)| weight)
}

/// Those that are wanted at all. Of any (`*`) there is nothing to choose by.
fn languages(mut items: Vec<Item<'_>>) -> Vec<String> {
    let is_tag = |tag: &str| {
        tag.len() <= 35 && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !tag.starts_with('-')
    };
    items.retain(|(tag, weight)| *weight > 0 && is_tag(tag));
    items.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    items.into_iter().map(|(tag, _)| tag.to_ascii_lowercase()).collect()
}

/// The first of `wanted` for which `has` has something: the tag itself, or what is left of it after its last part is cut
/// off, and so on.
pub(super) fn look_up<T>(wanted: &[String], has: impl Fn(&str) -> Option<T>) -> Option<T> {
    wanted.iter().find_map(|tag| {
        let mut tag = tag.as_str();
        loop {
            if let Some(found) = has(tag) {
                return Some(found);
            }
            tag = tag.rsplit_once('-')?.0;
        }
    })
}

#[cfg(test)]
mod tests;
