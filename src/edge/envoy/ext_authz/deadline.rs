//! The `grpc-timeout` header (gRPC over HTTP/2, "Requests"): up to eight digits and a unit.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

/// The header is there but can't be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`grpc-timeout` is not up to eight digits and a unit")]
pub(super) struct DeadlineError;

/// How long the caller waits from when it sent the request; `None` if it does not say.
///
/// # Errors
/// [`DeadlineError`].
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, DeadlineError> {
    let mut values = headers.get_all("grpc-timeout").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(value).map(Some).ok_or(DeadlineError),
        (Some(_), Some(_)) => Err(DeadlineError),
    }
}

fn parse(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_hours(count)),
        b'M' => Some(Duration::from_mins(count)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Result<Option<Duration>, DeadlineError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("grpc-timeout", HeaderValue::from_static(value));
        }
        timeout(&headers)
    }

    #[test]
    fn each_unit_is_read() {
        for (value, nanos) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("200m", 200_000_000),
            ("5u", 5_000),
            ("99999999n", 99_999_999),
            ("0m", 0),
        ] {
            assert_eq!(read(&[value]), Ok(Some(Duration::from_nanos(nanos))), "{value}");
        }
        assert_eq!(read(&["99999999H"]), Ok(Some(Duration::from_hours(99_999_999))));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn anything_else_is_an_error() {
        for value in ["", "m", "200", "200 m", "200ms", "-1m", "+1m", "1.5S", "123456789m", "1h", "1s", "０m"] {
            let Ok(value) = HeaderValue::from_str(value) else { continue };
            assert_eq!(parse(&value), None, "{value:?}");
        }
        assert_eq!(read(&["200m", "200m"]), Err(DeadlineError));
    }
}
