//! What Go's programs read and write in ways of their own.

use std::ffi::OsString;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;
use portcullis_spiffe_api::spire::api::types::{Selector, Spiffeid};
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use super::console::Failure;
use crate::foundation::telemetry::printable;

const TIME: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] +0000 UTC");

/// The longest value that is shown, in bytes.
const MAX_SHOWN: usize = 8192;

/// The flags that are there or not, and may say so in words in Go.
const SWITCHES: [&str; 8] = ["admin", "downstream", "node", "shallow", "silent", "state", "storeSVID", "verbose"];

/// Flags as Go takes them, with one dash or two: `-spiffeID` becomes `--spiffeID`, `-admin=true` becomes `--admin`, and
/// `-admin=false` nothing. What follows `--` is left alone, and so is a lone dash and a single letter.
pub(in crate::cli) fn with_double_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut only_values = false;
    let rewrite = |argument: OsString| {
        only_values |= argument == "--";
        let Some(text) = argument.to_str().filter(|_| !only_values) else { return Some(argument) };
        let text = if is_long_with_one_dash(text) { format!("-{text}") } else { text.to_owned() };
        let switch = text.strip_prefix("--").and_then(|flag| flag.split_once('='));
        match switch.filter(|(name, _)| SWITCHES.contains(name)) {
            Some((name, "1" | "t" | "T" | "true" | "TRUE" | "True")) => Some(format!("--{name}").into()),
            Some((_, "0" | "f" | "F" | "false" | "FALSE" | "False")) => None,
            _ => Some(text.into()),
        }
    };
    arguments.into_iter().filter_map(rewrite).collect()
}

fn is_long_with_one_dash(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next() == Some('-')
        && characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.next().is_some_and(|second| second.is_ascii_alphanumeric())
}

/// A duration such as `1h30m`, `90s`, `1.5h` or `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration, such as `90s`, `1h30m` or `250ms`");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at_checked(number_end).ok_or_else(wrong)?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end).ok_or_else(wrong)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_not_a_number| wrong())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_too_long| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// Whole seconds, rounded up, as the API has them.
pub(super) fn seconds(duration: Duration) -> Result<i32, Failure> {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).map_err(|_too_many| Failure::new("invalid value for TTL: it is too long"))
}

/// Seconds since 1970 as Go prints a time.
pub(super) fn time(unix_seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix_seconds).ok();
    time.and_then(|time| time.format(TIME).ok()).unwrap_or_else(|| unix_seconds.to_string())
}

/// `2 entries`, `1 entry`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Lines of names and values, the values in one column.
pub(super) fn table<V: AsRef<str>>(width: usize, rows: impl IntoIterator<Item = (&'static str, V)>) -> String {
    // Who made an entry must not speak to the terminal of who looks at it.
    let shown = |value: V| printable(value.as_ref(), MAX_SHOWN);
    rows.into_iter().map(|(name, value)| [&*format!("{name:<width$}: "), &shown(value), "\n"].concat()).collect()
}

/// A SPIFFE ID for the wire.
pub(super) fn spiffe_id(text: &str) -> Result<Spiffeid, Failure> {
    let id: SpiffeId = text.parse().map_err(|error| Failure::of(&format!("`{text}`"), error))?;
    Ok(Spiffeid { trust_domain: id.trust_domain().to_string(), path: id.path().to_owned() })
}

/// A SPIFFE ID from the wire.
pub(super) fn id_text(id: Option<&Spiffeid>) -> String {
    id.map(|id| format!("spiffe://{}{}", id.trust_domain, id.path)).unwrap_or_default()
}

/// A selector for the wire: `type:value`.
pub(super) fn selector(text: &str) -> Result<Selector, Failure> {
    let wrong = || Failure::new(format!("selector \"{text}\" must be formatted as type:value"));
    let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Selector { r#type: kind.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_may_have_one_dash_or_two() {
        let rewritten = |arguments: &[&str]| with_double_dashes(arguments.iter().map(OsString::from));
        assert_eq!(
            rewritten(&["p", "entry", "-spiffeID", "x", "--dns", "-c", "f", "-data=-", "-", "-1", "--", "-ttl"]),
            ["p", "entry", "--spiffeID", "x", "--dns", "-c", "f", "--data=-", "-", "-1", "--", "-ttl"],
        );
        assert_eq!(
            rewritten(&["-admin=false", "--node=T", "-downstream=maybe", "-hint=true", "--", "-admin=false"]),
            ["--node", "--downstream=maybe", "--hint=true", "--", "-admin=false"],
        );
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [("0", 0), ("90s", 90_000), ("1h30m", 5_400_000), ("1.5h", 5_400_000), ("250ms", 250)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "1", "h", "1d", "-1s", "1h30", "1..5s", "9999999999999999999999h", "1 s", "∞"] {
            duration(text).unwrap_err();
        }
        assert_eq!(seconds(Duration::from_millis(1500)).unwrap(), 2);
        assert!(seconds(Duration::from_secs(1 << 31)).is_err());
    }

    #[test]
    fn times_are_printed_as_go_prints_them() {
        assert_eq!(time(1_999_999_999), "2033-05-18 03:33:19 +0000 UTC");
    }
}
