//! Query parameters. There is no standard for them, only habits (WHATWG's form encoding the most common), so what habits
//! differ about is refused: a parameter that comes twice, a `+`, a `;` that some take for `&`, a name that some take for another
//! (`view[]` is `view` to PHP, Rails and Express, `a.b` is `a_b` to PHP).

use std::borrow::Cow;

use crate::decision::reason::Reason;
use crate::decision::request::Refusal;

/// The most that are looked through.
const MAX_PARAMETERS: usize = 1024;

/// The value of the parameter `name`, decoded; `None` if there is none of that name.
pub(super) fn unique<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Refusal> {
    let bad = |why: &str| Refusal::new(Reason::BadQuery, format_args!("the parameter `{name}` {why}"), query);
    if query.contains(';') {
        return Err(bad("can't be told: some services take `;` for `&`"));
    }
    let mut found = None;
    for (at, parameter) in query.split('&').enumerate() {
        if at == MAX_PARAMETERS {
            return Err(bad("can't be told: there are more than 1024"));
        }
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let key = decode(key).ok_or_else(|| bad("can't be told: the query has something that is not an escape"))?;
        if !may_pass_for(&key, name) {
            continue;
        }
        if key != name {
            return Err(bad("is there in another spelling"));
        }
        if found.replace(value).is_some() {
            return Err(bad("is there more than once"));
        }
    }
    let Some(value) = found else { return Ok(None) };
    if value.contains('+') {
        return Err(bad("has a `+`, which may be a space or not"));
    }
    decode(value).map(Some).ok_or_else(|| bad("is not escaped UTF-8, or has a control character"))
}

/// Whether some service takes the parameter `key` for `name`: for case, a space before it, an index after it, or a separator that
/// can't be in the name of a variable.
fn may_pass_for(key: &str, name: &str) -> bool {
    let of_list = if name.contains('[') { None } else { key.split_once('[') };
    let key = of_list.map_or(key, |(list, _index)| list);
    folded(key).eq(folded(name))
}

fn folded(name: &str) -> impl Iterator<Item = u8> {
    let separator = |byte| matches!(byte, b'.' | b' ' | b'+');
    let rest = name.trim_start_matches([' ', '+']).bytes();
    rest.map(move |byte| if separator(byte) { b'_' } else { byte.to_ascii_lowercase() })
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.as_bytes().first_chunk::<2>()?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = after;
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
    (!decoded.chars().any(char::is_control)).then_some(decoded)
}
