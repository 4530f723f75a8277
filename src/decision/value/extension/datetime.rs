//! Points in time and lengths of time as Cedar writes them (RFC 80).

use time::{Date, Month, Time};

/// Milliseconds of each unit of a duration, in the order that they are written in.
const UNITS: [(&str, i128); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Milliseconds. `-?1d2h3m4s5ms`: each unit at most once, in this order, at least one.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut units = UNITS.iter();
    let mut total = 0_i128;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(count(rest, u8::is_ascii_digit));
        let (unit, after) = after.split_at(count(after, u8::is_ascii_alphabetic));
        let (_, length) = units.find(|(name, _)| *name == unit)?;
        // No part is longer than 64 bits, so 128 hold the sum.
        total += sign * i128::from(digits.parse::<u64>().ok()?) * length;
        rest = after;
    }
    i64::try_from(total).ok()
}

/// Milliseconds since 1970-01-01T00:00:00Z. A date, or a date and a time with `Z` or an offset:
/// `2026-11-22`, `2026-11-22T08:00:00Z`, `2026-11-22T08:00:00.000+0100`.
pub(super) fn parse_datetime(text: &str) -> Option<i64> {
    let mut reader = Reader(text.as_bytes());
    let (year, month, day) = (reader.number(4)?, reader.after(b'-', 2)?, reader.after(b'-', 2)?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    if reader.0.is_empty() {
        return Some(milliseconds(date, Time::MIDNIGHT));
    }
    let (hour, minute, second) = (reader.after(b'T', 2)?, reader.after(b':', 2)?, reader.after(b':', 2)?);
    let fraction = if reader.0.first() == Some(&b'.') { reader.after(b'.', 3)? } else { 0 };
    let small = |number: u16| u8::try_from(number).ok();
    let time = Time::from_hms_milli(small(hour)?, small(minute)?, small(second)?, fraction).ok()?;
    let offset = reader.offset()?;
    reader.0.is_empty().then(|| milliseconds(date, time) - offset)
}

fn milliseconds(date: Date, time: Time) -> i64 {
    let time = date.with_time(time).assume_utc();
    time.unix_timestamp() * 1_000 + i64::from(time.millisecond())
}

fn count(text: &str, matches: impl Fn(&u8) -> bool) -> usize {
    text.bytes().take_while(matches).count()
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// Exactly `digits` digits, five at most.
    fn number(&mut self, digits: usize) -> Option<u16> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0_u16, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        })
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn after(&mut self, separator: u8, digits: usize) -> Option<u16> {
        (self.take()? == separator).then(|| self.number(digits))?
    }

    /// How far the clock is ahead of UTC, in milliseconds.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.take()? {
            b'Z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = (self.number(2)?, self.number(2)?);
        (hours < 24 && minutes < 60).then(|| sign * (i64::from(hours) * 60 + i64::from(minutes)) * 60_000)
    }
}
