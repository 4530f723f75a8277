//! For how long a server asks to be left alone.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use httpdate::parse_http_date;

/// What `Retry-After` says (RFC 9110 section 10.2.3): so many seconds, or until a date, which is told by the clock of the server
/// that says it, so that ours does not matter. `None` if it says nothing that can be read.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let wish = text(RETRY_AFTER)?;
    if let Ok(seconds) = wish.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (until, now) = (parse_http_date(wish).ok()?, parse_http_date(text(DATE)?).ok()?);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_in_seconds_or_a_date_by_the_clock_of_who_has_it() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (wish, now, owed) in [
            ("7", None, Some(7)),
            ("7", Some(date), Some(7)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(date), Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(date), Some(30)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(date), Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", None, None),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some("now"), None),
            ("-7", Some(date), None),
            ("7.5", Some(date), None),
            ("18446744073709551616", Some(date), None),
            ("", Some(date), None),
            ("soon", Some(date), None),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, wish.parse().unwrap())]);
            headers.extend(now.map(|now| (DATE, now.parse().unwrap())));
            assert_eq!(retry_after(&headers), owed.map(Duration::from_secs), "{wish} {now:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
